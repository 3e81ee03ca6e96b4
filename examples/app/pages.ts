import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'

const page = new URL('public/', import.meta.url)
// With a bundler, the page imports 'fastify-token-auth/client' and these files are not served.
const modules = new URL('..', import.meta.resolve('fastify-token-auth/client'))
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
  await app.register(fastifyStatic, {
    root: modules,
    prefix: '/fastify-token-auth/',
    allowedPath: path => /^\/(client\/[\w-]+|protocol)\.js$/.test(path),
    decorateReply: false
  })
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
  app.get('/readyz', { schema: { hide: true } }, async (_request, reply) => {
    const { acceptsTokens, status } = await app.tokenAuth.health()
    return reply.code(acceptsTokens ? 200 : 503).send({ status })
  })
}
