import { setImmediate as nextTurn } from 'node:timers/promises'
import { applyRotation, canRotate } from '../../domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import { compareIds, compareNewestFirst, isLive } from '../../domain/session.js'
import type { RevocationReason, Session } from '../../domain/session.js'
import type { Millis } from '../../lib/time.js'
import { SessionRefusedError } from '../token-store.js'
import type { Cursor, Revocation, RevocationTarget, TokenStore, Touch } from '../token-store.js'

/** Time for which a sweep works before other work gets a turn. */
const MAX_SWEEP_STEP: Millis = 1

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
  // A change replaces the whole object, so that callers can keep what they were given.
  readonly #sessions = new Map<string, Session>()
  // Arrays, because a Set takes 200 bytes and most users have one session.
  readonly #idsByUser = new Map<string, string[]>()
  readonly #revokedIds = new Set<string>()
  readonly #notBefore = new Map<string, Millis>()
  #unfinishedSweep: { readonly endedBefore: Millis, readonly steps: Iterator<boolean> } | null =
    null

  async create (session: Session): Promise<void> {
    const { id, userId, authenticatedAt } = session

    if (this.#sessions.has(id)) {
      throw new SessionRefusedError('id-taken')
    }

    if (authenticatedAt <= (this.#notBefore.get(userId) ?? -Infinity)) {
      throw new SessionRefusedError('revoked-since')
    }

    this.#write({ ...session })
    const ids = this.#idsByUser.get(userId)

    if (ids === undefined) {
      this.#idsByUser.set(userId, [id])
    } else {
      ids.push(id)
    }
  }

  async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
    const session = this.#sessions.get(attempt.sessionId) ?? null

    if (session === null || !canRotate(session, attempt)) {
      return { swapped: false, session }
    }

    const rotated = applyRotation(session, attempt)
    this.#write(rotated)
    return { swapped: true, session: rotated }
  }

  async find (sessionId: string): Promise<Session | null> {
    return this.#sessions.get(sessionId) ?? null
  }

  async list (
    userId: string,
    { now, limit }: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]> {
    return this.#findByUser(userId)
      .filter(session => isLive(session, now))
      .sort(compareNewestFirst)
      .slice(0, limit)
  }

  async revoke (
    target: RevocationTarget,
    { at, reason }: { readonly at: Millis, readonly reason: RevocationReason }
  ): Promise<number> {
    let targets: Session[]

    if ('userId' in target) {
      this.#notBefore.set(target.userId, Math.max(at, this.#notBefore.get(target.userId) ?? at))
      targets = this.#findByUser(target.userId).filter(({ id }) => id !== target.keep)
    } else {
      const session = this.#sessions.get(target.sessionId)
      targets = session === undefined ? [] : [session]
    }

    const unrevoked = targets.filter(({ revokedAt }) => revokedAt === null)

    for (const session of unrevoked) {
      this.#write({ ...session, revokedAt: at, revokedFor: reason })
    }

    return unrevoked.length
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    for (const { sessionId, lastUsedAt, confirmedGeneration } of batch) {
      const session = this.#sessions.get(sessionId)

      if (session !== undefined) {
        const confirmed = Math.min(confirmedGeneration, session.generation)
        this.#write({
          ...session,
          lastUsedAt: Math.max(session.lastUsedAt, lastUsedAt),
          confirmedGeneration: Math.max(session.confirmedGeneration, confirmed)
        })
      }
    }
  }

  async revocations (after: Cursor, limit: number): Promise<Revocation[]> {
    return Array.from(this.#revokedIds, sessionId => {
      const at = this.#sessions.get(sessionId)?.revokedAt as Millis
      return { at, sessionId }
    })
      .filter(entry => compareEntries(entry, after) > 0)
      .sort(compareEntries)
      .slice(0, limit)
  }

  async sweep (
    { endedBefore, limit }: { readonly endedBefore: Millis, readonly limit: number }
  ): Promise<number> {
    // Continues where the last batch stopped, or every batch would examine all live sessions again.
    // Takes the unfinished sweep away, so that a concurrent call starts one of its own.
    const steps = this.#unfinishedSweep?.endedBefore === endedBefore
      ? this.#unfinishedSweep.steps
      : this.#deleteEnded(endedBefore)
    this.#unfinishedSweep = null
    let deleted = 0
    let turnStartedAt = performance.now()

    while (deleted < limit) {
      const { done, value } = steps.next()

      if (done === true) {
        return deleted
      }

      deleted += value ? 1 : 0

      // A turn for each number of records would be too many turns for 1,000,000 sessions. On a busy
      // event loop, the sweep would then take longer than `storeTimeout`.
      if (performance.now() - turnStartedAt >= MAX_SWEEP_STEP) {
        await nextTurn()
        turnStartedAt = performance.now()
      }
    }

    this.#unfinishedSweep = { endedBefore, steps }
    // Otherwise a caller that sweeps batch after batch would block the event loop.
    await nextTurn()
    return deleted
  }

  /** Examines one record a step, and yields whether this deleted a session or a not-before. */
  *#deleteEnded (endedBefore: Millis): Generator<boolean, void> {
    for (const session of this.#sessions.values()) {
      const hasEnded = session.expiresAt < endedBefore

      if (hasEnded) {
        this.#delete(session)
      }

      yield hasEnded
    }

    // Not together with the sessions: when a Map shrinks, it copies what is left, and two Maps of
    // 100,000 entries would do so in the same step.
    for (const [userId, ids] of this.#idsByUser) {
      if (ids.length === 0) {
        this.#idsByUser.delete(userId)
      }

      yield false
    }

    for (const [userId, at] of this.#notBefore) {
      yield at < endedBefore && this.#notBefore.delete(userId)
    }
  }

  #findByUser (userId: string): Session[] {
    return (this.#idsByUser.get(userId) ?? []).map(id => this.#sessions.get(id) as Session)
  }

  #write (session: Session): void {
    this.#sessions.set(session.id, session)

    if (session.revokedAt !== null) {
      this.#revokedIds.add(session.id)
    }
  }

  #delete ({ id, userId }: Session): void {
    this.#sessions.delete(id)
    this.#revokedIds.delete(id)
    const ids = this.#idsByUser.get(userId) as string[]
    ids.splice(ids.indexOf(id), 1)
  }
}

function compareEntries (a: Revocation, b: Cursor): number {
  return a.at - b.at || compareIds(a.sessionId, b.sessionId)
}
