import { setTimeout as sleep } from 'node:timers/promises'
import type { Row, SqlValue } from '../sql/rows.js'
import type { Millis } from '../../lib/time.js'
import { createPrefixer } from '../sql/table-prefix.js'
import type { SqlStoreOptions } from '../sql/table-prefix.js'

/** Part of a pool of `mysql2/promise` that `MysqlStore` uses. */
export interface MysqlPool {
  /** Runs one prepared statement on any connection. */
  execute(sql: string, values: MysqlValue[]): Promise<[unknown, unknown]>
  /** Reserves a connection for a transaction. */
  getConnection(): Promise<MysqlConnection>
}

/** Part of a connection of `mysql2/promise` that `MysqlStore` uses. */
export interface MysqlConnection {
  /** Runs one prepared statement. */
  execute(sql: string, values: MysqlValue[]): Promise<[unknown, unknown]>
  /** Runs one statement that cannot be prepared. */
  query(sql: string): Promise<[unknown, unknown]>
  /** Starts a transaction. */
  beginTransaction(): Promise<void>
  /** Commits the transaction. */
  commit(): Promise<void>
  /** Cancels the transaction. */
  rollback(): Promise<void>
  /** Returns the connection to the pool. */
  release(): void
  /** Closes a connection that does not respond. */
  destroy(): void
}

/** Value of a parameter. */
export type MysqlValue = SqlValue | Buffer

const ER_CHECKREAD = 1020
const ER_DUP_ENTRY = 1062
const ER_DBACCESS_DENIED = 1044
const ER_TABLEACCESS_DENIED = 1142
const ER_LOCK_WAIT_TIMEOUT = 1205
const ER_LOCK_DEADLOCK = 1213
const ER_OPTION_PREVENTS_STATEMENT = 1290
const ER_TRUNCATED_WRONG_VALUE_FOR_FIELD = 1366
const ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION = 1792
const ER_READ_ONLY_MODE = 1836
const ER_LOCK_NOWAIT = 3572

// The server reports deadlocks immediately, and so it does with rows that changed during a wait
// (`innodb_snapshot_isolation` of MariaDB). A lock wait timeout takes 50 s by default.
const RETRIES_BY_ERRNO: ReadonlyMap<number, number> = new Map([
  [ER_LOCK_DEADLOCK, 5],
  [ER_CHECKREAD, 5],
  [ER_LOCK_WAIT_TIMEOUT, 1]
])
const MAX_PAUSE: Millis = 50

/** Returns a pool that uses the table prefix of the options in every statement. */
export function withTablePrefix (pool: MysqlPool, options: SqlStoreOptions): MysqlPool {
  const prefix = createPrefixer(options)

  if (prefix === null) {
    return pool
  }

  return {
    execute: (sql, values) => pool.execute(prefix(sql), values),
    async getConnection () {
      const connection = await pool.getConnection()

      return {
        execute: (sql, values) => connection.execute(prefix(sql), values),
        query: sql => connection.query(prefix(sql)),
        beginTransaction: () => connection.beginTransaction(),
        commit: () => connection.commit(),
        rollback: () => connection.rollback(),
        release: () => {
          connection.release()
        },
        destroy: () => {
          connection.destroy()
        }
      }
    }
  }
}

/**
 * Runs work in a transaction, and repeats the whole transaction after a deadlock.
 *
 * @param isolation - Isolation level. By default that of the connection.
 */
export function inTransaction<T> (
  pool: MysqlPool,
  work: (connection: MysqlConnection) => Promise<T>,
  isolation?: 'READ COMMITTED'
): Promise<T> {
  return retryOnDeadlock(async () => {
    const connection = await pool.getConnection()

    try {
      if (isolation !== undefined) {
        await connection.query(`SET TRANSACTION ISOLATION LEVEL ${isolation}`)
      }

      await connection.beginTransaction()
      const result = await work(connection)
      await connection.commit()
      connection.release()
      return result
    } catch (error) {
      await connection.rollback().then(() => {
        connection.release()
      }, () => {
        connection.destroy()
      })
      throw error
    }
  })
}

/** Runs one statement with its values in the text, and repeats it after a deadlock. */
export function runQuery (pool: MysqlPool, sql: string): Promise<unknown> {
  return retryOnDeadlock(async () => {
    const connection = await pool.getConnection()

    try {
      const [result] = await connection.query(sql)
      return result
    } finally {
      connection.release()
    }
  })
}

/** Executes a prepared statement, repeats it after a deadlock, and returns its written rows. */
export async function write (
  pool: MysqlPool,
  sql: string,
  values: MysqlValue[]
): Promise<number> {
  const [result] = await retryOnDeadlock(() => pool.execute(sql, values))
  return getAffectedRows(result)
}

/** Executes a prepared statement, and returns the rows that it read. */
export async function read (
  on: Pick<MysqlConnection, 'execute'>,
  sql: string,
  values: MysqlValue[]
): Promise<Row[]> {
  const [rows] = await on.execute(sql, values)
  return rows as Row[]
}

/** Repeats work after a deadlock or a similar error, which the server has rolled back. */
export async function retryOnDeadlock<T> (work: () => Promise<T>): Promise<T> {
  for (let retries = 0;; retries++) {
    try {
      return await work()
    } catch (error) {
      if (retries >= (RETRIES_BY_ERRNO.get(getErrno(error)) ?? 0)) {
        throw error
      }

      await sleep(Math.random() * MAX_PAUSE)
    }
  }
}

/** Whether an error means that a key exists already. */
export function isDuplicate (error: unknown): boolean {
  return getErrno(error) === ER_DUP_ENTRY
}

/** Whether the user of the connection lacks a right. */
export function isAccessDenied (error: unknown): boolean {
  return [ER_DBACCESS_DENIED, ER_TABLEACCESS_DENIED].includes(getErrno(error))
}

/** Whether the server or the session rejects writes. */
export function isReadOnly (error: unknown): boolean {
  return [
    ER_OPTION_PREVENTS_STATEMENT,
    ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION,
    ER_READ_ONLY_MODE
  ].includes(getErrno(error))
}

/** Whether a statement with NOWAIT met a lock. MariaDB and MySQL have different errors for it. */
export function isLocked (error: unknown): boolean {
  return [ER_LOCK_WAIT_TIMEOUT, ER_LOCK_NOWAIT, ER_LOCK_DEADLOCK].includes(getErrno(error))
}

/**
 * Whether the server rejected the values of a statement (SQLSTATE class 22, or MySQL error 1366).
 */
export function isDataError (error: unknown): boolean {
  const { sqlState } = (error ?? {}) as { sqlState?: unknown }

  return getErrno(error) === ER_TRUNCATED_WRONG_VALUE_FOR_FIELD ||
    (typeof sqlState === 'string' && sqlState.startsWith('22'))
}

/** Returns the number of rows that a statement wrote. */
export function getAffectedRows (result: unknown): number {
  return (result as { affectedRows: number }).affectedRows
}

function getErrno (error: unknown): number {
  const { errno } = (error ?? {}) as { errno?: unknown }
  return typeof errno === 'number' ? errno : 0
}
