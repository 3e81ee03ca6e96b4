import { applyRotation, canRotate, judgeRotation, planRotation } from '../../src/domain/rotation.js'
import type {
  Presentation,
  PresentedToken,
  RotationAttempt,
  RotationVerdict
} from '../../src/domain/rotation.js'
import { NO_REPLAYS } from '../../src/domain/session.js'
import type { Session } from '../../src/domain/session.js'
import { DAY, SECOND } from '../helpers/clock.js'

export const NOW = Date.UTC(2026, 0, 1)
export const GRACE = 10 * SECOND
export const LIFETIME = 7 * DAY
const ANN = { address: '192.0.2.1', userAgent: 'Ann/1.0' }
export const TAB = { address: '192.0.2.2', userAgent: 'Tab/2.0' }

/** A session at generation 2 that can rotate again and whose current token was never used. */
export function createSession (over: Partial<Session> = {}): Session {
  return {
    id: 's1',
    realm: 'test',
    userId: 'u-ann',
    secretHash: 'hash',
    generation: 2,
    confirmedGeneration: 1,
    createdAt: NOW - DAY,
    authenticatedAt: NOW - DAY,
    rotatedAt: NOW - GRACE,
    rotatedBy: ANN,
    graceFrom: NOW - GRACE,
    lastUsedAt: NOW - GRACE,
    expiresAt: NOW + LIFETIME - GRACE,
    endsAt: NOW + 29 * DAY,
    revokedAt: null,
    revokedFor: null,
    device: { label: 'Ann\'s phone', ...ANN },
    replayRun: NO_REPLAYS,
    ...over
  }
}

/** Circumstances in which a token of {@link createSession} is presented. */
export interface Circumstances {
  readonly grace?: number
  readonly secretHash?: string
  readonly sessionId?: string
  readonly realm?: string
  /** Moment when the attempt is sent. */
  readonly now?: number
  /** Moment when the request arrives. */
  readonly arrivedAt?: number
}

export function presentToken (
  generation: number,
  { secretHash = 'hash', sessionId = 's1', realm = 'test' }: Circumstances = {}
): PresentedToken {
  return { realm, sessionId, userId: 'u-ann', secretHash, generation }
}

export function planAttempt (generation: number, given: Circumstances = {}): RotationAttempt {
  const { grace = GRACE, now = NOW } = given
  return planRotation(presentToken(generation, given), { now, lifetime: LIFETIME, grace, by: TAB })
}

export function present (generation: number, given: Circumstances = {}): Presentation {
  const attempt = planAttempt(generation, given)

  return {
    presented: presentToken(generation, given),
    attempt,
    arrivedAt: given.arrivedAt ?? attempt.now,
    grace: given.grace ?? GRACE
  }
}

/** Rotates as a store does and judges the outcome. */
export function rotate (session: Session | null, presentation: Presentation): RotationVerdict {
  const { attempt } = presentation

  if (session === null || session.realm !== attempt.realm) {
    return judgeRotation(presentation, { swapped: false, session: null })
  }

  const swapped = canRotate(session, attempt)

  return judgeRotation(presentation, {
    swapped,
    session: swapped ? applyRotation(session, attempt) : session
  })
}

/** Parts of rows in states that several tests need. */
export const ended = { expiresAt: NOW }
export const revoked = { revokedAt: NOW - DAY, revokedFor: 'logout' } as const
export const justRotated = { rotatedAt: NOW - GRACE + 1, graceFrom: NOW - GRACE + 1 }
export const confirmed = { confirmedGeneration: 2 }
/** The latest start of a grace period that counts as one. */
export const graceAhead = { graceFrom: NOW + GRACE }
export const graceTooFarAhead = { graceFrom: NOW + GRACE + 1 }
