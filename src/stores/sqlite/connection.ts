import { setTimeout as sleep } from 'node:timers/promises'
import { assertClient } from '../../lib/client-check.js'
import type { Row, SqlValue } from '../sql/rows.js'
import type { Millis } from '../../lib/time.js'
import { createPrefixer } from '../sql/table-prefix.js'
import type { SqlStoreOptions } from '../sql/table-prefix.js'

/** Part of a driver that is used: `libsql`, `better-sqlite3` or `DatabaseSync` of `node:sqlite`. */
export interface SqliteDatabase {
  /** Runs statements without parameters. */
  exec(sql: string): unknown
  /** Compiles one statement. */
  prepare(sql: string): SqliteStatement
}

/** Prepared statement of a driver. */
export interface SqliteStatement {
  /** Returns all rows. */
  all(...values: SqlValue[]): unknown[]
  /** Runs the statement without reading rows. */
  run(...values: SqlValue[]): {
    /** Number of changed rows. */
    changes: number | bigint
  }
}

const MAX_BUSY_RETRIES = 24
const MAX_PAUSE: Millis = 256
// A checkpoint of 1,000 pages, the default of SQLite, blocks the event loop for 20 ms.
const SWEEP_CHECKPOINT_PAGES = 50

/** Returns a database that uses the table prefix of the options in every statement. */
export function withTablePrefix (db: SqliteDatabase, options: SqlStoreOptions): SqliteDatabase {
  const prefix = createPrefixer(options)

  return prefix === null ? db : {
    exec: sql => db.exec(prefix(sql)),
    prepare: sql => db.prepare(prefix(sql))
  }
}

/** Prepares statements once, and waits for a busy database without blocking the event loop. */
export class SqliteConnection {
  readonly #db: SqliteDatabase
  readonly #statements = new Map<string, SqliteStatement>()

  /** @throws TypeError if `db` is not a database of a supported driver. */
  constructor (db: SqliteDatabase) {
    assertClient(db, ['prepare'], 'new Database(file)')
    this.#db = db
  }

  /** Runs statements without parameters. */
  exec (sql: string): void {
    this.#db.exec(sql)
  }

  /**
   * Runs a statement and returns its rows.
   *
   * Never calls `get`: a statement that stays open after its first row blocks checkpoints.
   */
  all (sql: string, values: readonly SqlValue[] = []): Row[] {
    return this.#statement(sql).all(...values) as Row[]
  }

  /** Runs a statement and returns the number of rows that it wrote. */
  run (sql: string, values: readonly SqlValue[]): number {
    return Number(this.#statement(sql).run(...values).changes)
  }

  /** Runs one statement in a transaction and returns the number of rows that it wrote. */
  write (sql: string, values: readonly SqlValue[]): Promise<number> {
    return this.transaction(() => this.run(sql, values))
  }

  /** Runs one statement in a {@link sweepTransaction}. */
  sweepWrite (sql: string, values: readonly SqlValue[]): Promise<number> {
    return this.sweepTransaction(() => this.run(sql, values))
  }

  /**
   * Runs work in a transaction.
   *
   * Required for single writes too: in libsql, a statement that meets a busy database stays open
   * and delays the commit of other statements. In a transaction, only BEGIN can meet a busy
   * database.
   */
  transaction<T> (work: () => T): Promise<T> {
    return retryWhileBusy(() => this.#commit(work))
  }

  /** Runs work in a transaction with small checkpoints, for many transactions in a row. */
  sweepTransaction<T> (work: () => T): Promise<T> {
    return retryWhileBusy(() => {
      const usual = Number(this.all('PRAGMA wal_autocheckpoint')[0]?.wal_autocheckpoint)

      // 0 if the app runs checkpoints itself.
      if (!(usual > SWEEP_CHECKPOINT_PAGES)) {
        return this.#commit(work)
      }

      this.#db.exec(`PRAGMA wal_autocheckpoint = ${SWEEP_CHECKPOINT_PAGES}`)

      try {
        return this.#commit(work)
      } finally {
        this.#db.exec(`PRAGMA wal_autocheckpoint = ${usual}`)
      }
    })
  }

  #commit<T> (work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE')

    try {
      const result = work()
      this.#db.exec('COMMIT')
      return result
    } catch (error) {
      this.#rollBack()
      throw error
    }
  }

  // After some errors, such as a full disk, SQLite has rolled back already and rejects ROLLBACK.
  #rollBack (): void {
    try {
      this.#db.exec('ROLLBACK')
    } catch {}
  }

  #statement (sql: string): SqliteStatement {
    let statement = this.#statements.get(sql)

    if (statement === undefined) {
      statement = this.#db.prepare(sql)
      this.#statements.set(sql, statement)
    }

    return statement
  }
}

/** Repeats work while another process holds the write lock. Nothing has been written by then. */
export async function retryWhileBusy<T> (work: () => T): Promise<T> {
  for (let retries = 0;; retries++) {
    try {
      return work()
    } catch (error) {
      if (retries === MAX_BUSY_RETRIES || !isBusy(error)) {
        throw error
      }

      await sleep(Math.random() * Math.min(2 ** retries, MAX_PAUSE))
    }
  }
}

/** Whether the file, or the connection to it, is read-only. */
export function isReadOnly (error: unknown): boolean {
  return isPrimaryCode(error, [8], /^SQLITE_READONLY/)
}

function isBusy (error: unknown): boolean {
  return isPrimaryCode(error, [5, 6], /^SQLITE_(BUSY|LOCKED)/)
}

// libsql and better-sqlite3 set `code` to a name, node:sqlite sets `errcode` to a number.
function isPrimaryCode (error: unknown, numbers: readonly number[], names: RegExp): boolean {
  const { code, errcode } = error as { code?: unknown, errcode?: unknown }

  if (typeof errcode === 'number') {
    return numbers.includes(errcode & 0xff)
  }

  return typeof code === 'string' && names.test(code)
}
