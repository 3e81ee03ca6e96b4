import type { FastifyInstance } from 'fastify'
import { createTransport } from 'nodemailer'

interface Mail {
  readonly to: string
  readonly subject: string
  readonly text: string
}

/** Sends mails, or collects them if there is no mail server. */
export interface Mailer {
  /** Mails of this process, the newest first. `null` if a mail server gets them. */
  readonly collected: Mail[] | null
  send(to: string, subject: string, text: string): Promise<void>
  close(): Promise<void>
}

/** Creates the mailer that the environment variables `SMTP_URL` and `MAIL_FROM` select. */
export function createMailer (
  { SMTP_URL: url, MAIL_FROM: from = 'Example <no-reply@example.org>' }: NodeJS.ProcessEnv
): Mailer {
  if (url === undefined) {
    const collected: Mail[] = []

    return {
      collected,
      async send (to, subject, text) {
        collected.unshift({ to, subject, text })
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

/** Shows the collected mails to everybody, which is for local trials only. */
export function showMails (app: FastifyInstance, { collected }: Mailer): void {
  if (collected !== null) {
    app.get('/mails', (_request, reply) => reply.type('text/html').send(render(collected)))
  }
}

function render (mails: readonly Mail[]): string {
  const items = mails.map(({ to, subject, text }) =>
    `<li>${escape(to)}: <b>${escape(subject)}</b><p>${linkify(escape(text))}</p></li>`
  )
  return `<!doctype html><title>Mails</title><h1>Mails</h1><ul>${items.join('')}</ul>`
}

function linkify (html: string): string {
  return html.replace(/https?:\/\/\S+/g, url => `<a href="${url}">${url}</a>`)
}

function escape (text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
}
