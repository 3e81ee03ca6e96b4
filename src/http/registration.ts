import { TokenAuthError } from '../errors.js'
import type { Events } from '../events.js'
import type { Millis } from '../lib/time.js'
import type { PasswordLogin } from '../login/password-login.js'
import type { Passwords } from '../login/passwords.js'
import type { ResolvedOptions } from '../options/resolve.js'
import type { Arrivals } from '../sessions/arrival.js'
import type { Sessions } from '../sessions/sessions.js'
import type { UserDirectory } from '../sessions/users.js'
import type { AttemptStore } from '../stores/attempt-store.js'
import type { Throttle } from '../throttle/throttle.js'
import type { KeyPurpose, SigningKeys } from '../tokens/key-derivation.js'
import type { AccessCheck, Authenticate, AuthenticatedRequest } from './authenticate.js'
import type { ClientMembers, HttpRequest } from './authorization.js'
import type { GetProof } from './dpop.js'
import type { Follow } from './follow.js'
import type { DescribeRoute } from './openapi.js'
import type { TestSessions } from './test-sessions.js'
import type { UnprotectedRoute } from './unprotected-routes.js'
import type { TokenTransport } from './token-transport.js'

/**
 * Key of the {@link Registration} on the Fastify instance.
 *
 * A global symbol, so that hooks of another copy of this package find the registration too.
 */
export const REGISTRATION: unique symbol = Symbol.for('fastify-token-auth')

/** Collaborators of a registration for plugins that add routes to it, such as `accountFlows`. */
export interface RegistrationParts {
  readonly options: ResolvedOptions
  readonly users: UserDirectory
  readonly arrivals: Arrivals
  readonly sessions: Sessions
  readonly login: PasswordLogin
  readonly passwords: Passwords
  /** `null` if logins are not throttled. */
  readonly throttle: Throttle | null
  readonly attempts: AttemptStore
  /** Whether all instances of the app use the same `attempts`. */
  readonly sharesAttempts: boolean
  readonly events: Events
  readonly transport: TokenTransport
  /** Hook of the plugin's own routes, which rejects the tokens of OAuth clients. */
  readonly authenticate: Authenticate
  /** Authenticates the OAuth client that a request names. Returns `null` if it names none. */
  readonly getClientId: (request: HttpRequest, body: ClientMembers) => string | null
  /** Reads the DPoP proof of a login. Throws if there is none and the app requires one. */
  readonly getLoginProof: GetProof
  readonly describe: DescribeRoute
  readonly deriveKeys: (purpose: KeyPurpose) => SigningKeys
  /** Names of the plugins that have added routes to the registration. */
  readonly extensions: Set<string>
}

/** One registration of a plugin, as hooks and test helpers find it on the instance. */
export interface Registration {
  /** The option `name`. */
  readonly name: string
  readonly clock: () => Millis
  /** Check of the `authenticate` hook. */
  readonly authenticate: AccessCheck
  /** Lists the routes of the whole app that no `authenticate` hook protects. */
  readonly unprotectedRoutes: () => UnprotectedRoute[]
  /** Follows the session of a request. Missing for `fakeAuth`. */
  readonly follow?: Follow
  /**
   * Opens sessions for `signIn` of `fastify-token-auth/testing`.
   *
   * Missing if `NODE_ENV` was `production` at registration, and for `tokenVerifier` and `fakeAuth`.
   */
  readonly testing?: TestSessions
  /**
   * Returns the collaborators. Missing for `tokenVerifier` and `fakeAuth`.
   *
   * A function, so that no dump of the app contains the secrets among the options.
   */
  readonly getParts?: () => RegistrationParts
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
      'neither tokenAuth nor tokenVerifier is registered in the scope of this route; register it ' +
        'there or in a parent scope, and wrap a plugin file that registers it with fastify-plugin'
    )
    throw new TokenAuthError('AUTH_NOT_REGISTERED')
  }

  return registration
}
