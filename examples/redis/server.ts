// Sessions in Redis or Valkey, with SUBSCRIBE: npx tsx examples/redis/server.ts
// Two instances: npx tsx examples/shared/round-robin.ts examples/redis/server.ts
//
//   REDIS_URL      redis://127.0.0.1:6379
//   REDIS_PREFIX   token-auth-example:
//   PORT           3000
//   AUTH_SECRET    a public value, for local trials only

import Fastify from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { listenForRevocations, RedisAttempts, RedisStore } from 'fastify-token-auth/redis'
import { Redis } from 'ioredis'
import { secret } from '../shared/secret.js'
import { start } from '../shared/start.js'

const { REDIS_URL: url = 'redis://127.0.0.1:6379', REDIS_PREFIX: prefix = 'token-auth-example:' } =
  process.env
const app = Fastify({ logger: true })
const ann = { id: '1', username: 'ann', passwordHash: '' }

// Connect. SUBSCRIBE needs a connection of its own, because Redis rejects other commands on it.
// The timeouts replace a connection that no longer responds.
const redis = new Redis(url, {
  lazyConnect: true,
  enableOfflineQueue: false,
  connectTimeout: 5000,
  socketTimeout: 5000,
  maxRetriesPerRequest: 0
})

// Without an error listener, ioredis prints each error of a connection.
redis.on('error', error => app.log.warn(error))
await redis.connect()

// Close. Fastify runs this hook after those of the plugin, because it was added before them.
app.addHook('onClose', async () => {
  await redis.quit()
})

// Migrate. Redis has no schema, so that there is nothing to migrate.
const store = new RedisStore(redis, { prefix })

// Register. All instances share sessions and limits on login attempts. SUBSCRIBE reports
// revocations of other instances immediately; without it, an instance reads them once per second.
await app.register(tokenAuth, {
  secret,
  store,
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  },
  throttle: { attempts: new RedisAttempts(redis, { prefix }) },
  revocations: { subscribe: listenForRevocations(() => redis.duplicate(), { prefix }) }
})
ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')

app.get('/protected', { onRequest: [authenticate] }, async request => ({
  userId: request.auth?.userId,
  processId: process.pid
}))

await start(app)
