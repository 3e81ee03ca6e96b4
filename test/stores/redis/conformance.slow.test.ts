import { Cluster } from 'ioredis'
import { createCluster } from 'redis'
import t from 'tap'
import { testAttemptStore } from '../../../src/stores/conformance/attempt-store.js'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { RedisAttempts, RedisStore } from '../../../src/stores/redis/index.js'
import {
  deleteKeys,
  randomPrefix,
  startCluster,
  whyNoRedis
} from '../../helpers/databases/redis.js'
import { connectRedisClients } from './redis-helpers.js'

const skip = await whyNoRedis()

t.test('passes the conformance suite with node-redis and ioredis', { skip }, async t => {
  const { redis, nodeRedis, newPrefix } = await connectRedisClients(t)
  testTokenStore({
    test: (name, run) => t.test(name, run),
    open: () => {
      const prefix = newPrefix()

      return {
        store: new RedisStore(nodeRedis, { prefix }),
        other: new RedisStore(redis, { prefix }),
        close: () => deleteKeys(redis, prefix)
      }
    }
  })
})

t.test('a cluster of three servers passes the conformance suites', { skip }, async t => {
  const servers = await startCluster()

  if (servers === null) {
    t.comment('skipped: no redis-server found')
    return
  }

  const { ports, stop } = servers
  const ioredis = new Cluster(ports.map(port => ({ host: '127.0.0.1', port })))
  const nodeRedis = createCluster({
    rootNodes: ports.map(port => ({ url: `redis://127.0.0.1:${port}` }))
  })
  await nodeRedis.connect()
  t.teardown(async () => {
    ioredis.disconnect()
    nodeRedis.destroy()
    await stop()
  })
  testTokenStore({
    test: (name, run) => t.test(name, run),
    open: () => {
      const prefix = randomPrefix()

      return {
        store: new RedisStore(ioredis, { prefix }),
        other: new RedisStore(nodeRedis, { prefix })
      }
    }
  })
  testAttemptStore({
    test: (name, run) => t.test(name, run),
    open: () => {
      const prefix = randomPrefix()

      return {
        store: new RedisAttempts(ioredis, { prefix }),
        other: new RedisAttempts(nodeRedis, { prefix })
      }
    }
  })
})
