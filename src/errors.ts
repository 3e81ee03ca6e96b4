// Every error that a client can be answered with: one table, code -> status, message.

import type { ErrorCode } from './protocol.js'

const table: Readonly<Record<ErrorCode, readonly [statusCode: number, message: string]>> = {
  AUTH_REQUEST_INVALID: [400, 'The request is malformed'],
  AUTH_CREDENTIALS_REJECTED: [401, 'Wrong user name or password'],
  AUTH_PASSWORD_REJECTED: [400, 'This password cannot be set'],
  AUTH_REFRESH_MISSING: [401, 'No refresh token'],
  AUTH_REFRESH_INVALID: [401, 'Refresh token is invalid'],
  AUTH_REFRESH_EXPIRED: [401, 'Refresh token expired'],
  AUTH_REFRESH_REVOKED: [401, 'Session was ended'],
  AUTH_REFRESH_REUSED: [401, 'Refresh token was used before, the session was ended'],
  AUTH_ACCESS_MISSING: [401, 'No access token'],
  AUTH_ACCESS_EXPIRED: [401, 'Token expired'],
  AUTH_ACCESS_INVALID: [401, 'Access token is invalid'],
  AUTH_SESSION_REVOKED: [401, 'Session was ended'],
  AUTH_CLIENT_REJECTED: [401, 'Client is unknown, or has not proved that it is this one'],
  AUTH_DPOP_INVALID: [401, 'Proof of possession is invalid'],
  AUTH_DPOP_NONCE: [401, 'Proof of possession needs the nonce of DPoP-Nonce'],
  AUTH_ORIGIN_REJECTED: [403, 'Requests from this origin are not accepted'],
  AUTH_CLAIMS_INSUFFICIENT: [403, 'Not allowed with this access token'],
  AUTH_REAUTHENTICATION_REQUIRED: [403, 'The login is too long ago'],
  AUTH_TOO_MANY_ATTEMPTS: [429, 'Too many attempts, try again later'],
  AUTH_STORE_UNAVAILABLE: [503, 'Sessions cannot be reached, try again'],
  AUTH_BUSY: [503, 'Too many logins at once, try again'],
  AUTH_KEYS_UNAVAILABLE: [503, 'Public keys cannot be reached, try again']
}

/**
 * An error that says by its `code` what happened. Fastify answers it with `{ statusCode, code, error, message }`; an error
 * handler of the app's own gets it as it is. Its message never holds a token, a password or a driver's words.
 */
export class TokenAuthError extends Error {
  override readonly name = 'TokenAuthError'
  readonly code: ErrorCode
  /** The HTTP status that the code stands for. */
  readonly statusCode: number
  /** When to try again, in seconds; `null` where that would change nothing. */
  readonly retryAfter: number | null

  /**
   * @param options.hint What to do differently, where the code alone does not tell.
   * @param options.retryAfter In seconds. @default 1 for 503
   */
  constructor (
    code: ErrorCode,
    { hint, retryAfter }: { readonly hint?: string, readonly retryAfter?: number } = {}
  ) {
    const [statusCode, message] = table[code]
    super(hint === undefined ? message : `${message}: ${hint}`)
    this.code = code
    this.statusCode = statusCode
    this.retryAfter = retryAfter ?? (statusCode === 503 ? 1 : null)
  }
}
