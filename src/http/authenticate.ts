import type { FastifyContextConfig } from 'fastify'
import { TokenAuthError } from '../errors.js'
import type { Logger } from '../events.js'
import type { ErrorCode } from '../protocol.js'
import type { AccessTokenVerifier, Auth, VerifiedToken } from '../tokens/auth.js'
import { readBearerToken, readDpopToken } from './authorization.js'
import type { TokenCookie } from './cookies.js'
import { isPreflight, isUnsafe } from './csrf.js'
import type { OriginRequest, TrustedOrigins } from './csrf.js'
import type { DpopRequest, RequestDpop } from './dpop.js'
import { readSubprotocolToken } from './subprotocol.js'

/** Part of a Fastify request that {@link Authenticate} reads and writes. */
export interface AuthenticatedRequest extends DpopRequest, OriginRequest {
  /** Instance of the scope that declared the route. */
  readonly server?: object
  /** Logger of the request. */
  readonly log?: Pick<Logger, 'error'>
  readonly routeOptions: { readonly config: FastifyContextConfig }
  readonly headers: DpopRequest['headers'] & OriginRequest['headers']
  /** User and session of the access token; `null` if no token was accepted. */
  auth: Auth | null
}

/**
 * Fastify `onRequest` or `preHandler` hook. Also works as a function of @fastify/auth.
 *
 * In a hook of your own, await it without `done`. The promise rejects with a `TokenAuthError` if
 * the request is not allowed.
 *
 * @example
 * ```ts
 * app.addHook('onRequest', async (request, reply) => {
 *   await app.authenticate(request, reply)
 * })
 * ```
 */
export interface Authenticate {
  (request: AuthenticatedRequest, reply: unknown): Promise<void>
  (request: AuthenticatedRequest, reply: unknown, done: (error?: Error) => void): void
}

/**
 * Checks the access token of a request and sets `request.auth`.
 *
 * Throws if the request is rejected, or returns a promise that rejects then.
 */
export type AccessCheck = (request: AuthenticatedRequest) => Promise<void> | void

/** Cookie with the access token, and the origins whose pages may use it. */
export interface AccessCookie {
  readonly cookie: TokenCookie
  readonly origins: TrustedOrigins
}

/** Renews access tokens of authenticated requests. */
export interface TokenRenewer<Verified> {
  isDue(verified: Verified): boolean
  /** Renews the token and adds the new one to the response, if there is one. */
  renew(request: object, token: string, verified: Verified, inCookie: boolean): Promise<void>
}

/** Settings and collaborators of an {@link AccessCheck}. */
export interface AuthenticateContext<Verified extends VerifiedToken> {
  readonly verifier: AccessTokenVerifier<Verified>
  /** `null` if access tokens are not accepted in a cookie. */
  readonly accessCookie: AccessCookie | null
  /** `null` if access tokens are not renewed silently. */
  readonly renewer: TokenRenewer<Verified> | null
  /** `null` if DPoP-bound tokens are rejected. */
  readonly dpop: RequestDpop | null
  /** Whether bearer tokens are rejected. */
  readonly requiresDpop: boolean
}

/** Accepted places of an access token, in addition to `Authorization` with a bearer token. */
export type TokenSources = Pick<AuthenticateContext<never>, 'accessCookie' | 'dpop'>

/** Codes of tokens that were valid once. */
const CODES_OF_OLD_TOKENS: ReadonlySet<ErrorCode> = new Set([
  'AUTH_ACCESS_EXPIRED',
  'AUTH_SESSION_REVOKED'
])

/** Name of the hooks that verify a token, in `printRoutes`. No app uses it by accident. */
export const AUTHENTICATE_HOOK = 'tokenAuth.authenticate'

/** Access token of a request and how it was sent. */
export interface RequestToken {
  readonly token: string
  /** Key of the token in the cache: the value of the header, or of the cookie. */
  readonly cacheKey: string
  /**
   * How the request contains the token.
   *
   * - `bearer`, `dpop`: in `Authorization`, with this scheme.
   * - `cookie`: in the access cookie.
   * - `subprotocol`: as a subprotocol in the handshake of a WebSocket.
   */
  readonly sentAs: 'bearer' | 'dpop' | 'cookie' | 'subprotocol'
}

/**
 * Creates the check of the `authenticate` hook.
 *
 * Usually runs synchronously. It is asynchronous for remote tokens that are not cached, for
 * renewal and for DPoP. It also is after the process stood still, and for the first use of a
 * generation if `confirmWrites` is `'immediate'`.
 *
 * @param getAccess - Returns `'public'` or `'optional'` for a route that needs no token.
 */
export function createAccessCheck<Verified extends VerifiedToken> (
  context: AuthenticateContext<Verified>,
  getAccess: (request: AuthenticatedRequest) => unknown = readAccess
): AccessCheck {
  const { verifier, renewer, dpop, requiresDpop } = context

  function needsProof (verified: Verified, { sentAs }: RequestToken): boolean {
    return requiresDpop || sentAs === 'dpop' || verified.thumbprint !== null
  }

  function needsIo (verified: Verified, presented: RequestToken): boolean {
    return needsProof(verified, presented) || renewer?.isDue(verified) === true
  }

  function verify (
    request: AuthenticatedRequest,
    presented: RequestToken
  ): Promise<void> | void {
    const verified = verifier.verify(presented.token, presented.cacheKey)

    if (verified instanceof Promise || needsIo(verified, presented)) {
      return complete(request, presented, verified)
    }

    request.auth = verified.auth
  }

  // A page that is open to visitors must not fail because of the cookie of an old session.
  async function verifyVisitor (
    request: AuthenticatedRequest,
    presented: RequestToken
  ): Promise<void> {
    try {
      await verify(request, presented)
    } catch (error) {
      if (!(error instanceof TokenAuthError && CODES_OF_OLD_TOKENS.has(error.code))) {
        throw error
      }
    }
  }

  async function complete (
    request: AuthenticatedRequest,
    presented: RequestToken,
    pending: Verified | Promise<Verified>
  ): Promise<void> {
    const { token, sentAs } = presented
    const verified = await pending

    if (needsProof(verified, presented)) {
      // A subprotocol is a way to send bearer tokens, so a bound token must not use it.
      if (dpop === null || sentAs === 'subprotocol') {
        throw new TokenAuthError('AUTH_ACCESS_INVALID')
      }

      await dpop.requireProof(request, token, verified.thumbprint)
      await verifier.onPossessionProved?.(verified)
    }

    if (renewer?.isDue(verified) === true) {
      await renewer.renew(request, token, verified, sentAs === 'cookie')
    }

    request.auth = verified.auth
  }

  return (request): Promise<void> | void => {
    const access = getAccess(request)

    if (access === 'public') {
      return
    }

    const presented = findAccessToken(request, context)

    if (presented === null) {
      if (access === 'optional' && readDpopToken(request) === null) {
        return
      }

      throw missingToken(request)
    }

    return access === 'optional' && presented.sentAs === 'cookie' && isPageRequest(request)
      ? verifyVisitor(request, presented)
      : verify(request, presented)
  }
}

/** Creates an `authenticate` hook with the name {@link AUTHENTICATE_HOOK}. */
export function createAuthenticate (check: AccessCheck): Authenticate {
  return Object.defineProperty(createHook(check), 'name', { value: AUTHENTICATE_HOOK })
}

/**
 * Creates a hook from a check.
 *
 * With `done`, creates no promise unless the check returns one.
 */
export function createHook (check: AccessCheck): Authenticate {
  function hook (request: AuthenticatedRequest, reply: unknown): Promise<void>
  function hook (
    request: AuthenticatedRequest,
    reply: unknown,
    done: (error?: Error) => void
  ): void

  function hook (
    request: AuthenticatedRequest,
    _reply: unknown,
    done?: (error?: Error) => void
  ): Promise<void> | void {
    // A caller that awaits the hook must never continue before the check has ended. A `preParsing`
    // or `onSend` hook gets the payload as third argument, and may return a promise.
    if (typeof done !== 'function') {
      return (async () => check(request))()
    }

    try {
      const pending = check(request)

      if (pending instanceof Promise) {
        pending.then(() => {
          done()
        }, done)
        return
      }
    } catch (error) {
      return done(error as Error)
    }

    done()
  }

  return hook
}

/**
 * Returns the setting `config.tokenAuth` of a route.
 *
 * Only the setting of the app counts. A polluted prototype must not make every route public.
 */
export function readAccess ({ routeOptions: { config } }: AuthenticatedRequest): unknown {
  return config !== undefined && Object.hasOwn(config, 'tokenAuth') ? config.tokenAuth : undefined
}

/** Whether a request reads a page or data. Excludes the request that opens a WebSocket. */
function isPageRequest (request: AuthenticatedRequest): boolean {
  return (request.method === 'GET' || request.method === 'HEAD') && !isUnsafe(request)
}

// A preflight never has a token, and reaches this hook only if it runs before CORS. In that order,
// pages of other origins could not read the 401 of an expired token either, so reject it with a
// hint.
function missingToken (request: AuthenticatedRequest): TokenAuthError {
  return new TokenAuthError('AUTH_ACCESS_MISSING', {
    ...(isPreflight(request) && {
      hint: 'a preflight has no token; register @fastify/cors before the hook that authenticates'
    })
  })
}

/** Returns the access token of a request, or `null` if it has none. */
export function findAccessToken (
  request: AuthenticatedRequest,
  { accessCookie, dpop }: TokenSources
): RequestToken | null {
  const { authorization, upgrade } = request.headers
  const offered = upgrade === undefined ? null : readSubprotocolToken(request)

  if (offered !== null) {
    // Shares the cache entry of the same token in a header. A cookie cannot find it.
    return { token: offered, cacheKey: `Bearer ${offered}`, sentAs: 'subprotocol' }
  }

  const bearer = readBearerToken(request)

  if (bearer !== null) {
    return { token: bearer, cacheKey: authorization as string, sentAs: 'bearer' }
  }

  const dpopToken = dpop === null ? null : readDpopToken(request)

  if (dpopToken !== null) {
    return { token: dpopToken, cacheKey: authorization as string, sentAs: 'dpop' }
  }

  return accessCookie === null ? null : findCookieToken(request, accessCookie)
}

function findCookieToken (
  request: AuthenticatedRequest,
  { cookie, origins }: AccessCookie
): RequestToken | null {
  const token = cookie.read(request)

  if (token === null) {
    return null
  }

  // The cache keys of headers contain a space. A cookie must not find their entries.
  if (token.includes(' ')) {
    throw new TokenAuthError('AUTH_ACCESS_INVALID')
  }

  if (isUnsafe(request)) {
    origins.assert(request)
  }

  return { token, cacheKey: token, sentAs: 'cookie' }
}
