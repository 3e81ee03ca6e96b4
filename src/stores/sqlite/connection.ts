// What the stores need of a SQLite driver: statements that are prepared once, and transactions that wait for a busy database off
// the event loop.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Row, SqlValue } from '../sql/rows.js'
import type { Millis } from '../../lib/time.js'

/** The part of a driver that is used. `libsql`, `better-sqlite3` and `node:sqlite` (`DatabaseSync`) have it. */
export interface SqliteDatabase {
  exec(sql: string): unknown
  prepare(sql: string): SqliteStatement
}

export interface SqliteStatement {
  all(...values: SqlValue[]): unknown[]
  run(...values: SqlValue[]): { changes: number | bigint }
}

const BUSY_RETRIES = 24
const LONGEST_PAUSE: Millis = 256
/** In pages. */
const GENTLE_CHECKPOINT = 50

/** */
export class SqliteConnection {
  readonly #db: SqliteDatabase
  readonly #statements = new Map<string, SqliteStatement>()

  constructor (db: SqliteDatabase) {
    this.#db = db
  }

  exec (sql: string): void {
    this.#db.exec(sql)
  }

  // Always `all`, never `get`: a statement that is left open after its first row keeps the log from being checkpointed.
  all (sql: string, values: readonly SqlValue[] = []): Row[] {
    return this.#statement(sql).all(...values) as Row[]
  }

  /** @returns How many rows were written. */
  run (sql: string, values: readonly SqlValue[]): number {
    return Number(this.#statement(sql).run(...values).changes)
  }

  /** One statement that writes. @returns How many rows were written. */
  write (sql: string, values: readonly SqlValue[]): Promise<number> {
    return this.transaction(() => this.run(sql, values))
  }

  /** The same, as a {@link gentleTransaction}. */
  writeGently (sql: string, values: readonly SqlValue[]): Promise<number> {
    return this.gentleTransaction(() => this.run(sql, values))
  }

  // Every write, also a single one: a statement that itself meets a busy database stays open in libsql, and what other
  // statements write then is answered, but not committed before it is done. Here BEGIN alone can meet it.
  transaction<T> (work: () => T): Promise<T> {
    return retryWhileBusy(() => this.#commit(work))
  }

  /**
   * A transaction that may be one of many in a row, each of which writes to pages far apart. To take a thousand of those from the
   * log to their places, as SQLite does by default, keeps the event loop for 20 ms and more; fifty are hardly felt.
   */
  gentleTransaction<T> (work: () => T): Promise<T> {
    return retryWhileBusy(() => {
      const usual = Number(this.all('PRAGMA wal_autocheckpoint')[0]?.wal_autocheckpoint)

      // It is 0 where the app leaves it to somebody else.
      if (!(usual > GENTLE_CHECKPOINT)) {
        return this.#commit(work)
      }

      this.#db.exec(`PRAGMA wal_autocheckpoint = ${GENTLE_CHECKPOINT}`)

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

  // SQLite has rolled back by itself after some errors (a full disk, say), and then refuses to do it again.
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

/** Another process holds the write lock. Nothing has happened yet, so that asking again is safe. */
export async function retryWhileBusy<T> (work: () => T): Promise<T> {
  for (let retries = 0;; retries++) {
    try {
      return work()
    } catch (error) {
      if (retries === BUSY_RETRIES || !isBusy(error)) {
        throw error
      }

      await sleep(Math.random() * Math.min(2 ** retries, LONGEST_PAUSE))
    }
  }
}

// libsql and better-sqlite3 name the result in `code`, node:sqlite gives its number in `errcode` (5 busy, 6 locked).
function isBusy (error: unknown): boolean {
  const { code, errcode } = error as { code?: unknown, errcode?: unknown }

  if (typeof errcode === 'number') {
    return [5, 6].includes(errcode & 0xff)
  }

  return typeof code === 'string' && /^SQLITE_(BUSY|LOCKED)/.test(code)
}
