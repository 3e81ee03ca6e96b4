import { createTransport } from 'nodemailer'

/** Mail that was collected instead of sent. */
export interface CollectedMail {
  readonly to: string
  readonly subject: string
  readonly text: string
  readonly sentAt: Date
}

/** Sends mails, or collects them if there is no mail server. */
export interface Mailer {
  /** Mails of this process, the newest first. `null` if a mail server gets them. */
  readonly collected: CollectedMail[] | null
  send(to: string, subject: string, text: string): Promise<void>
  close(): Promise<void>
}

/** Creates the mailer that the environment variables `SMTP_URL` and `MAIL_FROM` select. */
export function createMailer (
  { SMTP_URL: url, MAIL_FROM: from = 'Example <no-reply@example.org>' }: NodeJS.ProcessEnv
): Mailer {
  if (url === undefined) {
    const collected: CollectedMail[] = []

    return {
      collected,
      async send (to, subject, text) {
        collected.unshift({ to, subject, text, sentAt: new Date() })
      },
      async close () {}
    }
  }

  const transport = createTransport(url)

  return {
    collected: null,
    async send (to, subject, text) {
      await transport.sendMail({ from, to, subject, text })
    },
    async close () {
      transport.close()
    }
  }
}
