// How attempts are counted, as pure functions: who may try again at once, who waits, and who is stopped.
//
// An attempt counts before it is known how it ends, so that a hundred at once are a hundred; one that succeeds is taken
// back, or clears the count.

import type { Millis } from '../lib/time.js'

/** What a count of attempts leads to. */
export interface AttemptRule {
  /** After so many attempts the next one has to wait. */
  readonly freeAttempts: number
  /** After so many there is no other one before the count is cleared or forgotten. */
  readonly maxAttempts: number
  /** The wait after attempt number `free`; each further one doubles it. */
  readonly wait: Millis
  readonly longestWait: Millis
  /** How long a count is remembered. */
  readonly retention: Millis
  /** Whether that is since the last attempt, and not since the first. */
  readonly sliding: boolean
}

/** What is kept of somebody's attempts. */
export interface AttemptCount {
  readonly count: number
  /** Before this moment there is no other one. */
  readonly nextAt: Millis
  /** From this moment on nothing of this is known any more. */
  readonly forgetAt: Millis
}

/** How often a wait is doubled at most, so that it stays a number. */
export const MOST_DOUBLINGS = 20

/** When the next attempt may be made, where it may not be made now; `null` where it may. */
export function blockedUntil (attempts: AttemptCount | null, now: Millis): Millis | null {
  return attempts !== null && attempts.forgetAt > now && attempts.nextAt > now
    ? attempts.nextAt
    : null
}

/** One attempt more. */
export function countAttempt (
  attempts: AttemptCount | null,
  now: Millis,
  rule: AttemptRule
): AttemptCount {
  const known = attempts !== null && attempts.forgetAt > now ? attempts : null
  const count = (known?.count ?? 0) + 1
  const forgetAt = known === null || rule.sliding ? now + rule.retention : known.forgetAt
  return { count, nextAt: nextAt(count, now, forgetAt, rule), forgetAt }
}

function nextAt (
  count: number,
  now: Millis,
  forgetAt: Millis,
  { freeAttempts, maxAttempts, wait, longestWait }: AttemptRule
): Millis {
  if (count >= maxAttempts) {
    return forgetAt
  }

  if (count < freeAttempts) {
    return 0
  }

  return now + Math.min(longestWait, wait * 2 ** Math.min(count - freeAttempts, MOST_DOUBLINGS))
}
