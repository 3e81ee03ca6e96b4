import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'

/**
 * Serves the client of the package at `/fastify-token-auth.js`, as one file.
 *
 * Pages without a bundler import it. The file also contains `fastify-token-auth/client/dpop`.
 */
export function serveClientBundle (app: FastifyInstance): void {
  const code = readFileSync(new URL(import.meta.resolve('fastify-token-auth/client/bundle')))
  app.get('/fastify-token-auth.js', (_request, reply) =>
    reply
      .header('cache-control', 'no-cache')
      .header('x-content-type-options', 'nosniff')
      .type('text/javascript; charset=utf-8')
      .send(code))
}
