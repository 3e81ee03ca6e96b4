// Sessions in PostgreSQL, with LISTEN: npx tsx examples/postgres/server.ts
// Two instances: npx tsx examples/shared/round-robin.ts examples/postgres/server.ts
//
//   DATABASE_URL   postgres://postgres@127.0.0.1:5432/postgres
//   PORT           3000
//   AUTH_SECRET    a public value, for local trials only

import Fastify from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { listenForRevocations, PostgresAttempts, PostgresStore } from 'fastify-token-auth/postgres'
import pg from 'pg'
import { secret } from '../shared/secret.js'
import { start } from '../shared/start.js'

const { DATABASE_URL: connectionString = 'postgres://postgres@127.0.0.1:5432/postgres' } =
  process.env
const app = Fastify({ logger: true })
const ann = { id: '1', username: 'ann', passwordHash: '' }

// Connect. LISTEN needs a connection of its own, because a pool shares its connections.
// The timeouts replace a connection that no longer responds.
const config: pg.PoolConfig = {
  connectionString,
  connectionTimeoutMillis: 5000,
  query_timeout: 5000,
  keepAlive: true
}
const pool = new pg.Pool(config)

// Without an error listener, a lost connection ends the process.
pool.on('error', error => app.log.warn(error))

// Close. Fastify runs this hook after those of the plugin, because it was added before them.
app.addHook('onClose', async () => {
  await pool.end()
})

// Migrate. Several processes may run this concurrently.
const store = new PostgresStore(pool)
await store.migrate()

// Register. All instances share sessions and limits on login attempts. LISTEN reports revocations
// of other instances immediately; without it, an instance reads them once per second.
await app.register(tokenAuth, {
  secret,
  store,
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  },
  throttle: { attempts: new PostgresAttempts(pool) },
  revocations: { subscribe: listenForRevocations(() => new pg.Client(config)) }
})
ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')

app.get('/protected', { onRequest: [authenticate] }, async request => ({
  userId: request.auth?.userId,
  processId: process.pid
}))

await start(app)
