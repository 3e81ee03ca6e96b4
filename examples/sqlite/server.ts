// Sessions in a SQLite file: npx tsx examples/sqlite/server.ts
//
//   DATABASE_FILE   example.db
//   PORT            3000
//   AUTH_SECRET     a public value, for local trials only

import Fastify from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { SqliteAttempts, SqliteStore } from 'fastify-token-auth/sqlite'
import Database from 'libsql'
import { secret } from '../shared/secret.js'
import { start } from '../shared/start.js'

const { DATABASE_FILE: file = 'example.db' } = process.env
const app = Fastify({ logger: true })
const ann = { id: '1', username: 'ann', passwordHash: '' }

// Connect. Only the stores use this connection, because they run transactions on it.
const db = new Database(file)

// Close. Fastify runs this hook after those of the plugin, because it was added before them.
app.addHook('onClose', async () => {
  db.close()
})

// Migrate. Several processes may run this concurrently.
const store = new SqliteStore(db)
await store.migrate()

// Register. Several processes on one file share their limits on login attempts.
await app.register(tokenAuth, {
  secret,
  store,
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  },
  throttle: { attempts: new SqliteAttempts(db) }
})
ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')

app.get('/protected', { onRequest: [authenticate] }, async request => ({
  userId: request.auth?.userId,
  processId: process.pid
}))

await start(app)
