/**
 * Stores for PostgreSQL, and the listener for revocations of other instances.
 *
 * @module fastify-token-auth/postgres
 */

export { PostgresStore } from './store.js'
export { withPreparedStatements } from './database.js'
export type { PostgresDatabase, PreparingDatabase } from './database.js'
export { PostgresAttempts } from './attempts.js'
export { listenForRevocations } from './listener.js'
export type { ListenerLogger } from '../../lib/reconnecting-listener.js'
export type { PostgresListener } from './listener.js'
export type { SqlStoreOptions } from '../sql/table-prefix.js'
