import { Redis } from 'ioredis'
import t from 'tap'
import { RedisAttempts, RedisStore } from '../../../src/stores/redis/index.js'
import type { IoredisClient } from '../../../src/stores/redis/index.js'
import { startRedis, whyNoRedis } from '../../helpers/databases/redis.js'

const FIELDS = ['redis_version', 'role', 'maxmemory', 'maxmemory_policy', 'aof_enabled'] as const

/** Creates the client of a server that tells the given fields, or nothing. */
function createServer (given: Partial<Record<typeof FIELDS[number], string>> | null): RedisStore {
  const sound = {
    redis_version: '7.2.4',
    role: 'master',
    maxmemory: '0',
    maxmemory_policy: 'noeviction',
    aof_enabled: '1'
  }
  const server = given === null ? {} : { ...sound, ...given }
  const client = {
    evalsha: async () => FIELDS.map(field => (server as Record<string, string>)[field] ?? '')
  }
  return new RedisStore(client as unknown as IoredisClient)
}

t.test('check judges what the server tells', async t => {
  t.strictSame(await createServer({}).check(), [])
  t.strictSame(await createServer(null).check(), [], 'no warning without INFO')
  t.strictSame(await createServer({ maxmemory_policy: 'allkeys-lru' }).check(), [], 'no limit')
  t.match(await createServer({ maxmemory: '1000', maxmemory_policy: 'volatile-ttl' }).check(), [
    /^"maxmemory-policy" is volatile-ttl: Redis evicts sessions .+; set it to noeviction$/
  ])
  t.match(await createServer({ aof_enabled: '0' }).check(), [/^"appendonly" is off/])
  await t.rejects(createServer({ redis_version: '6.0.16' }).check(), {
    name: 'StoreSetupError',
    message: 'the server is Redis 6.0.16; use Redis 6.2 or later'
  })
  await t.rejects(createServer({ role: 'slave' }).check(), /is a replica/)
})

t.test('a server that evicts is a warning', { skip: await whyNoRedis() }, async t => {
  const server = await startRedis()

  if (server === null) {
    t.comment('skipped: no redis-server found')
    return
  }

  const redis = new Redis(server.url)
  redis.on('error', () => {})
  t.teardown(async () => {
    redis.disconnect()
    await server.stop()
  })
  const stores = [new RedisStore(redis), new RedisAttempts(redis)]

  for (const store of stores) {
    await redis.config('SET', 'maxmemory', '0', 'maxmemory-policy', 'noeviction')
    t.match(await store.check(), [/^"appendonly" is off/])
    await redis.config('SET', 'maxmemory', '100mb', 'maxmemory-policy', 'allkeys-lru')
    t.match(await store.check(), [/^"maxmemory-policy" is allkeys-lru/, /^"appendonly"/])
  }

  await redis.call('ACL', 'SETUSER', 'default', '-info')
  t.strictSame(await stores[0]?.check(), [], 'no warning if INFO is forbidden')
  redis.removeAllListeners('error')
  t.match(await stores[0]?.check(), [/^the Redis client has no listener for "error"/])
})
