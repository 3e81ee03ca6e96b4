import type { FastifyInstance } from 'fastify'
import type { CollectedMail, Mailer } from '../shared/mailer.js'

/** Shows the collected mails to everybody, which is for local trials only. */
export function showMails (app: FastifyInstance, { collected }: Mailer): void {
  if (collected !== null) {
    app.get('/mails', (_request, reply) => reply.type('text/html').send(render(collected)))
  }
}

function render (mails: readonly CollectedMail[]): string {
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
