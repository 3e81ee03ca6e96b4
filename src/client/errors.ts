import type { ErrorCode, SecondFactorResponse } from '../protocol.js'

/**
 * Reason of an {@link AuthError}: a code of the server, or one of six codes of the client.
 *
 * - `network`: no valid response arrived in time. A captive portal also results in this code.
 * - `refused`: the response has no code of the server, for example because a proxy sent it. See
 *   `status`.
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

/** Details of an {@link AuthError}. */
export interface AuthErrorOptions {
  /**
   * HTTP status of the response.
   *
   * @default 0
   */
  readonly status?: number
  /**
   * Seconds to wait before the next attempt.
   *
   * @default 0
   */
  readonly retryAfter?: number
  /**
   * Explanation of the server.
   *
   * @default null
   */
  readonly detail?: string | null
  /**
   * Ticket and methods of a second factor.
   *
   * @default null
   */
  readonly secondFactor?: SecondFactorResponse | null
  /**
   * Fixed message without data of the user.
   *
   * @default the code
   */
  readonly message?: string
  /** Error of `fetch` or of the storage. */
  readonly cause?: unknown
}

/**
 * Error of a failed call.
 *
 * The message is the code, or a fixed sentence that names options. So it never contains a token.
 *
 * @example
 * ```ts
 * import { AuthError } from 'fastify-token-auth/client'
 *
 * try {
 *   await auth.login({ username, password })
 * } catch (error) {
 *   if (error instanceof AuthError && error.code === 'AUTH_TOO_MANY_ATTEMPTS') {
 *     showMessage(`Try again in ${error.retryAfter} s`)
 *   }
 * }
 * ```
 */
export class AuthError extends Error {
  /** Name of the class, for checks without `instanceof`. */
  override readonly name = 'AuthError'
  /** Reason of the error. */
  readonly code: AuthErrorCode
  /** HTTP status of the response; 0 if there was no response. */
  readonly status: number
  /** Seconds to wait before the next attempt, as requested by the server; 0 if unknown. */
  readonly retryAfter: number
  /** Explanation of the server, in English; `null` if there is none. It may change. */
  readonly detail: string | null
  /**
   * Ticket and methods that `AUTH_SECOND_FACTOR_REQUIRED` asks for; `null` for any other code.
   *
   * @example
   * ```ts
   * const { ticket } = error.secondFactor
   * const body = JSON.stringify({ ticket, method: 'totp', code })
   * const headers = { 'content-type': 'application/json' }
   * await auth.adopt(fetch => fetch('/auth/login/second', { method: 'POST', headers, body }))
   * ```
   */
  readonly secondFactor: SecondFactorResponse | null

  /** @param options - `cause` is the error of `fetch` or of the storage, unchanged. */
  constructor (
    code: AuthErrorCode,
    {
      status = 0,
      retryAfter = 0,
      detail = null,
      secondFactor = null,
      message = code,
      cause
    }: AuthErrorOptions = {}
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.status = status
    this.retryAfter = retryAfter
    this.detail = detail
    this.secondFactor = secondFactor
  }
}

/** Returns an {@link AuthError} unchanged. Any other failure becomes the cause of a new one. */
export function toAuthError (failure: unknown, code: AuthErrorCode = 'network'): AuthError {
  return failure instanceof AuthError ? failure : new AuthError(code, { cause: failure })
}
