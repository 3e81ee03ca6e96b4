import {
  applyRotation,
  canRotate,
  CLOCK_TOLERANCE,
  judgeRotation,
  planRotation
} from '../../src/domain/rotation.js'
import type { RotationAttempt, RotationVerdict } from '../../src/domain/rotation.js'
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
    userId: 'u-ann',
    secretHash: 'hash',
    generation: 2,
    confirmedGeneration: 1,
    createdAt: NOW - DAY,
    authenticatedAt: NOW - DAY,
    rotatedAt: NOW - GRACE,
    rotatedBy: ANN,
    lastUsedAt: NOW - GRACE,
    expiresAt: NOW + LIFETIME - GRACE,
    endsAt: NOW + 29 * DAY,
    revokedAt: null,
    revokedFor: null,
    device: { label: 'Ann\'s phone', ...ANN },
    ...over
  }
}

export function planAttempt (
  generation: number,
  { grace = GRACE, secretHash = 'hash', sessionId = 's1', now = NOW } = {}
): RotationAttempt {
  return planRotation({ sessionId, secretHash, generation }, {
    now,
    lifetime: LIFETIME,
    grace,
    by: TAB
  })
}

/** Rotates as a store does and judges the outcome. */
export function rotate (session: Session | null, attempt: RotationAttempt): RotationVerdict {
  if (session === null || !canRotate(session, attempt)) {
    return judgeRotation(attempt, { swapped: false, session })
  }

  return judgeRotation(attempt, { swapped: true, session: applyRotation(session, attempt) })
}

/** Parts of rows in states that several tests need. */
export const ended = { expiresAt: NOW }
export const revoked = { revokedAt: NOW - DAY, revokedFor: 'logout' } as const
export const justRotated = { rotatedAt: NOW - GRACE + 1 }
export const confirmed = { confirmedGeneration: 2 }
export const atTolerance = { rotatedAt: NOW + CLOCK_TOLERANCE }
export const pastTolerance = { rotatedAt: NOW + CLOCK_TOLERANCE + 1 }
