import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import type { Session } from '../../domain/session.js'
import { SessionRefusedError } from '../token-store.js'
import type {
  Cursor,
  FeedWindow,
  RealmTarget,
  RevocationDetails,
  RevocationPage,
  RevocationTarget,
  RotateOptions,
  SessionTarget,
  TokenStore,
  Touch,
  UserTarget
} from '../token-store.js'
import {
  getAffectedRows,
  inTransaction,
  isDataError,
  isDuplicate,
  read,
  withTablePrefix,
  write
} from './connection.js'
import type { MysqlPool } from './connection.js'
import { addEntry, readFeed } from './feed.js'
import { findSession, rotateOne, rotateTogether } from './rotations.js'
import { decodeSession, decodeText, toStoredBytes } from './rows.js'
import { mysqlMigrations } from './schema.js'
import { MysqlSetup } from './setup.js'
import { statements } from './statements.js'
import { sweepTokens } from './sweep.js'
import { saveTouches } from './touches.js'
import { RotationQueue } from '../sql/rotation-queue.js'
import { toValues } from '../sql/rows.js'
import { addPrefix } from '../sql/table-prefix.js'
import type { SqlStoreOptions } from '../sql/table-prefix.js'
import { withTimeouts } from './timeouts.js'
import type { Millis } from '../../lib/time.js'

// Bounds how long a statement holds its locks.
const MARK_BATCH_SIZE = 500
// A transaction takes five round trips and one flush to disk. Separate rotations take two and one
// each, in parallel. Both are equally fast at about 12, and a transaction is 3 to 6 times as fast
// at 64.
const MIN_TRANSACTION_SIZE = 12

/**
 * Token store for MariaDB 10.6 or later, and for MySQL 8 or later, at any isolation level.
 *
 * Requires a pool of `mysql2/promise` with a default database, `autocommit` and utf8mb4. The last
 * two are defaults. Any number of instances may share a database. A binary log needs the format
 * ROW or MIXED. Servers with `sql_safe_updates` work.
 *
 * All connections must reach the one server that accepts writes. Behind a proxy that reads from
 * replicas, or on a cluster with several writers, a revocation may be missed.
 *
 * IDs and realms of more than 255 bytes are rejected with a `RangeError`. Sessions have no foreign
 * key to your table of users. If you delete a user, call `revokeUser`.
 *
 * @example
 * ```ts
 * import { createPool } from 'mysql2/promise'
 * import { MysqlStore } from 'fastify-token-auth/mysql'
 *
 * const store = new MysqlStore(createPool(process.env.DATABASE_URL))
 * await store.migrate()
 * ```
 */
export class MysqlStore implements TokenStore {
  /**
   * Schema for other migration tools. Item n takes the schema from version n to n + 1.
   *
   * Every statement ends with a semicolon and can be repeated.
   */
  static readonly migrations: readonly string[] = mysqlMigrations

  /** The same as `MysqlStore.migrations`, with the table prefix of this store. */
  readonly migrations: readonly string[]

  readonly #pool: MysqlPool
  readonly #setup: MysqlSetup
  readonly #rotations: RotationQueue

  /** @throws TypeError if `tablePrefix` is invalid. */
  constructor (db: MysqlPool, options: SqlStoreOptions = {}) {
    this.#pool = withTablePrefix(withTimeouts(db), options)
    this.migrations = addPrefix(mysqlMigrations, options)
    this.#setup = new MysqlSetup(db, options)
    this.#rotations = new RotationQueue({
      rotateAll: attempts =>
        attempts.length === 1
          ? Promise.all(attempts.map(attempt => rotateOne(this.#pool, attempt)))
          : rotateTogether(this.#pool, attempts),
      isDataError,
      minBatchSize: MIN_TRANSACTION_SIZE
    })
  }

  /**
   * Checks the version and the settings of the server, and the schema.
   *
   * Warns of settings with which data may be lost.
   *
   * @throws StoreSetupError with what is missing, and the fix.
   */
  check (): Promise<readonly string[]> {
    return this.#setup.check()
  }

  /**
   * Creates the missing tables and indexes in the database of the pool.
   *
   * Call it before the app listens. Repeated and concurrent calls are safe. If nothing is missing,
   * it only reads, takes no lock, and works for a user who may not create tables.
   *
   * @throws StoreSetupError if a table of the same name has other columns, if the user lacks a
   * right, or if another instance has not finished its migration after a minute.
   */
  migrate (): Promise<void> {
    return this.#setup.migrate()
  }

  /**
   * Records the current schema as migrated, if another tool has created the tables.
   *
   * Call it only if the tool did not execute `migrations`, which record their versions.
   *
   * @throws StoreSetupError if a table or an index is missing or differs.
   */
  baseline (): Promise<void> {
    return this.#setup.baseline()
  }

  async create (session: Session): Promise<void> {
    const [, , , , ...rest] = toValues(session)
    const [id, realm, userId, secretHash] = [
      session.id,
      session.realm,
      session.userId,
      session.secretHash
    ].map(toStoredBytes) as [Buffer, Buffer, Buffer, Buffer]
    // `revoke` of a user commits its not-before, and then marks the sessions. This transaction
    // inserts, and then looks for a not-before. So either it sees the not-before, or `revoke` waits
    // for the uncommitted row and marks it. Neither holds a lock that the other one waits for.
    await inTransaction(this.#pool, async connection => {
      try {
        await connection.execute(statements.create, [id, realm, userId, secretHash, ...rest])
      } catch (error) {
        throw isDuplicate(error) ? new SessionRefusedError(null) : error
      }

      const [row] = await read(connection, statements.findLatestNotBefore, [
        realm,
        userId,
        session.authenticatedAt,
        id,
        realm,
        session.authenticatedAt
      ])

      if (row?.not_before != null) {
        throw new SessionRefusedError({ before: Number(row.not_before) })
      }
    })
  }

  rotate (attempt: RotationAttempt, { signal }: RotateOptions = {}): Promise<RotationOutcome> {
    return this.#rotations.rotate(attempt, signal)
  }

  /** Rotations that wait for the database, for metrics and `app.tokenAuth.health()`. */
  get pendingRotations (): number {
    return this.#rotations.pending
  }

  find (realm: string, sessionId: string): Promise<Session | null> {
    return findSession(this.#pool, realm, sessionId)
  }

  async list (
    realm: string,
    userId: string,
    { now, limit }: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]> {
    const [key, user] = [Buffer.from(realm), Buffer.from(userId)]
    const values = [key, user, now, key, key, String(limit)]
    return (await read(this.#pool, statements.list, values)).map(decodeSession)
  }

  revoke (target: RevocationTarget, details: RevocationDetails): Promise<number> {
    if ('sessionId' in target) {
      return this.#revokeSession(target, details)
    }

    return 'userId' in target
      ? this.#revokeUser(target, details)
      : this.#revokeRealm(target, details)
  }

  touch (batch: readonly Touch[]): Promise<void> {
    return saveTouches(this.#pool, batch)
  }

  revocations (after: Cursor | FeedWindow, limit: number): Promise<RevocationPage> {
    return readFeed(this.#pool, after, limit)
  }

  sweep (
    { endedBefore, limit }: { readonly endedBefore: Millis, readonly limit: number }
  ): Promise<number> {
    return sweepTokens(this.#pool, endedBefore, limit)
  }

  async #revokeSession (
    { realm, sessionId, secretHash }: SessionTarget,
    { at, reason }: RevocationDetails
  ): Promise<number> {
    const session = await findSession(this.#pool, realm, sessionId)

    if (
      session === null || session.revokedAt !== null ||
      (secretHash !== undefined && secretHash !== session.secretHash)
    ) {
      return 0
    }

    const { userId } = session

    return inTransaction(this.#pool, async connection => {
      const [result] = await connection.execute(statements.revokeOne, [
        at,
        reason,
        Buffer.from(sessionId)
      ])

      if (getAffectedRows(result) === 0) {
        return 0
      }

      await addEntry(connection, { realm, at, reason, sessionId, userId })
      return 1
    })
  }

  async #revokeUser (
    { realm, userId, keep }: UserTarget,
    { at, reason }: RevocationDetails
  ): Promise<number> {
    const user = [toStoredBytes(realm), toStoredBytes(userId)] as const
    const kept = toStoredBytes(keep ?? '')
    // READ COMMITTED does not wait for sessions that others are changing.
    const before = await inTransaction(this.#pool, async connection => {
      const [result] = await connection.execute(statements.setUserNotBefore, [
        ...user,
        kept,
        at,
        reason,
        String(at),
        ...user,
        user[0],
        at,
        reason,
        at
      ])
      const before = Number((result as { insertId: unknown }).insertId)
      const kind = keep === undefined ? {} : { keep }
      await addEntry(connection, { realm, at, reason, userId, before, ...kind })
      return before
    }, 'READ COMMITTED')

    const count = await this.#markUser(user, [...user, before, kept, user[0]])
    await this.#tellOfLateLogins(user, kept, before, { at, reason })
    return count
  }

  // Logins that were not committed when `before` was read. Their rows are marked now, but their
  // access tokens name a creation after `before`. So each one gets an entry of its own.
  async #tellOfLateLogins (
    user: readonly [realm: Buffer, userId: Buffer],
    kept: Buffer,
    before: number,
    { at, reason }: RevocationDetails
  ): Promise<void> {
    const rows = await read(this.#pool, statements.findLate, [...user, before, before, kept])
    const [realm, userId] = user.map(decodeText) as [string, string]

    for (const { id } of rows) {
      await addEntry(this.#pool, { realm, at, reason, sessionId: decodeText(id), userId })
    }
  }

  async #markUser (
    user: readonly [realm: Buffer, userId: Buffer],
    values: Array<Buffer | number>
  ): Promise<number> {
    const batch = String(MARK_BATCH_SIZE)
    let count = await write(this.#pool, statements.markUser, [...values, batch])

    if (count < MARK_BATCH_SIZE) {
      return count
    }

    // Ranges, because each of many batches would read the rows of all earlier ones again.
    let start: Buffer = Buffer.alloc(0)
    let end = await this.#findRangeEnd(user, start)

    while (end !== null) {
      count += await write(this.#pool, statements.markUserRange, [...values, start, end])
      start = end
      end = await this.#findRangeEnd(user, start)
    }

    // The rest, and logins that were not committed before.
    for (let marked = MARK_BATCH_SIZE; marked === MARK_BATCH_SIZE; count += marked) {
      marked = await write(this.#pool, statements.markUser, [...values, batch])
    }

    return count
  }

  async #findRangeEnd (
    user: readonly [realm: Buffer, userId: Buffer],
    start: Buffer
  ): Promise<Buffer | null> {
    const offset = String(MARK_BATCH_SIZE - 1)
    const [row] = await read(this.#pool, statements.findUserRange, [...user, start, offset])
    return row === undefined ? null : row.id as Buffer
  }

  #revokeRealm ({ realm }: RealmTarget, { at, reason }: RevocationDetails): Promise<number> {
    const key = toStoredBytes(realm)

    return inTransaction(this.#pool, async connection => {
      await connection.execute(statements.addRealm, [key, at - 1, at, reason])
      const [result] = await connection.execute(statements.setRealmNotBefore, [
        at,
        at,
        reason,
        key,
        at
      ])

      if (getAffectedRows(result) > 0) {
        await addEntry(connection, { realm, at, reason, before: at })
      }

      return 0
    })
  }
}
