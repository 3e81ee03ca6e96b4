import type { AttemptRule } from '../domain/attempt-rule.js'
import type { Millis } from '../lib/time.js'

export type { AttemptCount, AttemptRule } from '../domain/attempt-rule.js'

/**
 * Counts login attempts and used DPoP proofs. Losing its data is harmless.
 *
 * Keys are strings of at most 64 letters, digits, `-` and `_`. They are hashes, so that no name and
 * no address is stored. The conformance suite tests every sentence below.
 *
 * @example
 * ```ts
 * import { testAttemptStore } from 'fastify-token-auth/conformance'
 *
 * testAttemptStore({ test, open: () => ({ store: new MyAttempts() }) })
 * ```
 */
export interface AttemptStore {
  /**
   * Counts an attempt as `countAttempt` does, unless `blockedUntil` forbids it now.
   *
   * Decides and counts in one atomic step. Concurrent calls, also from several processes, count no
   * more attempts than the rule allows.
   *
   * @returns `null` if the attempt was counted, or else the time from which it is allowed. In that
   * case nothing has changed.
   */
  consume(key: string, now: Millis, rule: AttemptRule): Promise<Millis | null>

  /**
   * Takes one attempt back, and the wait that it caused.
   *
   * The count never falls below 0. Ignores an unknown key.
   */
  refund(key: string): Promise<void>

  /** Removes all attempts of a key. Ignores an unknown key. */
  reset(key: string): Promise<void>

  /**
   * Deletes at most `limit` keys whose retention has ended at `now`.
   *
   * @returns The number of deleted keys. 0 if the store expires keys by itself.
   */
  sweep(batch: { readonly now: Millis, readonly limit: number }): Promise<number>
}
