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
 * A second tab, and a retry after a lost response, get the same successor. An older token means
 * that two parties hold tokens of the session, so the session is revoked.
 *
 * All times are store time: see `revocations/store-clock.ts`.
 *
 * @module
 */

import type { Millis } from '../lib/time.js'
import { isLive } from './session.js'
import type { Caller, Session } from './session.js'

/** The claims of a refresh token that identify a row and its generation. */
export interface PresentedToken {
  readonly realm: string
  readonly sessionId: string
  readonly userId: string
  readonly secretHash: string
  readonly generation: number
}

/** Settings and circumstances of one refresh. */
export interface RotationContext {
  /** Moment when the attempt is sent to the store. */
  readonly now: Millis
  /** Idle lifetime of the successor. */
  readonly lifetime: Millis
  /** Time after a rotation during which the previous token returns the same successor. */
  readonly grace: Millis
  readonly by: Caller
}

/** A presented refresh token and everything that a store needs to rotate it. */
export interface RotationAttempt {
  /** Name of the registration. */
  readonly realm: string
  /** ID of the row. */
  readonly sessionId: string
  /** User of the token. A store may need it to find not-befores. */
  readonly userId: string
  /** Hash of the secret in the token. A row with another one does not rotate. */
  readonly secretHash: string
  /** Generation that the row must have. */
  readonly from: number
  /** Generation that the row gets. */
  readonly to: number
  /**
   * Whether the attempt restores writes that the store lost. The grace period and the expiry of
   * the row do not apply then, and the generation is confirmed.
   */
  readonly heals: boolean
  /** The moment that the store writes. */
  readonly now: Millis
  /** New end of the idle lifetime. The store writes `endsAt` of the row if that is earlier. */
  readonly expiresAt: Millis
  /** A row whose grace period started at this moment or earlier can rotate. */
  readonly graceBefore: Millis
  /** A row whose grace period starts after this moment, because a clock was wrong, can rotate. */
  readonly graceAfter: Millis
  /** Sender of the token. */
  readonly by: Caller
}

/** Response of a store to a {@link RotationAttempt}. */
export interface RotationOutcome {
  /** Whether this attempt moved the row to the generation `to`. */
  readonly swapped: boolean
  /** The row after the attempt, never before it; `null` if there is none. */
  readonly session: Session | null
}

/** A presented refresh token with its attempt, and the times by which it is judged. */
export interface Presentation {
  readonly presented: PresentedToken
  readonly attempt: RotationAttempt
  /** Moment when the request reached this instance. */
  readonly arrivedAt: Millis
  readonly grace: Millis
}

/**
 * Verdict on a presented refresh token. The first matching row applies.
 *
 * | kind | condition | response |
 * |---|---|---|
 * | `unknown` | no session, or another secret | rejected |
 * | `revoked` | session is revoked | rejected |
 * | `rotated` | this attempt rotated the row | successor |
 * | `ahead` | newer than the row: the store lost writes | {@link planHealing} |
 * | `expired` | session has expired | rejected |
 * | `kept` | current token, within the grace period | same token |
 * | `replayed` | previous token, arrived within the grace period | successor, as before |
 * | `recovered` | previous token, and nobody has used the successor | successor, as before |
 * | `late` | any other older token, arrived before the last rotation | rejected, try again |
 * | `reused` | any other older token | rejected, session is revoked |
 */
export type RotationVerdict =
  | { readonly kind: 'unknown' }
  | {
    readonly kind: 'revoked' | 'expired' | 'reused' | 'late' | 'ahead'
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
  { generation, ...token }: PresentedToken,
  { now, lifetime, grace, by }: RotationContext
): RotationAttempt {
  const { realm, sessionId, userId, secretHash } = token

  return {
    realm,
    sessionId,
    userId,
    secretHash,
    from: generation,
    to: generation + 1,
    heals: false,
    now,
    expiresAt: now + lifetime,
    graceBefore: now - grace,
    graceAfter: now + grace,
    by
  }
}

/**
 * Creates the attempt that moves a row up to a presented token, because the store lost writes.
 *
 * The presented token is authentic and has not expired, so the session was alive in the lost
 * writes.
 *
 * @param session - The row that the store returned.
 * @param tokenExpiresAt - The `exp` claim of the presented token.
 */
export function planHealing (
  { presented: { generation }, attempt }: Presentation,
  session: Session,
  tokenExpiresAt: Millis
): RotationAttempt {
  return {
    ...attempt,
    from: session.generation,
    to: generation,
    heals: true,
    expiresAt: tokenExpiresAt
  }
}

/** Whether a store must rotate the row. Call `applyNotBefores` on the row first. */
export function canRotate (session: Session, attempt: RotationAttempt): boolean {
  return session.id === attempt.sessionId &&
    session.realm === attempt.realm &&
    session.secretHash === attempt.secretHash &&
    session.generation === attempt.from &&
    session.revokedAt === null &&
    (attempt.heals || (isLive(session, attempt.now) && isOutsideGrace(session, attempt)))
}

/**
 * Returns the row that a store writes if {@link canRotate} allows it.
 *
 * Names each member, because a spread takes ten times as long at every refresh.
 */
export function applyRotation (session: Session, attempt: RotationAttempt): Session {
  const { to, heals, now, expiresAt, by } = attempt

  return {
    id: session.id,
    realm: session.realm,
    userId: session.userId,
    secretHash: session.secretHash,
    generation: to,
    confirmedGeneration: heals ? to : session.confirmedGeneration,
    createdAt: session.createdAt,
    authenticatedAt: session.authenticatedAt,
    rotatedAt: now,
    rotatedBy: by,
    graceFrom: Math.max(session.graceFrom, now),
    lastUsedAt: Math.max(session.lastUsedAt, now),
    expiresAt: Math.min(expiresAt, session.endsAt),
    endsAt: session.endsAt,
    revokedAt: session.revokedAt,
    revokedFor: session.revokedFor,
    device: session.device,
    replayRun: session.replayRun
  }
}

/**
 * Judges a presented token by the response of the store.
 *
 * @param judgedAt - Moment of the response. A rotation more than a grace period later comes from a
 * wrong clock.
 */
export function judgeRotation (
  { presented, attempt, arrivedAt, grace }: Presentation,
  { swapped, session }: RotationOutcome,
  judgedAt: Millis = attempt.now
): RotationVerdict {
  if (
    session === null || session.realm !== presented.realm ||
    session.secretHash !== presented.secretHash
  ) {
    return { kind: 'unknown' }
  }

  if (session.revokedAt !== null) {
    return { kind: 'revoked', session }
  }

  if (swapped && !attempt.heals) {
    return continueRotated(session, attempt)
  }

  const behind = session.generation - presented.generation

  if (behind < 0) {
    return { kind: 'ahead', session }
  }

  if (attempt.now >= session.expiresAt) {
    return { kind: 'expired', session }
  }

  if (behind === 0) {
    return continueCurrent('kept', session)
  }

  if (behind === 1 && grace > 0 && session.graceFrom > arrivedAt - grace) {
    return continueCurrent('replayed', session)
  }

  if (behind === 1 && session.confirmedGeneration < session.generation) {
    return continueCurrent('recovered', session)
  }

  // The token was valid when the request arrived. The instance took too long to present it.
  const isLate = arrivedAt <= session.rotatedAt && session.rotatedAt <= judgedAt + grace
  return { kind: isLate ? 'late' : 'reused', session }
}

/**
 * Whether a replay comes so late that the grace period must start again.
 *
 * Other requests with the previous token may still be on their way. If the current token could
 * rotate before they arrive, they would be two generations behind.
 */
export function isLateReplay ({ graceFrom }: Session, now: Millis, grace: Millis): boolean {
  return now - graceFrom > grace / 2
}

/**
 * Whether an access token may be renewed without a refresh, by the generation that it names.
 *
 * Obeys the rules of rotation: the generation is current, or it is the previous one within the
 * grace period or while nobody has used the current one.
 */
export function canRenew (
  { generation, confirmedGeneration, graceFrom }: Session,
  presented: number,
  now: Millis,
  grace: Millis
): boolean {
  const isPrevious = presented === generation - 1

  return presented === generation ||
    (isPrevious && (graceFrom > now - grace || confirmedGeneration < generation))
}

function isOutsideGrace (
  { generation, graceFrom }: Session,
  { graceBefore, graceAfter }: RotationAttempt
): boolean {
  return generation === 0 || graceFrom <= graceBefore || graceFrom > graceAfter
}

/** Ignores the times of the row, which may have rotated again. Only `endsAt` never changes. */
function continueRotated (session: Session, attempt: RotationAttempt): Continuation {
  return {
    kind: 'rotated',
    session,
    generation: attempt.to,
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
