// What MysqlStore needs of a driver, and how it asks: in transactions, and once more where two of them stood in each other's way.

import { setTimeout as sleep } from 'node:timers/promises'
import type { SqlValue } from '../sql/rows.js'
import type { Millis } from '../../lib/time.js'

/** The part of a promise pool of mysql2 (`mysql2/promise`, `createPool`) that is used. */
export interface MysqlPool {
  execute(sql: string, values: MysqlValue[]): Promise<[unknown, unknown]>
  getConnection(): Promise<MysqlConnection>
}

export interface MysqlConnection {
  execute(sql: string, values: MysqlValue[]): Promise<[unknown, unknown]>
  query(sql: string): Promise<[unknown, unknown]>
  beginTransaction(): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
  release(): void
  destroy(): void
}

export type MysqlValue = SqlValue | Buffer

const ER_CHECKREAD = 1020
const ER_DUP_ENTRY = 1062
const ER_LOCK_WAIT_TIMEOUT = 1205
const ER_LOCK_DEADLOCK = 1213
const ER_TRUNCATED_WRONG_VALUE_FOR_FIELD = 1366

// A deadlock is found at once, and so is a row that changed while it was waited for (MariaDB's `innodb_snapshot_isolation`). A
// lock that did not come has been waited for by then: 50 s, unless the server says otherwise.
const retriesByErrno: ReadonlyMap<number, number> = new Map([[ER_LOCK_DEADLOCK, 5], [
  ER_CHECKREAD,
  5
], [ER_LOCK_WAIT_TIMEOUT, 1]])
const LONGEST_PAUSE: Millis = 50

/**
 * Does the work in one transaction, and all of it again after a deadlock.
 *
 * @param isolation The level; without it, the one that the connection has.
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

/** Does the work again after a deadlock and the like: the server has undone it, and nothing has happened. */
export async function retryOnDeadlock<T> (work: () => Promise<T>): Promise<T> {
  for (let retries = 0;; retries++) {
    try {
      return await work()
    } catch (error) {
      if (retries >= (retriesByErrno.get(errnoOf(error)) ?? 0)) {
        throw error
      }

      await sleep(Math.random() * LONGEST_PAUSE)
    }
  }
}

/** */
export function isDuplicate (error: unknown): boolean {
  return errnoOf(error) === ER_DUP_ENTRY
}

/** Whether the values of a statement were refused, by SQLSTATE class 22 or as MySQL words it (1366). */
export function isDataError (error: unknown): boolean {
  const { sqlState } = (error ?? {}) as { sqlState?: unknown }

  return errnoOf(error) === ER_TRUNCATED_WRONG_VALUE_FOR_FIELD ||
    (typeof sqlState === 'string' && sqlState.startsWith('22'))
}

/** The rows that a statement wrote, out of what a driver answers. */
export function affectedBy (result: unknown): number {
  return (result as { affectedRows: number }).affectedRows
}

function errnoOf (error: unknown): number {
  const { errno } = (error ?? {}) as { errno?: unknown }
  return typeof errno === 'number' ? errno : 0
}
