// THE interface between the throttle of logins and whatever counts: a store of its own, since what it holds may be lost
// without harm. Each sentence below is a law, and each law is a test in attempt-conformance.ts.
//
// Keys are texts of at most 64 letters, digits, `-` and `_`: hashes, so that no name and no address is kept.

import type { AttemptRule } from '../domain/attempt-rule.js'
import type { Millis } from '../lib/time.js'

export type { AttemptCount, AttemptRule } from '../domain/attempt-rule.js'

export interface AttemptStore {
  /**
   * Counts an attempt, as `countAttempt` (in domain/attempts.ts) does, unless `blockedUntil` says that it may not be made now.
   * Both in one atomic step: of any number at once, also from several processes, no more are counted than the rule lets.
   *
   * @returns `null` where it was counted; otherwise the moment from which it may be made, and nothing has changed.
   */
  consume(key: string, now: Millis, rule: AttemptRule): Promise<Millis | null>

  /** Takes one attempt back, and the wait that it caused. Never below none; an unknown key is no error. */
  refund(key: string): Promise<void>

  /** Forgets all attempts of a key. An unknown one is no error. */
  reset(key: string): Promise<void>

  /**
   * Deletes what was to be forgotten at `now` or sooner, at most `limit` keys, and says how many. A store whose keys go by
   * themselves says 0.
   */
  sweep(batch: { readonly now: Millis, readonly limit: number }): Promise<number>
}
