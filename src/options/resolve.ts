// Checks the options and fills in what was left out. A wrong option fails at start, with a message that says what to do.

import { MAX_PASSWORD_LENGTH } from '../login/passwords.js'
import type { PasswordRules } from '../login/passwords.js'
import { CLOCK_TOLERANCE } from '../domain/rotation.js'
import { assert, duration, isFunction, rejectUnknownKeys } from './validate.js'
import type { TokenAuthOptions } from './options.js'
import { defaultPaths } from '../protocol.js'
import type { RouteName } from '../protocol.js'
import type { PasswordOptions } from './passwords.js'
import { checkSecrets, resolveKeys, resolveSecrets } from './signing.js'
import type { Secrets } from './signing.js'
import { resolveDpop, resolveOAuth } from './oauth.js'
import type { ResolvedDpop, ResolvedOAuth } from './oauth.js'
import { resolveThrottle } from './throttle.js'
import type { ResolvedThrottle } from './throttle.js'
import { resolveTransport } from './transport.js'
import type { ResolvedTransport } from './transport.js'
import type { EventName, TokenAuthListeners } from '../events.js'
import type { AppKeys } from '../tokens/keys.js'
import type { RevocationSubscriber } from '../revocations/feed.js'
import { isSameClientByDefault } from '../sessions/replay-monitor.js'
import type { IsSameClient } from '../sessions/replay-monitor.js'
import type { Users } from '../sessions/users.js'
import type { TokenStore } from '../stores/token-store.js'
import { MAX_TIMER, SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'

export interface ResolvedOptions {
  readonly name: string
  readonly prefix: string
  readonly paths: Readonly<Record<RouteName, string | false>>
  readonly transport: ResolvedTransport
  readonly secrets: { readonly base: Secrets, readonly access: Secrets, readonly refresh: Secrets }
  readonly store: TokenStore
  readonly users: Users
  /** `null` where access tokens are signed by a derived key. */
  readonly keys: AppKeys | null
  readonly issuer: string | undefined
  readonly audience: string | undefined
  /** `null` where there are no OAuth clients. */
  readonly oauth: ResolvedOAuth | null
  /** `null` where there are no proofs of possession. */
  readonly dpop: ResolvedDpop | null
  readonly publicUrl: string | undefined
  readonly rotation: boolean
  readonly accessLifetime: Millis
  /** `null` where access tokens are not renewed silently. */
  readonly renewalWindow: Millis | null
  readonly cacheSize: number
  readonly refreshLifetime: Millis
  readonly maxLifetime: Millis
  readonly grace: Millis
  readonly confirmBy: 'access' | 'refresh'
  readonly replayDetection: 'report' | 'revoke' | false
  readonly isSameClient: IsSameClient
  readonly passwords: PasswordRules
  /** `null` where logins are not throttled here. */
  readonly throttle: ResolvedThrottle | null
  readonly maxSessions: number
  readonly storeTimeout: Millis
  readonly sweepInterval: Millis | null
  readonly revocations: {
    readonly pollInterval: Millis | null
    readonly failAfter: Millis | null
    readonly subscribe: RevocationSubscriber | undefined
  }
  readonly on: TokenAuthListeners
  readonly clock: () => Millis
}

const known = {
  options: [
    'secret',
    'store',
    'users',
    'name',
    'prefix',
    'routes',
    'keys',
    'issuer',
    'audience',
    'rotation',
    'accessToken',
    'refreshToken',
    'cookie',
    'oauth',
    'dpop',
    'publicUrl',
    'passwords',
    'throttle',
    'maxSessions',
    'storeTimeout',
    'sweep',
    'revocations',
    'on',
    'clock'
  ],
  passwords: ['pepper', 'normalize', 'minLength', 'validate'],
  accessToken: ['lifetime', 'renewWithin', 'secret', 'cacheSize'],
  refreshToken: [
    'transport',
    'lifetime',
    'maxLifetime',
    'grace',
    'confirmBy',
    'replayDetection',
    'isSameClient',
    'secret'
  ],
  sweep: ['interval'],
  revocations: ['pollInterval', 'failAfter', 'subscribe'],
  on: [
    'login',
    'login-rejected',
    'login-throttled',
    'refresh',
    'replay',
    'recovery',
    'reuse',
    'suspicious-replay',
    'revoke',
    'sweep',
    'store-rolled-back',
    'revocations-stalled',
    'clock-skew'
  ] satisfies EventName[],
  store: ['create', 'rotate', 'find', 'list', 'revoke', 'touch', 'revocations', 'sweep']
} as const

/**
 * @param mountedAt The prefix of the scope that the plugin is registered in.
 * @throws TypeError that names the option and the fix
 */
export function resolveOptions (options: TokenAuthOptions, mountedAt = ''): ResolvedOptions {
  const { name = 'auth', prefix = '/auth', routes = {}, accessToken = {}, sweep = {}, on = {} } =
    options
  const { users, store } = options
  const { refreshToken: givenRefreshToken = {} } = options
  const refreshToken = givenRefreshToken === false ? {} : givenRefreshToken
  rejectUnknownKeys(options, known.options, '')
  rejectUnknownKeys(accessToken, known.accessToken, 'accessToken.')
  rejectUnknownKeys(refreshToken, known.refreshToken, 'refreshToken.')

  if (sweep !== false) {
    rejectUnknownKeys(sweep, known.sweep, 'sweep.')
  }

  rejectUnknownKeys(on, known.on, 'on.')

  for (const [event, listener] of Object.entries(on)) {
    assert(isFunction(listener), `on.${event} must be a function`)
  }

  assert(
    typeof name === 'string' && /^[A-Za-z][\w-]*$/.test(name),
    'name must be letters, digits, "-" and "_", beginning with a letter'
  )
  assert(
    prefix === '' || (typeof prefix === 'string' && /^\/.*[^/]$/.test(prefix)),
    'prefix must begin with "/" and not end with it, such as "/auth"'
  )
  assert(
    store != null && known.store.every(verb => isFunction(store[verb])),
    'store must be a TokenStore, such as new MemoryStore() from fastify-token-auth/memory'
  )
  assert(
    users != null && isFunction(users.findByLogin) && isFunction(users.findById),
    'users must have the functions findByLogin(login) and findById(id)'
  )

  for (const callback of ['savePasswordHash', 'claims', 'present'] as const) {
    assert(
      users[callback] === undefined || isFunction(users[callback]),
      `users.${callback} must be a function`
    )
  }

  assert(
    options.clock === undefined || isFunction(options.clock),
    'clock must be a function that gives milliseconds'
  )

  for (const member of ['issuer', 'audience'] as const) {
    const value = options[member]
    assert(
      value === undefined || (typeof value === 'string' && value !== ''),
      `${member} must be a text that is not empty`
    )
  }

  const { rotation = true } = options
  assert(typeof rotation === 'boolean', 'rotation must be true or false')
  const { confirmBy = 'access' } = refreshToken
  assert(
    confirmBy === 'access' || confirmBy === 'refresh',
    'refreshToken.confirmBy must be "access" or "refresh"'
  )
  const { replayDetection: shadows = false, isSameClient: sameContext = isSameClientByDefault } =
    refreshToken
  assert(
    ['report', 'revoke', false].includes(shadows),
    'refreshToken.replayDetection must be "report", "revoke" or false'
  )
  assert(isFunction(sameContext), 'refreshToken.isSameClient must be a function of two callers')
  const { maxSessions = Infinity } = options
  assert(
    maxSessions === Infinity ||
      (Number.isSafeInteger(maxSessions) && maxSessions >= 1 && maxSessions <= 100),
    'maxSessions must be a whole number from 1 to 100'
  )
  const { cacheSize = 10_000 } = accessToken
  assert(
    Number.isSafeInteger(cacheSize) && cacheSize >= 2,
    'accessToken.cacheSize must be a whole number, 2 or more'
  )

  assert(
    rotation ||
      (refreshToken.grace === undefined && refreshToken.confirmBy === undefined &&
        shadows === false),
    'refreshToken.grace, confirmBy and shadows are about replaced tokens: without rotation there are none, so take them away'
  )

  const accessLifetime = duration('accessToken.lifetime', accessToken.lifetime, '15m')
  const { renewWithin } = accessToken
  const renewalWindow = renewWithin === undefined
    ? null
    : duration('accessToken.renewWithin', renewWithin, '')
  // Where there are none, a session ends with its access token.
  const [refreshLifetime, maxLifetime] = givenRefreshToken === false
    ? [accessLifetime, accessLifetime]
    : [
      duration('refreshToken.lifetime', refreshToken.lifetime, '7d'),
      duration('refreshToken.maxLifetime', refreshToken.maxLifetime, '30d')
    ]
  const grace = duration('refreshToken.grace', refreshToken.grace, '10s')
  const storeTimeout = duration('storeTimeout', options.storeTimeout, '5s')
  assert(
    accessLifetime >= SECOND && accessLifetime % SECOND === 0,
    'accessToken.lifetime must be whole seconds, 1 or more'
  )
  assert(
    renewalWindow === null || (renewalWindow >= SECOND && renewalWindow <= accessLifetime / 2),
    'accessToken.renewWithin must be from 1s to half of accessToken.lifetime'
  )
  assert(
    renewalWindow === null || givenRefreshToken !== false,
    'accessToken.renewWithin needs sessions that outlast an access token: take away refreshToken: false'
  )
  assert(refreshLifetime >= SECOND, 'refreshToken.lifetime must be a second or more')
  assert(
    refreshLifetime <= maxLifetime,
    'refreshToken.lifetime must not be longer than refreshToken.maxLifetime (30d where it is not set)'
  )
  assert(
    givenRefreshToken === false || (grace <= 2 * CLOCK_TOLERANCE && grace < refreshLifetime),
    'refreshToken.grace must be at most 2m, and shorter than refreshToken.lifetime'
  )
  assert(
    storeTimeout > 0 && storeTimeout <= MAX_TIMER,
    'storeTimeout must be more than 0 and at most 24d'
  )
  const sweepEvery = sweep === false ? null : duration('sweep.interval', sweep.interval, '1h')
  assert(
    sweepEvery === null || (sweepEvery >= SECOND && sweepEvery <= MAX_TIMER),
    'sweep.interval must be from 1s to 24d'
  )

  const oauth = resolveOAuth(options, name)
  const paths = resolvePaths(routes, oauth)

  if (givenRefreshToken === false) {
    paths.refresh = false
  }

  return {
    name,
    prefix,
    paths,
    transport: resolveTransport(options, name, mountedAt + prefix, paths),
    secrets: resolveSecrets(options.secret, accessToken.secret, refreshToken.secret),
    store,
    users,
    keys: resolveKeys(options),
    issuer: options.issuer,
    // RFC 9068 section 3: where nobody says for whom, it is for a default.
    audience: options.audience ?? oauth?.issuer,
    oauth,
    dpop: resolveDpop(options.dpop),
    publicUrl: options.publicUrl,
    rotation,
    accessLifetime,
    renewalWindow,
    cacheSize,
    refreshLifetime,
    maxLifetime,
    grace,
    confirmBy,
    replayDetection: shadows,
    isSameClient: sameContext,
    passwords: resolvePasswords(options.passwords),
    throttle: resolveThrottle(options.throttle),
    maxSessions,
    storeTimeout,
    sweepInterval: sweepEvery,
    revocations: resolveRevocations(options.revocations ?? {}, storeTimeout),
    on,
    clock: options.clock ?? Date.now
  }
}

function resolveRevocations (
  given: NonNullable<TokenAuthOptions['revocations']>,
  storeTimeout: Millis
): ResolvedOptions['revocations'] {
  if (given === false) {
    return { pollInterval: null, failAfter: null, subscribe: undefined }
  }

  rejectUnknownKeys(given, known.revocations, 'revocations.')
  const { subscribe } = given
  const pollInterval = duration('revocations.pollInterval', given.pollInterval, '1s')
  const failAfter = given.failAfter === undefined
    ? null
    : duration('revocations.failAfter', given.failAfter, '')
  assert(
    pollInterval >= 10 && pollInterval <= CLOCK_TOLERANCE,
    'revocations.pollInterval must be from 10ms to 1m'
  )
  assert(
    failAfter === null || failAfter >= Math.max(2 * pollInterval, storeTimeout),
    'revocations.failAfter must be storeTimeout or more, and twice revocations.pollInterval or more'
  )
  assert(
    subscribe === undefined || isFunction(subscribe),
    'revocations.subscribe must be a function that takes another one to call'
  )
  return { pollInterval, failAfter, subscribe }
}

function acceptAny (): boolean {
  return true
}

function resolvePasswords (given: PasswordOptions = {}): PasswordRules {
  rejectUnknownKeys(given, known.passwords, 'passwords.')
  const { pepper, normalize, minLength = 8, validate = acceptAny } = given
  assert(
    normalize === undefined || normalize === 'NFC',
    'passwords.normalize must be "NFC", or not be set'
  )
  assert(
    Number.isSafeInteger(minLength) && minLength >= 1 && minLength <= MAX_PASSWORD_LENGTH,
    `passwords.minLength must be a whole number from 1 to ${MAX_PASSWORD_LENGTH}`
  )
  assert(
    isFunction(validate),
    'passwords.validate must be a function that takes a password and says whether it may be set'
  )
  const peppers = Object.hasOwn(given, 'pepper') ? checkSecrets('passwords.pepper', pepper) : []

  return {
    peppers: peppers.map(secret => Buffer.from(secret as string)),
    normalize: normalize ?? null,
    minLength,
    validate
  }
}

function resolvePaths (
  routes: NonNullable<TokenAuthOptions['routes']>,
  oauth: ResolvedOAuth | null
): Record<RouteName, string | false> {
  rejectUnknownKeys(routes, Object.keys(defaultPaths), 'routes.')
  const metadata = oauth?.metadataPath ?? defaultPaths.metadata
  const paths: Record<RouteName, string | false> = { ...defaultPaths, metadata, ...routes }

  for (const [name, path] of Object.entries(paths)) {
    assert(
      path === false || (typeof path === 'string' && path.startsWith('/')),
      `routes.${name} must begin with "/", or be false`
    )
  }

  assert(
    paths.session === false || /:id(?!\w)/.test(paths.session),
    'routes.session must hold ":id", such as "/sessions/:id"'
  )
  return paths
}
