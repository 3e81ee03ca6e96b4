// The composition root: options -> keys -> services -> a child scope with the routes -> decorators -> sweeper.

import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createAuthenticate } from './authenticate.js'
import { ACCESS_TYP } from './credentials/access-token.js'
import { defaultConcurrency, HashQueue } from './credentials/hash-queue.js'
import { JwtKind } from './credentials/jwt.js'
import type { JwtSigner } from './credentials/jwt.js'
import { DeviceTokens } from './credentials/device-token.js'
import { deriveKey } from './credentials/keys.js'
import type { KeyPurpose } from './credentials/keys.js'
import { createSecretSigner } from './credentials/key-pairs.js'
import { Passwords } from './credentials/password.js'
import { REFRESH_TYP } from './credentials/refresh-token.js'
import { CLOCK_STRAY, CLOCK_TOLERANCE } from './domain/rotation.js'
import type { Millis } from './domain/session.js'
import { createRequireFresh, requireClaims } from './guards.js'
import type { TokenAuthOptions } from './options.js'
import type { RouteName } from './protocol.js'
import { addErrorHeaders } from './reply-headers.js'
import { sendRenewedTokens } from './renewed-tokens.js'
import { resolveOptions } from './resolve-options.js'
import type { ResolvedOptions } from './resolve-options.js'
import type { Secrets } from './resolve-secrets.js'
import { risksOf } from './risks.js'
import { addJwksRoute } from './routes/jwks.js'
import { addLoginRoute } from './routes/login.js'
import { addLogoutAllRoute, addLogoutRoute } from './routes/logout.js'
import { addMeRoute } from './routes/me.js'
import { addRefreshRoute } from './routes/refresh.js'
import { prepareScope } from './routes/scope.js'
import { addOtherSessionsRoute, addSessionRoute, addSessionsRoute } from './routes/sessions.js'
import { TokenTransport } from './routes/token-transport.js'
import { AccessControl } from './service/access.js'
import { createGuard, guardAttempts, guardStore } from './service/deadline.js'
import { Events } from './service/events.js'
import type { Logger } from './service/events.js'
import { KeyRing, signersOf } from './service/key-ring.js'
import { PasswordLogin } from './service/login.js'
import { Refresh } from './service/refresh.js'
import { Renewal } from './service/renewal.js'
import { RevocationFeed } from './service/revocation-feed.js'
import { RevokedSessions } from './service/revoked-sessions.js'
import { Sessions } from './service/sessions.js'
import { Shadows } from './service/shadows.js'
import { Sweeper } from './service/sweeper.js'
import { Throttle } from './service/throttle.js'
import { UseNotes } from './service/use-notes.js'
import { withSoundTexts } from './service/texts.js'
import { UserDirectory } from './service/users.js'
import type { AttemptStore } from './stores/attempt-store.js'
import { MemoryAttempts } from './stores/memory-attempts.js'
import type { TokenStore } from './stores/token-store.js'
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
  const attempts = guardAttempts(options.throttle?.attempts ?? new MemoryAttempts(), createGuard(options.storeTimeout, logger))
  const events = new Events(options.on, logger)
  // What ended is of no use any more when the last access token is past, also by a clock that was wrong for a moment.
  const keep = options.accessLifetime + CLOCK_TOLERANCE + CLOCK_STRAY
  const notes = new UseNotes(store, options.grace)
  const revoked = new RevokedSessions(keep)
  const { every, failAfter, wake } = options.revocations
  const feed = new RevocationFeed({ store, revoked, events, logger, clock, every, reach: keep, patience: failAfter, wake })
  const sweeper = new Sweeper({ store, attempts, events, logger, clock, every: options.sweepEvery, keep })
  const throttle = createThrottle(options, { attempts, events, logger })
  const passwords = new Passwords(new HashQueue(defaultConcurrency()), options.passwords)

  app.decorateRequest('auth', null)
  addErrorHeaders(app, name)
  await app.register(async scope => {
    prepareScope(scope, options.transport.refreshCookie !== null)
    const { keys, issuer, audience } = options
    const tokens = new JwtKind(ACCESS_TYP, keys === null ? secretSigners(options, 'access') : signersOf(keys))
    const access = new AccessControl({
      tokens,
      scope: { issuer, audience, identified: keys !== null },
      lifetime: options.accessLifetime,
      cacheSize: options.cacheSize,
      clock,
      revoked,
      feed,
      notes: options.confirmBy === 'access' ? notes : null
    })
    const keyRing = keys === null ? null : new KeyRing(keys, tokens, () => { access.forget() })
    const refreshTokens = new JwtKind(REFRESH_TYP, secretSigners(options, 'refresh'))
    const { rotation, refreshLifetime: lifetime, absolute, grace } = options
    const refreshable = options.transport.kind !== 'none'
    const { maxSessions: most } = options
    const sessions = new Sessions({
      store, users, access, refreshTokens, revoked, feed, events, clock, lifetime, absolute, refreshable, most
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
      endsShadowed: options.shadows === 'end'
    })
    const login = new PasswordLogin({ users, passwords, sessions, throttle, events, logger, clock })
    const transport = new TokenTransport(options.transport, token => sessions.kindOf(token))
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
    const send = renewal === null ? () => {} : sendRenewedTokens(app, options.transport.accessCookie, revoked)
    const authenticate = createAuthenticate({ access, transport: options.transport, renewal, send })

    const add: Record<RouteName, (url: string) => void> = {
      login: url => { addLoginRoute(scope, url, transport, sessions, login) },
      refresh: url => { addRefreshRoute(scope, url, transport, refresh) },
      logout: url => { addLogoutRoute(scope, url, transport, sessions) },
      logoutAll: url => { addLogoutAllRoute(scope, url, transport, sessions, authenticate) },
      sessions: url => { addSessionsRoute(scope, url, sessions, authenticate) },
      otherSessions: url => { addOtherSessionsRoute(scope, url, sessions, authenticate) },
      session: url => { addSessionRoute(scope, url, sessions, authenticate) },
      jwks: url => { if (keyRing !== null) addJwksRoute(app, url, keyRing) },
      me: url => { addMeRoute(scope, url, sessions, authenticate) }
    }
    for (const [route, path] of Object.entries(options.paths) as Array<[RouteName, string | false]>) {
      if (path !== false) add[route](path)
    }

    app.decorate('authenticate', authenticate)
    app.decorate('requireFresh', createRequireFresh(clock))
    app.decorate('requireClaims', requireClaims)
    app.decorate('tokenAuth', createTokenAuth({ users, sessions, passwords, throttle, sweeper, transport, keyRing }))
  }, { prefix: options.prefix })

  app.addHook('onReady', async () => {
    for (const risk of risksOf(options)) logger.warn({ registration: name }, risk)
    await feed.start()
    sweeper.start()
  })
  app.addHook('onClose', async () => {
    await Promise.allSettled([feed.stop(), sweeper.stop(), notes.close()])
  })
}

// What the app brings, for as long as it may take to answer.
function reach (
  { store, users }: ResolvedOptions, timeout: Millis, logger: Logger
): { readonly store: TokenStore, readonly users: UserDirectory } {
  const guard = createGuard(timeout, logger)
  return { store: withSoundTexts(guardStore(store, guard)), users: new UserDirectory(users, guard, logger) }
}

function createThrottle (
  { name, throttle, secrets, clock }: ResolvedOptions, parts: { attempts: AttemptStore, events: Events, logger: Logger }
): Throttle | null {
  if (throttle === null) return null
  const { account, address } = throttle
  const [key] = keysOf(secrets.base, name, 'attempts')
  const devices = new DeviceTokens(keysOf(secrets.base, name, 'device'))
  return new Throttle({ ...parts, forgeries: new MemoryAttempts(), key, devices, account, address, clock })
}

function keysOf (secrets: Secrets, name: string, purpose: KeyPurpose): readonly [Buffer, ...Buffer[]] {
  return secrets.map(secret => deriveKey(secret, name, purpose).key) as [Buffer, ...Buffer[]]
}

function secretSigners ({ secrets, name }: ResolvedOptions, kind: 'access' | 'refresh'): readonly [JwtSigner, ...JwtSigner[]] {
  return secrets[kind].map(secret => createSecretSigner(deriveKey(secret, name, kind))) as unknown as [JwtSigner, ...JwtSigner[]]
}

function claimPlace (app: FastifyInstance, name: string): void {
  const taken = ['authenticate', 'requireFresh', 'requireClaims', 'tokenAuth'].find(decorator => app.hasDecorator(decorator)) ??
    (app.hasRequestDecorator('auth') ? 'request.auth' : undefined)
  if (taken !== undefined) {
    throw new Error(`fastify-token-auth: this instance has "${taken}" already. Register each in a sibling scope of its own: ` +
      'app.register(async scope => { await scope.register(tokenAuth, { name: \'other\', ...options }) })')
  }
  const names = namesByServer.get(app.server) ?? new Set()
  namesByServer.set(app.server, names)
  if (names.has(name)) {
    throw new Error(`fastify-token-auth: the name "${name}" is taken in this app. Give each registration a name of its own, ` +
      'so that neither accepts the tokens of the other')
  }
  names.add(name)
}

/** @see TokenAuthOptions */
export const tokenAuth = fp(plugin, { name: 'fastify-token-auth', fastify: '5.x' })
