// The composition root: options -> keys -> services -> a child scope with the routes -> decorators -> sweeper.

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createAuthenticate } from './http/authenticate.js'
import { ACCESS_TYP } from './tokens/access-token.js'
import { defaultConcurrency, HashQueue } from './login/hash-queue.js'
import { JwtKind } from './tokens/jwt-codec.js'
import { Passwords } from './login/passwords.js'
import { REFRESH_TYP } from './tokens/refresh-token.js'
import { CLOCK_STRAY, CLOCK_TOLERANCE } from './domain/rotation.js'
import type { Millis } from './domain/session.js'
import { TokenAuthError } from './errors.js'
import { createRequireFresh, forOwnSessions, requireClaims } from './http/guards.js'
import type { TokenAuthOptions } from './options/options.js'
import { createThrottle, reach, reachAttempts, secretSigners } from './services.js'
import type { RouteName } from './protocol.js'
import { addErrorHeaders } from './http/headers.js'
import { sendRenewedTokens } from './http/renewed-tokens.js'
import type { ProofOf } from './http/dpop.js'
import { resolveOptions } from './options/resolve.js'
import { risksOf } from './options/warnings.js'
import { addJwksRoute } from './http/routes/jwks.js'
import { addLoginRoute } from './http/routes/login.js'
import { addLogoutAllRoute, addLogoutRoute } from './http/routes/logout.js'
import { addMeRoute } from './http/routes/sessions.js'
import type { OAuthRouteName } from './oauth/routes.js'
import { addRefreshRoute } from './http/routes/refresh.js'
import { prepareScope } from './http/scope.js'
import { addOtherSessionsRoute, addSessionRoute, addSessionsRoute } from './http/routes/sessions.js'
import { TokenTransport } from './http/token-transport.js'
import { AccessControl } from './sessions/access-verifier.js'
import { Events } from './events.js'
import { KeyRing, signersOf } from './tokens/key-ring.js'
import { PasswordLogin } from './login/password-login.js'
import { Refresh } from './sessions/refresh.js'
import { Renewal } from './sessions/renewal.js'
import type { Proof } from './dpop/verifier.js'
import { RevocationFeed } from './revocations/feed.js'
import { RevokedSessions } from './revocations/revoked.js'
import { Sessions } from './sessions/sessions.js'
import { Shadows } from './sessions/replay-monitor.js'
import { Sweeper } from './stores/sweeper.js'
import { UseNotes } from './revocations/usage-tracker.js'
import { createTokenAuth } from './token-auth.js'

const LONGEST_RENEWAL: Millis = 1000

// The names that are taken in one app, all scopes of which share a server.
const namesByServer = new WeakMap<object, Set<string>>()

async function plugin (app: FastifyInstance, given: TokenAuthOptions): Promise<void> {
  const options = resolveOptions(given, app.prefix)
  const { name, clock } = options
  claimPlace(app, name)
  const logger = app.log
  const { store, users } = reach(options, options.storeTimeout, logger)
  const attempts = reachAttempts(options.throttle?.attempts, options.storeTimeout, logger)
  const events = new Events(options.on, logger)
  // What ended is of no use any more when the last access token is past, also by a clock that was wrong for a moment.
  const keep = options.accessLifetime + CLOCK_TOLERANCE + CLOCK_STRAY
  const notes = new UseNotes(store, options.grace)
  const revoked = new RevokedSessions(keep)
  const { every, failAfter, wake } = options.revocations
  const feed = new RevocationFeed({
    store,
    revoked,
    events,
    logger,
    clock,
    every,
    reach: keep,
    patience: failAfter,
    wake
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
    every: options.sweepEvery,
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
    const tokens = new JwtKind(
      ACCESS_TYP,
      keys === null ? secretSigners(options.secrets.access, name, 'access') : signersOf(keys)
    )
    const access = new AccessControl({
      tokens,
      scope: {
        issuer,
        audience,
        identified: keys !== null || oauth !== null,
        firstParty: oauth === null ? undefined : name
      },
      takesBound: proofs !== null,
      lifetime: options.accessLifetime,
      cacheSize: options.cacheSize,
      clock,
      revoked,
      feed,
      notes: options.confirmBy === 'access' ? notes : null
    })
    const keyRing = keys === null ? null : new KeyRing(keys, tokens, () => {
      access.forget()
    })
    const refreshTokens = new JwtKind(
      REFRESH_TYP,
      secretSigners(options.secrets.refresh, name, 'refresh')
    )
    const { rotation, refreshLifetime: lifetime, absolute, grace } = options
    const refreshable = options.transport.kind !== 'none'
    const { maxSessions: most } = options
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
      absolute,
      refreshable,
      most,
      proofs,
      clients
    })
    const refresh = new Refresh({
      store,
      users,
      sessions,
      refreshTokens,
      throttle,
      notes,
      events,
      clock,
      rotation,
      lifetime,
      grace,
      shadows: options.shadows === false ? null : new Shadows(options.sameContext),
      endsShadowed: options.shadows === 'end',
      proofs
    })
    const login = new PasswordLogin({ users, passwords, sessions, throttle, events, logger, clock })
    const transport = new TokenTransport(
      options.transport,
      token => sessions.kindOf(token),
      proofs !== null
    )
    const proofOf: ProofOf = request => requestProofs?.of(request) ?? null
    const renewal = options.renewalWindow === null
      ? null
      : new Renewal({
        // A courtesy: the request that it rides on does not wait long for it.
        ...reach(options, Math.min(options.storeTimeout, LONGEST_RENEWAL), logger),
        access,
        revoked,
        logger,
        clock,
        within: options.renewalWindow
      })
    const send = renewal === null
      ? () => {}
      : sendRenewedTokens(app, options.transport.accessCookie, revoked)
    const authenticate = createAuthenticate({
      access,
      transport: options.transport,
      renewal,
      send,
      proofs: requestProofs
    })
    const own = oauth === null ? authenticate : forOwnSessions(authenticate)

    const add: Record<Exclude<RouteName, OAuthRouteName>, (url: string) => void> = {
      login: url => {
        addLoginRoute(scope, url, {
          transport,
          sessions,
          login,
          clientIdOf: granting?.clientIdOf ?? (() => null),
          proofOf: dpop?.required === true ? request => demandProof(proofOf(request)) : proofOf
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
    for (const risk of risksOf(options)) {
      logger.warn({ registration: name }, risk)
    }

    await feed.start()
    sweeper.start()
  })
  app.addHook('onClose', async () => {
    await Promise.allSettled([feed.stop(), sweeper.stop(), notes.close()])
  })
}

function demandProof (proof: Proof | null): Proof {
  if (proof === null) {
    throw new TokenAuthError('AUTH_PROOF_INVALID', { hint: 'a login needs one' })
  }

  return proof
}

function claimPlace (app: FastifyInstance, name: string): void {
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

  const names = namesByServer.get(app.server) ?? new Set()
  namesByServer.set(app.server, names)

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
