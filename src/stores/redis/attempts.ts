import type { AttemptRule } from '../../domain/attempt-rule.js'
import { MAX_DOUBLINGS } from '../../domain/attempt-rule.js'
import type { AttemptStore } from '../attempt-store.js'
import type { RedisStoreOptions } from './store.js'
import { DEFAULT_PREFIX, runScript, script } from './scripts.js'
import type { RedisClient } from './scripts.js'
import type { Millis } from '../../lib/time.js'

const scripts = {
  // ARGV: now, freeAttempts, maxAttempts, wait, longestWait, retention, sliding. Returns the time
  // from which the next attempt is allowed, or nothing.
  consume: script(`
    local now, freeAttempts, maxAttempts = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
    local wait, longest, retention = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
    local sliding = ARGV[7] == 'true'
    local row = redis.call('HMGET', KEYS[1], 'count', 'nextAt', 'forgetAt')
    local count, forgetAt = 1, now + retention
    if row[1] and tonumber(row[3]) > now then
      if tonumber(row[2]) > now then return row[2] end
      count = tonumber(row[1]) + 1
      if not sliding then forgetAt = tonumber(row[3]) end
    end
    local nextAt = 0
    if count >= maxAttempts then
      nextAt = forgetAt
    elseif count >= freeAttempts then
      local doublings = math.min(count - freeAttempts, ${MAX_DOUBLINGS})
      nextAt = now + math.min(longest, wait * 2 ^ doublings)
    end
    redis.call('HSET', KEYS[1], 'count', count, 'nextAt', string.format('%.0f', nextAt),
      'forgetAt', string.format('%.0f', forgetAt))
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(forgetAt - now, 1)))
    return false`),

  refund: script(`
    local count = redis.call('HGET', KEYS[1], 'count')
    if count then
      redis.call('HSET', KEYS[1], 'count', math.max(tonumber(count) - 1, 0), 'nextAt', 0)
    end`),

  reset: script(`
    redis.call('DEL', KEYS[1])`)
} as const

/**
 * Attempt store for Redis. Keys expire by themselves.
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
    this.#client = client
    this.#prefix = prefix
  }

  async consume (
    key: string,
    now: Millis,
    { freeAttempts, maxAttempts, wait, longestWait, retention, sliding }: AttemptRule
  ): Promise<Millis | null> {
    const until = await this.#run('consume', key, [
      now,
      freeAttempts,
      maxAttempts,
      wait,
      longestWait,
      retention,
      sliding
    ])
    return until === null ? null : Number(until)
  }

  async refund (key: string): Promise<void> {
    await this.#run('refund', key)
  }

  async reset (key: string): Promise<void> {
    await this.#run('reset', key)
  }

  async sweep (): Promise<number> {
    return 0
  }

  #run (
    name: keyof typeof scripts,
    key: string,
    values: ReadonlyArray<number | boolean> = []
  ): Promise<unknown> {
    return runScript(this.#client, scripts[name], `${this.#prefix}a:{${key}}`, values.map(String))
  }
}
