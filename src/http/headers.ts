import type { FastifyInstance, FastifyReply } from 'fastify'
import { TokenAuthError } from '../errors.js'
import type { ErrorCode } from '../protocol.js'

/** Parameters of the `WWW-Authenticate` challenge that a scope sends. */
interface Challenge {
  readonly realm: string
  /** Algorithms that DPoP proofs may use; `null` if the scope accepts no proofs. */
  readonly dpopAlgorithms: readonly string[] | null
  /** Whether the request has a `DPoP` header. */
  readonly hasProof: boolean
}

/**
 * Values of the `error` parameter other than `invalid_token`
 * (RFC 6750, section 3.1; RFC 9449, section 7.1; RFC 9470, section 3).
 */
const CHALLENGE_ERRORS: { readonly [Code in ErrorCode]?: string } = {
  AUTH_CLAIMS_INSUFFICIENT: 'insufficient_scope',
  AUTH_REAUTHENTICATION_REQUIRED: 'insufficient_user_authentication',
  AUTH_DPOP_INVALID: 'invalid_dpop_proof',
  AUTH_DPOP_NONCE: 'use_dpop_nonce'
}

/** Codes of requests without a token. Their challenge has no `error` (RFC 6750, section 3.1). */
const CODES_WITHOUT_TOKEN: ReadonlySet<ErrorCode> = new Set([
  'AUTH_CREDENTIALS_REJECTED',
  'AUTH_SECOND_FACTOR_REQUIRED',
  'AUTH_SECOND_FACTOR_REJECTED',
  'AUTH_CLIENT_REJECTED',
  'AUTH_REFRESH_MISSING',
  'AUTH_ACCESS_MISSING'
])

/**
 * Adds `X-Auth-Error`, and `WWW-Authenticate` or `Retry-After`, to each {@link TokenAuthError} that
 * the scope sends. Removes the frames from the stack of an expected rejection.
 */
export function addErrorHeaders (
  scope: FastifyInstance,
  challenge: Omit<Challenge, 'hasProof'>
): void {
  // An `onError` hook runs only if the error is sent. With @fastify/auth, another strategy may
  // still accept the request after ours has failed.
  scope.addHook('onError', (request, reply, error, done) => {
    if (error instanceof TokenAuthError) {
      const hasProof = request.headers.dpop !== undefined
      const headers = {
        ...getChallengeHeader(error, { ...challenge, hasProof }),
        ...error.headers
      }
      reply.headers(headers)

      // Scripts of other origins cannot read them otherwise. CORS itself is up to the app.
      for (const header of Object.keys(headers)) {
        addToHeader(reply, 'access-control-expose-headers', header)
      }

      shortenStack(error)
    }

    done()
  })
}

// Fastify logs each error with its stack. The stack of a missing or expired token looks like a
// fault of the server. The code and the message name the cause.
function shortenStack (error: TokenAuthError): void {
  if (error.expose && error.cause === undefined) {
    error.stack = `${error.name}: ${error.message}`
  }
}

/**
 * Returns `WWW-Authenticate` (RFC 6750, section 3) if a token could make the request succeed, and
 * the error has no `Retry-After`.
 */
function getChallengeHeader (
  { statusCode, code, message, retryAfter }: TokenAuthError,
  challenge: Challenge
): Record<string, string> {
  if (retryAfter !== null || (statusCode !== 401 && CHALLENGE_ERRORS[code] === undefined)) {
    return {}
  }

  const error = CODES_WITHOUT_TOKEN.has(code) ? null : CHALLENGE_ERRORS[code] ?? 'invalid_token'
  const parameters = error === null ? '' : `, error="${error}", error_description="${message}"`
  const isDpopError = code.startsWith('AUTH_DPOP_')
  return { 'www-authenticate': formatChallenge(challenge, parameters, isDpopError) }
}

/** The error parameters belong to the scheme of the request. The other scheme is only offered. */
function formatChallenge (
  { realm, dpopAlgorithms, hasProof }: Challenge,
  parameters: string,
  isDpopError: boolean
): string {
  const bearer = `Bearer realm="${realm}"`

  if (dpopAlgorithms === null) {
    return bearer + parameters
  }

  const dpop = `DPoP realm="${realm}", algs="${dpopAlgorithms.join(' ')}"`
  return hasProof || isDpopError ? dpop + parameters : `${bearer}${parameters}, ${dpop}`
}

/** Part of a reply. */
interface HeaderReply {
  getHeader?(name: string): unknown
  header(name: string, value: string): unknown
}

/**
 * Adds members to a list header such as `Vary`, except those that the list contains.
 *
 * Does nothing if the header cannot be read, because setting it could remove other members.
 */
export function addToHeader (reply: HeaderReply, header: string, ...members: string[]): void {
  if (reply.getHeader === undefined) {
    return
  }

  const present = readMembers(reply.getHeader(header))
  const missing = members.filter(member => !present.some(value => isSameName(value, member)))

  if (missing.length > 0) {
    reply.header(header, [...present, ...missing].join(', '))
  }
}

/** Removes a member from a list header, or the whole header if it has no other member. */
export function removeFromHeader (reply: FastifyReply, header: string, member: string): void {
  const members = readMembers(reply.getHeader(header)).filter(value => !isSameName(value, member))

  if (members.length === 0) {
    reply.removeHeader(header)
  } else {
    reply.header(header, members.join(', '))
  }
}

// The app or another plugin may have set the header to a string or to an array.
function readMembers (value: unknown): string[] {
  if (value == null) {
    return []
  }

  return [value].flat().flatMap(line => String(line).split(',')).map(member => member.trim())
}

function isSameName (a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}
