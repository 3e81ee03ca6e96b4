export { SqliteStore } from './store.js'
export type { SqliteDatabase, SqliteStatement } from './connection.js'
export { SqliteAttempts } from './attempts.js'
export type { SqlStoreOptions } from '../sql/table-prefix.js'
