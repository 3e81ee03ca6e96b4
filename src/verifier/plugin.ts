// For services that issue nothing: `authenticate` by the public keys of the service that does, or by asking it. A plugin of its
// own, so that jose is loaded where it is used, and nothing of stores and passwords is.

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { AuthenticatedRequest } from '../http/authenticate.js'
import { readBearer, readDpopToken } from '../http/authorization.js'
import { ACCESS_TYP } from '../tokens/access-token.js'
import { DpopNonces } from '../dpop/nonces.js'
import { proofAlgorithms } from '../dpop/proof.js'
import { deriveKey } from '../tokens/key-derivation.js'
import { RemoteKeys } from './remote-keys.js'
import type { Authenticate } from '../decorators.js'
import { TokenAuthError } from '../errors.js'
import { createRequireFresh, requireClaims } from '../http/guards.js'
import { addErrorHeaders } from '../http/headers.js'
import { RequestDpop } from '../http/dpop.js'
import { resolveVerifier } from './options.js'
import type { ResolvedVerifier } from './options.js'
import { createGuard, guardAttemptStore } from '../stores/guarded-store.js'
import { Events } from '../events.js'
import { IntrospectionVerifier } from './introspection-verifier.js'
import { DpopVerifier } from '../dpop/verifier.js'
import { JwksVerifier } from './jwks-verifier.js'
import type { AccessTokenVerifier } from './jwks-verifier.js'
import { Sweeper } from '../stores/sweeper.js'
import { MemoryAttempts } from '../stores/memory/attempts.js'
import type { TokenVerifierOptions } from './options.js'
import type { Millis } from '../lib/time.js'

const SWEPT_EVERY: Millis = 3_600_000

async function plugin (app: FastifyInstance, given: TokenVerifierOptions): Promise<void> {
  const options = resolveVerifier(given)
  const { name, clock, dpop } = options

  if (app.hasDecorator('authenticate') || app.hasRequestDecorator('auth')) {
    throw new Error(
      'fastify-token-auth: this instance has "authenticate" or "request.auth" already. Register each in a sibling ' +
        'scope of its own: app.register(async scope => { await scope.register(tokenVerifier, options) })'
    )
  }

  const access = createAccess(app, options)
  const proofs = dpop === null ? null : createProofs(app, options, dpop)

  app.decorateRequest('auth', null)
  addErrorHeaders(app, { realm: name, proofAlgorithms: proofs === null ? null : proofAlgorithms })
  app.decorate('authenticate', createAuthenticate(access, proofs, dpop?.required === true))
  app.decorate('requireFresh', createRequireFresh(clock))
  app.decorate('requireClaims', requireClaims)
}

function createAccess (app: FastifyInstance, options: ResolvedVerifier): AccessTokenVerifier {
  const { source, name, issuer, audience, cacheSize, timeout, clock } = options
  const logger = app.log
  const address = source.uri.origin + source.uri.pathname

  if (source.kind === 'introspection') {
    const onFailure = (cause: string): void => {
      logger.error(
        { registration: name, introspection: address, cause },
        'the issuer cannot be asked about tokens'
      )
    }

    return new IntrospectionVerifier({
      ...source,
      issuer,
      audience,
      cacheSize,
      timeout,
      clock,
      onFailure
    })
  }

  const onFailure = (cause: string): void => {
    logger.error(
      { registration: name, keySet: address, cause },
      'the key set of the issuer cannot be read'
    )
  }

  const keys = new RemoteKeys({ ...source, typ: ACCESS_TYP, clock, timeout, onFailure })
  // Not awaited: services may start in any order, and a wrong address shows in the log at once.
  app.addHook('onReady', async () => {
    keys.readAhead(clock())
  })
  return new JwksVerifier({ keys, issuer, audience, cacheSize, clock })
}

function createProofs (
  app: FastifyInstance,
  options: ResolvedVerifier,
  dpop: NonNullable<ResolvedVerifier['dpop']>
): RequestDpop {
  const { source, name, timeout, clock, publicUrl } = options
  // One that this instance alone has would refuse the nonces of its neighbours, each time.
  const shared = dpop.secret ?? (source.kind === 'introspection' ? source.clientSecret : undefined)
  const nonces = dpop.nonces && shared !== undefined
    ? new DpopNonces([deriveKey(shared, name, 'nonce').key])
    : null
  const logger = app.log
  const replays = guardAttemptStore(
    dpop.replays ?? new MemoryAttempts(),
    createGuard(timeout, logger)
  )
  const sweeper = new Sweeper({
    store: null,
    attempts: [replays],
    events: new Events({}, logger),
    logger,
    clock,
    interval: SWEPT_EVERY,
    keep: 0
  })
  app.addHook('onReady', async () => {
    sweeper.start()
  })
  app.addHook('onClose', () => sweeper.stop())
  const proofs = new RequestDpop(new DpopVerifier({ nonces, replays, clock }), publicUrl)
  proofs.addNonces(app)
  return proofs
}

/** @param demandsProof Whether tokens that are bound to no key are refused. */
function createAuthenticate (
  access: AccessTokenVerifier,
  proofs: RequestDpop | null,
  demandsProof: boolean
): Authenticate {
  async function admit (
    request: AuthenticatedRequest,
    token: string,
    isProven: boolean
  ): Promise<void> {
    const { auth, thumbprint } = access.recall(token) ?? await access.verify(token)

    if (isProven || thumbprint !== null) {
      if (proofs === null) {
        throw new TokenAuthError('AUTH_ACCESS_INVALID')
      }

      await proofs.requireProof(request, token, thumbprint)
    }

    request.auth = auth
  }

  return function authenticate (request, _reply, done) {
    if (request.routeOptions.config?.tokenAuth === 'public') {
      return done()
    }

    try {
      const bearer = readBearer(request)
      const proven = bearer === null && proofs !== null ? readDpopToken(request) : null
      const token = bearer ?? proven

      if (token === null) {
        throw new TokenAuthError('AUTH_ACCESS_MISSING')
      }

      const isProven = demandsProof || proven !== null
      const remembered = isProven ? null : access.recall(token)

      if (remembered === null || remembered.thumbprint !== null) {
        admit(request, token, isProven).then(() => {
          done()
        }, (error: Error) => {
          done(error)
        })
        return
      }

      request.auth = remembered.auth
    } catch (error) {
      return done(error as Error)
    }

    done()
  }
}

/**
 * Accepts the access tokens of another app, in a service that issues none: by its `keys`, or by asking it (`introspection`).
 * `app.authenticate`, `app.requireClaims`, `app.requireFresh` and `request.auth` are as there, but for `app.tokenAuth`, which is
 * not here. Tokens come in the Authorization header, as bearer, or with a proof where there is `dpop`; no cookies are read.
 *
 * Verified are the tokens of this package: `at+jwt` (RFC 9068) with `sid`, `gen`, `auth_time`, `jti` and `type: 'access'`, whose
 * header holds `alg`, `typ` and `kid`. What other issuers write is refused. Where the issuer has `oauth`, `request.auth.clientId`
 * is never `null`: of the app's own sessions it is the issuer's `name`. The app's own claims are typed by augmenting
 * `AuthClaims` of this module, or of the main one.
 *
 * By keys, logouts are not heard of: the token of a session that was ended is accepted until it ends itself (the issuer's
 * `accessToken.lifetime`). With `introspection` it is accepted for `maxAge` at most. Neither confirms a generation.
 *
 * While the issuer cannot be reached, and what is known is too old, the answer is 503 AUTH_KEYS_UNAVAILABLE, or
 * AUTH_STORE_UNAVAILABLE with `introspection`: nobody is signed in or out by it.
 * @see TokenVerifierOptions
 */
export const tokenVerifier = fp(plugin, { name: 'fastify-token-auth/verifier', fastify: '5.x' })
