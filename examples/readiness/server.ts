// Probes of an orchestrator: npx tsx examples/readiness/server.ts
//
//   PORT            3000
//   DATABASE_FILE   :memory:
//   AUTH_SECRET     a public value, for local trials only

import Fastify from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { SqliteStore } from 'fastify-token-auth/sqlite'
import Database from 'libsql'
import { secret } from '../shared/secret.js'
import { start } from '../shared/start.js'

const db = new Database(process.env.DATABASE_FILE ?? ':memory:')
const store = new SqliteStore(db)
await store.migrate()

const ann = { id: 'u-1', username: 'ann', passwordHash: '' }
const app = Fastify({ logger: true })

await app.register(tokenAuth, {
  secret,
  store,
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  }
})
ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')

// Liveness: the process serves requests. A failing store is no reason for a restart.
app.get('/livez', { logLevel: 'warn' }, async () => ({ status: 'ok' }))

// Readiness: this instance can serve protected routes.
app.get('/readyz', { logLevel: 'warn' }, async (_request, reply) => {
  const { acceptsTokens, status } = await app.tokenAuth.health()
  return reply.code(acceptsTokens ? 200 : 503).send({ status })
})

// For engineers. In production, serve this on a port that only they reach.
app.get('/health', async () => app.tokenAuth.health())

app.get('/protected', { onRequest: [authenticate] }, async request => ({
  userId: request.auth?.userId
}))

await start(app)
