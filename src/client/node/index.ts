/**
 * Storage of the client for scripts and command-line tools.
 *
 * @module fastify-token-auth/client/node
 */

export { FileStorageError } from './errors.js'
export type { FileStorageErrorCode } from './errors.js'
export { fileStorage } from './file-storage.js'
