// Sessions in Maps: for tests, for trials, and for apps of one process whose users may be signed out by a restart.

import { setImmediate as turn } from 'node:timers/promises'
import { applyRotation, canRotate } from '../../domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import { isLive } from '../../domain/session.js'
import type { RevocationReason, Session } from '../../domain/session.js'
import { Ends } from './ends.js'
import { ShardedMap } from './shards.js'
import { SessionRefusedError } from '../token-store.js'
import type { Cursor, Revocation, RevocationTarget, TokenStore, Touch } from '../token-store.js'
import type { Millis } from '../../lib/time.js'

/** So many are looked at before others have their turn. */
const AT_ONCE = 100

// Changed in place: a new object for each rotation lives as long as the session, and is moved by the garbage collector twice.
type Row = { -readonly [Field in keyof Session]: Session[Field] }

// Member by member: in what a spread has made, V8 puts a new object for each time that is changed.
function copyOf (row: Session): Row {
  const {
    id,
    userId,
    secretHash,
    generation,
    confirmedGeneration,
    createdAt,
    authenticatedAt,
    rotatedAt,
    rotatedBy
  } = row
  const { lastUsedAt, expiresAt, endsAt, revokedAt, revokedFor, device } = row

  return {
    id,
    userId,
    secretHash,
    generation,
    confirmedGeneration,
    createdAt,
    authenticatedAt,
    rotatedAt,
    rotatedBy,
    lastUsedAt,
    expiresAt,
    endsAt,
    revokedAt,
    revokedFor,
    device
  }
}

/**
 * Keeps sessions in this process's memory: a restart signs everybody out, and two processes know nothing of each other.
 *
 * Each verb does its work in one synchronous step, so that nothing can come in between; the sweep in many short ones.
 */
export class MemoryStore implements TokenStore {
  readonly #rows = new ShardedMap<Row>()
  // Most users have one session, and a Set of one weighs as much as half a session.
  readonly #idsByUser = new ShardedMap<string | Set<string>>()
  readonly #notBefore = new ShardedMap<Millis>()
  readonly #revoked = new Set<string>()
  readonly #sessionEnds = new Ends()
  readonly #notBeforeEnds = new Ends()

  async create (session: Session): Promise<void> {
    const { id, userId } = session

    if (this.#rows.has(id)) {
      throw new SessionRefusedError('id-taken')
    }

    const notBefore = this.#notBefore.get(userId)

    if (notBefore !== undefined && session.authenticatedAt <= notBefore) {
      throw new SessionRefusedError('revoked-since')
    }

    this.#rows.set(id, copyOf(session))
    const ids = this.#idsByUser.get(userId)

    if (ids === undefined) {
      this.#idsByUser.set(userId, id)
    } else if (typeof ids === 'string') {
      this.#idsByUser.set(userId, new Set([ids, id]))
    } else {
      ids.add(id)
    }

    this.#sessionEnds.put(id, session.expiresAt)

    if (session.revokedAt !== null) {
      this.#revoked.add(id)
    }
  }

  async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
    const row = this.#rows.get(attempt.sessionId)

    if (row === undefined) {
      return { swapped: false, session: null }
    }

    if (!canRotate(row, attempt)) {
      return { swapped: false, session: copyOf(row) }
    }

    const session = applyRotation(row, attempt)
    // What a swap changes, and no more: to copy all of it costs as much again.
    row.generation = session.generation
    row.rotatedAt = session.rotatedAt
    row.rotatedBy = session.rotatedBy
    row.lastUsedAt = session.lastUsedAt
    row.expiresAt = session.expiresAt
    return { swapped: true, session }
  }

  async find (sessionId: string): Promise<Session | null> {
    const row = this.#rows.get(sessionId)
    return row === undefined ? null : copyOf(row)
  }

  async list (
    userId: string,
    { now, limit }: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]> {
    return this.#ofUser(userId)
      .filter(row => isLive(row, now))
      .sort((a, b) => b.createdAt - a.createdAt || compareBytes(a.id, b.id))
      .slice(0, limit)
      .map(copyOf)
  }

  async revoke (
    target: RevocationTarget,
    { at, reason }: { readonly at: Millis, readonly reason: RevocationReason }
  ): Promise<number> {
    if ('userId' in target) {
      this.#setNotBefore(target.userId, at)
    }

    const found = 'userId' in target
      ? this.#ofUser(target.userId).filter(({ id }) => id !== target.keep)
      : [this.#rows.get(target.sessionId)]
    let count = 0

    for (const row of found) {
      if (row === undefined || row.revokedAt !== null) {
        continue
      }

      row.revokedAt = at
      row.revokedFor = reason
      this.#revoked.add(row.id)
      count++
    }

    return count
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    for (const { sessionId, lastUsedAt, confirmedGeneration } of batch) {
      const row = this.#rows.get(sessionId)

      if (row === undefined) {
        continue
      }

      row.lastUsedAt = Math.max(row.lastUsedAt, lastUsedAt)
      row.confirmedGeneration = Math.max(
        row.confirmedGeneration,
        Math.min(confirmedGeneration, row.generation)
      )
    }
  }

  async revocations (after: Cursor, limit: number): Promise<Revocation[]> {
    const entries: Revocation[] = []

    for (const sessionId of this.#revoked) {
      const at = this.#rows.get(sessionId)?.revokedAt

      if (at != null && compareEntries({ at, sessionId }, after) > 0) {
        entries.push({ at, sessionId })
      }
    }

    return entries.sort(compareEntries).slice(0, limit)
  }

  async sweep (
    { endedBefore, limit }: { readonly endedBefore: Millis, readonly limit: number }
  ): Promise<number> {
    const count = await sweepEnds(this.#sessionEnds, endedBefore, limit, {
      endOf: id => this.#rows.get(id)?.expiresAt,
      forget: id => {
        this.#forget(id)
      }
    })

    return count + await sweepEnds(this.#notBeforeEnds, endedBefore, limit - count, {
      endOf: userId => this.#notBefore.get(userId),
      forget: userId => {
        this.#notBefore.delete(userId)
      }
    })
  }

  #ofUser (userId: string): Row[] {
    const ids = this.#idsByUser.get(userId) ?? []

    return Array.from(typeof ids === 'string' ? [ids] : ids, id => this.#rows.get(id)).filter(row =>
      row !== undefined
    )
  }

  #setNotBefore (userId: string, at: Millis): void {
    const before = this.#notBefore.get(userId)

    if (before === undefined) {
      this.#notBeforeEnds.put(userId, at)
    }

    this.#notBefore.set(userId, Math.max(at, before ?? at))
  }

  #forget (id: string): void {
    const userId = this.#rows.get(id)?.userId as string
    this.#rows.delete(id)
    this.#revoked.delete(id)
    const ids = this.#idsByUser.get(userId)

    if (typeof ids === 'object') {
      ids.delete(id)
    }

    if (typeof ids === 'string' || ids?.size === 0) {
      this.#idsByUser.delete(userId)
    }
  }
}

interface Endings {
  endOf(key: string): Millis | undefined
  forget(key: string): void
}

async function sweepEnds (
  ends: Ends,
  endedBefore: Millis,
  limit: number,
  { endOf, forget }: Endings
): Promise<number> {
  let count = 0
  const waiting: Array<readonly [key: string, end: Millis]> = []

  while (count < limit) {
    const keys = ends.take(endedBefore, Math.min(AT_ONCE, limit - count))

    if (keys.length === 0) {
      break
    }

    for (const key of keys) {
      const end = endOf(key)

      if (end === undefined) {
        continue
      }

      if (end < endedBefore) {
        forget(key)
        count++
      } else if (!ends.putBack(key, end, endedBefore)) {
        waiting.push([key, end])
      }
    }

    if (count < limit) {
      await turn()
    }
  }

  for (const [key, end] of waiting) {
    ends.put(key, end)
  }

  return count
}

function compareEntries (a: Revocation, b: Cursor): number {
  return a.at - b.at || compareBytes(a.sessionId, b.sessionId)
}

function compareBytes (a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
