import { getCreationTime } from '../domain/session.js'
import type { Millis } from '../lib/time.js'
import type { RealmRevocation, SessionRevocation, UserRevocation } from '../stores/token-store.js'

/** Revocation as {@link RevokedSessions} needs it. The user of a session may be unknown. */
export type KnownRevocation = Omit<SessionRevocation, 'userId'> | UserRevocation | RealmRevocation

/** Revocation of a user or a realm, for sessions that began at or before a moment. */
interface NotBefore {
  readonly before: Millis
  readonly keep: string | null
  /** Moment from which no access token of these sessions is valid. */
  readonly until: Millis
}

/**
 * Revocations of one realm whose access tokens have not expired yet.
 *
 * Lives in memory, because every request with an access token looks it up.
 */
export class RevokedSessions {
  readonly #retention: Millis
  /** Moments from which no access token of a session is valid. */
  readonly #sessions = new Map<string, Millis>()
  readonly #users = new Map<string, readonly NotBefore[]>()
  #realm = -Infinity

  /** @param retention - Time until all access tokens from before a revocation have expired. */
  constructor (retention: Millis) {
    this.#retention = retention
  }

  /** Whether a session is revoked. An ID without a time counts as old. */
  has (sessionId: string, userId: string): boolean {
    if (this.#sessions.size > 0 && this.#sessions.has(sessionId)) {
      return true
    }

    const notBefores = this.#users.size > 0 ? this.#users.get(userId) : undefined

    if (notBefores === undefined && this.#realm === -Infinity) {
      return false
    }

    const createdAt = getCreationTime(sessionId) ?? 0

    return createdAt <= this.#realm ||
      notBefores?.some(({ before, keep }) => createdAt <= before && keep !== sessionId) === true
  }

  /** Adds a revocation and deletes those that are no longer needed. */
  add (revocation: KnownRevocation, now: Millis): void {
    const until = now + this.#retention

    if ('sessionId' in revocation) {
      // An entry that is shown again keeps its place in the Map.
      if (!this.#sessions.has(revocation.sessionId)) {
        this.#sessions.set(revocation.sessionId, until)
      }
    } else if ('userId' in revocation) {
      const { userId, before, keep = null } = revocation
      const others = this.#users.get(userId)?.filter(other =>
        other.until > now && (other.before !== before || other.keep !== keep)
      ) ?? []
      // Moves the user to the end of the Map.
      this.#users.delete(userId)
      this.#users.set(userId, [...others, { before, keep, until }])
    } else {
      this.#realm = Math.max(this.#realm, revocation.before)
    }

    this.#deleteExpired(now)
  }

  // Both Maps are in the order of expiry, except where store time has stepped.
  #deleteExpired (now: Millis): void {
    for (const [sessionId, until] of this.#sessions) {
      if (until > now) {
        break
      }

      this.#sessions.delete(sessionId)
    }

    for (const [userId, notBefores] of this.#users) {
      if (notBefores.some(({ until }) => until > now)) {
        break
      }

      this.#users.delete(userId)
    }
  }
}
