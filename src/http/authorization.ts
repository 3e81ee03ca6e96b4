import type { Caller } from '../domain/session.js'
import { createBadRequestError } from '../errors.js'
import { normalizeAddress } from '../lib/ip-network.js'
import { toStorableText } from '../lib/storable-text.js'

/** Part of a Fastify request that is read. Fits requests over HTTP/1 and HTTP/2. */
export interface HttpRequest {
  /** `undefined` over a Unix socket, or if the client has disconnected. */
  readonly ip?: string | undefined
  readonly headers: {
    readonly authorization?: string | undefined
    readonly cookie?: string | undefined
    readonly 'user-agent'?: string | undefined
  }
  readonly raw: { readonly rawHeaders: readonly string[], readonly socket?: unknown }
}

const HEADER_NAME = 'authorization'
const MAX_USER_AGENT_LENGTH = 256
/** Longer than every IP address. A proxy may forward any other string. */
const MAX_ADDRESS_LENGTH = 64
const BEARER_PATTERN = /^bearer(?: +(.*))?$/i
const DPOP_PATTERN = /^dpop +(.*)$/i

/**
 * Reads a bearer token from the `Authorization` header (RFC 6750, section 2.1).
 *
 * @returns The string after the scheme, or `null` if the header is missing or uses another scheme.
 * @throws TokenAuthError `AUTH_REQUEST_INVALID` if the request has two `Authorization` headers.
 */
export function readBearerToken (request: HttpRequest): string | null {
  const value = request.headers.authorization

  if (value === undefined) {
    return null
  }

  assertSingleAuthorization(request)

  // Most requests use this spelling, and `slice` is faster than the pattern.
  if (value.startsWith('Bearer ') && value[7] !== ' ') {
    return value.slice(7)
  }

  return BEARER_PATTERN.exec(value)?.[1] ?? null
}

/**
 * Reads a DPoP-bound token from the `Authorization` header (RFC 9449, section 7.1).
 *
 * @returns The string after the scheme, or `null` if the header is missing or uses another scheme.
 * @throws TokenAuthError `AUTH_REQUEST_INVALID` if the request has two `Authorization` headers.
 */
export function readDpopToken (request: HttpRequest): string | null {
  const value = request.headers.authorization

  if (value === undefined) {
    return null
  }

  assertSingleAuthorization(request)
  return DPOP_PATTERN.exec(value)?.[1] ?? null
}

/**
 * Rejects requests with more than one `Authorization` header. Node keeps only the first one.
 *
 * @throws TokenAuthError `AUTH_REQUEST_INVALID` if there are two.
 */
export function assertSingleAuthorization ({ raw }: HttpRequest): void {
  if (isRepeated(raw.rawHeaders)) {
    throw createBadRequestError('two Authorization headers were sent')
  }
}

// `injectWS` of @fastify/websocket creates requests without raw headers.
function isRepeated (rawHeaders: readonly string[] = []): boolean {
  let count = 0

  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string

    if (name.length === HEADER_NAME.length && name.toLowerCase() === HEADER_NAME) {
      count++
    }
  }

  return count > 1
}

/** Members of a body that identify an OAuth client. */
export interface ClientMembers {
  readonly client_id?: string | null | undefined
  readonly client_secret?: string | null | undefined
}

/** Part of a request that identifies its sender. */
export interface CallerRequest {
  /** IP address of the client. Missing or `null` if unknown. */
  readonly ip?: string | null | undefined
  /** Headers with names in lower case. */
  readonly headers: { readonly 'user-agent'?: string | undefined }
}

/**
 * Returns the address and user agent of the client, in a form that every database can store.
 *
 * Behind a proxy, the address is the client's only with Fastify's `trustProxy`. A port that the
 * proxy added is removed. The user agent is cut to 256 characters, and the address to 64.
 */
export function getCaller ({ ip, headers }: CallerRequest): Caller {
  const userAgent = headers['user-agent']

  return {
    address: ip == null ? null : toStorableText(normalizeAddress(ip), MAX_ADDRESS_LENGTH),
    userAgent: userAgent == null ? null : toStorableText(userAgent, MAX_USER_AGENT_LENGTH)
  }
}

/** Whether the client of a request still waits for the response. */
export function isConnected ({ raw }: { readonly raw: { readonly socket?: unknown } }): boolean {
  const { destroyed, readableEnded } = (raw.socket ?? {}) as {
    readonly destroyed?: boolean
    readonly readableEnded?: boolean
  }
  return destroyed !== true && readableEnded !== true
}
