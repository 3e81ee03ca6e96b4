import { CLOCK_STRAY, CLOCK_TOLERANCE } from './domain/rotation.js'
import type { DpopVerifier } from './dpop/verifier.js'
import { Events } from './events.js'
import type { Logger } from './events.js'
import { SECOND } from './lib/time.js'
import type { Millis } from './lib/time.js'
import { defaultConcurrency, HashQueue } from './login/hash-queue.js'
import { PasswordLogin } from './login/password-login.js'
import { Passwords } from './login/passwords.js'
import type { ResolvedOptions } from './options/resolve.js'
import { RevocationFeed } from './revocations/feed.js'
import { RevokedSessions } from './revocations/revoked.js'
import { UsageTracker } from './revocations/usage-tracker.js'
import { AccessVerifier } from './sessions/access-verifier.js'
import { Refresh } from './sessions/refresh.js'
import { Renewal } from './sessions/renewal.js'
import { ReuseGuard } from './sessions/reuse-guard.js'
import { Sessions } from './sessions/sessions.js'
import { TokenIssuer } from './sessions/token-issuer.js'
import { UserDirectory } from './sessions/users.js'
import type { AttemptStore } from './stores/attempt-store.js'
import {
  createGuard,
  guardAttemptStore,
  guardStore,
  rejectUnstorableStrings
} from './stores/guarded-store.js'
import { MemoryAttempts } from './stores/memory/attempts.js'
import { Sweeper } from './stores/sweeper.js'
import type { TokenStore } from './stores/token-store.js'
import { DeviceTokens } from './throttle/device-tokens.js'
import { Throttle } from './throttle/throttle.js'
import { ACCESS_TYP } from './tokens/access-token.js'
import type { AccessScope } from './tokens/access-token.js'
import { JwtCodec } from './tokens/jwt-codec.js'
import type { JwtSigners } from './tokens/jwt-codec.js'
import { deriveKeys } from './tokens/key-derivation.js'
import { KeyRing } from './tokens/key-ring.js'
import { REFRESH_TYP } from './tokens/refresh-token.js'

// A request succeeds without renewal, so it must not wait long for the store.
const MAX_RENEWAL_TIMEOUT: Millis = SECOND

/** Signers of both kinds of tokens. */
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
}

/** Objects of one registration, without any Fastify type. */
export interface Services {
  readonly store: TokenStore
  readonly users: UserDirectory
  readonly access: AccessVerifier
  readonly refreshTokens: JwtCodec
  readonly sessions: Sessions
  readonly refresh: Refresh
  readonly login: PasswordLogin
  readonly passwords: Passwords
  /** `null` if logins are not throttled. */
  readonly throttle: Throttle | null
  readonly sweeper: Sweeper
  /** `null` if access tokens are not renewed silently. */
  readonly renewal: Renewal | null
  /** `null` if access tokens are signed by a derived key. */
  readonly keyRing: KeyRing | null
  readonly revoked: RevokedSessions
  /** Reads the revocations that still matter, and starts the timers. */
  start(): Promise<void>
  /** Stops the timers and writes pending usage data. */
  stop(): Promise<void>
}

/** Builds the object graph of a registration from its options. */
export function createServices (
  options: ResolvedOptions,
  { signers, dpop, isConfidential }: ServicesContext,
  logger: Logger
): Services {
  const { clock, keys, grace, storeTimeout } = options
  const { store, users } = wrapStore(options, storeTimeout, logger)
  const attempts = wrapAttemptStore(options.throttle?.attempts, storeTimeout, logger)
  const events = new Events(options.on, logger)
  // Revocations and expired rows stay until every access token of their time has expired, even if
  // a clock was wrong for a moment.
  const retention = options.accessLifetime + CLOCK_TOLERANCE + CLOCK_STRAY
  const usage = new UsageTracker(store, grace)
  const revoked = new RevokedSessions(retention)
  const feed = new RevocationFeed({
    ...options.revocations,
    store,
    revoked,
    events,
    logger,
    clock,
    retention
  })
  const sweeper = new Sweeper({
    store,
    attempts: dpop === null ? [attempts] : [attempts, dpop.replays],
    events,
    logger,
    clock,
    interval: options.sweepInterval,
    keep: retention
  })
  const throttle = createThrottle(options, { attempts, events, logger })
  const passwords = new Passwords(new HashQueue(defaultConcurrency()), options.passwords)

  const accessTokens = new JwtCodec(ACCESS_TYP, signers.access)
  const refreshTokens = new JwtCodec(REFRESH_TYP, signers.refresh)
  const scope = createAccessScope(options)
  const issuer = new TokenIssuer({ codec: accessTokens, scope, lifetime: options.accessLifetime })
  const access = new AccessVerifier({
    codec: accessTokens,
    scope,
    acceptsDpop: dpop !== null,
    cacheSize: options.cacheSize,
    clock,
    revoked,
    feed,
    usage: options.confirmBy === 'access' ? usage : null
  })
  const keyRing = keys === null
    ? null
    : new KeyRing(keys, accessTokens, () => {
      access.clearCache()
    })
  const shared = { store, users, issuer, refreshTokens, events, clock, dpop }
  const lifetime = options.refreshLifetime
  const sessions = new Sessions({
    ...shared,
    access,
    revoked,
    feed,
    lifetime,
    maxLifetime: options.maxLifetime,
    refreshable: options.transport.kind !== 'none',
    maxSessions: options.maxSessions,
    isConfidential
  })
  const refresh = new Refresh({
    ...shared,
    sessions,
    throttle,
    usage,
    rotation: options.rotation,
    lifetime,
    grace,
    reuseGuard: new ReuseGuard({
      sessions,
      events,
      replayDetection: options.replayDetection,
      isSameClient: options.isSameClient
    })
  })
  const login = new PasswordLogin({ users, passwords, sessions, throttle, events, logger, clock })
  const renewal = options.renewalWindow === null
    ? null
    : new Renewal({
      ...wrapStore(options, Math.min(storeTimeout, MAX_RENEWAL_TIMEOUT), logger),
      issuer,
      revoked,
      logger,
      clock,
      window: options.renewalWindow
    })

  return {
    store,
    users,
    access,
    refreshTokens,
    sessions,
    refresh,
    login,
    passwords,
    throttle,
    sweeper,
    renewal,
    keyRing,
    revoked,
    async start () {
      await feed.start()
      sweeper.start()
    },
    async stop () {
      await Promise.allSettled([feed.stop(), sweeper.stop(), usage.close()])
    }
  }
}

function wrapStore (
  { store, users }: ResolvedOptions,
  timeout: Millis,
  logger: Logger
): { readonly store: TokenStore, readonly users: UserDirectory } {
  const guard = createGuard(timeout, logger)

  return {
    store: rejectUnstorableStrings(guardStore(store, guard)),
    users: new UserDirectory(users, guard, logger)
  }
}

function wrapAttemptStore (
  attempts: AttemptStore | null | undefined,
  timeout: Millis,
  logger: Logger
): AttemptStore {
  return guardAttemptStore(attempts ?? new MemoryAttempts(), createGuard(timeout, logger))
}

function createThrottle (
  { name, throttle, secrets, clock }: ResolvedOptions,
  parts: { readonly attempts: AttemptStore, readonly events: Events, readonly logger: Logger }
): Throttle | null {
  if (throttle === null) {
    return null
  }

  const { account, address } = throttle
  const [{ key }] = deriveKeys(secrets.base, name, 'attempts')
  const devices = new DeviceTokens(deriveKeys(secrets.base, name, 'device'))
  const invalidTokens = new MemoryAttempts()
  return new Throttle({ ...parts, invalidTokens, key, devices, account, address, clock })
}

/**
 * Creates the verifier of DPoP proofs, or `null` if DPoP is disabled.
 *
 * Loads its modules only if they are needed, so that other apps start faster.
 */
export async function createDpopVerifier (
  { dpop, name, secrets, storeTimeout, clock }: ResolvedOptions,
  logger: Logger
): Promise<DpopVerifier | null> {
  if (dpop === null) {
    return null
  }

  const [{ DpopVerifier }, { DpopNonces }] = await Promise.all([
    import('./dpop/verifier.js'),
    import('./dpop/nonces.js')
  ])
  const [current, ...previous] = deriveKeys(secrets.base, name, 'nonce')

  return new DpopVerifier({
    nonces: dpop.nonces
      ? new DpopNonces([current.key, ...previous.map(({ key }) => key)])
      : null,
    replays: wrapAttemptStore(dpop.replays, storeTimeout, logger),
    clock
  })
}

function createAccessScope ({ name, keys, issuer, audience, oauth }: ResolvedOptions): AccessScope {
  return {
    issuer,
    audience,
    identified: keys !== null || oauth !== null,
    firstParty: oauth === null ? undefined : name
  }
}
