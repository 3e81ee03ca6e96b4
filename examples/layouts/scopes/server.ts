// Public pages beside protected routes: npx tsx examples/layouts/scopes/server.ts
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret } from '../../shared/secret.js'
import { start } from '../../shared/start.js'

const ann = { id: '1', username: 'ann', passwordHash: '' }
const app = Fastify({ logger: true })

await app.register(swagger, { openapi: { info: { title: 'Orders', version: '1.0.0' } } })
await app.register(tokenAuth, {
  secret,
  store: new MemoryStore(),
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  },
  refreshToken: { transport: 'both' }
})
ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')

// Browsers load pages and scripts without a token. No hook of a sibling scope runs for them.
await app.register(swaggerUi, { routePrefix: '/docs' })
await app.register(fastifyStatic, { root: join(import.meta.dirname, 'public') })

await app.register(async api => {
  api.addHook('onRequest', authenticate)
  api.get('/orders', { schema: { security: [{ bearerAuth: [] }] } }, request => ({
    orders: [],
    userId: request.auth?.userId
  }))
}, { prefix: '/api' })

await start(app)
