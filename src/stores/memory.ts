// Sessions in a Map: for tests, for trials, and for apps of one process whose users may be signed out by a restart.

import { fits, swap } from '../domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../domain/rotation.js'
import { isLive } from '../domain/session.js'
import type { Millis, RevocationReason, Session } from '../domain/session.js'
import { SessionRefusedError } from './token-store.js'
import type { Cursor, Revocation, RevocationTarget, TokenStore, Touch } from './token-store.js'

const HOUR: Millis = 3_600_000

/**
 * Keeps sessions in this process's memory: a restart signs everybody out, and two processes know nothing of each other.
 *
 * Each verb does its work in one synchronous step, so that nothing can come in between.
 */
export class MemoryStore implements TokenStore {
  readonly #sessions = new Map<string, Session>()
  readonly #idsByUser = new Map<string, Set<string>>()
  readonly #notBefore = new Map<string, Millis>()
  readonly #revoked = new Set<string>()
  // By the hour in which they end, as it was when they were put there: a rotation moves nothing, the sweep does.
  readonly #idsByHour = new Map<number, string[]>()

  async create (session: Session): Promise<void> {
    if (this.#sessions.has(session.id)) throw new SessionRefusedError('id-taken')
    const notBefore = this.#notBefore.get(session.userId)
    if (notBefore !== undefined && session.authenticatedAt <= notBefore) throw new SessionRefusedError('revoked-since')
    this.#sessions.set(session.id, session)
    const ids = this.#idsByUser.get(session.userId)
    if (ids) ids.add(session.id)
    else this.#idsByUser.set(session.userId, new Set([session.id]))
    this.#putInHour(session)
    if (session.revokedAt !== null) this.#revoked.add(session.id)
  }

  async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
    const session = this.#sessions.get(attempt.sessionId) ?? null
    if (session === null || !fits(session, attempt)) return { swapped: false, session }
    const rotated = swap(session, attempt)
    this.#sessions.set(rotated.id, rotated)
    return { swapped: true, session: rotated }
  }

  async find (sessionId: string): Promise<Session | null> {
    return this.#sessions.get(sessionId) ?? null
  }

  async list (userId: string, { now, limit }: { readonly now: Millis, readonly limit: number }): Promise<Session[]> {
    return this.#ofUser(userId)
      .filter(session => isLive(session, now))
      .sort((a, b) => b.createdAt - a.createdAt || compareBytes(a.id, b.id))
      .slice(0, limit)
  }

  async revoke (
    target: RevocationTarget,
    { at, reason }: { readonly at: Millis, readonly reason: RevocationReason }
  ): Promise<number> {
    if ('userId' in target) {
      this.#notBefore.set(target.userId, Math.max(at, this.#notBefore.get(target.userId) ?? at))
    }
    const found = 'userId' in target
      ? this.#ofUser(target.userId).filter(({ id }) => id !== target.keep)
      : [this.#sessions.get(target.sessionId)]
    let count = 0
    for (const session of found) {
      if (session === undefined || session.revokedAt !== null) continue
      this.#sessions.set(session.id, { ...session, revokedAt: at, revokedFor: reason })
      this.#revoked.add(session.id)
      count++
    }
    return count
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    for (const { sessionId, lastUsedAt, confirmedGeneration } of batch) {
      const session = this.#sessions.get(sessionId)
      if (session === undefined) continue
      this.#sessions.set(sessionId, {
        ...session,
        lastUsedAt: Math.max(session.lastUsedAt, lastUsedAt),
        confirmedGeneration: Math.max(session.confirmedGeneration, Math.min(confirmedGeneration, session.generation))
      })
    }
  }

  async revocations (after: Cursor, limit: number): Promise<Revocation[]> {
    const entries: Revocation[] = []
    for (const sessionId of this.#revoked) {
      const at = this.#sessions.get(sessionId)?.revokedAt
      if (at != null && compareEntries({ at, sessionId }, after) > 0) entries.push({ at, sessionId })
    }
    return entries.sort(compareEntries).slice(0, limit)
  }

  async sweep ({ endedBefore, limit }: { readonly endedBefore: Millis, readonly limit: number }): Promise<number> {
    let count = 0
    for (const [hour, ids] of this.#idsByHour) {
      if (hour * HOUR >= endedBefore) continue
      const staying: string[] = []
      while (ids.length > 0 && count < limit) {
        const session = this.#sessions.get(ids.pop() as string)
        if (session === undefined) continue
        if (session.expiresAt < endedBefore) {
          this.#forget(session)
          count++
        } else if (hourOf(session) === hour) {
          staying.push(session.id)
        } else {
          this.#putInHour(session)
        }
      }
      const left = ids.concat(staying)
      if (left.length > 0) this.#idsByHour.set(hour, left)
      else this.#idsByHour.delete(hour)
    }
    for (const [userId, at] of this.#notBefore) {
      if (count === limit) break
      if (at >= endedBefore) continue
      this.#notBefore.delete(userId)
      count++
    }
    return count
  }

  #ofUser (userId: string): Session[] {
    const ids = this.#idsByUser.get(userId) ?? []
    return Array.from(ids, id => this.#sessions.get(id)).filter(session => session !== undefined)
  }

  #forget (session: Session): void {
    this.#sessions.delete(session.id)
    this.#revoked.delete(session.id)
    const ids = this.#idsByUser.get(session.userId)
    ids?.delete(session.id)
    if (ids?.size === 0) this.#idsByUser.delete(session.userId)
  }

  #putInHour (session: Session): void {
    const ids = this.#idsByHour.get(hourOf(session))
    if (ids) ids.push(session.id)
    else this.#idsByHour.set(hourOf(session), [session.id])
  }
}

function hourOf (session: Session): number {
  return Math.floor(session.expiresAt / HOUR)
}

function compareEntries (a: Revocation, b: Cursor): number {
  return a.at - b.at || compareBytes(a.sessionId, b.sessionId)
}

function compareBytes (a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
