import type { Millis } from '../lib/time.js'

/**
 * Limits of an attempt count, such as failed logins of an account.
 *
 * An attempt counts before its result is known, so that 100 concurrent attempts count as 100. The
 * caller refunds an attempt that succeeds, or resets the count.
 */
export interface AttemptRule {
  /** Number of attempts without a wait. The next attempt has to wait. */
  readonly freeAttempts: number
  /** Number of attempts after which no other is accepted until the count is reset or expires. */
  readonly maxAttempts: number
  /** Wait after attempt number `freeAttempts`. Every further attempt doubles it. */
  readonly wait: Millis
  /** Upper limit of the wait. */
  readonly longestWait: Millis
  /** Time after which a count expires. */
  readonly retention: Millis
  /** Whether `retention` starts at the last attempt instead of the first one. */
  readonly sliding: boolean
}

/**
 * Creates the rule for a number of attempts in a window of time, without waits in between.
 *
 * The window starts at the first attempt.
 */
export function createWindowRule (
  { maxAttempts, window }: { readonly maxAttempts: number, readonly window: Millis }
): AttemptRule {
  return {
    freeAttempts: maxAttempts,
    maxAttempts,
    wait: 0,
    longestWait: 0,
    retention: window,
    sliding: false
  }
}

/** Attempts of one key, as an `AttemptStore` saves them. */
export interface AttemptCount {
  /** Number of attempts that count. */
  readonly count: number
  /** Moment of the first attempt that counts. */
  readonly since: Millis
  /** Earliest moment of the next attempt. */
  readonly nextAt: Millis
  /** Moment when the count expires. */
  readonly expiresAt: Millis
}

/** Maximum number of times that a wait is doubled. Keeps it within the range of all databases. */
export const MAX_DOUBLINGS = 20

/**
 * Checks whether an attempt must wait.
 *
 * @returns The earliest moment of the next attempt; `null` if it may be made now.
 */
export function getBlockedUntil (attempts: AttemptCount | null, now: Millis): Millis | null {
  return attempts !== null && attempts.expiresAt > now && attempts.nextAt > now
    ? attempts.nextAt
    : null
}

/** Returns the count after one more attempt. */
export function countAttempt (
  attempts: AttemptCount | null,
  now: Millis,
  rule: AttemptRule
): AttemptCount {
  const current = attempts !== null && attempts.expiresAt > now ? attempts : null
  const count = (current?.count ?? 0) + 1
  const since = current?.since ?? now
  const expiresAt = current === null || rule.sliding ? now + rule.retention : current.expiresAt
  return { count, since, nextAt: getNextAt(count, now, expiresAt, rule), expiresAt }
}

function getNextAt (
  count: number,
  now: Millis,
  expiresAt: Millis,
  { freeAttempts, maxAttempts, wait, longestWait }: AttemptRule
): Millis {
  if (count >= maxAttempts) {
    return expiresAt
  }

  if (count < freeAttempts) {
    return 0
  }

  return now + Math.min(longestWait, wait * 2 ** Math.min(count - freeAttempts, MAX_DOUBLINGS))
}
