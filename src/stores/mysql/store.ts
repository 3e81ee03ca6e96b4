import { applyRotation, canRotate } from '../../domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import type { RevocationReason, Session } from '../../domain/session.js'
import { SessionRefusedError } from '../token-store.js'
import type { Cursor, Revocation, RevocationTarget, TokenStore, Touch } from '../token-store.js'
import {
  getAffectedRows,
  inTransaction,
  isDataError,
  isDuplicate,
  retryOnDeadlock
} from './connection.js'
import type { MysqlConnection, MysqlPool, MysqlValue } from './connection.js'
import { migrate, mysqlMigrations } from './schema.js'
import { statements, toBatch, toHex } from './statements.js'
import { RotationQueue } from '../sql/rotation-queue.js'
import { toSession, toValues } from '../sql/rows.js'
import type { Row } from '../sql/rows.js'
import type { Millis } from '../../lib/time.js'

const MAX_ID_LENGTH = 255
const MAX_BATCH_SIZE = 500
// A transaction takes five round trips and one flush to disk. Separate rotations take two and one
// each, in parallel. Both are equally fast at about 12, and a transaction is 3 to 6 times as fast
// at 64.
const MIN_TRANSACTION_SIZE = 12

/**
 * Token store for MariaDB 10.6, MySQL 8 or later, at any isolation level.
 *
 * Requires a pool of `mysql2/promise` with a default database, `autocommit` and utf8mb4 (the last
 * two are defaults). With `autocommit`, each read sees all earlier commits. Any number of instances
 * may share a database. A binary log needs the format ROW or MIXED, because sweeps and concurrent
 * rotations run at READ COMMITTED.
 *
 * All connections must reach the one server that accepts writes. Behind a proxy that reads from
 * replicas, or on a cluster with several writers, a login may outlive the revocation of its user.
 * `rotate` may then also return an earlier state of the session.
 *
 * A statement waits up to 50 s for a lock (`innodb_lock_wait_timeout`), and once more after that.
 * Requests get 503 after `storeTimeout`, but the connection stays in use until the wait ends.
 *
 * All times come from the app, so the clock and the time zone of the server have no effect.
 *
 * IDs of more than 255 bytes, or with a lone surrogate, are rejected with a `RangeError`. Sessions
 * have no foreign key to your table of users. If you delete a user, call `revokeUser`. A later
 * sweep deletes the sessions.
 *
 * @example
 * ```ts
 * import { MysqlStore } from 'fastify-token-auth/mysql'
 *
 * const store = new MysqlStore(createPool(process.env.DATABASE_URL))
 * await store.migrate()
 * ```
 */
export class MysqlStore implements TokenStore {
  /** Schema for other migration tools. Item n takes the schema from version n to n + 1. */
  static readonly migrations: readonly string[] = mysqlMigrations

  readonly #pool: MysqlPool
  readonly #rotations: RotationQueue

  constructor (pool: MysqlPool) {
    this.#pool = pool
    this.#rotations = new RotationQueue({
      rotateAll: attempts =>
        attempts.length === 1
          ? Promise.all(attempts.map(attempt => this.#rotateOne(attempt)))
          : this.#rotateTogether(attempts),
      isDataError,
      minBatchSize: MIN_TRANSACTION_SIZE
    })
  }

  /**
   * Creates or updates the tables in the database of the pool.
   *
   * Call it before the app listens. Repeated and concurrent calls are safe.
   *
   * @throws Error if another instance has not finished its migration after a minute.
   */
  async migrate (): Promise<void> {
    const connection = await this.#pool.getConnection()

    try {
      await migrate(connection)
      connection.release()
    } catch (error) {
      // Closing the connection releases the lock.
      connection.destroy()
      throw error
    }
  }

  async create (session: Session): Promise<void> {
    const [, , , ...rest] = toValues(session)
    const userId = toStoredBytes(session.userId)
    const values = [toStoredBytes(session.id), userId, toStoredBytes(session.secretHash), ...rest]
    // `revoke` of a user commits its not-before, and then revokes the sessions. This transaction
    // inserts, and then looks for a not-before. So either it sees the not-before, or `revoke` waits
    // for the uncommitted row and revokes it. Neither holds a lock that the other one waits for.
    await inTransaction(this.#pool, async connection => {
      await connection.execute(statements.create, values).catch((error: unknown) => {
        throw isDuplicate(error) ? new SessionRefusedError('id-taken') : error
      })
      const [notBefores] = await connection.execute(statements.notBefore, [
        userId,
        session.authenticatedAt
      ])

      if ((notBefores as Row[]).length > 0) {
        throw new SessionRefusedError('revoked-since')
      }
    })
  }

  rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
    return this.#rotations.rotate(attempt)
  }

  async find (sessionId: string): Promise<Session | null> {
    const [row] = await this.#read('find', [Buffer.from(sessionId)])
    return row === undefined ? null : decode(row)
  }

  async list (
    userId: string,
    { now, limit }: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]> {
    const rows = await this.#read('list', [Buffer.from(userId), now, String(limit)])
    return rows.map(decode)
  }

  async revoke (
    target: RevocationTarget,
    { at, reason }: { readonly at: Millis, readonly reason: RevocationReason }
  ): Promise<number> {
    if ('sessionId' in target) {
      return this.#write('revokeOne', [at, reason, Buffer.from(target.sessionId)])
    }

    const userId = toStoredBytes(target.userId)
    await this.#write('setNotBefore', [userId, at, at])

    return this.#write('revokeUser', [
      at,
      reason,
      userId,
      target.keep === undefined ? null : Buffer.from(target.keep)
    ])
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    const rows = merge(batch)

    for (let start = 0; start < rows.length; start += MAX_BATCH_SIZE) {
      await this.#write('touch', [toBatch(rows.slice(start, start + MAX_BATCH_SIZE))])
    }
  }

  async revocations ({ at, sessionId }: Cursor, limit: number): Promise<Revocation[]> {
    const rows = await this.#read('revocations', [at, Buffer.from(sessionId), at, String(limit)])
    return rows.map(row => ({ at: Number(row.revoked_at), sessionId: toText(row.id) }))
  }

  async sweep (
    { endedBefore, limit }: { readonly endedBefore: Millis, readonly limit: number }
  ): Promise<number> {
    let count = 0

    while (count < limit) {
      const { taken, deleted } = await this.#sweepSessions(endedBefore, limit, limit - count)
      count += deleted

      if (taken < limit) {
        break
      }
    }

    return count === limit ? count : count + await this.#sweepUsers(endedBefore, limit - count)
  }

  // Does not rely on the number of changed rows, which depends on the driver flag FOUND_ROWS: a row
  // that matched had the old generation, and has the new one.
  async #rotateOne ({
    sessionId,
    secretHash,
    generation,
    now,
    expiresAt,
    rotatedBefore,
    rotatedAfter,
    by
  }: RotationAttempt): Promise<RotationOutcome> {
    const matched = await this.#write('rotate', [
      now,
      by.address,
      by.userAgent,
      now,
      expiresAt,
      Buffer.from(sessionId),
      Buffer.from(secretHash),
      generation,
      now,
      rotatedBefore,
      rotatedAfter
    ])
    return { swapped: matched > 0, session: await this.find(sessionId) }
  }

  // An UPDATE of several rows does not tell which ones it changed. So the rows are locked in the
  // order of their IDs and compared here. READ COMMITTED locks no gaps that would block logins.
  #rotateTogether (attempts: readonly RotationAttempt[]): Promise<RotationOutcome[]> {
    return inTransaction(this.#pool, async connection => {
      const [rows] = await connection.execute(statements.takeForRotation, [
        toBatch(attempts.map(({ sessionId }) => [sessionId]))
      ])
      const sessions = new Map((rows as Row[]).map(decode).map(session => [session.id, session]))
      const outcomes = attempts.map(attempt => {
        const session = sessions.get(attempt.sessionId) ?? null

        return session !== null && canRotate(session, attempt)
          ? { swapped: true, session: applyRotation(session, attempt) }
          : { swapped: false, session }
      })
      const swapped = outcomes.flatMap(({ swapped, session }) =>
        swapped && session !== null ? [session] : []
      )

      if (swapped.length > 0) {
        await connection.execute(statements.rotateTaken, [
          toBatch(swapped.map(({ rotatedBy: { address, userAgent }, ...row }) => [
            row.id,
            row.generation,
            row.rotatedAt,
            address && toHex(address),
            userAgent && toHex(userAgent),
            row.lastUsedAt,
            row.expiresAt
          ]))
        ])
      }

      return outcomes
    }, 'READ COMMITTED')
  }

  async #sweepSessions (
    endedBefore: Millis,
    limit: number,
    room: number
  ): Promise<{ taken: number, deleted: number }> {
    return this.#sweepInTransaction(async connection => {
      const [rows] = await connection.execute(statements.takeSessions, [
        endedBefore,
        String(limit)
      ]) as [Row[], unknown]
      const ended = rows.filter(row => Number(row.expires_at) < endedBefore).slice(0, room)
      const living = rows.filter(row => Number(row.expires_at) >= endedBefore)
      await connection.execute(statements.postponeSweep, [toBatch(living.map(row => [row.id]))])
      const [result] = await connection.execute(statements.deleteSessions, [
        toBatch(ended.map(row => [row.id]))
      ])
      return { taken: rows.length, deleted: getAffectedRows(result) }
    })
  }

  async #sweepUsers (endedBefore: Millis, limit: number): Promise<number> {
    return this.#sweepInTransaction(async connection => {
      const [rows] = await connection.execute(statements.takeUsers, [
        endedBefore,
        String(limit)
      ]) as [Row[], unknown]
      const [result] = await connection.execute(statements.deleteUsers, [
        toBatch(rows.map(row => [row.user_id]))
      ])
      return getAffectedRows(result)
    })
  }

  // Skips locked rows. READ COMMITTED locks no gaps that would block logins.
  #sweepInTransaction<T> (work: (connection: MysqlConnection) => Promise<T>): Promise<T> {
    return inTransaction(this.#pool, work, 'READ COMMITTED')
  }

  async #read (name: keyof typeof statements, values: MysqlValue[]): Promise<Row[]> {
    const [rows] = await this.#pool.execute(statements[name], values)
    return rows as Row[]
  }

  async #write (name: keyof typeof statements, values: MysqlValue[]): Promise<number> {
    const [result] = await retryOnDeadlock(() => this.#pool.execute(statements[name], values))
    return getAffectedRows(result)
  }
}

// Without strict mode, a server truncates long values, and different IDs would become the same.
function toStoredBytes (id: string): Buffer {
  const bytes = Buffer.from(id)

  if (bytes.length <= MAX_ID_LENGTH && id.isWellFormed()) {
    return bytes
  }

  throw new RangeError(`IDs must be well-formed strings of at most ${MAX_ID_LENGTH} bytes`)
}

function decode (row: Row): Session {
  return toSession({
    ...row,
    id: toText(row.id),
    user_id: toText(row.user_id),
    secret_hash: toText(row.secret_hash)
  })
}

function toText (bytes: unknown): string {
  return (bytes as Buffer).toString()
}

// A batch may contain an ID twice. The rows of a statement must not.
function merge (
  batch: readonly Touch[]
): Array<readonly [id: string, lastUsedAt: Millis, confirmedGeneration: number]> {
  const rows = new Map<string, readonly [string, Millis, number]>()

  for (const { sessionId, lastUsedAt, confirmedGeneration } of batch) {
    const [, used, confirmed] = rows.get(sessionId) ?? [sessionId, lastUsedAt, confirmedGeneration]
    rows.set(sessionId, [
      sessionId,
      Math.max(used, lastUsedAt),
      Math.max(confirmed, confirmedGeneration)
    ])
  }

  return [...rows.values()]
}
