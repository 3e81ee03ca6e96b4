// Sessions in MySQL or MariaDB: npx tsx examples/mysql/server.ts
// Two instances: npx tsx examples/shared/round-robin.ts examples/mysql/server.ts
//
//   DATABASE_URL   mysql://root@127.0.0.1:3306/test
//   PORT           3000
//   AUTH_SECRET    a public value, for local trials only

import Fastify from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { MysqlAttempts, MysqlStore } from 'fastify-token-auth/mysql'
import mysql from 'mysql2/promise'
import { secret } from '../shared/secret.js'
import { start } from '../shared/start.js'

const { DATABASE_URL: uri = 'mysql://root@127.0.0.1:3306/test' } = process.env
const app = Fastify({ logger: true })
const ann = { id: '1', username: 'ann', passwordHash: '' }

// Connect. Every connection of the pool must reach the server that accepts writes.
// The store replaces a connection that no longer responds.
const pool = mysql.createPool({ uri, connectTimeout: 5000 })

// Close. Fastify runs this hook after those of the plugin, because it was added before them.
app.addHook('onClose', async () => {
  await pool.end()
})

// Migrate. Several processes may run this concurrently.
const store = new MysqlStore(pool)
await store.migrate()

// Register. All instances share sessions and limits on login attempts. MySQL cannot push, so that
// an instance reads revocations of other instances once per second.
await app.register(tokenAuth, {
  secret,
  store,
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  },
  throttle: { attempts: new MysqlAttempts(pool) }
})
ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')

app.get('/protected', { onRequest: [authenticate] }, async request => ({
  userId: request.auth?.userId,
  processId: process.pid
}))

await start(app)
