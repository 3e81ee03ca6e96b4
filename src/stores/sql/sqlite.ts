// Sessions in a SQLite file, by whichever synchronous driver the app has. A statement is one atomic step, and the
// driver answers at once, so that there is nothing to pool and nothing to await but a database that is busy.

import { setTimeout as sleep } from 'node:timers/promises'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import type { Millis, RevocationReason, Session } from '../../domain/session.js'
import { SessionRefusedError } from '../token-store.js'
import type { Cursor, Revocation, RevocationTarget, TokenStore, Touch } from '../token-store.js'
import { RotationQueue } from './rotation-queue.js'
import { toSession, toValues } from './rows.js'
import type { Row, SqlValue } from './rows.js'
import { sqliteMigrations } from './schema.js'
import { statements } from './sqlite-statements.js'

/** The part of a driver that is used. `libsql`, `better-sqlite3` and `node:sqlite` (`DatabaseSync`) have it. */
export interface SqliteDatabase {
  exec (sql: string): unknown
  prepare (sql: string): SqliteStatement
}

export interface SqliteStatement {
  all (...values: SqlValue[]): unknown[]
  run (...values: SqlValue[]): { changes: number | bigint }
}

const BUSY_RETRIES = 24
const LONGEST_PAUSE: Millis = 256

/**
 * Keeps sessions in a SQLite database. Give it a connection of its own: it begins and ends transactions, and a
 * transaction which the app leaves open on the same connection would swallow them.
 *
 * Several processes may share one file. A database that is busy is asked again after a pause off the event loop; the driver's own
 * waiting (`busy_timeout`) would block the whole process, and `migrate` switches it off.
 */
export class SqliteStore implements TokenStore {
  /** The schema, for people with their own migrations: the n-th text takes version n to n + 1. */
  static readonly migrations: readonly string[] = sqliteMigrations

  readonly #db: SqliteDatabase
  readonly #statements = new Map<keyof typeof statements, SqliteStatement>()
  readonly #rotations: RotationQueue

  constructor (db: SqliteDatabase) {
    this.#db = db
    this.#rotations = new RotationQueue({ rotateAll: attempts => this.#rotateAll(attempts), isAboutValues })
  }

  /**
   * Creates or updates the tables, switches the file to write-ahead logging, and the connection's waiting for locks off.
   * Harmless to repeat, also by several processes at once. Call it once before the app listens.
   */
  async migrate (): Promise<void> {
    this.#db.exec('PRAGMA busy_timeout = 0')
    await patiently(() => { this.#db.exec('PRAGMA journal_mode = WAL') })
    await this.#transaction(() => {
      this.#db.exec('CREATE TABLE IF NOT EXISTS token_auth_migrations (version INTEGER NOT NULL PRIMARY KEY)')
      const [latest] = this.#db.prepare('SELECT max(version) AS version FROM token_auth_migrations').all() as Row[]
      for (let version = Number(latest?.version ?? 0); version < sqliteMigrations.length; version++) {
        this.#db.exec(sqliteMigrations[version] as string)
        this.#db.prepare('INSERT INTO token_auth_migrations (version) VALUES (?)').run(version + 1)
      }
    })
  }

  async create (session: Session): Promise<void> {
    const values = [...toValues(session), session.userId, session.authenticatedAt]
    if (await this.#write('create', values) > 0) return
    throw new SessionRefusedError(await this.find(session.id) === null ? 'revoked-since' : 'id-taken')
  }

  rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
    return this.#rotations.rotate(attempt)
  }

  find (sessionId: string): Promise<Session | null> {
    return patiently(() => this.#find(sessionId))
  }

  async list (userId: string, { now, limit }: { readonly now: Millis, readonly limit: number }): Promise<Session[]> {
    const rows = await patiently(() => this.#all('list', [userId, now, limit]))
    return rows.map(toSession)
  }

  async revoke (
    target: RevocationTarget,
    { at, reason }: { readonly at: Millis, readonly reason: RevocationReason }
  ): Promise<number> {
    if ('sessionId' in target) return this.#write('revokeOne', [at, reason, target.sessionId])
    return this.#transaction(() => {
      this.#run('setNotBefore', [target.userId, at])
      return this.#run('revokeUser', [at, reason, target.userId, target.keep ?? null])
    })
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    await this.#transaction(() => {
      for (const { lastUsedAt, confirmedGeneration, sessionId } of batch) {
        this.#run('touch', [lastUsedAt, confirmedGeneration, sessionId])
      }
    })
  }

  async revocations (after: Cursor, limit: number): Promise<Revocation[]> {
    const rows = await patiently(() => this.#all('revocations', [after.at, after.sessionId, limit]))
    return rows.map(row => ({ at: Number(row.revoked_at), sessionId: row.id as string }))
  }

  async sweep ({ endedBefore, limit }: { readonly endedBefore: Millis, readonly limit: number }): Promise<number> {
    let count = 0
    for (;;) {
      const room = limit - count
      const [deleted, postponed] = await this.#transaction(() => [
        this.#run('sweepSessions', [endedBefore, endedBefore, room]),
        this.#run('postponeSweep', [endedBefore, endedBefore, limit])
      ] as const)
      count += deleted
      if (count === limit) return count
      if (deleted + postponed === 0) break
      await sleep(0)
    }
    return count + await this.#write('sweepUsers', [endedBefore, limit - count])
  }

  // All of them are made durable together: one transaction waits for the disk once.
  #rotateAll (attempts: readonly RotationAttempt[]): Promise<RotationOutcome[]> {
    return this.#transaction(() => attempts.map(attempt => this.#rotate(attempt)))
  }

  #rotate ({
    sessionId, secretHash, generation, now, expiresAt, rotatedBefore, rotatedAfter, by
  }: RotationAttempt): RotationOutcome {
    const [row] = this.#all('rotate', [
      now, by.address, by.userAgent, now, expiresAt,
      sessionId, secretHash, generation, now, rotatedBefore, rotatedAfter
    ])
    if (row !== undefined) return { swapped: true, session: toSession(row) }
    return { swapped: false, session: this.#find(sessionId) }
  }

  #find (sessionId: string): Session | null {
    const [row] = this.#all('find', [sessionId])
    return row === undefined ? null : toSession(row)
  }

  #statement (name: keyof typeof statements): SqliteStatement {
    let statement = this.#statements.get(name)
    if (statement === undefined) {
      statement = this.#db.prepare(statements[name])
      this.#statements.set(name, statement)
    }
    return statement
  }

  // Always `all`, never `get`: a statement that is left open after its first row keeps the log from being checkpointed.
  #all (name: keyof typeof statements, values: readonly SqlValue[]): Row[] {
    return this.#statement(name).all(...values) as Row[]
  }

  #run (name: keyof typeof statements, values: readonly SqlValue[]): number {
    return Number(this.#statement(name).run(...values).changes)
  }

  #write (name: keyof typeof statements, values: readonly SqlValue[]): Promise<number> {
    return this.#transaction(() => this.#run(name, values))
  }

  // Every write, also a single one: a statement that itself meets a busy database stays open in libsql, and what other
  // statements write then is answered, but not committed before it is done. Here BEGIN alone can meet it.
  #transaction<T> (work: () => T): Promise<T> {
    return patiently(() => {
      this.#db.exec('BEGIN IMMEDIATE')
      try {
        const result = work()
        this.#db.exec('COMMIT')
        return result
      } catch (error) {
        this.#rollBack()
        throw error
      }
    })
  }

  // SQLite has rolled back by itself after some errors (a full disk, say), and then refuses to do it again.
  #rollBack (): void {
    try {
      this.#db.exec('ROLLBACK')
    } catch {}
  }
}

// Another process holds the write lock. Nothing has happened yet, so that asking again is safe.
async function patiently<T> (work: () => T): Promise<T> {
  for (let retries = 0; ; retries++) {
    try {
      return work()
    } catch (error) {
      if (retries === BUSY_RETRIES || !isBusy(error)) throw error
      await sleep(Math.random() * Math.min(2 ** retries, LONGEST_PAUSE))
    }
  }
}

// A value that cannot be bound, or that is too big.
function isAboutValues (error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError || (error as { code?: unknown }).code === 'SQLITE_TOOBIG'
}

// libsql and better-sqlite3 name the result in `code`, node:sqlite gives its number in `errcode` (5 busy, 6 locked).
function isBusy (error: unknown): boolean {
  const { code, errcode } = error as { code?: unknown, errcode?: unknown }
  if (typeof errcode === 'number') return [5, 6].includes(errcode & 0xff)
  return typeof code === 'string' && /^SQLITE_(BUSY|LOCKED)/.test(code)
}
