import { Redis } from 'ioredis'
import { createClient } from 'redis'
import type { Test } from 'tap'
import { planRotation } from '../../../src/domain/rotation.js'
import { DAY } from '../../../src/lib/time.js'
import { deleteKeys, randomPrefix, redisUrl } from '../../helpers/databases/redis.js'

/** Cursor before the first entry of the revocation feed. */

export const START = { at: 0, sessionId: '' }

/** Plans a rotation of a session from `makeSession`. */
export function planAttempt (
  sessionId: string,
  generation: number,
  now: number
): ReturnType<typeof planRotation> {
  const by = { address: null, userAgent: '' }

  return planRotation({ sessionId, secretHash: `hash of ${sessionId}`, generation }, {
    now,
    lifetime: 7 * DAY,
    grace: 0,
    by
  })
}

// The return type is inferred, because it depends on the arguments of `createClient`.
const createNodeRedisClient = () => createClient({ url: redisUrl })

export interface RedisClients {
  readonly redis: Redis
  readonly nodeRedis: ReturnType<typeof createNodeRedisClient>
  /** Returns a new prefix. The end of the test deletes its keys. */
  readonly newPrefix: () => string
}

/** Connects an ioredis and a node-redis client to one server until the test ends. */
export async function connectRedisClients (t: Test): Promise<RedisClients> {
  const redis = new Redis(redisUrl)
  const nodeRedis = createNodeRedisClient()
  await nodeRedis.connect()
  const prefixes: string[] = []

  const newPrefix = (): string => {
    const prefix = randomPrefix()
    prefixes.push(prefix)
    return prefix
  }

  t.teardown(async () => {
    for (const prefix of prefixes) {
      await deleteKeys(redis, prefix)
    }

    redis.disconnect()
    nodeRedis.destroy()
  })

  return { redis, nodeRedis, newPrefix }
}
