import type { AttemptRule } from '../domain/attempt-rule.js'
import type { Millis } from '../lib/time.js'

export type { AttemptCount, AttemptRule } from '../domain/attempt-rule.js'

/**
 * Counts login attempts, sent messages and guesses of codes. Also saves which one-time tokens and
 * DPoP proofs were used.
 *
 * If its data is lost, all counts start again, and an unexpired token or proof can be used once
 * more.
 *
 * Keys are strings of at most 64 letters, digits, `-` and `_`. They are hashes, so that no name and
 * no address is stored. The conformance suite tests every sentence below.
 *
 * @example
 * ```ts
 * import { test } from 'node:test'
 * import { testAttemptStore } from 'fastify-token-auth/conformance'
 *
 * testAttemptStore({ test, open: () => ({ store: new MyAttempts() }) })
 * ```
 */
export interface AttemptStore {
  /**
   * Checks that the database has what the store needs. Changes nothing.
   *
   * Rejects with `StoreSetupError` if something is missing, such as a table. Rejects with another
   * error if the database does not respond. The plugin calls it at startup, and logs the warnings.
   *
   * @returns Warnings, one sentence each. Empty if there are none.
   */
  check(): Promise<readonly string[]>

  /**
   * Counts one attempt of each key as `countAttempt` does, unless `getBlockedUntil` forbids it for
   * one of them.
   *
   * Counts all keys or none. Decides and counts in one atomic step. Concurrent calls, also from
   * several processes and with the keys in another order, count no more attempts than the rules
   * allow. The keys of a call differ.
   *
   * @returns `null` if all were counted, or else the first given key that is blocked. In that case
   * nothing has changed.
   */
  consume(counts: readonly CountedKey[], now: Millis): Promise<BlockedKey | null>

  /**
   * Takes back one attempt of each key, and the wait that it caused.
   *
   * A count never falls below 0. Ignores unknown keys.
   */
  refund(keys: readonly string[]): Promise<void>

  /**
   * Removes all attempts of the keys. Ignores unknown keys.
   *
   * @param refunded - Other keys, which are refunded in the same call. So a successful login needs
   * one call only.
   */
  reset(keys: readonly string[], refunded?: readonly string[]): Promise<void>

  /**
   * Deletes at most `limit` keys whose retention has ended at `now`.
   *
   * @returns The number of deleted keys. 0 if the store expires keys by itself.
   */
  sweep(batch: { readonly now: Millis, readonly limit: number }): Promise<number>
}

/** Key of a call to {@link AttemptStore.consume}, with its rule. */
export interface CountedKey {
  /** Key of the count, such as a hash of an account name. */
  readonly key: string
  /** Rule that the key counts by. */
  readonly rule: AttemptRule
}

/** Key that may not be counted now. */
export interface BlockedKey {
  /** Key as it was passed. */
  readonly key: string
  /** Earliest moment of the next attempt. */
  readonly until: Millis
  /** Moment of the first attempt that counts. */
  readonly since: Millis
}
