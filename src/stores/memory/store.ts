import { setImmediate as nextTurn } from 'node:timers/promises'
import { applyNotBefores } from '../../domain/not-before.js'
import type { NotBefore } from '../../domain/not-before.js'
import { applyRotation, canRotate } from '../../domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import { compareNewestFirst, isLive } from '../../domain/session.js'
import type { Session } from '../../domain/session.js'
import { applyTouch } from '../../domain/touch.js'
import type { Millis } from '../../lib/time.js'
import { SessionRefusedError } from '../token-store.js'
import type {
  Cursor,
  FeedWindow,
  RevocationDetails,
  RevocationPage,
  RevocationTarget,
  SessionTarget,
  TokenStore,
  Touch,
  UserTarget
} from '../token-store.js'
import { MemoryFeed } from './feed.js'
import { warnOfLostSessions } from './process.js'
import { Realm } from './realm.js'

/** Time that a sweep works before other work gets a turn. */
const MAX_SWEEP_STEP: Millis = 1

/** Options of {@link MemoryStore}. */
export interface MemoryStoreOptions {
  /**
   * Clock of the store, in milliseconds since 1970.
   *
   * @default Date.now
   */
  readonly clock?: () => Millis
}

/**
 * Token store in the memory of one process, for tests, trials and small apps.
 *
 * A restart signs every user out, and two processes do not share sessions. A session takes about
 * 1 kB.
 *
 * @example
 * ```ts
 * import { MemoryStore } from 'fastify-token-auth/memory'
 *
 * await app.register(tokenAuth, { store: new MemoryStore(), ...options })
 * ```
 */
export class MemoryStore implements TokenStore {
  // A change replaces the whole object, so that objects that callers hold do not change.
  readonly #sessions = new Map<string, Session>()
  readonly #realms = new Map<string, Realm>()
  readonly #feed: MemoryFeed
  #unfinishedSweep: { readonly endedBefore: Millis, readonly steps: Iterator<boolean> } | null =
    null

  constructor ({ clock = Date.now }: MemoryStoreOptions = {}) {
    this.#feed = new MemoryFeed(clock)
  }

  /** Warns in a worker of `node:cluster`, and if `NODE_ENV` is `production`. */
  async check (): Promise<readonly string[]> {
    return warnOfLostSessions()
  }

  async create (session: Session): Promise<void> {
    const { id, realm: name, userId, authenticatedAt } = session

    if (this.#sessions.has(id)) {
      throw new SessionRefusedError(null)
    }

    const realm = this.#getRealm(name)
    const notBefore = realm.getNotBefores(userId)
      .filter(({ before, keep }) => authenticatedAt <= before && keep !== id)
      .sort((a, b) => b.before - a.before)[0]

    if (notBefore !== undefined) {
      throw new SessionRefusedError(notBefore)
    }

    this.#sessions.set(id, { ...session })
    realm.sessions.add(session)
  }

  async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
    const session = this.#find(attempt.realm, attempt.sessionId)

    if (session === null || !canRotate(session, attempt)) {
      return { swapped: false, session }
    }

    const rotated = applyRotation(session, attempt)
    this.#sessions.set(rotated.id, rotated)
    return { swapped: true, session: rotated }
  }

  async find (realm: string, sessionId: string): Promise<Session | null> {
    return this.#find(realm, sessionId)
  }

  async list (
    name: string,
    userId: string,
    { now, limit }: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]> {
    const live: Session[] = []

    for (const session of this.#findUnrevoked(name, userId)) {
      if (live.length >= limit) {
        break
      }

      if (isLive(session, now)) {
        live.push(session)
      }
    }

    return live.sort(compareNewestFirst)
  }

  async revoke (
    target: RevocationTarget,
    { at, reason }: RevocationDetails
  ): Promise<number> {
    if ('sessionId' in target) {
      return this.#revokeSession(target, { at, reason })
    }

    if ('userId' in target) {
      return this.#revokeUser(target, { at, reason })
    }

    const realm = this.#getRealm(target.realm)

    if (at > (realm.notBefore?.before ?? -Infinity)) {
      const before = at
      realm.notBefore = { realm: target.realm, userId: null, before, keep: null, at, reason }
      this.#feed.add({ realm: target.realm, at, reason, before })
    }

    return 0
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    for (const touch of batch) {
      const session = this.#sessions.get(touch.sessionId)

      if (session !== undefined && session.realm === touch.realm) {
        this.#sessions.set(session.id, applyTouch(session, touch))
      }
    }
  }

  async revocations (after: Cursor | FeedWindow, limit: number): Promise<RevocationPage> {
    const realms = [...this.#realms.values()]
      .flatMap(({ notBefore }) => notBefore === null ? [] : [notBefore])
    return this.#feed.read(after, limit, realms)
  }

  async sweep (
    { endedBefore, limit }: { readonly endedBefore: Millis, readonly limit: number }
  ): Promise<number> {
    // Continues where the last batch stopped, or every batch would examine all live sessions again.
    // Takes the unfinished sweep away, so that a concurrent call starts one of its own.
    const steps = this.#unfinishedSweep?.endedBefore === endedBefore
      ? this.#unfinishedSweep.steps
      : this.#deleteExpired(endedBefore)
    this.#unfinishedSweep = null
    let deleted = 0
    let startedAt = performance.now()

    while (deleted < limit) {
      const { done, value } = steps.next()

      if (done === true) {
        return deleted
      }

      deleted += value ? 1 : 0

      // The limit is a time, because a fixed number of records would cause too many turns for
      // 1,000,000 sessions. On a busy event loop, the sweep would take longer than `storeTimeout`.
      if (performance.now() - startedAt >= MAX_SWEEP_STEP) {
        await nextTurn()
        startedAt = performance.now()
      }
    }

    this.#unfinishedSweep = { endedBefore, steps }
    // Otherwise a caller that sweeps batch after batch would block the event loop.
    await nextTurn()
    return deleted
  }

  /** Examines one record per step, and yields whether the step deleted a record. */
  *#deleteExpired (endedBefore: Millis): Generator<boolean, void> {
    for (const session of this.#sessions.values()) {
      const isExpired = session.expiresAt < endedBefore

      if (isExpired) {
        this.#delete(session)
      }

      yield isExpired
    }

    for (const realm of this.#realms.values()) {
      yield* this.#deleteUnused(realm, endedBefore)
    }

    while (this.#feed.deleteOldest(endedBefore)) {
      yield true
    }
  }

  // Runs after the deletion of the sessions. A Map that shrinks copies its entries, and two Maps of
  // 100,000 entries must not do so in the same step.
  *#deleteUnused (realm: Realm, endedBefore: Millis): Generator<boolean, void> {
    yield* realm.sessions.deleteUnused()

    for (const [userId, notBefores] of realm.notBefores) {
      const sessions = realm.sessions.findAll(userId).map(id => this.#sessions.get(id) as Session)
      const isUsed = ({ before }: NotBefore): boolean =>
        before >= endedBefore || sessions.some(({ authenticatedAt }) => authenticatedAt <= before)
      const left = notBefores.filter(isUsed)

      if (left.length === 0) {
        realm.notBefores.delete(userId)
      } else {
        realm.notBefores.set(userId, left)
      }

      for (let i = left.length; i < notBefores.length; i++) {
        yield true
      }
    }
  }

  #revokeSession (target: SessionTarget, { at, reason }: RevocationDetails): number {
    const { realm, sessionId, secretHash } = target
    const session = this.#find(realm, sessionId)

    if (
      session === null || session.revokedAt !== null ||
      (secretHash !== undefined && secretHash !== session.secretHash)
    ) {
      return 0
    }

    this.#mark(session, { at, reason })
    this.#feed.add({ realm, at, reason, sessionId, userId: session.userId })
    return 1
  }

  #revokeUser (target: UserTarget, { at, reason }: RevocationDetails): number {
    const { realm: name, userId, keep } = target
    const unrevoked = [...this.#findUnrevoked(name, userId)]
    const before = Math.max(at, ...unrevoked.map(({ createdAt }) => createdAt))
    const realm = this.#getRealm(name)
    const notBefore = { realm: name, userId, before, keep: keep ?? null, at, reason }
    realm.notBefores.set(userId, [...realm.notBefores.get(userId) ?? [], notBefore])
    this.#feed.add({
      realm: name,
      at,
      reason,
      userId,
      before,
      ...keep === undefined ? {} : { keep }
    })
    const ended = unrevoked.filter(({ id }) => id !== keep)

    for (const session of ended) {
      this.#mark(session, { at, reason })
    }

    return ended.length
  }

  #getRealm (name: string): Realm {
    let realm = this.#realms.get(name)

    if (realm === undefined) {
      realm = new Realm()
      this.#realms.set(name, realm)
    }

    return realm
  }

  /** Returns a session with its not-befores applied. */
  #find (realm: string, sessionId: string): Session | null {
    const session = this.#sessions.get(sessionId)

    return session === undefined || session.realm !== realm
      ? null
      : applyNotBefores(session, this.#getRealm(realm).getNotBefores(session.userId))
  }

  /** Yields the sessions of a user that nothing revokes, the newest first. */
  *#findUnrevoked (name: string, userId: string): Generator<Session, void> {
    const realm = this.#realms.get(name)
    const realmNotBefore = realm?.notBefore?.before ?? -Infinity
    const notBefores = realm?.getNotBefores(userId) ?? []

    for (const id of realm?.sessions.findUnrevoked(userId) ?? []) {
      const session = applyNotBefores(this.#sessions.get(id) as Session, notBefores)

      // The not-before of the realm also revokes all older sessions.
      if (session.createdAt <= realmNotBefore) {
        return
      }

      if (session.revokedAt === null) {
        yield session
      }
    }
  }

  #mark (session: Session, { at, reason }: RevocationDetails): void {
    const revoked = { ...session, revokedAt: at, revokedFor: reason }
    const { sessions } = this.#getRealm(session.realm)
    sessions.delete(session)
    this.#sessions.set(session.id, revoked)
    sessions.add(revoked)
  }

  #delete (session: Session): void {
    this.#sessions.delete(session.id)
    this.#getRealm(session.realm).sessions.delete(session)
  }
}
