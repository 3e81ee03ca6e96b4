import { getCreationTime } from '../domain/session.js'
import type { Millis } from '../lib/time.js'
import type { RealmRevocation, SessionRevocation, UserRevocation } from '../stores/token-store.js'

type KnownUserRevocation = Pick<UserRevocation, 'at' | 'userId' | 'before' | 'keep'>

/** Revocation as {@link RevokedSessions} needs it. */
export type KnownRevocation =
  | Pick<SessionRevocation, 'at' | 'sessionId'> & { readonly userId?: string | undefined }
  | KnownUserRevocation
  | Pick<RealmRevocation, 'at' | 'before'>

/** Not-before of a user: revokes the sessions that began at or before a moment. */
interface UserNotBefore {
  readonly at: Millis
  before: Millis
  readonly keep: string | undefined
  /** Another not-before of the same user. A list, because a user rarely has several. */
  readonly next: UserNotBefore | undefined
}

/**
 * Revocations of one realm whose access tokens have not expired yet.
 *
 * Lives in memory, because every request with an access token looks it up. A revocation stays for
 * one to two retentions: all revocations of one retention are dropped together. So none of them
 * needs a time of its own, and dropping a million of them takes no time.
 */
export class RevokedSessions {
  #retention: Millis
  #recent = new RevocationPeriod()
  #old = new RevocationPeriod()
  /** Moment at which the period `#recent` began. */
  #since: Millis | null = null
  /** Last not-before of the realm. Never dropped. */
  #realm = -Infinity
  #listener: ((revocation: KnownRevocation) => void) | null = null

  /** @param retention - Time until all access tokens from before a revocation have expired. */
  constructor (retention: Millis) {
    this.#retention = retention
  }

  /** Time until all access tokens from before a revocation have expired. */
  get retention (): Millis {
    return this.#retention
  }

  /** Keeps revocations for longer, if a longer lifetime of access tokens becomes known. */
  extendRetention (retention: Millis): void {
    this.#retention = Math.max(this.#retention, retention)
  }

  /** Whether a session is revoked. A session whose ID contains no time counts as the oldest. */
  has (sessionId: string, userId: string): boolean {
    return this.#recent.has(sessionId, userId) ||
      this.#old.has(sessionId, userId) ||
      this.#realm !== -Infinity && getStart(sessionId) <= this.#realm
  }

  /**
   * Calls a listener after each call of {@link add}, whether the revocation was new or not. A
   * revocation of a session lacks `userId` if the user is unknown. There is one listener.
   */
  onAdd (listener: (revocation: KnownRevocation) => void): void {
    this.#listener = listener
  }

  /**
   * Adds a revocation and drops those that are no longer needed.
   *
   * @returns Whether the revocation was not in memory before.
   */
  add (revocation: KnownRevocation, now: Millis): boolean {
    this.dropExpired(now)
    const isNew = this.#add(revocation)
    this.#listener?.(revocation)
    return isNew
  }

  #add (revocation: KnownRevocation): boolean {
    if ('sessionId' in revocation) {
      return !this.#old.sessions.has(revocation.sessionId) &&
        addOnce(this.#recent.sessions, revocation.sessionId)
    }

    if ('userId' in revocation) {
      return !this.#old.extendUser(revocation) && this.#recent.addUser(revocation)
    }

    this.#realm = Math.max(this.#realm, revocation.before)
    return !this.#old.realm.has(revocation.at) && addOnce(this.#recent.realm, revocation.at)
  }

  /** Drops the revocations whose access tokens have expired. */
  dropExpired (now: Millis): void {
    this.#since ??= now
    const age = now - this.#since

    if (age >= this.#retention) {
      this.#old = age < 2 * this.#retention ? this.#recent : new RevocationPeriod()
      this.#recent = new RevocationPeriod()
      this.#since = now
    }
  }
}

/** Revocations of one period, which are dropped together. */
class RevocationPeriod {
  readonly sessions = new Set<string>()
  /** Moments of the revocations of the realm. */
  readonly realm = new Set<Millis>()
  readonly #users = new Map<string, UserNotBefore>()

  // An empty Map would still compute the hash of the string.
  has (sessionId: string, userId: string): boolean {
    if (this.sessions.size > 0 && this.sessions.has(sessionId)) {
      return true
    }

    const first = this.#users.size > 0 ? this.#users.get(userId) : undefined
    return first !== undefined && isRevokedByAny(sessionId, first)
  }

  addUser (revocation: KnownUserRevocation): boolean {
    if (this.extendUser(revocation)) {
      return false
    }

    const { userId, at, before, keep } = revocation
    this.#users.set(userId, { at, before, keep, next: this.#users.get(userId) })
    return true
  }

  /**
   * Applies a revocation that is shown again. The store may have revoked sessions that began later
   * than `at`.
   *
   * @returns Whether this period has the revocation.
   */
  extendUser ({ userId, at, before, keep }: KnownUserRevocation): boolean {
    for (let known = this.#users.get(userId); known !== undefined; known = known.next) {
      if (known.at === at && known.keep === keep) {
        known.before = Math.max(known.before, before)
        return true
      }
    }

    return false
  }
}

function isRevokedByAny (sessionId: string, first: UserNotBefore): boolean {
  const start = getStart(sessionId)

  for (let known: UserNotBefore | undefined = first; known !== undefined; known = known.next) {
    if (start <= known.before && known.keep !== sessionId) {
      return true
    }
  }

  return false
}

function getStart (sessionId: string): Millis {
  return getCreationTime(sessionId) ?? 0
}

/** @returns Whether the Set did not have the value. */
function addOnce<T> (values: Set<T>, value: T): boolean {
  const { size } = values
  return values.add(value).size > size
}
