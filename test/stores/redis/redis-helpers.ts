import { Redis } from 'ioredis'
import { createClient } from 'redis'
import type { Test } from 'tap'
import { planRotation } from '../../../src/domain/rotation.js'
import type { RotationAttempt } from '../../../src/domain/rotation.js'
import type { Session } from '../../../src/domain/session.js'
import { DAY } from '../../../src/lib/time.js'
import type { Millis } from '../../../src/lib/time.js'
import { deleteKeys, randomPrefix, redisUrl } from '../../helpers/databases/redis.js'

/** Plans a rotation of a session from `makeSession`, without a grace period. */
export function planAttempt (
  { id: sessionId, realm, userId, secretHash }: Session,
  generation: number,
  now: Millis
): RotationAttempt {
  const by = { address: null, userAgent: '' }
  const presented = { realm, sessionId, userId, secretHash, generation }
  return planRotation(presented, { now, lifetime: 7 * DAY, grace: 0, by })
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
