/**
 * Responses as the client sees them: of the server, of a proxy, or of a broken wrapper of `fetch`.
 *
 * @module
 */

import { errorHeader } from '../protocol.js'
import type { ErrorCode, SecondFactorResponse } from '../protocol.js'
import { AuthError } from './errors.js'

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
  const code = [readHeader(headers, errorHeader), body?.['code']].find(isServerCode)
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
    detail: typeof message === 'string' ? message : null,
    secondFactor: code === 'AUTH_SECOND_FACTOR_REQUIRED' ? readSecondFactor(body) : null
  })
}

function readSecondFactor (body: Record<string, unknown> | null): SecondFactorResponse | null {
  const { ticket, methods } = body ?? {}

  if (!Array.isArray(methods) || !methods.every(method => typeof method === 'string')) {
    return null
  }

  return typeof ticket === 'string' ? { ticket, methods } : { methods }
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

/** Returns the value of a header; `null` if it is missing or cannot be read. */
export function readHeader (headers: Headers | undefined, name: string): string | null {
  try {
    return headers?.get(name) ?? null
  } catch {
    return null
  }
}

/** @throws TypeError if a value is not a response, for example of a broken wrapper of `fetch` */
export function assertResponse (value: unknown): asserts value is Response {
  if (
    !isRecord(value) || typeof value['status'] !== 'number' || !isRecord(value['headers'])
  ) {
    throw new TypeError('"fetch" and the callbacks of adopt and elevate must return a Response')
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
  const value = readHeader(headers, 'retry-after') ?? ''

  if (/^\d+$/.test(value)) {
    return Number(value)
  }

  const sentAt = Date.parse(readHeader(headers, 'date') ?? '')
  const seconds = (Date.parse(value) - (Number.isNaN(sentAt) ? date : sentAt)) / 1000
  return seconds > 0 ? Math.ceil(seconds) : 0
}
