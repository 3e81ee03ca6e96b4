import { countAttempt, getBlockedUntil } from '../../domain/attempt-rule.js'
import type { AttemptCount } from '../../domain/attempt-rule.js'
import type { Millis } from '../../lib/time.js'
import type { AttemptStore, BlockedKey, CountedKey } from '../attempt-store.js'

const DEFAULT_SIZE = 100_000

/**
 * Attempt store in the memory of one process. The default.
 *
 * A restart deletes all counts. Processes count separately, so two of them accept twice as many
 * attempts.
 *
 * Holds a limited number of keys, about 200 bytes each. If it is full, it first deletes keys that
 * do not have to wait. So an attacker who sends many names does not unblock a blocked one.
 *
 * @example
 * ```ts
 * import { MemoryAttempts } from 'fastify-token-auth/memory'
 *
 * throttle: { attempts: new MemoryAttempts(10_000) }
 * ```
 */
export class MemoryAttempts implements AttemptStore {
  // Sorted by the last attempt, the oldest first.
  readonly #attempts = new Map<string, AttemptCount>()
  readonly #size: number

  /** @param size - Maximum number of keys, 100,000 by default. */
  constructor (size = DEFAULT_SIZE) {
    this.#size = size
  }

  async check (): Promise<readonly string[]> {
    return []
  }

  async consume (counts: readonly CountedKey[], now: Millis): Promise<BlockedKey | null> {
    for (const { key } of counts) {
      const attempts = this.#attempts.get(key) ?? null
      const until = getBlockedUntil(attempts, now)

      if (until !== null) {
        return { key, until, since: (attempts as AttemptCount).since }
      }
    }

    for (const { key, rule } of counts) {
      const attempts = this.#attempts.get(key) ?? null
      this.#attempts.delete(key)

      if (this.#attempts.size >= this.#size) {
        this.#makeRoom(now)
      }

      this.#attempts.set(key, countAttempt(attempts, now, rule))
    }

    return null
  }

  async refund (keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      const attempts = this.#attempts.get(key)

      if (attempts !== undefined) {
        this.#attempts.set(key, { ...attempts, count: Math.max(0, attempts.count - 1), nextAt: 0 })
      }
    }
  }

  async reset (keys: readonly string[], refunded: readonly string[] = []): Promise<void> {
    await this.refund(refunded)

    for (const key of keys) {
      this.#attempts.delete(key)
    }
  }

  async sweep ({ now, limit }: { readonly now: Millis, readonly limit: number }): Promise<number> {
    let count = 0

    for (const [key, { expiresAt }] of this.#attempts) {
      if (count === limit) {
        break
      }

      if (expiresAt > now) {
        continue
      }

      this.#attempts.delete(key)
      count++
    }

    return count
  }

  // Deletes a hundredth of the keys, so that not every attempt has to search.
  #makeRoom (now: Millis): void {
    const before = this.#attempts.size
    this.#deleteSome(attempts => getBlockedUntil(attempts, now) === null)

    if (this.#attempts.size === before) {
      this.#deleteSome(() => true)
    }
  }

  #deleteSome (mayDelete: (attempts: AttemptCount) => boolean): void {
    let left = Math.ceil(this.#size / 100)

    for (const [key, attempts] of this.#attempts) {
      if (left === 0) {
        return
      }

      if (mayDelete(attempts)) {
        this.#attempts.delete(key)
        left--
      }
    }
  }
}
