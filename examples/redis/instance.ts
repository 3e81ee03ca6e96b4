import { Redis } from 'ioredis'
import { RedisStore } from 'fastify-token-auth/stores/redis'
import { startInstance } from '../instance.js'

const redis = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379')

await startInstance({ store: new RedisStore(redis, { prefix: 'token-auth-demo:' }), close: () => redis.quit() })
