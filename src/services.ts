import type { DpopVerifier } from './dpop/verifier.js'
import type { Events, Logger } from './events.js'
import { HealthMonitor } from './health/monitor.js'
import { StandstillMonitor } from './lib/standstill.js'
import { HOUR, SECOND } from './lib/time.js'
import type { Millis } from './lib/time.js'
import { SessionFollowers } from './live/session-followers.js'
import { HashQueue } from './login/hash-queue.js'
import { PasswordLogin } from './login/password-login.js'
import { Passwords } from './login/passwords.js'
import { createAccessScope, createSeenClaim } from './options/access-scope.js'
import type { ResolvedOptions } from './options/resolve.js'
import { RevocationFeed } from './revocations/feed.js'
import { RevocationReporter } from './revocations/reporter.js'
import { RevokedSessions } from './revocations/revoked.js'
import { SYSTEM_CLOCKS } from './revocations/store-clock.js'
import type { StoreTime } from './revocations/store-clock.js'
import { UsageTracker } from './revocations/usage-tracker.js'
import { AccessVerifier } from './sessions/access-verifier.js'
import { Arrivals } from './sessions/arrival.js'
import { Elevation } from './sessions/elevation.js'
import { Refresh } from './sessions/refresh.js'
import { Renewal } from './sessions/renewal.js'
import { ReuseGuard } from './sessions/reuse-guard.js'
import { Sessions } from './sessions/sessions.js'
import { TokenIssuer } from './sessions/token-issuer.js'
import { TokenRotator } from './sessions/token-rotator.js'
import type { UserDirectory } from './sessions/users.js'
import { wrapStore } from './sessions/wrapped-store.js'
import type { AttemptStore } from './stores/attempt-store.js'
import { isInMemory, wrapAttemptStore } from './stores/default-attempts.js'
import { guardPredicate } from './stores/guard.js'
import { MemoryAttempts } from './stores/memory/attempts.js'
import { StoreStartup } from './stores/startup.js'
import { KEPT_AFTER_END, Sweeper } from './stores/sweeper.js'
import type { TokenStore } from './stores/token-store.js'
import { createThrottle } from './throttle/create-throttle.js'
import type { Throttle } from './throttle/throttle.js'
import { ACCESS_TYP } from './tokens/access-token.js'
import { JwtCodec } from './tokens/jwt-codec.js'
import type { JwtSigners } from './tokens/jwt-codec.js'
import { deriveKeys } from './tokens/key-derivation.js'
import { KeyRing } from './tokens/key-ring.js'
import { addRealm, createSigners } from './tokens/key-signer.js'
import { REFRESH_TYP } from './tokens/refresh-token.js'

// A request succeeds without renewal, so it must not wait long for the store.
const MAX_RENEWAL_TIMEOUT: Millis = SECOND
/** A process stood still if it did not run for this part of the grace period. */
const STANDSTILL_PART = 1 / 4

/** Signers of both kinds of tokens, with keys that derive from a secret. */
export interface TokenSigners {
  readonly access: JwtSigners
  readonly refresh: JwtSigners
}

/** Collaborators of the {@link Services} that are created with Fastify or loaded on demand. */
export interface ServicesContext {
  readonly signers: TokenSigners
  /** `null` if DPoP is disabled. */
  readonly dpop: DpopVerifier | null
  /** Whether an OAuth client has a secret. */
  readonly isConfidential: (clientId: string) => boolean
  readonly events: Events
  readonly time: StoreTime
}

/** Objects of one registration, without any Fastify type. */
export interface Services {
  readonly store: TokenStore
  readonly users: UserDirectory
  readonly access: AccessVerifier
  readonly feed: RevocationFeed
  /** Lets requests wait for the time of the database after a standstill. */
  readonly arrivals: Arrivals
  readonly refreshTokens: JwtCodec
  readonly issuer: TokenIssuer
  readonly sessions: Sessions
  readonly refresh: Refresh
  readonly rotator: TokenRotator
  readonly elevation: Elevation
  readonly login: PasswordLogin
  readonly passwords: Passwords
  readonly health: HealthMonitor
  /** `null` if logins are not throttled. */
  readonly throttle: Throttle | null
  /** Counts attempts and one-time tokens. In memory if the app has no store for them. */
  readonly attempts: AttemptStore
  /** Whether all instances of the app use the same `attempts`. */
  readonly sharesAttempts: boolean
  readonly sweeper: Sweeper
  /** `null` if access tokens are not renewed silently. */
  readonly renewal: Renewal | null
  /** `null` if access tokens are signed by a derived key. */
  readonly keyRing: KeyRing | null
  readonly revoked: RevokedSessions
  readonly followers: SessionFollowers
  /** `null` if access tokens do not confirm a generation. */
  readonly usage: UsageTracker | null
  /** Claim `seen` of access tokens. `null` if no OAuth client has `sync`. */
  readonly seen: ReturnType<typeof createSeenClaim>
  /** Checks the stores, reads the revocations that still matter, and starts the timers. */
  start(): Promise<void>
  /** Stops the timers and writes pending usage data. */
  stop(): Promise<void>
}

/** Builds the object graph of a registration from its options. */
export function createServices (
  options: ResolvedOptions,
  { signers, dpop, isConfidential, events, time }: ServicesContext,
  logger: Logger
): Services {
  const { name: realm, keys, grace, storeTimeout, rotation, refreshLifetime: lifetime } = options
  const clock = time.now.bind(time)
  const { store, users } = wrapStore(options, storeTimeout, time, logger)
  const attempts = wrapAttemptStore(options.throttle?.attempts, storeTimeout, logger)
  const retention = options.accessLifetime + HOUR / 2
  const usage = new UsageTracker(store, realm, grace, options.confirmWrites === 'immediate')
  const confirming = options.confirmBy === 'access' ? usage : null
  const revoked = new RevokedSessions(retention)
  const reporter = new RevocationReporter({ revoked, events, retention })
  const standstill = new StandstillMonitor(grace * STANDSTILL_PART)
  const feed = new RevocationFeed({
    ...options.revocations,
    store,
    realm,
    reporter,
    events,
    logger,
    time,
    clocks: typeof options.clock === 'object' ? options.clock ?? SYSTEM_CLOCKS : SYSTEM_CLOCKS,
    retention
  })
  const sweeper = new Sweeper({
    store,
    attempts: dpop === null ? [attempts] : [attempts, dpop.replays],
    events,
    logger,
    // Throws while the time is not known, so that a job without `app.ready()` gets an error.
    clock: () => !time.isKnown || time.allowsSweep ? time.now() : null,
    interval: options.sweepInterval,
    keep: KEPT_AFTER_END
  })
  const throttle = createThrottle(options.throttle, {
    deriveKeys: purpose => deriveKeys(options.secrets.base, realm, purpose),
    invalidTokens: new MemoryAttempts(),
    attempts,
    events,
    logger,
    clock
  })
  const startup = new StoreStartup({
    ...options.startup,
    async start () {
      await feed.start()
      sweeper.start()
    },
    name: realm,
    logger
  })
  const passwords = new Passwords(new HashQueue(options.passwords), options.passwords)

  const seen = createSeenClaim(options)
  const scope = createAccessScope(options, seen)
  const derived = addRealm(signers.access, scope.realm ?? null)
  const accessSigners = keys === null ? derived : createSigners(keys, ACCESS_TYP, derived)
  const accessTokens = new JwtCodec(ACCESS_TYP, accessSigners)
  const refreshTokens = new JwtCodec(REFRESH_TYP, signers.refresh)
  const issuer = new TokenIssuer({ codec: accessTokens, scope, lifetime: options.accessLifetime })
  const access = new AccessVerifier({
    codec: accessTokens,
    scope,
    acceptsDpop: dpop !== null,
    cacheSize: options.cacheSize,
    clock,
    revoked,
    feed: {
      isOverdue: () => feed.isOverdue(),
      catchUp: () => feed.catchUp(),
      isStale: () => !startup.isReady || feed.isStale()
    },
    usage: confirming
  })
  const followers = new SessionFollowers({ revoked, clock, verifier: access })
  const keyRing = keys === null
    ? null
    : new KeyRing(keys, accessTokens, derived, access.clearCache.bind(access))
  const shared = { store, realm, users, issuer, refreshTokens, events, clock, dpop, feed, logger }
  const sessions = new Sessions({
    ...shared,
    access,
    reporter,
    lifetime,
    maxLifetime: options.maxLifetime,
    refreshable: options.transport.kind !== 'none',
    maxSessions: options.maxSessions,
    isConfidential
  })
  const rotator = new TokenRotator({ ...shared, usage, rotation, lifetime, grace })
  const refresh = new Refresh({
    ...shared,
    sessions,
    throttle,
    usage,
    rotation,
    rotator,
    lifetime,
    reuseGuard: new ReuseGuard({
      ...shared,
      sessions,
      grace,
      replayDetection: options.replayDetection,
      isSameClient: guardPredicate('refreshToken.isSameClient', options.isSameClient, logger)
    })
  })
  const measured = { realm, feed, time, usage, passwords, sweeper, storeTimeout }
  const health = new HealthMonitor({ ...options.revocations, ...measured, store: options.store })
  const login = new PasswordLogin({ users, passwords, sessions, throttle, events, logger, clock })
  const elevation = new Elevation({ ...shared, reporter, usage, grace })
  const renewal = options.renewalWindow === null
    ? null
    : new Renewal({
      ...shared,
      ...wrapStore(options, Math.min(storeTimeout, MAX_RENEWAL_TIMEOUT), time, logger),
      reporter,
      usage,
      window: options.renewalWindow,
      grace
    })

  return {
    store,
    users,
    access,
    feed,
    arrivals: new Arrivals({ clock, time, feed, standstill }),
    refreshTokens,
    issuer,
    sessions,
    refresh,
    rotator,
    elevation,
    login,
    passwords,
    health,
    throttle,
    attempts,
    sharesAttempts: options.revocations.pollInterval === null ||
      !isInMemory(options.throttle?.attempts),
    sweeper,
    renewal,
    keyRing,
    revoked,
    followers,
    usage: confirming,
    seen,
    async start () {
      // Without the routes, the first call of a method loads the library.
      if (options.paths.login !== false || options.paths.elevate !== false) {
        await passwords.loadLibrary()
      }

      standstill.start()
      await startup.run()
    },
    async stop () {
      standstill.stop()
      startup.stop()
      followers.close()
      await Promise.allSettled([feed.stop(), sweeper.stop(), usage.close()])
    }
  }
}
