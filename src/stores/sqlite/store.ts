import { setTimeout as sleep } from 'node:timers/promises'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import type { Session } from '../../domain/session.js'
import type { Millis } from '../../lib/time.js'
import { RotationQueue } from '../sql/rotation-queue.js'
import { toSession, toValues } from '../sql/rows.js'
import { addPrefix } from '../sql/table-prefix.js'
import type { SqlStoreOptions } from '../sql/table-prefix.js'
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
import { retryWhileBusy, SqliteConnection, withTablePrefix } from './connection.js'
import type { SqliteDatabase } from './connection.js'
import { SqliteFeed } from './feed.js'
import { sqliteMigrations } from './schema.js'
import { SqliteSetup } from './setup.js'
import { statements } from './statements.js'

/** Number of sessions that one transaction marks as revoked. More would block the event loop. */
const MARK_BATCH = 500

/**
 * Token store for SQLite, with `libsql`, `better-sqlite3` or `node:sqlite`.
 *
 * Requires a connection of its own, because an open transaction of the app would contain the
 * store's writes. Several processes of one machine may share a file. `migrate` disables
 * `busy_timeout`, which would block the whole process. The store waits without blocking instead.
 *
 * @example
 * ```ts
 * import Database from 'libsql'
 * import { SqliteStore } from 'fastify-token-auth/sqlite'
 *
 * const store = new SqliteStore(new Database('sessions.db'))
 * await store.migrate()
 * ```
 */
export class SqliteStore implements TokenStore {
  /**
   * Schema for other migration tools. Item n takes the schema from version n to n + 1.
   *
   * Every statement ends with a semicolon and can be repeated.
   */
  static readonly migrations: readonly string[] = sqliteMigrations

  /** The same as `SqliteStore.migrations`, with the table prefix of this store. */
  readonly migrations: readonly string[]

  readonly #setup: SqliteSetup
  readonly #db: SqliteConnection
  readonly #feed: SqliteFeed
  readonly #rotations: RotationQueue

  /** @throws TypeError if `tablePrefix` is invalid. */
  constructor (db: SqliteDatabase, options: SqlStoreOptions = {}) {
    this.#db = new SqliteConnection(withTablePrefix(db, options))
    this.migrations = addPrefix(sqliteMigrations, options)
    this.#setup = new SqliteSetup(new SqliteConnection(db), options)
    this.#feed = new SqliteFeed(this.#db)
    this.#rotations = new RotationQueue({
      rotateAll: attempts => this.#rotateAll(attempts),
      isDataError
    })
  }

  /**
   * Checks the version of SQLite, the schema, and that the file can be written.
   *
   * Warns if the connection is not as `migrate` configures it.
   *
   * @throws StoreSetupError with what is missing, and the fix.
   */
  check (): Promise<readonly string[]> {
    return this.#setup.check()
  }

  /**
   * Creates the missing tables and indexes, enables write-ahead logging, and disables
   * `busy_timeout`.
   *
   * Call it before the app listens, on the connection of the store. Repeated and concurrent calls
   * are safe. If nothing is missing, it only reads and takes no lock.
   *
   * @throws StoreSetupError if a table of the same name has other columns, or if the database is
   * read-only.
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

  create (session: Session): Promise<void> {
    // No revocation can commit between the check and the insert.
    return this.#db.transaction(() => {
      if (this.#db.all(statements.exists, [session.id]).length > 0) {
        throw new SessionRefusedError(null)
      }

      const before = this.#findLatestNotBefore(session)

      if (before !== null) {
        throw new SessionRefusedError({ before })
      }

      this.#db.run(statements.create, toValues(session))
    })
  }

  rotate (attempt: RotationAttempt, { signal }: RotateOptions = {}): Promise<RotationOutcome> {
    return this.#rotations.rotate(attempt, signal)
  }

  /** Rotations that wait for the database, for metrics and `app.tokenAuth.health()`. */
  get pendingRotations (): number {
    return this.#rotations.pending
  }

  async find (realm: string, sessionId: string): Promise<Session | null> {
    const [row] = await retryWhileBusy(() => this.#db.all(statements.find, [sessionId, realm]))
    return row === undefined ? null : toSession(row)
  }

  async list (
    realm: string,
    userId: string,
    { now, limit }: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]> {
    const rows = await retryWhileBusy(() =>
      this.#db.all(statements.list, [realm, userId, now, realm, limit])
    )
    return rows.map(toSession)
  }

  async revoke (target: RevocationTarget, details: RevocationDetails): Promise<number> {
    if ('sessionId' in target) {
      return this.#db.transaction(() => this.#revokeSession(target, details))
    }

    if ('userId' in target) {
      return this.#revokeUser(target, details)
    }

    await this.#db.transaction(() => {
      this.#revokeRealm(target, details)
    })
    return 0
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    if (batch.length === 0) {
      return
    }

    await this.#db.transaction(() => {
      for (const touch of batch) {
        this.#db.run(statements.touch, [
          touch.realm,
          touch.sessionId,
          touch.generation,
          touch.lastUsedAt,
          touch.confirmedGeneration,
          touch.graceFrom ?? 0,
          touch.replayRun?.generation ?? 0,
          touch.replayRun?.length ?? 0
        ])
      }
    })
  }

  revocations (after: Cursor | FeedWindow, limit: number): Promise<RevocationPage> {
    return retryWhileBusy(() => this.#feed.read(after, limit))
  }

  async sweep (
    { endedBefore, limit }: { readonly endedBefore: Millis, readonly limit: number }
  ): Promise<number> {
    const { sweepSessions, postponeSessions, sweepNotBefores, postponeNotBefores } = statements
    let count = await this.#sweepTable(sweepSessions, postponeSessions, endedBefore, limit)

    // Sessions come first, because they may be the last ones that a not-before ends.
    if (count < limit) {
      count += await this.#sweepTable(
        sweepNotBefores,
        postponeNotBefores,
        endedBefore,
        limit - count
      )
    }

    return count < limit ? count + await this.#feed.sweep(endedBefore, limit - count) : count
  }

  /** Deletes old records, and moves `sweep_after` of those that are still needed. */
  async #sweepTable (
    remove: string,
    postpone: string,
    endedBefore: Millis,
    limit: number
  ): Promise<number> {
    for (let count = 0;;) {
      const [deleted, postponed] = await this.#db.sweepTransaction(() =>
        [
          this.#db.run(remove, [endedBefore, endedBefore, limit - count]),
          this.#db.run(postpone, [endedBefore, endedBefore, limit])
        ] as const
      )
      count += deleted

      if (count === limit || deleted + postponed === 0) {
        return count
      }

      await sleep(0)
    }
  }

  // One transaction waits for the disk once. No other process writes before it ends, so the rows
  // that are read after the last update are current.
  #rotateAll (attempts: readonly RotationAttempt[]): Promise<RotationOutcome[]> {
    return this.#db.transaction(() => {
      const swapped = attempts.map(attempt => this.#rotate(attempt))
      const rows = this.#db.all(statements.findAll, [
        JSON.stringify(attempts.map(({ sessionId }) => sessionId))
      ])
      const sessions = new Map(rows.map(row => [row.id, toSession(row)]))

      return attempts.map(({ realm, sessionId }, i) => {
        const session = sessions.get(sessionId)

        return {
          swapped: swapped[i] === true,
          session: session?.realm === realm ? session : null
        }
      })
    })
  }

  #rotate (attempt: RotationAttempt): boolean {
    const { realm, sessionId, secretHash, from, to, heals, now, expiresAt, by } = attempt

    return this.#db.run(statements.rotate, [
      to,
      heals ? to : 0,
      now,
      by.address,
      by.userAgent,
      now,
      now,
      expiresAt,
      sessionId,
      realm,
      secretHash,
      from,
      heals ? 1 : 0,
      now,
      attempt.graceBefore,
      attempt.graceAfter
    ]) > 0
  }

  #revokeSession (
    { realm, sessionId, secretHash }: SessionTarget,
    { at, reason }: RevocationDetails
  ): number {
    const values = [at, reason, sessionId, realm, secretHash ?? null]
    const [row] = this.#db.all(statements.revokeSession, values)

    if (row === undefined) {
      return 0
    }

    this.#feed.add({ realm, at, reason, sessionId, userId: row.user_id as string })
    return 1
  }

  async #revokeUser (target: UserTarget, details: RevocationDetails): Promise<number> {
    // The first sessions in the same transaction, because each transaction waits for the disk.
    let [before, count] = await this.#db.transaction(() => {
      const before = this.#addUserNotBefore(target, details)
      return [before, this.#markSessions(target, before)] as const
    })

    for (let marked = count; marked === MARK_BATCH; count += marked) {
      await sleep(0)
      marked = await this.#db.transaction(() => this.#markSessions(target, before))
    }

    return count
  }

  /** Records a not-before with its entry, and returns its `before`. */
  #addUserNotBefore (
    { realm, userId, keep }: UserTarget,
    { at, reason }: RevocationDetails
  ): Millis {
    const [row] = this.#db.all(statements.findLatestCreation, [realm, userId])
    const before = Math.max(at, Number(row?.created_at ?? at))
    const values = [realm, userId, before, keep ?? '', at, reason, before]
    this.#db.run(statements.addUserNotBefore, values)
    const kept = keep === undefined ? {} : { keep }
    this.#feed.add({ realm, at, reason, userId, before, ...kept })
    return before
  }

  #markSessions ({ realm, userId, keep }: UserTarget, before: Millis): number {
    const values = [realm, userId, before, keep ?? '', MARK_BATCH]
    return this.#db.run(statements.markSessions, values)
  }

  #revokeRealm ({ realm }: RealmTarget, { at, reason }: RevocationDetails): void {
    if (this.#db.run(statements.setRealmNotBefore, [realm, at, at, reason]) > 0) {
      this.#feed.add({ realm, at, reason, before: at })
    }
  }

  #findLatestNotBefore ({ id, realm, userId, authenticatedAt }: Session): Millis | null {
    const values = [realm, userId, authenticatedAt, id, realm, authenticatedAt]
    const before = this.#db.all(statements.findLatestNotBefore, values)[0]?.not_before ?? null
    return before === null ? null : Number(before)
  }
}

// The driver cannot bind a value, or the value is too big.
function isDataError (error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError ||
    (error as { code?: unknown }).code === 'SQLITE_TOOBIG'
}
