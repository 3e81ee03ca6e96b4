import { SafeError } from '../../lib/safe-error.js'
import { limitTime } from '../../lib/time-limit.js'
import { SECOND } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'
import type { MysqlConnection, MysqlPool } from './connection.js'

const STATEMENT_TIMEOUT: Millis = 5 * SECOND
// More connections than any pool has.
const MAX_STALE_CONNECTIONS = 1000

/**
 * Returns a pool that closes connections whose server does not respond.
 *
 * The driver has no timeout that closes a connection. A statement on a half-open connection would
 * occupy it until TCP gives up after about 15 minutes. After a timeout, connections that have not
 * responded since then are closed too, because they may have lost the same server.
 */
export function withTimeouts (pool: MysqlPool, timeout = STATEMENT_TIMEOUT): MysqlPool {
  // Number of timeouts at the last response of each connection.
  const responses = new WeakMap<object, number>()
  let timeouts = 0

  async function open (): Promise<MysqlConnection> {
    for (let closed = 0;; closed++) {
      const connection = await pool.getConnection()
      const known = responses.get(getIdentity(connection)) ?? timeouts

      if (known === timeouts || closed === MAX_STALE_CONNECTIONS) {
        return connection
      }

      connection.destroy()
    }
  }

  async function run<T> (connection: MysqlConnection, work: () => Promise<T>): Promise<T> {
    const result = await limitTime(timeout, work(), () => {
      timeouts++
      connection.destroy()
      return new SafeError(`the database did not respond within ${timeout} ms`)
    })
    responses.set(getIdentity(connection), timeouts)
    return result
  }

  async function getConnection (): Promise<MysqlConnection> {
    const connection = await open()

    return {
      execute: (sql, values) => run(connection, () => connection.execute(sql, values)),
      query: sql => run(connection, () => connection.query(sql)),
      beginTransaction: () => run(connection, () => connection.beginTransaction()),
      commit: () => run(connection, () => connection.commit()),
      rollback: () => run(connection, () => connection.rollback()),
      release: () => {
        connection.release()
      },
      destroy: () => {
        connection.destroy()
      }
    }
  }

  return {
    getConnection,
    async execute (sql, values) {
      const connection = await getConnection()

      try {
        return await connection.execute(sql, values)
      } finally {
        // Has no effect on a connection that was destroyed.
        connection.release()
      }
    }
  }
}

/** Returns the same object for every use of a connection. The driver creates a new wrapper each. */
function getIdentity (connection: MysqlConnection): object {
  return (connection as { readonly connection?: object }).connection ?? connection
}
