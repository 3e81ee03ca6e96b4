import type { Millis } from '../lib/time.js'
import type { RevocationReason, Session } from './session.js'

/**
 * Revocation of all sessions that began at or before a moment.
 *
 * It applies to a user or, if `userId` is `null`, to a whole realm. It also revokes sessions whose
 * rows are not marked as revoked yet.
 */
export interface NotBefore {
  /** Name of the registration. */
  readonly realm: string
  /** ID of the user; `null` for all users of the realm. */
  readonly userId: string | null
  /** Sessions with an `authenticatedAt` at or before this moment are revoked. */
  readonly before: Millis
  /** ID of the only session that stays valid; `null` if there is none. */
  readonly keep: string | null
  /** Moment of the revocation. */
  readonly at: Millis
  /** Reason of the revocation. */
  readonly reason: RevocationReason
}

/** Whether a not-before revokes a session. */
export function isRevokedBy (
  { id, realm, userId, authenticatedAt }: Session,
  notBefore: NotBefore
): boolean {
  return notBefore.realm === realm &&
    (notBefore.userId === null || notBefore.userId === userId) &&
    authenticatedAt <= notBefore.before &&
    notBefore.keep !== id
}

/**
 * Returns a session with the revocation of its not-befores.
 *
 * A row that is marked as revoked stays unchanged. Otherwise the earliest not-before that applies
 * to the session provides the time and the reason.
 */
export function applyNotBefores (session: Session, notBefores: Iterable<NotBefore>): Session {
  if (session.revokedAt !== null) {
    return session
  }

  let first: NotBefore | null = null

  for (const notBefore of notBefores) {
    if (isRevokedBy(session, notBefore) && (first === null || notBefore.at < first.at)) {
      first = notBefore
    }
  }

  return first === null
    ? session
    : { ...session, revokedAt: first.at, revokedFor: first.reason }
}
