import { errorHeader } from './protocol.js'
import type { ErrorCode } from './protocol.js'

const ERRORS: Readonly<Record<ErrorCode, readonly [statusCode: number, message: string]>> = {
  AUTH_REQUEST_INVALID: [400, 'Request is malformed'],
  AUTH_CREDENTIALS_REJECTED: [401, 'User name or password is incorrect'],
  AUTH_PASSWORD_REJECTED: [400, 'New password is not accepted'],
  AUTH_SECOND_FACTOR_REQUIRED: [401, 'Login requires a second factor'],
  AUTH_SECOND_FACTOR_REJECTED: [401, 'Code is incorrect or was used before'],
  AUTH_REFRESH_MISSING: [401, 'Refresh token is missing'],
  AUTH_REFRESH_INVALID: [401, 'Refresh token is invalid'],
  AUTH_REFRESH_EXPIRED: [401, 'Refresh token has expired'],
  AUTH_REFRESH_REVOKED: [401, 'Session was revoked'],
  AUTH_REFRESH_REUSED: [401, 'Refresh token was reused and its session was revoked'],
  AUTH_ACCESS_MISSING: [401, 'Access token is missing'],
  AUTH_ACCESS_EXPIRED: [401, 'Access token has expired'],
  AUTH_ACCESS_INVALID: [401, 'Access token is invalid'],
  AUTH_SESSION_REVOKED: [401, 'Session was revoked'],
  AUTH_CLIENT_REJECTED: [401, 'Client authentication failed'],
  AUTH_DPOP_INVALID: [401, 'DPoP proof is invalid'],
  AUTH_DPOP_NONCE: [401, 'DPoP proof requires the nonce of the DPoP-Nonce header'],
  AUTH_ORIGIN_REJECTED: [403, 'Request origin is not allowed'],
  AUTH_CLAIMS_INSUFFICIENT: [403, 'Access token does not permit this request'],
  AUTH_REAUTHENTICATION_REQUIRED: [403, 'Request requires a more recent login'],
  AUTH_ONE_TIME_INVALID: [400, 'Link or code is invalid'],
  AUTH_ONE_TIME_EXPIRED: [400, 'Link or code has expired'],
  AUTH_ONE_TIME_USED: [400, 'Link or code was used before or is outdated'],
  AUTH_TOO_MANY_ATTEMPTS: [429, 'Too many attempts, try again later'],
  AUTH_NOT_REGISTERED: [500, 'tokenAuth or tokenVerifier is not registered in this scope'],
  AUTH_STORE_UNAVAILABLE: [503, 'Session store is unavailable, try again later'],
  AUTH_BUSY: [503, 'Too many concurrent logins, try again later'],
  AUTH_KEYS_UNAVAILABLE: [503, 'Public keys are unavailable, try again later']
}

/** Options of {@link TokenAuthError}. */
export interface TokenAuthErrorOptions {
  /** Message that replaces the one of the code. Must not contain `"` or `\`, see `hint`. */
  readonly message?: string
  /**
   * Detail that is appended to the message. Must not contain `"` or `\`, because the message is
   * also the `error_description` of a challenge.
   */
  readonly hint?: string
  /** Seconds until a retry makes sense. Defaults to 1 for status 503. */
  readonly retryAfter?: number
  /** Error that led to this one. Logs contain its message and stack. */
  readonly cause?: Error
}

/**
 * An error that the plugin sends to a client.
 *
 * Fastify sends it as `{ statusCode, code, error, message }`, unless the app has an error handler.
 * The `code` is the contract, the message may change. The header `X-Auth-Error` repeats the code.
 * So a client finds it even if your error handler sends another body. A message never contains a
 * token, a password or the message of a database driver.
 *
 * The members are those of [http-errors](https://github.com/jshttp/http-errors), so Koa, Express
 * and NestJS send the right status.
 *
 * If the status is below 500 and there is no `cause`, the plugin removes the frames from `stack`
 * before Fastify logs the error.
 *
 * `cause` is the error of a callback of the app, or a copy of the error of a database driver
 * without its message. No response contains it, and `JSON.stringify` leaves it out.
 *
 * @example
 * ```ts
 * app.setErrorHandler((error, request, reply) => {
 *   if (error instanceof TokenAuthError && error.code === 'AUTH_TOO_MANY_ATTEMPTS') {
 *     return reply.code(error.statusCode).send({ retryAfter: error.retryAfter })
 *   }
 *
 *   return reply.send(error)
 * })
 * ```
 */
export class TokenAuthError extends Error {
  /** Name of the class, for checks without `instanceof`. */
  override readonly name = 'TokenAuthError'
  /** Code for programs. Does not change between versions. */
  readonly code: ErrorCode
  /** HTTP status of the response. */
  readonly statusCode: number
  /** Same as `statusCode`, for frameworks that read this member. */
  readonly status: number
  /** Whether the message is for the client (status below 500), as frameworks use this member. */
  readonly expose: boolean
  /** Seconds after which the client may retry; `null` if a retry cannot help. */
  readonly retryAfter: number | null

  /** Creates an error with the status and the message of a code. */
  constructor (code: ErrorCode, options: TokenAuthErrorOptions = {}) {
    const { message, hint, retryAfter, cause } = options
    const [statusCode, defaultMessage] = ERRORS[code]
    const text = message ?? defaultMessage
    super(
      hint === undefined ? text : `${text}: ${hint}`,
      cause === undefined ? {} : { cause }
    )
    this.code = code
    this.statusCode = statusCode
    this.status = statusCode
    this.expose = statusCode < 500
    this.retryAfter = retryAfter ?? (statusCode === 503 ? 1 : null)
  }

  /** Headers of the response, which Fastify, Koa and Express send with the error. */
  get headers (): Record<string, string> {
    return {
      [errorHeader]: this.code,
      ...this.retryAfter !== null && { 'retry-after': String(this.retryAfter) }
    }
  }
}

/** Creates the error `AUTH_REQUEST_INVALID` with a hint for the developer of the client. */
export function createBadRequestError (hint: string): TokenAuthError {
  return new TokenAuthError('AUTH_REQUEST_INVALID', { hint })
}

/** Creates the error `AUTH_DPOP_INVALID` for a request without a DPoP proof. */
export function createMissingProofError (): TokenAuthError {
  return new TokenAuthError('AUTH_DPOP_INVALID', { hint: 'request must have a DPoP header' })
}

/**
 * Creates the error for a request whose client has disconnected.
 *
 * No client receives it. Its status makes Fastify log it as an ordinary rejection.
 */
export function createDisconnectError (): TokenAuthError {
  return createBadRequestError('the client has disconnected')
}

/** @throws TokenAuthError `AUTH_REQUEST_INVALID` if the client has disconnected. */
export function assertConnected (signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw createDisconnectError()
  }
}
