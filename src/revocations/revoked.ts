import { getCreationTime } from '../domain/session.js'
import { deleteExpired } from '../lib/expiry.js'
import type { Millis } from '../lib/time.js'
import type { RealmRevocation, SessionRevocation, UserRevocation } from '../stores/token-store.js'

/** Revocation as {@link RevokedSessions} needs it. */
export type KnownRevocation =
  | Pick<SessionRevocation, 'at' | 'sessionId'>
  | Pick<UserRevocation, 'at' | 'userId' | 'before' | 'keep'>
  | Pick<RealmRevocation, 'at' | 'before'>

/** Revocation of a user, for sessions that began at or before a moment. */
interface NotBefore {
  readonly at: Millis
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
  /** Last not-before of the realm. Never deleted. */
  #realm = -Infinity
  /** Recent revocations of the realm, by moment. */
  readonly #realmRevocations = new Map<string, Millis>()

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

  /**
   * Adds a revocation and deletes those that are no longer needed.
   *
   * @returns Whether the revocation was not in memory before.
   */
  add (revocation: KnownRevocation, now: Millis): boolean {
    this.#deleteExpired(now)
    const until = now + this.#retention

    if ('sessionId' in revocation) {
      return addOnce(this.#sessions, revocation.sessionId, until)
    }

    if ('userId' in revocation) {
      return this.#addUser(revocation, now, until)
    }

    this.#realm = Math.max(this.#realm, revocation.before)
    return addOnce(this.#realmRevocations, String(revocation.at), until)
  }

  #addUser (
    revocation: Pick<UserRevocation, 'userId' | 'at' | 'before' | 'keep'>,
    now: Millis,
    until: Millis
  ): boolean {
    const { userId, at, before } = revocation
    const keep = revocation.keep ?? null
    const known = this.#users.get(userId)?.filter(other => other.until > now) ?? []
    const isSame = (other: NotBefore): boolean => other.at === at && other.keep === keep
    const earlier = known.find(isSame)
    const others = known.filter(other => !isSame(other))
    // The store may have ended sessions that began later than `at`.
    const latest = Math.max(before, earlier?.before ?? before)
    // Moves the user to the end of the Map.
    this.#users.delete(userId)
    this.#users.set(userId, [...others, { at, before: latest, keep, until }])
    return earlier === undefined
  }

  // The Maps are in the order of expiry, except where store time has stepped.
  #deleteExpired (now: Millis): void {
    deleteExpired(this.#sessions, now)
    deleteExpired(this.#realmRevocations, now)

    for (const [userId, notBefores] of this.#users) {
      if (notBefores.some(({ until }) => until > now)) {
        break
      }

      this.#users.delete(userId)
    }
  }
}

// An entry that is shown again keeps its place in the Map, and its expiry.
function addOnce (expiries: Map<string, Millis>, key: string, until: Millis): boolean {
  if (expiries.has(key)) {
    return false
  }

  expiries.set(key, until)
  return true
}
