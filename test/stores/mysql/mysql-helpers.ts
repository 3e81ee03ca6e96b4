import { randomBytes } from 'node:crypto'
import mysql from 'mysql2/promise'
import type { Test } from 'tap'
import { MysqlStore } from '../../../src/stores/mysql/index.js'
import type { MysqlPool } from '../../../src/stores/mysql/index.js'
import { mysqlUrl } from '../../helpers/databases/mysql.js'

const tables = ['sessions', 'not_befores', 'realms', 'revocations', 'attempts']

export interface PoolOptions extends mysql.PoolOptions {
  /** Statements that each new connection executes first. */
  readonly setup?: readonly string[]
}

export interface MysqlDatabase {
  readonly connect: (options?: PoolOptions) => mysql.Pool
  readonly defaultPool: mysql.Pool
  /** Deletes all records. */
  readonly clear: () => Promise<unknown>
  /** Opens two stores with one pool each. Adds the numbers of their errors to `errors`. */
  readonly openTwoStores: (errors?: number[]) => [MysqlStore, MysqlStore]
  /** Resolves when a transaction waits for a row lock, or after 2.4 s without one. */
  readonly waitUntilBlocked: () => Promise<void>
}

/** Creates a database without tables. The end of the test drops it. */
export async function createEmptyMysqlDatabase (t: Test): Promise<MysqlDatabase> {
  const database = `token_auth_test_${randomBytes(6).toString('hex')}`
  const pools: mysql.Pool[] = []

  const connectTo = (
    database: string,
    { setup = [], ...options }: PoolOptions = {}
  ): mysql.Pool => {
    const pool = mysql.createPool({
      uri: mysqlUrl,
      database,
      connectionLimit: 8,
      maxIdle: 1,
      idleTimeout: 500,
      ...options
    })
    pool.pool.on('connection', connection => {
      for (const statement of setup) {
        connection.query(statement)
      }
    })
    pools.push(pool)
    return pool
  }

  const connect = (options?: PoolOptions): mysql.Pool => connectTo(database, options)
  const admin = connectTo('', { connectionLimit: 3, multipleStatements: true })
  await admin.query(`CREATE DATABASE ${database}`)
  t.teardown(async () => {
    await admin.query(`DROP DATABASE ${database}`)
    await Promise.all(pools.map(pool => pool.end()))
  })

  const open = (errors: number[]): MysqlStore =>
    new MysqlStore(handleErrors(connect(), errno => {
      errors.push(errno)
    }))

  return {
    connect,
    defaultPool: connect(),
    clear: () =>
      admin.query(
        tables.map(table => `DELETE FROM ${database}.token_auth_${table}`).join('; ')
      ),
    openTwoStores: (errors = []) => [open(errors), open(errors)],
    waitUntilBlocked: () => waitUntilBlocked(admin, database)
  }
}

/** Creates a database with the tables of the store. The end of the test drops it. */
export async function createMysqlDatabase (t: Test): Promise<MysqlDatabase> {
  const database = await createEmptyMysqlDatabase(t)
  await new MysqlStore(database.defaultPool).migrate()
  return database
}

async function waitUntilBlocked (admin: mysql.Pool, database: string): Promise<void> {
  for (let waiting = 0, attempts = 0; waiting === 0 && attempts < 20; attempts++) {
    // The server updates its lock tables only every 0.1 s.
    await new Promise(resolve => {
      setTimeout(resolve, 120)
    })
    const [rows] = await admin.query<mysql.RowDataPacket[]>(
      `
      SELECT 1 FROM information_schema.INNODB_TRX
      JOIN information_schema.PROCESSLIST ON ID = trx_mysql_thread_id
      WHERE DB = ? AND trx_state = 'LOCK WAIT'`,
      [database]
    )
    waiting = rows.length
  }
}

/** Creates a promise and the function that fulfills it. */
export function createGate (): { readonly opened: Promise<void>, readonly open: () => void } {
  let open = (): void => {}

  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  return { opened, open }
}

type QueryResult = [unknown, unknown]

/** Returns the pool with `around` applied to every statement. */
function interceptStatements (
  pool: mysql.Pool,
  around: (run: () => Promise<QueryResult>) => Promise<QueryResult>
): MysqlPool {
  return {
    execute: (sql, values) => around(() => pool.execute(sql, values)),
    async getConnection () {
      const connection = await pool.getConnection()

      return {
        execute: (sql, values) => around(() => connection.execute(sql, values)),
        query: sql => around(() => connection.query(sql)),
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

/** Returns the pool with a handler for errors of its statements. */
export function handleErrors (
  pool: mysql.Pool,
  handle: (errno: number) => Promise<void> | void
): MysqlPool {
  return interceptStatements(pool, async run => {
    try {
      return await run()
    } catch (error) {
      await handle((error as { errno: number }).errno)
      throw error
    }
  })
}

/** Returns the pool with a pause after the given number of statements. */
export function pauseAfter (
  pool: mysql.Pool,
  count: number,
  pause: () => Promise<void>
): MysqlPool {
  let statements = 0

  return interceptStatements(pool, async run => {
    const result = await run()

    if (++statements === count) {
      await pause()
    }

    return result
  })
}
