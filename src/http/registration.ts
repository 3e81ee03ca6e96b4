import { TokenAuthError } from '../errors.js'
import type { Millis } from '../lib/time.js'
import type { AccessCheck, AuthenticatedRequest } from './authenticate.js'
import type { TestSessions } from './test-sessions.js'
import type { Route } from './unprotected-routes.js'

/**
 * Key of the {@link Registration} on the Fastify instance.
 *
 * A global symbol, so that hooks of another copy of this package find the registration too.
 */
export const REGISTRATION: unique symbol = Symbol.for('fastify-token-auth')

/** One registration of a plugin, as hooks and test helpers find it on the instance. */
export interface Registration {
  /** The option `name`. */
  readonly name: string
  readonly clock: () => Millis
  /** Check of the `authenticate` hook. */
  readonly authenticate: AccessCheck
  /** Lists the routes of the whole app that no `authenticate` hook protects. */
  readonly unprotectedRoutes: () => Route[]
  /**
   * Opens sessions for `signIn` of `fastify-token-auth/testing`.
   *
   * Missing if `NODE_ENV` was `production` at registration, and for `tokenVerifier`.
   */
  readonly testing?: TestSessions
}

/** Returns the registration of a scope, or `null` if neither it nor a parent scope has one. */
export function findRegistration (scope: object | undefined): Registration | null {
  return (scope as { readonly [REGISTRATION]?: Registration } | undefined)?.[REGISTRATION] ?? null
}

/**
 * Returns the registration of the scope that declared the route of a request.
 *
 * @throws TokenAuthError `AUTH_NOT_REGISTERED` if there is none. The log says how to fix it.
 */
export function getRegistration (
  { server, log }: Pick<AuthenticatedRequest, 'server' | 'log'>
): Registration {
  const registration = findRegistration(server)

  if (registration === null) {
    log?.error(
      {},
      'tokenAuth is not registered in the scope of this route; register it there or in a parent ' +
        'scope, and wrap a plugin file that registers it with fastify-plugin'
    )
    throw new TokenAuthError('AUTH_NOT_REGISTERED')
  }

  return registration
}
