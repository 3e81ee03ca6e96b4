import { Redis } from 'ioredis'
import { listenForRevocations, RedisStore } from 'fastify-token-auth/redis'
import { startInstance } from '../shared/instance.js'

const redis = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379')
const subscriber = redis.duplicate()
const options = { prefix: 'token-auth-demo:' }

await startInstance({
  store: new RedisStore(redis, options),
  subscribe: listenForRevocations(subscriber, options),
  close: () => Promise.all([subscriber.quit(), redis.quit()])
})
