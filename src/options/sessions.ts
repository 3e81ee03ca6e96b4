import type { Duration } from '../lib/duration.js'
import { CLOCK_TOLERANCE, DAY, MAX_TIMER, SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { RevocationSubscriber } from '../revocations/feed.js'
import { isSameClientByDefault } from '../sessions/replay-verdict.js'
import type { IsSameClient } from '../sessions/replay-verdict.js'
import { resolveSecret } from './signing.js'
import type { Secret } from './signing.js'
import {
  assert,
  boolean,
  callable,
  duration,
  group,
  integer,
  oneOf,
  optional,
  resolveShape,
  unlessFalse
} from './validate.js'
import type { Resolved, Shape } from './validate.js'

const DEFAULT_STORE_TIMEOUT: Millis = 5 * SECOND

/** Options for access tokens. */
export interface AccessTokenOptions {
  /**
   * Lifetime of an access token, in whole seconds. From 1 s to 24 hours.
   *
   * A service that does not see a logout accepts a token of that session until it expires. A
   * shorter lifetime limits this, but clients refresh more often.
   *
   * @default '15m'
   */
  readonly lifetime?: Duration

  /**
   * Remaining lifetime below which an authenticated request renews its access token.
   *
   * The new token is in the header `X-New-Token`, or in the access cookie if it came from there.
   * For clients that do not refresh on their own. Only requests in this window read the session
   * and the user from the store. From 1 s to half of `lifetime`.
   *
   * @default no renewal
   */
  readonly renewWithin?: Duration

  /**
   * Secret for access tokens only, so that it can be replaced independently of `secret`.
   *
   * To introduce it without rejecting a token, deploy `[secret, own]` to every instance, then
   * `[own, secret]`. Cannot be combined with `keys` unless they contain `'secret'`.
   *
   * @default a key derived from `secret`
   * @example
   * ```ts
   * accessToken: { secret: [newSecret, oldSecret] }
   * ```
   */
  readonly secret?: Secret

  /**
   * Maximum number of verified tokens to cache (about 1 kB each).
   *
   * A hit takes about 1 µs, a miss 10 µs or more. At least 2.
   *
   * @default 10_000
   */
  readonly cacheSize?: number
}

/** Options for refresh tokens. */
export interface RefreshTokenOptions {
  /**
   * Transport of the refresh token: as the client chooses, only in JSON, or only in an HttpOnly
   * cookie.
   *
   * With `'both'`, a client that sends the header `X-Token-Transport: cookie` at login gets a
   * cookie, and every other client gets JSON. The option `cookie` sets the cookie attributes. A
   * refresh with the token in JSON and this header moves the session to a cookie.
   *
   * @default 'both'
   */
  readonly transport?: 'body' | 'cookie' | 'both'

  /**
   * Idle lifetime of a refresh token. Every rotation resets it.
   *
   * A longer lifetime keeps inactive users signed in, and a stolen token usable. At least 1 s,
   * and at most `maxLifetime`.
   *
   * @default '7d'
   */
  readonly lifetime?: Duration

  /**
   * Maximum lifetime of a session, regardless of how often it is refreshed.
   *
   * A shorter lifetime makes active users log in more often.
   *
   * @default '30d'
   */
  readonly maxLifetime?: Duration

  /**
   * Time during which a rotated refresh token still returns its successor.
   *
   * Covers concurrent tabs and lost responses. A longer period gives an attacker more time to
   * replay a stolen token unnoticed. At most 2 minutes, at least twice `storeTimeout`, and shorter
   * than `lifetime`; `0` disables it.
   *
   * @default '10s'
   */
  readonly grace?: Duration

  /**
   * Event that confirms that a client received its refresh token. After it, a use of the previous
   * token outside the grace period is a reuse.
   *
   * `'refresh'` is the use of the refresh token. `'access'` is also the use of the access token
   * that came with it, which detects theft one refresh earlier. Set `'refresh'` if a server
   * refreshes on behalf of browsers: it uses access tokens whose refresh token may never reach
   * the browser.
   *
   * @default 'access'
   */
  readonly confirmBy?: 'access' | 'refresh'

  /**
   * Time at which the first use of a generation is written.
   *
   * `'batched'` writes it within a second, and no request waits. `'immediate'` writes it before the
   * response, for a process that may be frozen or stopped after its response (serverless). A lost
   * write would let an attacker use the previous token again. It costs one write per refresh; if
   * it fails, the response is 503.
   *
   * @default 'batched'
   */
  readonly confirmWrites?: 'batched' | 'immediate'

  /**
   * Reaction to an attacker who keeps pace with the client.
   *
   * `'report'` emits the event `suspicious-replay` in two cases. Another client has presented the
   * tokens of three consecutive generations a second time, or has recovered a token that it did
   * not rotate. `'revoke'` also revokes the session. Use `false` if your server and the browser
   * both refresh the same session.
   *
   * @default 'report'
   */
  readonly replayDetection?: 'report' | 'revoke' | false

  /**
   * Returns whether two requests may come from the same client, for `replayDetection`.
   *
   * A stricter comparison detects more attackers, and reports more users who change networks.
   *
   * @default same user agent, or same network: an IPv4 address or an IPv6 /64
   * @example
   * ```ts
   * refreshToken: { isSameClient: (one, other) => one.userAgent === other.userAgent }
   * ```
   */
  readonly isSameClient?: IsSameClient

  /**
   * Secret for refresh tokens only, so that it can be replaced independently of `secret`.
   *
   * @default a key derived from `secret`
   * @example
   * ```ts
   * refreshToken: { secret: [newSecret, oldSecret] }
   * ```
   */
  readonly secret?: Secret
}

/** Options for the deletion of expired and revoked sessions. */
export interface SweepOptions {
  /**
   * Interval between two deletions, varied by up to 10 %. From 1 s to 24 days.
   *
   * A longer interval keeps more deletable rows in the store.
   *
   * @default '1h'
   */
  readonly interval?: Duration
}

/** Options for revocations by other instances. */
export interface RevocationOptions {
  /**
   * Interval between two reads of the store's revocations. From 10 ms to 1 minute.
   *
   * A logout reaches every instance within this time. A shorter interval causes more queries.
   *
   * @default '1s'
   */
  readonly pollInterval?: Duration

  /**
   * Time without a successful read after which `authenticate` responds with 503.
   *
   * Without it, an instance that cannot read revocations accepts revoked tokens until they
   * expire. At least `storeTimeout`, and at least twice `pollInterval`.
   *
   * @default no limit
   */
  readonly failAfter?: Duration

  /**
   * Subscribes to notifications of the store, so that revocations are read before the next poll.
   *
   * The plugin still polls, so a lost notification delays a logout only until then.
   *
   * @default no subscription
   * @example
   * ```ts
   * import { listenForRevocations } from 'fastify-token-auth/postgres'
   *
   * revocations: { subscribe: listenForRevocations(() => new pg.Client()) }
   * ```
   */
  readonly subscribe?: RevocationSubscriber
}

/** Options for sessions and their tokens. */
export interface SessionOptions {
  /**
   * Whether a refresh replaces the refresh token.
   *
   * Without rotation, a stolen refresh token stays valid and unnoticed until the session expires.
   * The session then expires `refreshToken.lifetime` after the login, because nothing resets it.
   *
   * @default true
   */
  readonly rotation?: boolean

  /**
   * Options for access tokens.
   *
   * @example
   * ```ts
   * accessToken: { lifetime: '5m' }
   * ```
   */
  readonly accessToken?: AccessTokenOptions

  /**
   * Options for refresh tokens. `false` issues none, so that a session expires with its access
   * token.
   *
   * @example
   * ```ts
   * refreshToken: { transport: 'cookie', lifetime: '14d' }
   * ```
   */
  readonly refreshToken?: RefreshTokenOptions | false

  /**
   * Maximum number of active sessions of a user, from 1 to 100. A login beyond it revokes the
   * oldest.
   *
   * Every login then lists the sessions of its user, which costs one more query.
   *
   * @default no limit
   */
  readonly maxSessions?: number

  /**
   * Schedule for the deletion of expired and revoked sessions.
   *
   * `false` disables it, for apps that call `app.tokenAuth.sweep()` from a job. Rows stay for 25
   * hours after their end.
   *
   * @default { interval: '1h' }
   * @example
   * ```ts
   * sweep: { interval: '10m' }
   * ```
   */
  readonly sweep?: SweepOptions | false

  /**
   * Access to the revocations of other instances, so that `authenticate` rejects their tokens
   * too.
   *
   * The app becomes ready after the first read, or after 5 s if there is more to read. Protected
   * routes then respond with 503 until the app has read everything. `false` disables it, for apps
   * with a single instance.
   *
   * @default { pollInterval: '1s' }
   * @example
   * ```ts
   * revocations: { failAfter: '30s' }
   * ```
   */
  readonly revocations?: RevocationOptions | false
}

/** Checks of {@link AccessTokenOptions}. */
export const accessTokenShape = {
  lifetime: duration({ min: SECOND, max: DAY, fallback: '15m' }),
  renewWithin: optional(duration({ min: SECOND })),
  secret: optional(resolveSecret),
  cacheSize: integer({ min: 2, fallback: 10_000 })
} satisfies Shape<AccessTokenOptions>

/** Checks of {@link RefreshTokenOptions}. */
export const refreshTokenShape = {
  transport: oneOf(['body', 'cookie', 'both'], 'both'),
  lifetime: duration({ min: SECOND, fallback: '7d' }),
  maxLifetime: duration({ fallback: '30d' }),
  grace: duration({ max: 2 * CLOCK_TOLERANCE, fallback: '10s' }),
  confirmBy: oneOf(['access', 'refresh'], 'access'),
  confirmWrites: oneOf(['batched', 'immediate'], 'batched'),
  replayDetection: oneOf(['report', 'revoke', false], 'report'),
  isSameClient: callable<IsSameClient>('compares two callers', isSameClientByDefault),
  secret: optional(resolveSecret)
} satisfies Shape<RefreshTokenOptions>

/** Checks of {@link SweepOptions}. */
export const sweepShape = {
  interval: duration({ min: SECOND, max: MAX_TIMER, fallback: '1h' })
} satisfies Shape<SweepOptions>

/** Checks of {@link RevocationOptions}. */
export const revocationShape = {
  pollInterval: duration({ min: 10, max: CLOCK_TOLERANCE, fallback: '1s' }),
  failAfter: optional(duration({})),
  subscribe: optional(callable<RevocationSubscriber>('takes a function and calls it'))
} satisfies Shape<RevocationOptions>

const sessionLimit = integer({ min: 1, max: 100 })

/** Checks of {@link SessionOptions}. */
export const sessionShape = {
  rotation: boolean(true),
  accessToken: group(accessTokenShape),
  refreshToken: unlessFalse(group(refreshTokenShape)),
  maxSessions: (value = Infinity, path, isSet): number =>
    value === Infinity ? Infinity : sessionLimit(value, path, isSet),
  sweep: unlessFalse(group(sweepShape)),
  revocations: unlessFalse(group(revocationShape))
} satisfies Shape<SessionOptions>

/**
 * Derives the settings of sessions from checked options.
 *
 * @param given - The options of the app, without defaults.
 * @throws TypeError if two options contradict each other.
 */
export function resolveSessions (
  options: Resolved<typeof sessionShape>,
  given: SessionOptions,
  givenTimeout: Millis | null
) {
  const { accessToken, refreshToken, revocations } = options
  const refreshOptions = refreshToken ?? resolveShape(refreshTokenShape, {})
  const { lifetime, maxLifetime, grace } = refreshOptions
  assertAccessToken(options)
  assertRotation(given)
  const usedGrace = options.rotation && refreshToken !== null ? grace : 0
  const storeTimeout = resolveStoreTimeout(givenTimeout, usedGrace)

  if (refreshToken !== null) {
    assert(
      lifetime <= maxLifetime,
      '"refreshToken.lifetime" must be at most "refreshToken.maxLifetime" (30d by default)'
    )
    assert(grace < lifetime, '"refreshToken.grace" must be shorter than "refreshToken.lifetime"')
  }

  if (revocations?.failAfter != null) {
    assert(
      revocations.failAfter >= Math.max(2 * revocations.pollInterval, storeTimeout),
      '"revocations.failAfter" must be at least "storeTimeout" and at least twice ' +
        '"revocations.pollInterval"'
    )
  }

  return {
    storeTimeout,
    rotation: options.rotation,
    accessLifetime: accessToken.lifetime,
    /** `null` if requests do not renew access tokens. */
    renewalWindow: accessToken.renewWithin,
    cacheSize: accessToken.cacheSize,
    refreshLifetime: refreshToken === null ? accessToken.lifetime : lifetime,
    maxLifetime: refreshToken === null ? accessToken.lifetime : maxLifetime,
    grace,
    confirmBy: refreshOptions.confirmBy,
    confirmWrites: refreshOptions.confirmWrites,
    replayDetection: refreshOptions.replayDetection,
    isSameClient: refreshOptions.isSameClient,
    maxSessions: options.maxSessions,
    /** `null` if the plugin does not sweep on its own. */
    sweepInterval: options.sweep?.interval ?? null,
    revocations: {
      /** `null` if there is a single instance. */
      pollInterval: revocations?.pollInterval ?? null,
      failAfter: revocations?.failAfter ?? null,
      subscribe: revocations?.subscribe ?? undefined
    }
  }
}

// A response that is slower than half a grace period would leave other tabs too little time.
function resolveStoreTimeout (given: Millis | null, grace: Millis): Millis {
  if (given === null) {
    return grace === 0 ? DEFAULT_STORE_TIMEOUT : Math.min(DEFAULT_STORE_TIMEOUT, grace / 2)
  }

  assert(
    grace === 0 || given <= grace / 2,
    '"storeTimeout" must be at most half of "refreshToken.grace" (10s by default)'
  )
  return given
}

function assertAccessToken (
  { accessToken: { lifetime, renewWithin }, refreshToken }: Resolved<typeof sessionShape>
): void {
  assert(
    lifetime % SECOND === 0,
    '"accessToken.lifetime" must be a whole number of seconds'
  )

  if (renewWithin === null) {
    return
  }

  assert(
    renewWithin <= lifetime / 2,
    '"accessToken.renewWithin" must be at most half of "accessToken.lifetime"'
  )
  assert(
    refreshToken !== null,
    '"accessToken.renewWithin" requires sessions that outlive an access token; ' +
      'remove "refreshToken: false"'
  )
}

function assertRotation ({ rotation, refreshToken }: SessionOptions): void {
  if (rotation !== false || !refreshToken) {
    return
  }

  const conflict = (['grace', 'confirmBy', 'replayDetection'] as const).find(name =>
    ![undefined, false].includes(refreshToken[name] as undefined)
  )
  assert(
    conflict === undefined,
    `"refreshToken.${conflict ?? ''}" requires "rotation"; remove one of "rotation: false" and ` +
      `"refreshToken.${conflict ?? ''}"`
  )
}
