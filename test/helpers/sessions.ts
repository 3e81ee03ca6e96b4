import type { Session } from '../../src/domain/session.js'
import { DAY } from './clock.js'

/** When it is made: to the millisecond, and on a day that not every year has. */
export const NOW = Date.UTC(2040, 1, 29, 12, 34, 56, 789)

/** A session as a login opens it. */
export function makeSession (id: string, given: Partial<Session> = {}): Session {
  const by = { address: '192.0.2.1', userAgent: 'tests' }
  return {
    id,
    userId: 'ann',
    secretHash: `hash of ${id}`,
    generation: 0,
    confirmedGeneration: 0,
    createdAt: NOW,
    authenticatedAt: NOW,
    rotatedAt: NOW,
    rotatedBy: by,
    lastUsedAt: NOW,
    expiresAt: NOW + 7 * DAY,
    endsAt: NOW + 30 * DAY,
    revokedAt: null,
    revokedFor: null,
    device: { label: null, ...by },
    ...given
  }
}
