import { MAX_DOUBLINGS } from '../../domain/attempt-rule.js'
import type { Millis } from '../../lib/time.js'
import type { AttemptStore, BlockedKey, CountedKey } from '../attempt-store.js'
import { assertRedisClient, runScript, script } from './client.js'
import type { RedisClient } from './client.js'
import { DEFAULT_PREFIX } from './keys.js'
import type { RedisStoreOptions } from './keys.js'
import { checkServers } from './setup.js'

const VALUES_PER_KEY = 6

const scripts = {
  // ARGV: now, and for each key freeAttempts, maxAttempts, wait, longestWait, retention, sliding.
  // Returns nothing if no key is blocked. Otherwise the number of the first blocked key, the time
  // from which its next attempt is allowed, and the time of its first attempt.
  consume: script(`
    local now = tonumber(ARGV[1])
    local rows = {}
    for i, key in ipairs(KEYS) do
      local row = redis.call('HMGET', key, 'count', 'nextAt', 'forgetAt', 'since')
      if row[1] and tonumber(row[3]) > now then
        if tonumber(row[2]) > now then return {i, row[2], row[4]} end
        rows[i] = row
      end
    end
    for i, key in ipairs(KEYS) do
      local free, most, wait, longest, retention, sliding =
        unpack(ARGV, 2 + (i - 1) * ${VALUES_PER_KEY}, 1 + i * ${VALUES_PER_KEY})
      local count, forgetAt, since = 1, now + tonumber(retention), ARGV[1]
      local row = rows[i]
      if row then
        count, since = tonumber(row[1]) + 1, row[4]
        if sliding ~= 'true' then forgetAt = tonumber(row[3]) end
      end
      local nextAt = 0
      if count >= tonumber(most) then
        nextAt = forgetAt
      elseif count >= tonumber(free) then
        local doublings = math.min(count - tonumber(free), ${MAX_DOUBLINGS})
        nextAt = now + math.min(tonumber(longest), tonumber(wait) * 2 ^ doublings)
      end
      redis.call('HSET', key, 'count', count, 'nextAt', string.format('%.0f', nextAt),
        'forgetAt', string.format('%.0f', forgetAt), 'since', since)
      redis.call('PEXPIRE', key, string.format('%.0f', math.max(forgetAt - now, 1)))
    end
    return false`),

  refund: script(`
    for _, key in ipairs(KEYS) do
      local count = redis.call('HGET', key, 'count')
      if count then
        redis.call('HSET', key, 'count', math.max(tonumber(count) - 1, 0), 'nextAt', 0)
      end
    end`),

  reset: script(`
    redis.call('DEL', unpack(KEYS))`)
} as const

/**
 * Attempt store for Redis. Keys expire by themselves.
 *
 * All keys are in one slot of a cluster, because one step counts several of them.
 *
 * @example
 * ```ts
 * import { RedisAttempts } from 'fastify-token-auth/redis'
 *
 * throttle: { attempts: new RedisAttempts(redis) }
 * ```
 */
export class RedisAttempts implements AttemptStore {
  readonly #client: RedisClient
  readonly #prefix: string

  /** @param options - The same ones as those of the store. */
  constructor (client: RedisClient, { prefix = DEFAULT_PREFIX }: RedisStoreOptions = {}) {
    assertRedisClient(client)
    this.#client = client
    this.#prefix = `${prefix}{attempts}:`
  }

  /** @throws StoreSetupError with what is wrong, and the fix. */
  check (): Promise<readonly string[]> {
    return checkServers(this.#client, [`${this.#prefix}check`])
  }

  async consume (counts: readonly CountedKey[], now: Millis): Promise<BlockedKey | null> {
    const keys = counts.map(({ key }) => key)
    const values = counts.flatMap(({ rule }) => [
      rule.freeAttempts,
      rule.maxAttempts,
      rule.wait,
      rule.longestWait,
      rule.retention,
      rule.sliding
    ])
    const blocked = await this.#run('consume', keys, [now, ...values]) as unknown[] | null

    if (blocked === null) {
      return null
    }

    const [place, until, since] = blocked.map(Number) as [number, number, number]
    return { key: keys[place - 1] as string, until, since }
  }

  async refund (keys: readonly string[]): Promise<void> {
    await this.#run('refund', keys)
  }

  async reset (keys: readonly string[], refunded: readonly string[] = []): Promise<void> {
    await Promise.all([this.refund(refunded), this.#run('reset', keys)])
  }

  async sweep (): Promise<number> {
    return 0
  }

  /** Runs a script on keys of attempts. Does nothing without keys. */
  async #run (
    name: keyof typeof scripts,
    keys: readonly string[],
    values: ReadonlyArray<number | boolean> = []
  ): Promise<unknown> {
    return keys.length === 0
      ? null
      : runScript(this.#client, scripts[name], {
        keys: keys.map(key => this.#prefix + key),
        values
      })
  }
}
