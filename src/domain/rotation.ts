// The rules of rotation, as pure functions: this file decides who stays signed in and who is taken for a thief.
//
// A refresh token names its session, its generation and the session's secret. The store compares and swaps
// (`swap`, in one round trip), and hands back the row as it stands afterwards; `judgeRotation` reads from
// both what the presentation was. Two tabs, a retry and a lost answer get the same successor; a token that is
// older than that ends the session.

import type { Caller, Session } from './session.js'
import type { Millis } from '../lib/time.js'

/**
 * How far clocks are trusted. A row that was rotated further than this in the future was written by a
 * clock that was wrong, and counts as past the grace.
 */
export const CLOCK_TOLERANCE: Millis = 60_000

/** How wrong a clock may be for a moment without lasting harm: what it wrote or deleted then was not needed by true time. */
export const CLOCK_STRAY: Millis = 3_600_000

/** A presented refresh token, together with all that the store needs to swap it for its successor. */
export interface RotationAttempt {
  readonly sessionId: string
  readonly secretHash: string
  readonly generation: number
  readonly now: Millis
  /** The idle end to write; the store writes the row's `endsAt` where that is sooner. */
  readonly expiresAt: Millis
  /** A row that was rotated at this moment or sooner may rotate again: `now - grace`. */
  readonly rotatedBefore: Millis
  /** A row that was rotated after this moment may rotate again: its clock was wrong. */
  readonly rotatedAfter: Millis
  readonly by: Caller
}

export interface RotationOutcome {
  /** Whether this very attempt moved the row to the next generation. */
  readonly swapped: boolean
  /** The row as it stands afterwards, never one from before; `null` where there is none. */
  readonly session: Session | null
}

/** What a presentation was, in the order in which it is found out. */
export type RotationVerdict =
  | { readonly kind: 'unknown' }
  | {
    readonly kind: 'revoked' | 'expired' | 'reused' | 'ahead' | 'far-ahead'
    readonly session: Session
  }
  | Continuation

/** A presentation that is answered with a refresh token: the successor, or the one that is current already. */
export interface Continuation {
  readonly kind: 'rotated' | 'kept' | 'replayed' | 'recovered'
  readonly session: Session
  /** Of the refresh token to answer with, and of the access token beside it. */
  readonly generation: number
  readonly issuedAt: Millis
  readonly expiresAt: Millis
}

/** */
export function planRotation (
  presented: {
    readonly sessionId: string
    readonly secretHash: string
    readonly generation: number
  },
  at: {
    readonly now: Millis
    readonly lifetime: Millis
    readonly grace: Millis
    readonly by: Caller
  }
): RotationAttempt {
  const { sessionId, secretHash, generation } = presented
  const { now, lifetime, grace, by } = at

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
 * The attempt that heals a store which lost its last write: the presented token is authentic and one ahead of
 * the row, so the row is moved up to it, however short ago it was rotated.
 */
export function planHealing (attempt: RotationAttempt): RotationAttempt {
  return { ...attempt, generation: attempt.generation - 1, rotatedBefore: Number.MAX_SAFE_INTEGER }
}

/** The condition of the swap. Every store tests exactly this. */
export function canRotate (session: Session, attempt: RotationAttempt): boolean {
  return session.id === attempt.sessionId &&
    session.secretHash === attempt.secretHash &&
    session.generation === attempt.generation &&
    isMovable(session, attempt)
}

function isMovable (
  session: Session,
  { now, rotatedBefore, rotatedAfter }: RotationAttempt
): boolean {
  return session.revokedAt === null && now < session.expiresAt &&
    (session.generation === 0 || session.rotatedAt <= rotatedBefore ||
      session.rotatedAt > rotatedAfter)
}

/** What the swap writes. Every store writes exactly this. */
export function applyRotation (session: Session, attempt: RotationAttempt): Session {
  // Member by member: a spread that is overwritten takes ten times as long.
  const { id, userId, secretHash, generation, confirmedGeneration, createdAt, authenticatedAt } =
    session
  const { lastUsedAt, endsAt, revokedAt, revokedFor, device } = session

  return {
    id,
    userId,
    secretHash,
    generation: generation + 1,
    confirmedGeneration,
    createdAt,
    authenticatedAt,
    rotatedAt: attempt.now,
    rotatedBy: attempt.by,
    lastUsedAt: Math.max(lastUsedAt, attempt.now),
    expiresAt: Math.min(attempt.expiresAt, endsAt),
    endsAt,
    revokedAt,
    revokedFor,
    device
  }
}

/**
 * Judges a presentation by the row that the store showed after it.
 *
 * `kept` answers with the token that was presented, `replayed` and `recovered` with its successor, which is the same
 * one every time. `ahead` asks for {@link planHealing}; `far-ahead` cannot be healed and revokes nothing.
 */
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
    return swappedBy(attempt, session)
  }

  const behind = session.generation - attempt.generation

  if (behind < -1) {
    return { kind: 'far-ahead', session }
  }

  if (behind === -1) {
    return { kind: 'ahead', session }
  }

  if (behind === 0) {
    return current('kept', session)
  }

  if (behind === 1 && isWithinGrace(attempt, session)) {
    return current('replayed', session)
  }

  if (behind === 1 && session.confirmedGeneration < session.generation) {
    return current('recovered', session)
  }

  return { kind: 'reused', session }
}

function isWithinGrace (
  { rotatedBefore, rotatedAfter }: RotationAttempt,
  { rotatedAt }: Session
): boolean {
  return rotatedAt > rotatedBefore && rotatedAt <= rotatedAfter
}

function current (kind: 'kept' | 'replayed' | 'recovered', session: Session): Continuation {
  return {
    kind,
    session,
    generation: session.generation,
    issuedAt: session.rotatedAt,
    expiresAt: session.expiresAt
  }
}

// The row may be further on than the swap: where an engine returns no row, it is read a moment later. What the swap
// wrote is known without it, and an answer that was right when it was written is not taken for reuse.
function swappedBy (attempt: RotationAttempt, session: Session): Continuation {
  return {
    kind: 'rotated',
    session,
    generation: attempt.generation + 1,
    issuedAt: attempt.now,
    expiresAt: Math.min(attempt.expiresAt, session.endsAt)
  }
}
