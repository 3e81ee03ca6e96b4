import { readdirSync, readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'

/**
 * Serves the built browser modules of the package below `/fastify-token-auth/`.
 *
 * Pages without a bundler import them, for example `/fastify-token-auth/client/index.js`. Modules
 * of the server are not served.
 */
export function serveClientModules (app: FastifyInstance): void {
  const dist = new URL('../', import.meta.resolve('fastify-token-auth/client'))
  const names = readdirSync(new URL('client/', dist)).filter(name => name.endsWith('.js'))

  for (const path of ['protocol.js', ...names.map(name => `client/${name}`)]) {
    const code = readFileSync(new URL(path, dist), 'utf8')
    app.get(`/fastify-token-auth/${path}`, (_request, reply) =>
      reply
        .header('cache-control', 'no-cache')
        .header('x-content-type-options', 'nosniff')
        .type('text/javascript; charset=utf-8')
        .send(code))
  }
}
