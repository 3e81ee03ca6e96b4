// Sessions in MariaDB or MySQL, by a pool of mysql2. What one statement can do is one statement in autocommit, so that each
// read sees what was committed before it.

import { applyRotation, canRotate } from '../../domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import type { RevocationReason, Session } from '../../domain/session.js'
import { SessionRefusedError } from '../token-store.js'
import type { Cursor, Revocation, RevocationTarget, TokenStore, Touch } from '../token-store.js'
import {
  affectedBy,
  inTransaction,
  isDataError,
  isDuplicate,
  retryOnDeadlock
} from './connection.js'
import type { MysqlConnection, MysqlPool, MysqlValue } from './connection.js'
import { mysqlMigrations } from './schema.js'
import { statements, toBatch, toHex } from './statements.js'
import { RotationQueue } from '../sql/rotation-queue.js'
import { toSession, toValues } from '../sql/rows.js'
import type { Row } from '../sql/rows.js'
import type { Millis } from '../../lib/time.js'

const LONGEST_ID = 255
const LONGEST_BATCH = 500
// Together they take five round trips and one flush to disk, each on its own two and one, side by side on the pool's
// connections: as many a second at about 12, and three to six times as many at 64.
const WORTH_A_TRANSACTION = 12
// Locks are the server's, not the database's, and their names have at most 64 characters.
const MIGRATION_LOCK = 'CONCAT(\'token_auth:\', LEFT(SHA2(DATABASE(), 256), 40))'
const MIGRATION_WAIT_SECONDS = 60

/**
 * Keeps sessions in MariaDB 10.6, MySQL 8 or later, at any isolation level. Any number of instances may share one database.
 *
 * Give it a pool with a default database, `autocommit` on, and utf8mb4 as the character set (both are defaults). All
 * connections must reach the one server that is written to: behind a proxy that reads from replicas, or on a cluster with
 * several writers, a login may outlive a revocation of its user, and `rotate` may show a row from before. The sweep needs a
 * binary log in the format ROW or MIXED, where there is one.
 *
 * Sessions have no foreign key to your table of users: their ids are bytes here. Ids of more than 255 bytes, or with a lone
 * surrogate, are rejected with a RangeError. Delete a user by `revokeUser`, and the sweep does the rest.
 */
export class MysqlStore implements TokenStore {
  /** The schema, for people with their own migrations: the n-th text takes version n to n + 1. */
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
      worthwhile: WORTH_A_TRANSACTION
    })
  }

  /**
   * Creates or updates the tables in the pool's database. Harmless to repeat, also by several instances at once; rejects when
   * another one has not finished within a minute. Call it once before the app listens.
   */
  async migrate (): Promise<void> {
    const connection = await this.#pool.getConnection()

    try {
      await migrateOn(connection)
      connection.release()
    } catch (error) {
      // Closing it gives the lock back, whatever has happened.
      connection.destroy()
      throw error
    }
  }

  async create (session: Session): Promise<void> {
    const [, , , ...rest] = toValues(session)
    const userId = toStoredBytes(session.userId)
    const values = [toStoredBytes(session.id), userId, toStoredBytes(session.secretHash), ...rest]
    // A revocation of all of a user commits its not-before, and only then goes through the sessions. This inserts, and only
    // then looks for a not-before. So either this sees the not-before, or the revocation comes upon the row that is not yet
    // committed, waits for it, and ends it. Neither holds a lock that the other needs while it waits.
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

    for (let start = 0; start < rows.length; start += LONGEST_BATCH) {
      await this.#write('touch', [toBatch(rows.slice(start, start + LONGEST_BATCH))])
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

  // The winner needs no count of changed rows, which drivers give or not (the flag FOUND_ROWS): a row that matched held the
  // old generation, and holds the new one.
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

  // An UPDATE of several rows does not say which it was that it changed. So the rows are locked, in the order of their ids, and
  // compared here. At READ COMMITTED no gap is locked in which a login might insert.
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
    return this.#sweeping(async connection => {
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
      return { taken: rows.length, deleted: affectedBy(result) }
    })
  }

  async #sweepUsers (endedBefore: Millis, limit: number): Promise<number> {
    return this.#sweeping(async connection => {
      const [rows] = await connection.execute(statements.takeUsers, [
        endedBefore,
        String(limit)
      ]) as [Row[], unknown]
      const [result] = await connection.execute(statements.deleteUsers, [
        toBatch(rows.map(row => [row.user_id]))
      ])
      return affectedBy(result)
    })
  }

  // What others hold is skipped, and at READ COMMITTED no gap is locked in which a login might insert.
  #sweeping<T> (work: (connection: MysqlConnection) => Promise<T>): Promise<T> {
    return inTransaction(this.#pool, work, 'READ COMMITTED')
  }

  async #read (name: keyof typeof statements, values: MysqlValue[]): Promise<Row[]> {
    const [rows] = await this.#pool.execute(statements[name], values)
    return rows as Row[]
  }

  async #write (name: keyof typeof statements, values: MysqlValue[]): Promise<number> {
    const [result] = await retryOnDeadlock(() => this.#pool.execute(statements[name], values))
    return affectedBy(result)
  }
}

async function migrateOn (connection: MysqlConnection): Promise<void> {
  const [[lock]] = await connection.query(
    `SELECT GET_LOCK(${MIGRATION_LOCK}, ${MIGRATION_WAIT_SECONDS}) AS held`
  ) as [Row[], unknown]

  if (Number(lock?.held) !== 1) {
    throw new Error('Another instance has been migrating the tables of MysqlStore for too long.')
  }

  await connection.query(
    'CREATE TABLE IF NOT EXISTS token_auth_migrations (version INT NOT NULL PRIMARY KEY) ENGINE = InnoDB'
  )
  const [[latest]] = await connection.query(
    'SELECT MAX(version) AS version FROM token_auth_migrations'
  ) as [Row[], unknown]

  for (let version = Number(latest?.version ?? 0); version < mysqlMigrations.length; version++) {
    const steps = (mysqlMigrations[version] as string).split(';').filter(step => step.trim() !== '')

    for (const step of steps) {
      await connection.query(step)
    }

    await connection.query(`INSERT INTO token_auth_migrations (version) VALUES (${version + 1})`)
  }

  await connection.query(`SELECT RELEASE_LOCK(${MIGRATION_LOCK})`)
}

// A server that is not strict cuts off what is too long, and UTF-8 has no lone surrogates: different ids would become the same.
function toStoredBytes (id: string): Buffer {
  const bytes = Buffer.from(id)

  if (bytes.length <= LONGEST_ID && id.isWellFormed()) {
    return bytes
  }

  throw new RangeError(`MysqlStore takes well-formed ids of at most ${LONGEST_ID} bytes.`)
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

// An id may come twice; rows of a statement cannot.
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
