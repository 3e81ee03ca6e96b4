// Attempts in a Map: the default, for one process. Several count apart, and let through as many
// times more.

import { blockedUntil, countAttempt } from '../../domain/attempt-rule.js'
import type { AttemptCount, AttemptRule } from '../../domain/attempt-rule.js'
import type { AttemptStore } from '../attempt-store.js'
import type { Millis } from '../../lib/time.js'

const SIZE = 100_000

/**
 * Counts attempts in this process's memory: a restart forgets them, and two processes count apart.
 *
 * Holds a bounded number of keys, about 200 bytes each. Where there are more, those go first that
 * wait for nothing: whoever
 * floods it with names does not free the one that is blocked.
 */
export class MemoryAttempts implements AttemptStore {
  // In the order of their last attempts.
  readonly #attempts = new Map<string, AttemptCount>()
  readonly #size: number

  /** @param size - How many keys it holds. @default 100_000 */
  constructor (size = SIZE) {
    this.#size = size
  }

  async consume (key: string, now: Millis, rule: AttemptRule): Promise<Millis | null> {
    const attempts = this.#attempts.get(key) ?? null
    const until = blockedUntil(attempts, now)

    if (until !== null) {
      return until
    }

    this.#attempts.delete(key)

    if (this.#attempts.size >= this.#size) {
      this.#makeRoom(now)
    }

    this.#attempts.set(key, countAttempt(attempts, now, rule))
    return null
  }

  async refund (key: string): Promise<void> {
    const attempts = this.#attempts.get(key)

    if (attempts !== undefined) {
      this.#attempts.set(key, { ...attempts, count: Math.max(0, attempts.count - 1), nextAt: 0 })
    }
  }

  async reset (key: string): Promise<void> {
    this.#attempts.delete(key)
  }

  async sweep ({ now, limit }: { readonly now: Millis, readonly limit: number }): Promise<number> {
    let count = 0

    for (const [key, { forgetAt }] of this.#attempts) {
      if (count === limit) {
        break
      }

      if (forgetAt > now) {
        continue
      }

      this.#attempts.delete(key)
      count++
    }

    return count
  }

  // A hundredth at once, so that not every attempt has to look for one to forget.
  #makeRoom (now: Millis): void {
    const before = this.#attempts.size
    this.#drop(attempts => blockedUntil(attempts, now) === null)

    if (this.#attempts.size === before) {
      this.#drop(() => true)
    }
  }

  #drop (goes: (attempts: AttemptCount) => boolean): void {
    let left = Math.ceil(this.#size / 100)

    for (const [key, attempts] of this.#attempts) {
      if (left === 0) {
        return
      }

      if (!goes(attempts)) {
        continue
      }

      this.#attempts.delete(key)
      left--
    }
  }
}
