import { basename, dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'

const page = new URL('public/', import.meta.url)
// With a bundler, the page imports 'fastify-token-auth/client' and this file is not served.
const bundle = fileURLToPath(import.meta.resolve('fastify-token-auth/client/bundle'))
const headers = { 'content-security-policy': 'default-src \'self\'; frame-ancestors \'none\'' }

/** Routes that everyone may read: the page, the OpenAPI document and the readiness probe. */
export async function addPages (app: FastifyInstance): Promise<void> {
  // Marks every route of this scope, also those of @fastify/static.
  app.addHook('onRoute', route => {
    route.config = { ...route.config, tokenAuth: 'public' }
  })

  await app.register(fastifyStatic, {
    root: page,
    setHeaders: reply => {
      reply.headers(headers)
    }
  })
  app.get(
    '/fastify-token-auth.js',
    { schema: { hide: true } },
    (_request, reply) => reply.sendFile(basename(bundle), dirname(bundle))
  )
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
  app.get('/readyz', { schema: { hide: true } }, async (_request, reply) => {
    const { acceptsTokens, status } = await app.tokenAuth.health()
    return reply.code(acceptsTokens ? 200 : 503).send({ status })
  })
}
