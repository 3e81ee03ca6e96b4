import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { DpopProof } from './dpop/verifier.js'
import { createMissingProofError } from './errors.js'
import { Events } from './events.js'
import { addDecorator, assertFreeDecorators, decorateScope } from './http/app-decorators.js'
import { createAccessChecks } from './http/access-checks.js'
import { createAuthenticate } from './http/authenticate.js'
import type { Authenticate } from './http/authenticate.js'
import type { GetProof, RequestDpop } from './http/dpop.js'
import { RequestElevation } from './http/elevation.js'
import { createFollow } from './http/follow.js'
import { restrictToFirstParty } from './http/guards.js'
import { addErrorHeaders } from './http/headers.js'
import { loadDpop } from './http/load-dpop.js'
import { createRouteDocs } from './http/openapi.js'
import type { DescribeRoute } from './http/openapi.js'
import { addElevateRoute } from './http/routes/elevate.js'
import { addJwksRoute } from './http/routes/jwks.js'
import { addLoginRoute } from './http/routes/login.js'
import type { GetClientId } from './http/routes/login.js'
import { addLogoutAllRoute, addLogoutRoute } from './http/routes/logout.js'
import { addRefreshRoute } from './http/routes/refresh.js'
import { addSessionRoutes } from './http/routes/sessions.js'
import { prepareScope } from './http/scope.js'
import type { TestSessions, TestSessionsContext } from './http/test-sessions.js'
import { createRouteLister } from './http/unprotected-routes.js'
import { TokenTransport } from './http/token-transport.js'
import { createTransportSettings } from './http/transport-settings.js'
import { isProduction } from './lib/production.js'
import type { Millis } from './lib/time.js'
import type { OAuth } from './oauth/routes.js'
import type { TokenAuthOptions } from './options/options.js'
import { addRegistration } from './options/registrations.js'
import { resolveOptions } from './options/resolve.js'
import { assertPluginTimeout } from './options/startup.js'
import type { ResolvedOptions } from './options/resolve.js'
import { getSecurityWarnings } from './options/warnings.js'
import { createStoreTime } from './revocations/store-clock.js'
import type { StoreTime } from './revocations/store-clock.js'
import { createServices } from './services.js'
import type { Services, TokenSigners } from './services.js'
import { createTokenAuth } from './token-auth.js'
import { ACCESS_TYP } from './tokens/access-token.js'
import { createFastifyJwtSigners, shadowJwtDecorator } from './tokens/fastify-jwt.js'
import type { JwtSigners } from './tokens/jwt-codec.js'
import { deriveKeys } from './tokens/key-derivation.js'
import type { KeyPurpose, SigningKeys } from './tokens/key-derivation.js'
import { REFRESH_TYP } from './tokens/refresh-token.js'

/** Collaborators that the routes of one registration share. */
interface Registration {
  readonly options: ResolvedOptions
  readonly clock: () => Millis
  readonly events: Events
  readonly services: Services
  readonly transport: TokenTransport
  readonly elevation: RequestElevation
  readonly authenticate: Authenticate
  readonly getProof: GetProof
  readonly getLoginProof: GetProof
  readonly getClientId: GetClientId
  readonly describe: DescribeRoute
  /** `null` if OAuth clients are not configured. */
  readonly oauth: OAuth | null
  readonly dpop: RequestDpop | null
}

async function plugin (app: FastifyInstance, given: TokenAuthOptions): Promise<void> {
  const options = resolveOptions(given, app.prefix)
  const { name } = options
  assertFreeDecorators(app, options.decorators, 'tokenAuth')
  assertPluginTimeout(options.startup, app.initialConfig.pluginTimeout ?? 0)
  addRegistration(app.server, options)
  const events = new Events(options.on, app.log, name)
  const isSingle = options.revocations.pollInterval === null
  const time: StoreTime = createStoreTime(options.clock, isSingle, skew => {
    events.emit('clock-skew', { at: time.now(), ...skew })
  })
  const clock = time.now.bind(time)
  const { verifier = null, requests: dpop = null } = await loadDpop(options, clock, app.log) ?? {}
  app.decorateRequest('auth', null)
  // The hooks come before the child scope, because a scope inherits only hooks that exist already.
  addErrorHeaders(app, { realm: name, dpopAlgorithms: dpop?.algorithms ?? null })
  dpop?.addNonceHeaders(app)

  await app.register(async scope => {
    const oauth = options.oauth === null
      ? null
      : (await import('./oauth/routes.js')).createOAuth(options.oauth)
    const services = createServices(options, {
      signers: await createTokenSigners(scope, options),
      dpop: verifier,
      isConfidential: clientId => oauth?.clients.isConfidential(clientId) === true,
      events,
      time
    }, app.log)
    const { attempts, feed } = services
    const settings = await createTransportSettings(scope, options.transport, name)

    prepareScope(scope, settings.refreshCookie !== null, services.arrivals)

    const { check, ownCheck, sources, renewer } = createAccessChecks(app, services, settings, dpop)
    const authenticate = createAuthenticate(ownCheck)
    const transport = new TokenTransport(
      settings,
      token => services.sessions.getTokenKind(token),
      dpop !== null
    )
    const getProof: GetProof = request => dpop?.getProof(request) ?? null
    const registration = {
      options,
      clock,
      events,
      services,
      transport,
      elevation: new RequestElevation({ ...services, transport, sources, renewer, clock }),
      authenticate: oauth === null ? authenticate : restrictToFirstParty(authenticate),
      getProof,
      getClientId: oauth?.getClientId ?? (() => null),
      getLoginProof: options.dpop?.required === true ? requireProof(getProof) : getProof,
      describe: createRouteDocs(options, settings.accessCookie?.name ?? null),
      oauth,
      dpop
    }
    const derive = (purpose: KeyPurpose): SigningKeys =>
      deriveKeys(options.secrets.base, name, purpose)
    const extensions = new Set<string>()
    let isStarted = false
    await addRoutes(app, scope, registration)
    const unprotectedRoutes = createRouteLister(app, options.paths)
    const follow = createFollow({ ...services, sources, clock })

    decorateScope(app, {
      name,
      clock,
      authenticate: check,
      unprotectedRoutes,
      follow,
      getParts: () => ({ ...registration, ...services, deriveKeys: derive, extensions }),
      ...(!isProduction() && {
        testing: await loadTestSessions({
          ...services,
          transport,
          options,
          clock,
          isStarted: () => isStarted
        })
      })
    }, options)
    addDecorator(
      app,
      options.decorators.tokenAuth,
      createTokenAuth({
        ...services,
        ...registration,
        follow,
        unprotectedRoutes,
        oneTime: { realm: name, attempts, feed, clock, deriveKeys: derive }
      })
    )
    app.addHook('onReady', async () => {
      for (const warning of getSecurityWarnings(options)) {
        app.log.warn({ registration: name }, warning)
      }

      await services.start()
      isStarted = true
    })
    app.addHook('onClose', () => services.stop())
  }, { prefix: options.prefix })
}

async function createTokenSigners (
  scope: FastifyInstance,
  { name, secrets }: ResolvedOptions
): Promise<TokenSigners> {
  shadowJwtDecorator(scope)
  const derive = (typ: string, purpose: 'access' | 'refresh'): Promise<JwtSigners> =>
    createFastifyJwtSigners(scope, typ, deriveKeys(secrets[purpose], name, purpose))

  return {
    access: await derive(ACCESS_TYP, 'access'),
    refresh: await derive(REFRESH_TYP, 'refresh')
  }
}

/** Loads the module on demand, so that a process in production never loads it. */
async function loadTestSessions (context: TestSessionsContext): Promise<TestSessions> {
  const { createTestSessions } = await import('./http/test-sessions.js')
  return createTestSessions(context)
}

async function addRoutes (
  app: FastifyInstance,
  scope: FastifyInstance,
  registration: Registration
): Promise<void> {
  const { options, clock, services, transport, authenticate, elevation, oauth, dpop } = registration
  const { arrivals, sessions, users, login, refresh, keyRing } = services
  const { paths } = options
  const { getProof, describe } = registration

  if (paths.login !== false) {
    addLoginRoute(scope, paths.login, {
      transport,
      login,
      getClientId: registration.getClientId,
      getProof: registration.getLoginProof,
      describe
    })
  }

  if (paths.refresh !== false) {
    addRefreshRoute(scope, paths.refresh, { arrivals, transport, refresh, getProof, describe })
  }

  if (paths.elevate !== false) {
    addElevateRoute(scope, paths.elevate, {
      transport,
      elevation,
      login,
      users,
      clock,
      authenticate,
      describe
    })
  }

  if (paths.logout !== false) {
    addLogoutRoute(scope, paths.logout, transport, sessions, describe)
  }

  if (paths.logoutAll !== false) {
    addLogoutAllRoute(scope, paths.logoutAll, {
      ...services,
      realm: options.name,
      transport,
      authenticate,
      clock,
      dpop,
      describe
    })
  }

  addSessionRoutes(scope, paths, { sessions, users, authenticate, describe })

  if (paths.jwks !== false && keyRing !== null) {
    addJwksRoute(app, paths.jwks, keyRing, describe)
  }

  await oauth?.addRoutes(app, scope, {
    ...services,
    ...registration,
    realm: options.name,
    audiences: options.acceptedAudiences,
    dpopAlgorithms: dpop?.algorithms ?? null
  })
}

function requireProof (getProof: GetProof): (...args: Parameters<GetProof>) => DpopProof {
  return request => {
    const proof = getProof(request)

    if (proof === null) {
      throw createMissingProofError()
    }

    return proof
  }
}

/**
 * Fastify plugin that adds login, refresh, logout and sessions to an app.
 *
 * Adds the routes below `prefix`, and decorates the instance with `authenticate`, `requireClaims`,
 * `requireFresh` and `tokenAuth`, and requests with `auth`.
 *
 * @see TokenAuthOptions
 *
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { tokenAuth } from 'fastify-token-auth'
 * import { MemoryStore } from 'fastify-token-auth/memory'
 *
 * const app = Fastify()
 * await app.register(tokenAuth, {
 *   secret: process.env.AUTH_SECRET,
 *   store: new MemoryStore(),
 *   users: { findByLogin, findById }
 * })
 * app.get('/me', { onRequest: [app.authenticate] }, request => request.auth)
 * ```
 */
export const tokenAuth = fp(plugin, { name: 'fastify-token-auth', fastify: '5.x' })
