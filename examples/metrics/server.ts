// Metrics for Prometheus at GET /metrics: npx tsx examples/metrics/server.ts
//
//   PORT             3000
//   REFRESH_GRACE    10s
//   SWEEP_INTERVAL   1h
//   AUTH_SECRET      a public value, for local trials only

import Fastify from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret } from '../shared/secret.js'
import { start } from '../shared/start.js'
import { collectMetrics } from './metrics.js'
import { measureStore } from './sources.js'

const { REFRESH_GRACE: grace = '10s', SWEEP_INTERVAL: interval = '1h' } = process.env
const { registry, observeStore, observeHealth, stop } = collectMetrics()
const app = Fastify({ logger: true })
const ann = { id: 'u-1', username: 'ann', passwordHash: '' }

app.addHook('onClose', async () => {
  stop()
})

await app.register(tokenAuth, {
  secret,
  store: measureStore(new MemoryStore(), observeStore),
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  },
  refreshToken: { grace },
  sweep: { interval }
})
ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')

observeHealth(() => app.tokenAuth.health())

// In production, serve this on a port that only Prometheus reaches.
app.get(
  '/metrics',
  async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics())
)

app.get('/protected', { onRequest: [authenticate] }, async request => ({
  userId: request.auth?.userId
}))

await start(app)
