/**
 * Reason of a {@link FileStorageError}.
 *
 * - `lock-lost`: this process stood still for so long that another process took over its lock.
 *   Nothing was written. The next attempt works.
 * - `not-private`: other users of the machine can read the file or the folder of its lock, or own
 *   one of them. This process cannot change that.
 */
export type FileStorageErrorCode = 'lock-lost' | 'not-private'

/**
 * Error of a file storage.
 *
 * The client reports it as the `cause` of an `AuthError` with the code `storage`. Errors of the
 * file system are causes too, with codes such as `EACCES`. The message never contains a token.
 */
export class FileStorageError extends Error {
  /** Name of the class, for checks without `instanceof`. */
  override readonly name = 'FileStorageError'
  /** Reason of the error. */
  readonly code: FileStorageErrorCode

  constructor (code: FileStorageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
