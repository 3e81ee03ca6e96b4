import type { Millis } from '../lib/time.js'
import type { RevocationReason, Session } from './session.js'

/**
 * Revocation of all sessions that began at or before a moment.
 *
 * It is valid for a user or, without `userId`, for a whole realm. It also ends sessions whose rows
 * are not marked as revoked yet.
 */
export interface NotBefore {
  /** Name of the registration. */
  readonly realm: string
  /** `null` for everybody of the realm. */
  readonly userId: string | null
  /** Last moment of authentication that it ends. */
  readonly before: Millis
  /** ID of the session that it leaves alone; `null` if there is none. */
  readonly keep: string | null
  /** Moment of the revocation. */
  readonly at: Millis
  /** Reason of the revocation. */
  readonly reason: RevocationReason
}

/** Whether a not-before ends a session. */
export function isEndedBy (
  { id, realm, userId, authenticatedAt }: Session,
  notBefore: NotBefore
): boolean {
  return notBefore.realm === realm &&
    (notBefore.userId === null || notBefore.userId === userId) &&
    authenticatedAt <= notBefore.before &&
    notBefore.keep !== id
}

/**
 * Returns a session as its not-befores leave it.
 *
 * A row that is marked as revoked stays as it is. Otherwise the earliest not-before that ends the
 * session revokes it.
 */
export function applyNotBefores (session: Session, notBefores: Iterable<NotBefore>): Session {
  if (session.revokedAt !== null) {
    return session
  }

  let first: NotBefore | null = null

  for (const notBefore of notBefores) {
    if (isEndedBy(session, notBefore) && (first === null || notBefore.at < first.at)) {
      first = notBefore
    }
  }

  return first === null
    ? session
    : { ...session, revokedAt: first.at, revokedFor: first.reason }
}
