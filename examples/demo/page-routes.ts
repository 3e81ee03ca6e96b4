// Serves the page, and the package's client to it as it was built. Nothing is fetched from elsewhere, and no script runs that
// is not a file here.

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'

const types: Record<string, string> = { html: 'text/html', css: 'text/css', js: 'text/javascript' }
const dist = new URL('../', import.meta.resolve('fastify-token-auth/client'))

/** Before the plugin, whose answers the page may ask to lose. */
export function addPage (app: FastifyInstance): void {
  const html = readFileSync(new URL('page.html', import.meta.url), 'utf8')
  const importMap = /<script type="importmap">(.*?)<\/script>/s.exec(html)?.[1] ?? ''
  const headers = {
    'content-security-policy': [
      'default-src \'none\'; connect-src \'self\'; style-src \'self\'; img-src data:',
      `script-src 'self' 'sha256-${createHash('sha256').update(importMap).digest('base64')}'`,
      'base-uri \'none\'; form-action \'none\'; frame-ancestors \'none\'',
      'require-trusted-types-for \'script\'; trusted-types \'none\''
    ].join('; '),
    'cache-control': 'no-cache',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff'
  }

  function serve (url: string, file: URL): void {
    const text = readFileSync(file, 'utf8')
    const type = types[file.pathname.split('.').at(-1) ?? '']
    app.get(
      url,
      (_request, reply) => reply.headers(headers).type(`${type}; charset=utf-8`).send(text)
    )
  }

  serve('/', new URL('page.html', import.meta.url))

  for (const file of ['page.css', 'page.js', 'watched-client.js']) {
    serve(`/${file}`, new URL(file, import.meta.url))
  }

  const modules = readdirSync(new URL('client/', dist)).filter(name => name.endsWith('.js')).map(
    name => `client/${name}`
  )

  for (const file of ['protocol.js', ...modules]) {
    serve(`/fastify-token-auth/${file}`, new URL(file, dist))
  }

  // The server has acted, and nobody hears of it: what a proxy says that has lost an answer.
  app.addHook('onSend', async (request, reply, payload) => {
    if (request.headers['x-demo-trouble'] === undefined) {
      return payload
    }

    reply.code(502).removeHeader('set-cookie')
    return ''
  })
}
