// The composition root: options -> keys -> services -> a child scope with the routes -> decorators -> sweeper.

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createAuthenticate } from './http/authenticate.js'
import { ACCESS_TYP } from './tokens/access-token.js'
import { defaultConcurrency, HashQueue } from './login/hash-queue.js'
import { JwtCodec } from './tokens/jwt-codec.js'
import { Passwords } from './login/passwords.js'
import { REFRESH_TYP } from './tokens/refresh-token.js'
import { CLOCK_STRAY, CLOCK_TOLERANCE } from './domain/rotation.js'
import { TokenAuthError } from './errors.js'
import { createRequireFresh, requireClaims, requireFirstParty } from './http/guards.js'
import type { TokenAuthOptions } from './options/options.js'
import { createSecretSigners, createThrottle, wrapAttemptStore, wrapStore } from './services.js'
import type { RouteName } from './protocol.js'
import { addErrorHeaders } from './http/headers.js'
import { sendRenewedTokens } from './http/renewed-tokens.js'
import type { GetProof } from './http/dpop.js'
import { resolveOptions } from './options/resolve.js'
import type { CookieSettings, ResolvedTransport } from './options/transport.js'
import { securityWarnings } from './options/warnings.js'
import { addJwksRoute } from './http/routes/jwks.js'
import { addLoginRoute } from './http/routes/login.js'
import { addLogoutAllRoute, addLogoutRoute } from './http/routes/logout.js'
import { addMeRoute } from './http/routes/sessions.js'
import type { OAuthRouteName } from './oauth/routes.js'
import { addRefreshRoute } from './http/routes/refresh.js'
import { prepareScope } from './http/scope.js'
import { addOtherSessionsRoute, addSessionRoute, addSessionsRoute } from './http/routes/sessions.js'
import { TokenCookie } from './http/cookies.js'
import { TokenTransport } from './http/token-transport.js'
import type { TransportSettings } from './http/token-transport.js'
import { AccessVerifier } from './sessions/access-verifier.js'
import { Events } from './events.js'
import { createSigners, KeyRing } from './tokens/key-ring.js'
import { PasswordLogin } from './login/password-login.js'
import { Refresh } from './sessions/refresh.js'
import { Renewal } from './sessions/renewal.js'
import type { DpopProof } from './dpop/verifier.js'
import { RevocationFeed } from './revocations/feed.js'
import { RevokedSessions } from './revocations/revoked.js'
import { Sessions } from './sessions/sessions.js'
import { ReplayMonitor } from './sessions/replay-monitor.js'
import { Sweeper } from './stores/sweeper.js'
import { UsageTracker } from './revocations/usage-tracker.js'
import { createTokenAuth } from './token-auth.js'
import type { Millis } from './lib/time.js'

const LONGEST_RENEWAL: Millis = 1000

// The names that are taken in one app, all scopes of which share a server.
const registeredNames = new WeakMap<object, Set<string>>()

async function plugin (app: FastifyInstance, given: TokenAuthOptions): Promise<void> {
  const options = resolveOptions(given, app.prefix)
  const { name, clock } = options
  assertNotRegistered(app, name)
  const logger = app.log
  const { store, users } = wrapStore(options, options.storeTimeout, logger)
  const attempts = wrapAttemptStore(options.throttle?.attempts, options.storeTimeout, logger)
  const events = new Events(options.on, logger)
  // What ended is of no use any more when the last access token is past, also by a clock that was wrong for a moment.
  const keep = options.accessLifetime + CLOCK_TOLERANCE + CLOCK_STRAY
  const notes = new UsageTracker(store, options.grace)
  const revoked = new RevokedSessions(keep)
  const { pollInterval, failAfter, subscribe } = options.revocations
  const feed = new RevocationFeed({
    store,
    revoked,
    events,
    logger,
    clock,
    pollInterval,
    reach: keep,
    failAfter,
    subscribe
  })
  const { oauth, dpop } = options
  const proving = dpop === null
    ? null
    : (await import('./http/dpop.js')).createProofs(options, dpop, logger)
  const granting = oauth === null ? null : (await import('./oauth/routes.js')).createOAuth(oauth)
  const proofs = proving?.proofs ?? null
  const requestProofs = proving?.requestProofs ?? null
  const counts = proofs === null ? [attempts] : [attempts, proofs.replays]
  const sweeper = new Sweeper({
    store,
    attempts: counts,
    events,
    logger,
    clock,
    interval: options.sweepInterval,
    keep
  })
  const throttle = createThrottle(options, { attempts, events, logger })
  const passwords = new Passwords(new HashQueue(defaultConcurrency()), options.passwords)

  app.decorateRequest('auth', null)
  const challenge = { realm: name, proofAlgorithms: proving?.algorithms ?? null }
  addErrorHeaders(app, challenge)
  requestProofs?.addNonces(app)
  await app.register(async scope => {
    prepareScope(scope, options.transport.refreshCookie !== null)
    const { keys, issuer, audience } = options
    const tokens = new JwtCodec(
      ACCESS_TYP,
      keys === null
        ? createSecretSigners(options.secrets.access, name, 'access')
        : createSigners(keys)
    )
    const access = new AccessVerifier({
      tokens,
      scope: {
        issuer,
        audience,
        identified: keys !== null || oauth !== null,
        firstParty: oauth === null ? undefined : name
      },
      acceptsDpop: proofs !== null,
      lifetime: options.accessLifetime,
      cacheSize: options.cacheSize,
      clock,
      revoked,
      feed,
      usage: options.confirmBy === 'access' ? notes : null
    })
    const keyRing = keys === null ? null : new KeyRing(keys, tokens, () => {
      access.forget()
    })
    const refreshTokens = new JwtCodec(
      REFRESH_TYP,
      createSecretSigners(options.secrets.refresh, name, 'refresh')
    )
    const { rotation, refreshLifetime: lifetime, maxLifetime, grace } = options
    const refreshable = options.transport.kind !== 'none'
    const { maxSessions } = options
    const clients = granting?.clients ?? null
    const sessions = new Sessions({
      store,
      users,
      access,
      refreshTokens,
      revoked,
      feed,
      events,
      clock,
      lifetime,
      maxLifetime,
      refreshable,
      maxSessions,
      dpop: proofs,
      clients
    })
    const refresh = new Refresh({
      store,
      users,
      sessions,
      refreshTokens,
      throttle,
      usage: notes,
      events,
      clock,
      rotation,
      lifetime,
      grace,
      replayMonitor: options.replayDetection === false
        ? null
        : new ReplayMonitor(options.isSameClient),
      revokesReplays: options.replayDetection === 'revoke',
      dpop: proofs
    })
    const login = new PasswordLogin({ users, passwords, sessions, throttle, events, logger, clock })
    const transportSettings = createTransportSettings(options.transport)
    const transport = new TokenTransport(
      transportSettings,
      token => sessions.kindOf(token),
      proofs !== null
    )
    const proofOf: GetProof = request => requestProofs?.of(request) ?? null
    const renewal = options.renewalWindow === null
      ? null
      : new Renewal({
        // A courtesy: the request that it rides on does not wait long for it.
        ...wrapStore(options, Math.min(options.storeTimeout, LONGEST_RENEWAL), logger),
        access,
        revoked,
        logger,
        clock,
        within: options.renewalWindow
      })
    const send = renewal === null
      ? () => {}
      : sendRenewedTokens(app, transportSettings.accessCookie, revoked)
    const authenticate = createAuthenticate({
      access,
      transport: transportSettings,
      renewal,
      send,
      dpop: requestProofs
    })
    const own = oauth === null ? authenticate : requireFirstParty(authenticate)

    const add: Record<Exclude<RouteName, OAuthRouteName>, (url: string) => void> = {
      login: url => {
        addLoginRoute(scope, url, {
          transport,
          sessions,
          login,
          clientIdOf: granting?.clientIdOf ?? (() => null),
          proofOf: dpop?.required === true ? request => assertProof(proofOf(request)) : proofOf
        })
      },
      refresh: url => {
        addRefreshRoute(scope, url, transport, refresh, proofOf)
      },
      logout: url => {
        addLogoutRoute(scope, url, transport, sessions)
      },
      logoutAll: url => {
        addLogoutAllRoute(scope, url, transport, sessions, own)
      },
      sessions: url => {
        addSessionsRoute(scope, url, sessions, own)
      },
      otherSessions: url => {
        addOtherSessionsRoute(scope, url, sessions, own)
      },
      session: url => {
        addSessionRoute(scope, url, sessions, own)
      },
      jwks: url => {
        if (keyRing !== null) {
          addJwksRoute(app, url, keyRing)
        }
      },
      me: url => {
        addMeRoute(scope, url, sessions, own)
      }
    }

    for (const route of Object.keys(add) as Array<keyof typeof add>) {
      const path = options.paths[route]

      if (path !== false) {
        add[route](path)
      }
    }

    const { proofAlgorithms } = challenge
    await granting?.addRoutes(app, scope, {
      options,
      store,
      users,
      access,
      refreshTokens,
      refresh,
      sessions,
      clock,
      proofOf,
      audience,
      proofAlgorithms
    })

    app.decorate('authenticate', authenticate)
    app.decorate('requireFresh', createRequireFresh(clock))
    app.decorate('requireClaims', requireClaims)
    app.decorate(
      'tokenAuth',
      createTokenAuth({
        users,
        sessions,
        passwords,
        throttle,
        sweeper,
        transport,
        keyRing,
        clients,
        proofOf
      })
    )
  }, { prefix: options.prefix })

  app.addHook('onReady', async () => {
    for (const risk of securityWarnings(options)) {
      logger.warn({ registration: name }, risk)
    }

    await feed.start()
    sweeper.start()
  })
  app.addHook('onClose', async () => {
    await Promise.allSettled([feed.stop(), sweeper.stop(), notes.close()])
  })
}

function createTransportSettings (transport: ResolvedTransport): TransportSettings {
  const createCookie = (settings: CookieSettings | null): TokenCookie | null =>
    settings && new TokenCookie(settings.name, settings)

  return {
    ...transport,
    refreshCookie: createCookie(transport.refreshCookie),
    accessCookie: createCookie(transport.accessCookie),
    deviceCookie: createCookie(transport.deviceCookie)
  }
}

function assertProof (proof: DpopProof | null): DpopProof {
  if (proof === null) {
    throw new TokenAuthError('AUTH_DPOP_INVALID', { hint: 'a login needs one' })
  }

  return proof
}

function assertNotRegistered (app: FastifyInstance, name: string): void {
  const taken =
    ['authenticate', 'requireFresh', 'requireClaims', 'tokenAuth'].find(decorator =>
      app.hasDecorator(decorator)
    ) ??
      (app.hasRequestDecorator('auth') ? 'request.auth' : undefined)

  if (taken !== undefined) {
    throw new Error(
      `fastify-token-auth: this instance has "${taken}" already. Register each in a sibling scope of its own: ` +
        'app.register(async scope => { await scope.register(tokenAuth, { name: \'other\', ...options }) })'
    )
  }

  const names = registeredNames.get(app.server) ?? new Set()
  registeredNames.set(app.server, names)

  if (names.has(name)) {
    throw new Error(
      `fastify-token-auth: the name "${name}" is taken in this app. Give each registration a name of its own, ` +
        'so that neither accepts the tokens of the other'
    )
  }

  names.add(name)
}

/** @see TokenAuthOptions */
export const tokenAuth = fp(plugin, { name: 'fastify-token-auth', fastify: '5.x' })
