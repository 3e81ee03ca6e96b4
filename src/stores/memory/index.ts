/**
 * Stores in the memory of one process, for tests and small apps.
 *
 * @module fastify-token-auth/memory
 */

export { MemoryStore } from './store.js'
export type { MemoryStoreOptions } from './store.js'
export { MemoryAttempts } from './attempts.js'
