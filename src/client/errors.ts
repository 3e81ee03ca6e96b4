import { errorHeader } from '../protocol.js'
import type { ErrorCode } from '../protocol.js'

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
  /** @default 0 */
  readonly status?: number
  /** @default 0 */
  readonly retryAfter?: number
  /** @default null */
  readonly detail?: string | null
  /** @default the code */
  readonly message?: string
  readonly cause?: unknown
}

/**
 * Error of a failed call.
 *
 * The message is the code, or a fixed text that names options. So it never contains a token.
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
  override readonly name = 'AuthError'
  readonly code: AuthErrorCode
  /** HTTP status of the response; 0 if there was no response. */
  readonly status: number
  /** Seconds to wait before the next attempt, as requested by the server; 0 if unknown. */
  readonly retryAfter: number
  /** Explanation of the server, in English; `null` if there is none. It may change. */
  readonly detail: string | null

  /** @param options - `cause` is the error of `fetch` or of the storage, unchanged. */
  constructor (
    code: AuthErrorCode,
    { status = 0, retryAfter = 0, detail = null, message = code, cause }: AuthErrorOptions = {}
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.status = status
    this.retryAfter = retryAfter
    this.detail = detail
  }
}

/** Returns an {@link AuthError} unchanged. Any other failure becomes the cause of a new one. */
export function toAuthError (failure: unknown, code: AuthErrorCode = 'network'): AuthError {
  return failure instanceof AuthError ? failure : new AuthError(code, { cause: failure })
}

const MISSING_ROUTE =
  'the server has no such route; "baseUrl", "prefix" and "paths" must be those of the server'

/**
 * Creates the error for a response with an error status.
 *
 * The code is in the header, and in the body unless the app sends a body of its own.
 *
 * @param date - Wall clock in milliseconds, for a `Retry-After` header with a date.
 */
export async function createResponseError (response: Response, date: number): Promise<AuthError> {
  const { headers, status } = response
  const body = await readJson(response)
  const code = [headers.get(errorHeader), body?.['code']].find(isServerCode)
  const details = { status, retryAfter: parseRetryAfter(headers, date) }

  if (code === undefined) {
    return new AuthError(
      'refused',
      status === 404 ? { ...details, message: MISSING_ROUTE } : details
    )
  }

  const message = body?.['message']

  return new AuthError(code, {
    ...details,
    detail: typeof message === 'string' ? message : null
  })
}

/**
 * Reads the JSON object in the body of a response.
 *
 * @returns `null` if the body is not a JSON object. Something else sent it, such as a captive
 *   portal.
 */
export async function readJson (response: Response): Promise<Record<string, unknown> | null> {
  try {
    const body: unknown = await response.json()
    return isRecord(body) ? body : null
  } catch {
    return null
  }
}

/** Whether a value is an object, so that its members can be read. */
export function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isServerCode (code: unknown): code is ErrorCode {
  return typeof code === 'string' && code.startsWith('AUTH_')
}

/** Parses `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date by the server's clock. */
function parseRetryAfter (headers: Headers, date: number): number {
  const value = headers.get('retry-after') ?? ''

  if (/^\d+$/.test(value)) {
    return Number(value)
  }

  const sentAt = Date.parse(headers.get('date') ?? '')
  const seconds = (Date.parse(value) - (Number.isNaN(sentAt) ? date : sentAt)) / 1000
  return seconds > 0 ? Math.ceil(seconds) : 0
}
