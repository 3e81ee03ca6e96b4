// For services that issue nothing: `authenticate` by the public keys of the service that does. A plugin of its own, so that jose
// is loaded where it is used, and nothing of stores and passwords is.

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { AuthenticatedRequest } from './authenticate.js'
import { readBearer } from './bearer.js'
import { ACCESS_TYP } from './credentials/access-token.js'
import type { KeyAlgorithm } from './credentials/key-pairs.js'
import { RemoteKeys } from './credentials/remote-keys.js'
import type { Authenticate } from './decorators.js'
import type { Millis } from './domain/session.js'
import type { Duration } from './durations.js'
import { TokenAuthError } from './errors.js'
import { createRequireFresh, requireClaims } from './guards.js'
import { allowOnly, demand, duration, isFunction } from './option-checks.js'
import { addErrorHeaders } from './reply-headers.js'
import { RemoteAccess } from './service/remote-access.js'

export type { Auth, Authenticate, AuthGuard, ClaimDemands } from './decorators.js'
export type { AuthClaims } from './service/access.js'

/** What others can verify: no secrets among them (RFC 8725 section 3.1). */
export type PublicAlgorithm = Extract<KeyAlgorithm, 'EdDSA' | 'ES256' | 'PS256' | 'RS256'>

export interface TokenVerifierOptions {
  /**
   * Where the issuer shows its public keys (RFC 7517), such as `'https://auth.example.org/.well-known/jwks.json'`. By https, or by
   * http on this machine; redirects are not followed.
   */
  readonly jwksUri: string | URL

  /** The `iss` of its tokens, as the issuer's option `issuer` says it. */
  readonly issuer: string

  /** The `aud` of its tokens, or one of them, as the issuer's option `audience` says it. */
  readonly audience: string

  /**
   * The `realm` of challenges. Letters, digits, `-` and `_`.
   * @default 'auth'
   */
  readonly name?: string

  /**
   * Which algorithms are accepted; a key for another one is as if it were not there.
   * @default ['EdDSA', 'ES256', 'PS256', 'RS256']
   */
  readonly algorithms?: readonly [PublicAlgorithm, ...PublicAlgorithm[]]

  /**
   * How many verified tokens are remembered, about 1 kB each. A remembered token is checked at once, in a microsecond or two;
   * another one by jose, in a third of a millisecond, beside the event loop.
   * @default 10_000
   */
  readonly cacheSize?: number

  /**
   * How long the issuer may take to answer, a minute at most. Who waits for it is answered 503 then.
   * @default '5s'
   */
  readonly timeout?: Duration

  /**
   * How long after it was read the key set is not read again for a token that names a key which it does not hold: such a token is
   * 401 meanwhile. So a storm of them stays here. From a second to `maxAge`.
   * @default '30s'
   */
  readonly cooldown?: Duration

  /**
   * How long the key set is believed, a day at most. A key that the issuer has taken away is good here for that long, and for as
   * long as caches between here and there keep the set. It is read again from half of that on, with nobody waiting; once it is
   * older, and the issuer cannot be reached, all is 503.
   * @default '10m'
   */
  readonly maxAge?: Duration

  /**
   * Stands in for the time. Milliseconds.
   * @default Date.now
   */
  readonly clock?: () => Millis
}

type Resolved = Readonly<Required<Omit<TokenVerifierOptions, 'jwksUri' | 'algorithms' | 'timeout' | 'cooldown' | 'maxAge'>>> & {
  readonly uri: URL
  readonly algorithms: ReadonlySet<string>
  readonly timeout: Millis
  readonly cooldown: Millis
  readonly maxAge: Millis
}

const SECOND: Millis = 1000
const MINUTE: Millis = 60 * SECOND
const DAY: Millis = 24 * 60 * MINUTE
const algorithmsByDefault: readonly PublicAlgorithm[] = ['EdDSA', 'ES256', 'PS256', 'RS256']
const known = ['jwksUri', 'issuer', 'audience', 'name', 'algorithms', 'cacheSize', 'timeout', 'cooldown', 'maxAge', 'clock']

async function plugin (app: FastifyInstance, given: TokenVerifierOptions): Promise<void> {
  const { uri, issuer, audience, name, algorithms, cacheSize, timeout, cooldown, maxAge, clock } = resolve(given)
  if (app.hasDecorator('authenticate') || app.hasRequestDecorator('auth')) {
    throw new Error('fastify-token-auth: this instance has "authenticate" or "request.auth" already. Register each in a sibling ' +
      'scope of its own: app.register(async scope => { await scope.register(tokenVerifier, options) })')
  }
  const logger = app.log
  const keys = new RemoteKeys({
    uri,
    typ: ACCESS_TYP,
    algorithms,
    clock,
    timeout,
    cooldown,
    maxAge,
    onFailure: cause => {
      logger.error({ registration: name, keySet: uri.origin + uri.pathname, cause }, 'the key set of the issuer cannot be read')
    }
  })
  const access = new RemoteAccess({ keys, issuer, audience, cacheSize, clock })

  app.decorateRequest('auth', null)
  addErrorHeaders(app, name)
  app.decorate('authenticate', createAuthenticate(access))
  app.decorate('requireFresh', createRequireFresh(clock))
  app.decorate('requireClaims', requireClaims)
  // Not awaited: services may start in any order, and a wrong address shows in the log at once.
  app.addHook('onReady', async () => { keys.readAhead(clock()) })
}

function createAuthenticate (access: RemoteAccess): Authenticate {
  return function authenticate (request: AuthenticatedRequest, _reply, done) {
    if (request.routeOptions.config?.tokenAuth === 'public') return done()
    try {
      const token = readBearer(request)
      if (token === null) throw new TokenAuthError('AUTH_ACCESS_MISSING')
      request.auth = access.recall(token)
      if (request.auth === null) {
        access.verify(token)
          .then(auth => { request.auth = auth })
          .then(() => { done() }, (error: Error) => { done(error) })
        return
      }
    } catch (error) {
      return done(error as Error)
    }
    done()
  }
}

/** @throws TypeError that names the option and the fix */
function resolve (given: TokenVerifierOptions): Resolved {
  allowOnly(given, known, '')
  const { name = 'auth', algorithms = algorithmsByDefault, cacheSize = 10_000, clock = Date.now, issuer, audience } = given
  for (const [option, value] of Object.entries({ issuer, audience })) {
    demand(typeof value === 'string' && value !== '', `${option} is missing: it must be what the issuer's own option ${option} is`)
  }
  demand(typeof name === 'string' && /^[A-Za-z][\w-]*$/.test(name), 'name must be letters, digits, "-" and "_", beginning with a letter')
  demand(Array.isArray(algorithms) && algorithms.length > 0 && algorithms.every(alg => algorithmsByDefault.includes(alg)),
    `algorithms must be a list of ${algorithmsByDefault.join(', ')}: secrets (HS256) are nothing to verify by elsewhere`)
  demand(Number.isSafeInteger(cacheSize) && cacheSize >= 2, 'cacheSize must be a whole number, 2 or more')
  demand(isFunction(clock), 'clock must be a function that gives milliseconds')
  const timeout = duration('timeout', given.timeout, '5s')
  const cooldown = duration('cooldown', given.cooldown, '30s')
  const maxAge = duration('maxAge', given.maxAge, '10m')
  demand(timeout > 0 && timeout <= MINUTE, 'timeout must be more than 0 and at most 1m')
  demand(maxAge >= 2 * timeout && maxAge <= DAY, 'maxAge must be from twice timeout (5s where it is not set) to 1d')
  demand(cooldown >= SECOND && cooldown <= maxAge, 'cooldown must be from 1s to maxAge (10m where it is not set)')
  const uri = resolveUri(given.jwksUri)
  return { uri, issuer, audience, name, algorithms: new Set(algorithms), cacheSize, timeout, cooldown, maxAge, clock }
}

function resolveUri (given: unknown): URL {
  demand(given instanceof URL || (typeof given === 'string' && URL.canParse(given)),
    'jwksUri must be where the issuer shows its keys, such as "https://auth.example.org/.well-known/jwks.json"')
  const uri = new URL(given)
  const isLocal = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(uri.hostname)
  demand(uri.protocol === 'https:' || (uri.protocol === 'http:' && isLocal),
    'jwksUri must be https: whoever is on the way could write tokens (http is for localhost alone)')
  demand(uri.username === '' && uri.password === '', 'jwksUri must not hold a user name or a password: the key set is public')
  return uri
}

/**
 * Accepts the access tokens of an app with `keys`, in a service that issues none: `app.authenticate`, `app.requireClaims`,
 * `app.requireFresh` and `request.auth` are as there, but for `app.tokenAuth`, which is not here. Tokens come as bearer alone.
 *
 * Verified are the tokens of this package: `at+jwt` (RFC 9068) with `sid`, `gen`, `auth_time`, `jti` and `type: 'access'`, whose
 * header holds `alg`, `typ` and `kid`. What other issuers write is refused. The app's own claims are typed by augmenting
 * `AuthClaims` of this module, or of the main one.
 *
 * Logouts are not heard of: the token of a session that was ended is accepted until it ends itself (the issuer's
 * `accessToken.lifetime`). It does not confirm a generation either.
 *
 * While the key set cannot be read, and what was read is too old, the answer is 503 AUTH_KEYS_UNAVAILABLE: nobody is signed in
 * or out by it.
 * @see TokenVerifierOptions
 */
export const tokenVerifier = fp(plugin, { name: 'fastify-token-auth/verify', fastify: '5.x' })
