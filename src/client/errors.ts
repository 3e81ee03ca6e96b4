import { errorHeader } from '../protocol.js'
import type { ErrorCode } from '../protocol.js'

/**
 * Reason of an {@link AuthError}: a code of the server, or one of six codes of the client.
 *
 * - `network`: no valid response arrived in time. A captive portal also results in this code.
 * - `refused`: the error response has no code, for example because a proxy sent it. See `status`.
 * - `storage`: the storage of the refresh token failed.
 * - `transport`: the option `storage` does not fit the server, so the client would lose the refresh
 *   token of this login. The message names the options.
 * - `signed-out`: the session was revoked or replaced during the call.
 * - `disposed`: the client was disposed.
 */
export type AuthErrorCode =
  | ErrorCode
  | 'network'
  | 'refused'
  | 'storage'
  | 'transport'
  | 'signed-out'
  | 'disposed'

/**
 * Error of a failed call.
 *
 * The message is the code, or a fixed text for `transport` and for a route that the server does not
 * have. So it never contains a token.
 */
export class AuthError extends Error {
  override readonly name = 'AuthError'
  declare readonly code: AuthErrorCode
  /** HTTP status of the response; 0 if there was no response. */
  declare readonly status: number
  /** Seconds to wait before the next attempt, as requested by the server; 0 if unknown. */
  declare readonly retryAfter: number

  constructor (code: AuthErrorCode, status = 0, retryAfter = 0, message: string = code) {
    super(message)
    this.code = code
    this.status = status
    this.retryAfter = retryAfter
  }
}

const MISSING_ROUTE =
  'the server has no such route; "baseUrl", "prefix" and "paths" must be those of the server'

/**
 * Creates the error for a response with an error status.
 *
 * The code is in the body, or only in a header if the app sends a body of its own.
 */
export async function createResponseError (response: Response): Promise<AuthError> {
  const body = await response.json().catch(() => null) as { readonly code?: AuthErrorCode } | null
  const { headers, status } = response
  const code = [body?.code, headers.get(errorHeader)].find(each => /^AUTH_/.test(each as string))
  // A date yields NaN and then 0. It would have to be compared with the clock of this device.
  const retryAfter = +(headers.get('retry-after') as string) || 0

  if (code === undefined) {
    return new AuthError('refused', status, retryAfter, status === 404 ? MISSING_ROUTE : undefined)
  }

  return new AuthError(code as AuthErrorCode, status, retryAfter)
}
