import type { Duration } from '../lib/duration.js'
import { createAuthenticate, createHook } from './authenticate.js'
import type { Authenticate } from './authenticate.js'
import { createClaimsCheck, createFreshCheck, getRequiredAuth } from './guards.js'
import type { ClaimRequirements, FreshOptions } from './guards.js'
import { getRegistration } from './registration.js'

/**
 * `onRequest` hook that requires a valid access token and sets `request.auth`.
 *
 * Finds its registration when a request arrives: that of the scope that declared the route, or of a
 * parent scope. So it works before `register`, without `await`, and in other plugin files. A route
 * outside of the scope of a registration responds with 500 (`AUTH_NOT_REGISTERED`) and is never
 * open.
 *
 * Without `done`, returns a promise that rejects if the token is rejected.
 *
 * @throws TokenAuthError with status 401 if the token is missing, invalid, expired or revoked. With
 * status 400 if the request has two tokens. With status 403 if a request with a cookie fails the
 * origin check. With status 503 if revocations, or the keys of the issuer, cannot be checked.
 * @example
 * ```ts
 * import { authenticate } from 'fastify-token-auth'
 *
 * app.get('/orders', { onRequest: [authenticate] }, request => listOrders(request.auth))
 * ```
 */
export const authenticate: Authenticate = createAuthenticate(request =>
  getRegistration(request).authenticate(request)
)

/**
 * Creates an `onRequest` hook that requires claims of the access token. Place it after
 * {@link authenticate}.
 *
 * Rejects with a `TokenAuthError` `AUTH_CLAIMS_INSUFFICIENT` (403) if a claim has another value,
 * and with `AUTH_ACCESS_MISSING` (401) if no token was verified. Finds its registration like
 * {@link authenticate}.
 *
 * @throws TypeError if no claim is required, or a claim has no accepted value.
 * @example
 * ```ts
 * import { authenticate, requireClaims } from 'fastify-token-auth'
 *
 * app.get('/admin', {
 *   onRequest: [authenticate, requireClaims({ role: ['admin', 'support'] })]
 * }, showAdminPage)
 * ```
 */
export function requireClaims (requirements: ClaimRequirements): Authenticate {
  const assertClaims = createClaimsCheck(requirements)

  return createHook(request => {
    getRegistration(request)
    assertClaims(getRequiredAuth(request))
  })
}

/**
 * Creates an `onRequest` hook that requires a recent login or step-up. Place it after
 * {@link authenticate}.
 *
 * Rejects with a `TokenAuthError` `AUTH_REAUTHENTICATION_REQUIRED` (403) if the login is older, or
 * used no method of `options.amr`. Rejects with `AUTH_ACCESS_MISSING` (401) if no token was
 * verified. Finds its registration like {@link authenticate}.
 *
 * @throws TypeError if `maxAge` is not a duration above 0, or an option is invalid or unknown.
 * @example
 * ```ts
 * import { authenticate, requireFresh } from 'fastify-token-auth'
 *
 * app.delete('/account', { onRequest: [authenticate, requireFresh('5m')] }, deleteAccount)
 * ```
 */
export function requireFresh (maxAge: Duration, options?: FreshOptions): Authenticate {
  const assertFresh = createFreshCheck(maxAge, options)

  return createHook(request => {
    const { clock } = getRegistration(request)
    assertFresh(getRequiredAuth(request), clock())
  })
}
