import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { serveClientBundle } from '../shared/client-bundle.js'

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.css': 'text/css',
  '.js': 'text/javascript'
}

/**
 * Serves the pages of the demo at `/`, `/account` and `/mails`, with the client of the package as
 * it was built.
 *
 * Call it before the plugin is registered, so that its hook also applies to the routes of the
 * plugin.
 */
export function servePage (app: FastifyInstance): void {
  const folder = new URL('page/', import.meta.url)
  const html = readFileSync(new URL('page.html', folder), 'utf8')
  // All pages have the same import map.
  const importMap = /<script type="importmap">(.*?)<\/script>/s.exec(html)?.[1] ?? ''
  const importMapHash = createHash('sha256').update(importMap).digest('base64')
  // No script runs except the files below, and the page connects to this server only.
  const headers = {
    'content-security-policy': [
      'default-src \'none\'; connect-src \'self\'; style-src \'self\'; img-src data:',
      `script-src 'self' 'sha256-${importMapHash}'`,
      'base-uri \'none\'; form-action \'none\'; frame-ancestors \'none\'',
      'require-trusted-types-for \'script\'; trusted-types \'none\''
    ].join('; '),
    'cache-control': 'no-cache',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff'
  }

  for (const name of readdirSync(folder)) {
    const type = types[extname(name)]

    if (type === undefined) {
      continue
    }

    const content = readFileSync(new URL(name, folder), 'utf8')
    app.get(
      name === 'page.html' ? '/' : `/${name.replace('.html', '')}`,
      (_request, reply) => reply.headers(headers).type(`${type}; charset=utf-8`).send(content)
    )
  }

  serveClientBundle(app)

  // Like a proxy that lost the response of the server, after the server did its work.
  app.addHook('onSend', async (request, reply, payload) => {
    if (request.headers['x-demo-fault'] === undefined) {
      return payload
    }

    reply.code(502).removeHeader('set-cookie')
    return ''
  })
}
