// A token in the Authorization header (RFC 6750 section 2.1), and who sent it.

import type { Caller } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'

/** The part of a Fastify request that is read, so that requests over HTTP/1 and HTTP/2 both fit. */
export interface HttpRequest {
  /** Not there over a Unix socket, or when the client has gone. */
  readonly ip?: string | undefined
  readonly headers: {
    readonly authorization?: string | undefined
    readonly cookie?: string | undefined
    readonly 'user-agent'?: string | undefined
  }
  readonly raw: { readonly rawHeaders: readonly string[] }
}

const HEADER = 'authorization'
const LONGEST_USER_AGENT = 256
const bearerForm = /^bearer(?: +(.*))?$/i
const dpopForm = /^dpop +(.*)$/i

/**
 * The text behind `Bearer`, whatever it is; `null` where there is none, or another scheme.
 * @throws TokenAuthError AUTH_REQUEST_INVALID as {@link assertSingleAuthorization}
 */
export function readBearerToken (request: HttpRequest): string | null {
  const value = request.headers.authorization

  if (value === undefined) {
    return null
  }

  assertSingleAuthorization(request)

  if (value.startsWith('Bearer ') && value[7] !== ' ') {
    return value.slice(7)
  }

  return bearerForm.exec(value)?.[1] ?? null
}

/** The same behind `DPoP` (RFC 9449 section 7.1). */
export function readDpopToken (request: HttpRequest): string | null {
  const value = request.headers.authorization

  if (value === undefined) {
    return null
  }

  assertSingleAuthorization(request)
  return dpopForm.exec(value)?.[1] ?? null
}

/** @throws TokenAuthError AUTH_REQUEST_INVALID where there are two Authorization headers: Node would silently keep the first. */
export function assertSingleAuthorization ({ raw }: HttpRequest): void {
  if (isRepeated(raw.rawHeaders)) {
    throw new TokenAuthError('AUTH_REQUEST_INVALID', { hint: 'two Authorization headers' })
  }
}

function isRepeated (rawHeaders: readonly string[]): boolean {
  let count = 0

  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string

    if (name.length === HEADER.length && name.toLowerCase() === HEADER) {
      count++
    }
  }

  return count > 1
}

/** The address is Fastify's `request.ip`: behind a proxy it is the client's only with `trustProxy`. */
export function getCaller (request: HttpRequest): Caller {
  return {
    address: request.ip ?? null,
    userAgent: request.headers['user-agent']?.slice(0, LONGEST_USER_AGENT) ?? null
  }
}
