// The one error of the client, and what an answer of the server means for a session.

import type { ErrorCode } from '../protocol.js'

/**
 * What went wrong: a code of the server, or one of the client's own.
 * - `network`: no answer came, or not in time, or one that the server did not write.
 * - `refused`: an error without a code, such as one of a proxy; see `status`.
 * - `storage`: the storage for the refresh token failed.
 * - `signed-out`: the session was ended while the call was under way.
 * - `disposed`: the client was disposed of.
 */
export type AuthErrorCode =
  | ErrorCode
  | 'network'
  | 'refused'
  | 'storage'
  | 'signed-out'
  | 'disposed'

/** Why a call failed. Its message is its code: it never holds a token. */
export class AuthError extends Error {
  override readonly name = 'AuthError'
  declare readonly code: AuthErrorCode
  /** The HTTP status of the answer; 0 where there was none. */
  declare readonly status: number
  /** Seconds that the server asks to wait; 0 where it says nothing. */
  declare readonly retryAfter: number

  constructor (code: AuthErrorCode, status = 0, retryAfter = 0) {
    super(code)
    this.code = code
    this.status = status
    this.retryAfter = retryAfter
  }
}

/** The error that an answer stands for. */
export async function toError (response: Response): Promise<AuthError> {
  const code = (await response.json().catch(() => null) as { readonly code?: AuthErrorCode } | null)
    ?.code
  // Its other form is a date, which would have to be compared with this device's clock: it is no number.
  const retryAfter = +(response.headers.get('retry-after') as string) || 0

  return new AuthError(
    /^AUTH_/.test(code as string) ? code as AuthErrorCode : 'refused',
    response.status,
    retryAfter
  )
}
