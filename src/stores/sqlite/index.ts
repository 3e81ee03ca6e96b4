/**
 * Stores for SQLite.
 *
 * @module fastify-token-auth/sqlite
 */

export { SqliteStore } from './store.js'
export type { SqliteDatabase, SqliteStatement } from './connection.js'
export { SqliteAttempts } from './attempts.js'
export type { SqlValue } from '../sql/rows.js'
export type { SqlStoreOptions } from '../sql/table-prefix.js'
