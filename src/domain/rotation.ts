/**
 * Rules of refresh token rotation, as pure functions.
 *
 * A refresh token names its session, its generation and the secret of the session. A refresh takes
 * three steps:
 *
 * 1. {@link planRotation} turns the token into a {@link RotationAttempt}.
 * 2. The store applies {@link applyRotation} to the row if {@link canRotate} allows it. Both happen
 *    in one atomic step, so only one of several concurrent attempts rotates. The store then returns
 *    the row.
 * 3. {@link judgeRotation} decides what the client gets.
 *
 * Two tabs, a retry and a lost response all get the same successor. An older token means that two
 * parties hold tokens of the session, so the session is revoked.
 *
 * @module
 */

import { HOUR, MINUTE } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import { isLive } from './session.js'
import type { Caller, Session } from './session.js'

/**
 * Largest accepted difference between two clocks.
 *
 * A row that was rotated further in the future comes from a wrong clock. Its grace period counts as
 * expired, so that the session can rotate again.
 */
export const CLOCK_TOLERANCE: Millis = MINUTE

/**
 * Error of an instance's clock that does no lasting harm once it is corrected.
 *
 * Records stay this much longer than needed, so that a clock which is ahead deletes none too early.
 */
export const CLOCK_STRAY: Millis = HOUR

/** The claims of a refresh token that identify a row and its generation. */
export interface PresentedToken {
  readonly sessionId: string
  readonly secretHash: string
  readonly generation: number
}

/** Settings and circumstances of one refresh. */
export interface RotationContext {
  readonly now: Millis
  /** Idle lifetime of the successor. */
  readonly lifetime: Millis
  /** Time after a rotation during which the previous token returns the same successor. */
  readonly grace: Millis
  readonly by: Caller
}

/** A presented refresh token and everything a store needs to rotate it. */
export interface RotationAttempt extends PresentedToken {
  readonly now: Millis
  /** New end of the idle lifetime. The store writes `endsAt` of the row if that is earlier. */
  readonly expiresAt: Millis
  /** Start of the grace period: a row that was rotated at or before it can rotate. */
  readonly rotatedBefore: Millis
  /** End of the clock tolerance: a row that was rotated after it can rotate. */
  readonly rotatedAfter: Millis
  readonly by: Caller
}

/** Response of a store to a {@link RotationAttempt}. */
export interface RotationOutcome {
  /** Whether this attempt moved the row to the next generation. */
  readonly swapped: boolean
  /** The row after the attempt, never before it; `null` if there is none. */
  readonly session: Session | null
}

/**
 * Verdict on a presented refresh token. The first matching row applies.
 *
 * | kind | condition | response |
 * |---|---|---|
 * | `unknown` | no session, or another secret | rejected |
 * | `revoked` | session is revoked | rejected |
 * | `expired` | session has expired | rejected |
 * | `rotated` | this attempt rotated the row | successor |
 * | `far-ahead` | two or more generations ahead of the row | rejected |
 * | `ahead` | one generation ahead: the store lost its last write | {@link planHealing} |
 * | `kept` | current token, within the grace period | same token |
 * | `replayed` | previous token, within the grace period | successor, as before |
 * | `recovered` | previous token, and nobody has used the successor | successor, as before |
 * | `reused` | any other older token | rejected, session is revoked |
 */
export type RotationVerdict =
  | { readonly kind: 'unknown' }
  | {
    readonly kind: 'revoked' | 'expired' | 'reused' | 'ahead' | 'far-ahead'
    readonly session: Session
  }
  | Continuation

/** A verdict that returns a refresh token. Equal continuations give equal tokens. */
export interface Continuation {
  readonly kind: 'rotated' | 'kept' | 'replayed' | 'recovered'
  readonly session: Session
  /** Generation of the returned refresh token and access token. */
  readonly generation: number
  readonly issuedAt: Millis
  readonly expiresAt: Millis
}

/** Creates the attempt to rotate a presented refresh token. */
export function planRotation (
  { sessionId, secretHash, generation }: PresentedToken,
  { now, lifetime, grace, by }: RotationContext
): RotationAttempt {
  return {
    sessionId,
    secretHash,
    generation,
    now,
    expiresAt: now + lifetime,
    rotatedBefore: now - grace,
    rotatedAfter: now + CLOCK_TOLERANCE,
    by
  }
}

/**
 * Creates the attempt that repairs a row whose last write the store lost.
 *
 * The presented token is authentic and one generation ahead, so the row moves up to it. The grace
 * period does not apply.
 */
export function planHealing (attempt: RotationAttempt): RotationAttempt {
  return { ...attempt, generation: attempt.generation - 1, rotatedBefore: Number.MAX_SAFE_INTEGER }
}

/** Whether the token is current and the row is live and outside the grace period. */
export function canRotate (session: Session, attempt: RotationAttempt): boolean {
  return session.id === attempt.sessionId &&
    session.secretHash === attempt.secretHash &&
    session.generation === attempt.generation &&
    isLive(session, attempt.now) &&
    (session.generation === 0 || !isWithinGrace(session, attempt))
}

/** Returns the row that a store writes if {@link canRotate} allows it. */
export function applyRotation (session: Session, attempt: RotationAttempt): Session {
  return {
    ...session,
    generation: session.generation + 1,
    rotatedAt: attempt.now,
    rotatedBy: attempt.by,
    lastUsedAt: Math.max(session.lastUsedAt, attempt.now),
    expiresAt: Math.min(attempt.expiresAt, session.endsAt)
  }
}

/** Judges a presented token by the response of the store. */
export function judgeRotation (
  attempt: RotationAttempt,
  { swapped, session }: RotationOutcome
): RotationVerdict {
  if (session === null || session.secretHash !== attempt.secretHash) {
    return { kind: 'unknown' }
  }

  if (session.revokedAt !== null) {
    return { kind: 'revoked', session }
  }

  if (attempt.now >= session.expiresAt) {
    return { kind: 'expired', session }
  }

  if (swapped) {
    return continueRotated(session, attempt)
  }

  const behind = session.generation - attempt.generation

  if (behind < -1) {
    return { kind: 'far-ahead', session }
  }

  if (behind === -1) {
    return { kind: 'ahead', session }
  }

  if (behind === 0) {
    return continueCurrent('kept', session)
  }

  if (behind === 1 && isWithinGrace(session, attempt)) {
    return continueCurrent('replayed', session)
  }

  if (behind === 1 && session.confirmedGeneration < session.generation) {
    return continueCurrent('recovered', session)
  }

  return { kind: 'reused', session }
}

function isWithinGrace (
  { rotatedAt }: Session,
  { rotatedBefore, rotatedAfter }: RotationAttempt
): boolean {
  return rotatedAt > rotatedBefore && rotatedAt <= rotatedAfter
}

/** Takes all values from the attempt, because the row may have rotated again before it was read. */
function continueRotated (session: Session, attempt: RotationAttempt): Continuation {
  return {
    kind: 'rotated',
    session,
    generation: attempt.generation + 1,
    issuedAt: attempt.now,
    expiresAt: Math.min(attempt.expiresAt, session.endsAt)
  }
}

function continueCurrent (
  kind: 'kept' | 'replayed' | 'recovered',
  session: Session
): Continuation {
  return {
    kind,
    session,
    generation: session.generation,
    issuedAt: session.rotatedAt,
    expiresAt: session.expiresAt
  }
}
