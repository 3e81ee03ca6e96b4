export { FileStorageError } from './errors.js'
export type { FileStorageErrorCode } from './errors.js'
export { fileStorage } from './file-storage.js'
