import { setTimeout as sleep } from 'node:timers/promises'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import type { RevocationReason, Session } from '../../domain/session.js'
import { SessionRefusedError } from '../token-store.js'
import type { Cursor, Revocation, RevocationTarget, TokenStore, Touch } from '../token-store.js'
import { RotationQueue } from '../sql/rotation-queue.js'
import { toSession, toValues } from '../sql/rows.js'
import { sqliteMigrations } from './schema.js'
import { retryWhileBusy, SqliteConnection } from './connection.js'
import type { SqliteDatabase } from './connection.js'
import { statements } from './statements.js'
import type { Millis } from '../../lib/time.js'

/**
 * Token store for SQLite, with `libsql`, `better-sqlite3` or `node:sqlite`.
 *
 * Requires a connection of its own, because an open transaction of the app would contain the
 * store's writes. Several processes may share a file. `migrate` disables `busy_timeout`, which
 * would block the whole process. The store waits without blocking instead.
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
  /** Schema for other migration tools. Item n takes the schema from version n to n + 1. */
  static readonly migrations: readonly string[] = sqliteMigrations

  readonly #db: SqliteConnection
  readonly #rotations: RotationQueue

  constructor (db: SqliteDatabase) {
    this.#db = new SqliteConnection(db)
    this.#rotations = new RotationQueue({
      rotateAll: attempts => this.#rotateAll(attempts),
      isDataError
    })
  }

  /**
   * Creates or updates the tables, enables write-ahead logging, and disables `busy_timeout`.
   *
   * Call it before the app listens. Repeated and concurrent calls are safe.
   */
  async migrate (): Promise<void> {
    this.#db.exec('PRAGMA busy_timeout = 0')
    await retryWhileBusy(() => {
      this.#db.exec('PRAGMA journal_mode = WAL')
    })
    await this.#db.transaction(() => {
      this.#db.exec(
        'CREATE TABLE IF NOT EXISTS token_auth_migrations (version INTEGER NOT NULL PRIMARY KEY)'
      )
      const [latest] = this.#db.all('SELECT max(version) AS version FROM token_auth_migrations')

      for (
        let version = Number(latest?.version ?? 0);
        version < sqliteMigrations.length;
        version++
      ) {
        this.#db.exec(sqliteMigrations[version] as string)
        this.#db.run('INSERT INTO token_auth_migrations (version) VALUES (?)', [version + 1])
      }
    })
  }

  async create (session: Session): Promise<void> {
    const values = [...toValues(session), session.userId, session.authenticatedAt]

    if (await this.#db.write(statements.create, values) > 0) {
      return
    }

    throw new SessionRefusedError(
      await this.find(session.id) === null ? 'revoked-since' : 'id-taken'
    )
  }

  rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
    return this.#rotations.rotate(attempt)
  }

  find (sessionId: string): Promise<Session | null> {
    return retryWhileBusy(() => this.#find(sessionId))
  }

  async list (
    userId: string,
    { now, limit }: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]> {
    const rows = await retryWhileBusy(() => this.#db.all(statements.list, [userId, now, limit]))
    return rows.map(toSession)
  }

  async revoke (
    target: RevocationTarget,
    { at, reason }: { readonly at: Millis, readonly reason: RevocationReason }
  ): Promise<number> {
    if ('sessionId' in target) {
      return this.#db.write(statements.revokeOne, [at, reason, target.sessionId])
    }

    return this.#db.transaction(() => {
      this.#db.run(statements.setNotBefore, [target.userId, at])
      return this.#db.run(statements.revokeUser, [at, reason, target.userId, target.keep ?? null])
    })
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    await this.#db.transaction(() => {
      for (const { lastUsedAt, confirmedGeneration, sessionId } of batch) {
        this.#db.run(statements.touch, [lastUsedAt, confirmedGeneration, sessionId])
      }
    })
  }

  async revocations (after: Cursor, limit: number): Promise<Revocation[]> {
    const rows = await retryWhileBusy(() =>
      this.#db.all(statements.revocations, [after.at, after.sessionId, limit])
    )
    return rows.map(row => ({ at: Number(row.revoked_at), sessionId: row.id as string }))
  }

  async sweep (
    { endedBefore, limit }: { readonly endedBefore: Millis, readonly limit: number }
  ): Promise<number> {
    let count = 0

    for (;;) {
      const room = limit - count
      const [deleted, postponed] = await this.#db.sweepTransaction(() =>
        [
          this.#db.run(statements.sweepSessions, [endedBefore, endedBefore, room]),
          this.#db.run(statements.postponeSweep, [endedBefore, endedBefore, limit])
        ] as const
      )
      count += deleted

      if (count === limit) {
        return count
      }

      if (deleted + postponed === 0) {
        break
      }

      await sleep(0)
    }

    return count + await this.#db.sweepWrite(statements.sweepUsers, [endedBefore, limit - count])
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

      return attempts.map(({ sessionId }, i) => ({
        swapped: swapped[i] === true,
        session: sessions.get(sessionId) ?? null
      }))
    })
  }

  #rotate (
    { sessionId, secretHash, generation, now, expiresAt, rotatedBefore, rotatedAfter, by }:
      RotationAttempt
  ): boolean {
    return this.#db.run(statements.rotate, [
      now,
      by.address,
      by.userAgent,
      now,
      expiresAt,
      sessionId,
      secretHash,
      generation,
      now,
      rotatedBefore,
      rotatedAfter
    ]) > 0
  }

  #find (sessionId: string): Session | null {
    const [row] = this.#db.all(statements.find, [sessionId])
    return row === undefined ? null : toSession(row)
  }
}

// The driver cannot bind a value, or the value is too big.
function isDataError (error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError ||
    (error as { code?: unknown }).code === 'SQLITE_TOOBIG'
}
