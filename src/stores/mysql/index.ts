/**
 * Stores for MariaDB and MySQL.
 *
 * @module fastify-token-auth/mysql
 */

export { MysqlStore } from './store.js'
export type { MysqlConnection, MysqlPool, MysqlValue } from './connection.js'
export { MysqlAttempts } from './attempts.js'
export type { SqlValue } from '../sql/rows.js'
export type { SqlStoreOptions } from '../sql/table-prefix.js'
