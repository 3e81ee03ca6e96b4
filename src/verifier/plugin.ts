import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { DpopNonces } from '../dpop/nonces.js'
import { DpopVerifier } from '../dpop/verifier.js'
import { Events } from '../events.js'
import { assertFreeDecorators, decorateScope } from '../http/app-decorators.js'
import { createAccessCheck } from '../http/authenticate.js'
import { RequestDpop } from '../http/dpop.js'
import { addErrorHeaders } from '../http/headers.js'
import { createRouteLister } from '../http/unprotected-routes.js'
import { RateLimit } from '../lib/rate-limit.js'
import { HOUR, SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { SessionFollowersContext } from '../live/session-followers.js'
import { dpopUrlWarning } from '../options/warnings.js'
import { RevokedSessions } from '../revocations/revoked.js'
import { createStoreTime } from '../revocations/store-clock.js'
import type { StoreTime } from '../revocations/store-clock.js'
import { createGuard } from '../stores/guard.js'
import { guardAttemptStore } from '../stores/guarded-store.js'
import { MemoryAttempts } from '../stores/memory/attempts.js'
import { checkStores } from '../stores/startup.js'
import { Sweeper } from '../stores/sweeper.js'
import { ACCESS_TYP } from '../tokens/access-token.js'
import { deriveKey } from '../tokens/key-derivation.js'
import { IntrospectionVerifier } from './introspection-verifier.js'
import { JwksVerifier } from './jwks-verifier.js'
import { resolveVerifier } from './options.js'
import type { ResolvedVerifier, TokenVerifierOptions } from './options.js'
import { RemoteKeys } from './remote-keys.js'
import { addSync } from './sync.js'
import { addFollow } from './verified-tokens.js'
import type { VerifiedTokens } from './verified-tokens.js'

// Limits the lines in the log, because each request fails while the issuer is down.
const MAX_FAILURES = 10
const FAILURE_WINDOW: Millis = 10 * SECOND

async function plugin (app: FastifyInstance, given: TokenVerifierOptions): Promise<void> {
  const options = resolveVerifier(given)
  const { name } = options
  const events = new Events(options.on, app.log, name)
  const time = createStoreTime(options.clock, options.sync === null, skew => {
    events.emit('clock-skew', { at: time.now(), ...skew })
  })
  const clock = time.now.bind(time)
  assertFreeDecorators(app, options.decorators, 'tokenVerifier')
  const dpop = createRequestDpop(app, options, events, time)

  app.decorateRequest('auth', null)
  addErrorHeaders(app, { realm: name, dpopAlgorithms: dpop?.algorithms ?? null })
  dpop?.addNonceHeaders(app)
  const verified: VerifiedTokens = new WeakMap()
  const { verifier, revoked } = createVerifier(app, options, events, time, verified)
  const check = createAccessCheck({
    verifier,
    accessCookie: null,
    renewer: null,
    dpop,
    requiresDpop: options.dpop?.required === true
  })
  const unprotectedRoutes = createRouteLister(app, { jwks: false, metadata: false })
  const follow = addFollow(app, { verified, verifier, revoked, clock })
  decorateScope(app, { name, clock, authenticate: check, unprotectedRoutes, follow }, options)
}

function createVerifier (
  app: FastifyInstance,
  options: ResolvedVerifier,
  events: Events,
  time: StoreTime,
  verified: VerifiedTokens
): Pick<SessionFollowersContext, 'verifier' | 'revoked'> {
  const { source, name, issuers, audiences, cacheSize, timeout, sync } = options
  const clock = time.now.bind(time)
  const url = source.uri.origin + source.uri.pathname

  if (source.kind === 'introspection') {
    const limit = new RateLimit(MAX_FAILURES, FAILURE_WINDOW, clock)

    const onFailure = (cause: string): void => {
      const skipped = limit.next()

      if (skipped !== null) {
        app.log.error(
          { registration: name, url, cause, ...(skipped > 0 && { skipped }) },
          'failed to introspect a token'
        )
      }
    }

    const verifier = new IntrospectionVerifier({
      ...source,
      issuers,
      audiences,
      cacheSize,
      timeout,
      clock,
      verified,
      onFailure
    })
    return { verifier, revoked: new RevokedSessions(0) }
  }

  const onFailure = (cause: string): void => {
    app.log.error({ registration: name, url, cause }, 'failed to read the key set of the issuer')
  }

  const keys = new RemoteKeys({ ...source, typ: ACCESS_TYP, timeout, onFailure })
  // Not awaited: services may start in any order. A wrong URL appears in the log immediately.
  app.addHook('onReady', async () => {
    keys.readAhead()
  })

  const verifier = new JwksVerifier({ keys, issuers, audiences, cacheSize, clock, verified })

  return sync === null
    ? { verifier, revoked: new RevokedSessions(0) }
    : addSync(app, { sync, name, timeout, events, time, verifier })
}

function createRequestDpop (
  app: FastifyInstance,
  options: ResolvedVerifier,
  events: Events,
  time: StoreTime
): RequestDpop | null {
  const { source, name, timeout, publicUrl, dpop } = options
  const clock = time.now.bind(time)

  if (dpop === null) {
    return null
  }

  // A per-instance key would reject nonces issued by other instances.
  const secret = dpop.secret ??
    (source.kind === 'introspection' ? source.clientSecret : undefined)
  const nonces = dpop.nonces && secret !== undefined
    ? new DpopNonces([deriveKey(secret, name, 'nonce').key])
    : null
  const logger = app.log
  const replays = guardAttemptStore(
    dpop.replays ?? new MemoryAttempts(),
    createGuard(timeout, logger, 'store')
  )
  const sweeper = new Sweeper({
    store: null,
    attempts: [replays],
    events,
    logger,
    // With `sync`, the time is not known until the issuer has responded.
    clock: () => time.isKnown && time.allowsSweep ? time.now() : null,
    interval: HOUR,
    keep: 0
  })
  app.addHook('onReady', async () => {
    if (publicUrl === undefined) {
      logger.warn({ registration: name }, dpopUrlWarning)
    }

    const stores = dpop.replays == null ? [] : [dpop.replays]

    for (const warning of await checkStores(stores)) {
      logger.warn({ registration: name }, warning)
    }

    sweeper.start()
  })
  app.addHook('onClose', () => sweeper.stop())

  return new RequestDpop(new DpopVerifier({ nonces, replays, clock }), publicUrl)
}

/**
 * Fastify plugin that accepts the access tokens of another app, in a service that issues none.
 *
 * Verifies tokens with the issuer's key set (`jwksUri`) or by introspection (`introspection`).
 * Adds `app.authenticate`, `app.requireClaims`, `app.requireFresh` and `request.auth`. Reads tokens
 * from the `Authorization` header, or from the subprotocols of a WebSocket. Ignores cookies.
 *
 * Accepts tokens of this package: `at+jwt` (RFC 9068) with the claims `sid`, `gen`, `auth_time`,
 * `jti` and `type: 'access'`. Rejects tokens of other libraries. If the issuer has OAuth clients,
 * `request.auth.clientId` of first-party sessions is the issuer's `name`.
 *
 * With a key set alone, a token stays valid until it expires, even if its session is revoked. Its
 * use does not confirm its generation at the issuer. With `sync`, the service rejects a revoked
 * session within about 1.5 s, and the issuer confirms the generations that were used. With
 * introspection, a token of a revoked session stays valid for at most `introspection.maxAge`.
 *
 * While the issuer is unreachable and cached data is too old, requests fail with 503
 * (`AUTH_KEYS_UNAVAILABLE` or `AUTH_STORE_UNAVAILABLE`).
 *
 * @see TokenVerifierOptions
 *
 * @example
 * ```ts
 * import { tokenVerifier } from 'fastify-token-auth/verifier'
 *
 * await app.register(tokenVerifier, {
 *   jwksUri: 'https://auth.example.org/.well-known/jwks.json',
 *   issuer: 'https://auth.example.org',
 *   audience: 'https://api.example.org'
 * })
 * app.get('/orders', { onRequest: [app.authenticate] }, listOrders)
 * ```
 */
export const tokenVerifier = fp(plugin, { name: 'fastify-token-auth/verifier', fastify: '5.x' })
