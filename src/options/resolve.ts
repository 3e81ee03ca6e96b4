// Checks the options and fills in what was left out. A wrong option fails at start, with a message that says what to do.

import { MAX_PASSWORD_LENGTH } from '../login/passwords.js'
import type { PasswordRules } from '../login/passwords.js'
import { CLOCK_TOLERANCE } from '../domain/rotation.js'
import type { Millis } from '../domain/session.js'
import { allowOnly, demand, duration, isFunction } from './validate.js'
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
import type { AppKeys } from '../tokens/key-ring.js'
import type { Wake } from '../revocations/feed.js'
import { mayBeSame } from '../sessions/replay-monitor.js'
import type { SameContext } from '../sessions/replay-monitor.js'
import type { Users } from '../sessions/users.js'
import type { TokenStore } from '../stores/token-store.js'

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
  readonly absolute: Millis
  readonly grace: Millis
  readonly confirmBy: 'access' | 'refresh'
  readonly shadows: 'report' | 'end' | false
  readonly sameContext: SameContext
  readonly passwords: PasswordRules
  /** `null` where logins are not throttled here. */
  readonly throttle: ResolvedThrottle | null
  readonly maxSessions: number
  readonly storeTimeout: Millis
  readonly sweepEvery: Millis | null
  readonly revocations: {
    readonly every: Millis | null
    readonly failAfter: Millis | null
    readonly wake: Wake | undefined
  }
  readonly on: TokenAuthListeners
  readonly clock: () => Millis
}

const SECOND: Millis = 1000
const LONGEST_TIMER: Millis = 2 ** 31 - 1

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
  passwords: ['pepper', 'normalize', 'minLength', 'accept'],
  accessToken: ['lifetime', 'renewWithin', 'secret', 'cacheSize'],
  refreshToken: [
    'transport',
    'lifetime',
    'absolute',
    'grace',
    'confirmBy',
    'shadows',
    'sameContext',
    'secret'
  ],
  sweep: ['every'],
  revocations: ['every', 'failAfter', 'wake'],
  on: [
    'login',
    'login-rejected',
    'login-throttled',
    'refresh',
    'replay',
    'recovery',
    'reuse',
    'shadow',
    'revoke',
    'sweep',
    'store-rolled-back',
    'revocations-behind',
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
  allowOnly(options, known.options, '')
  allowOnly(accessToken, known.accessToken, 'accessToken.')
  allowOnly(refreshToken, known.refreshToken, 'refreshToken.')

  if (sweep !== false) {
    allowOnly(sweep, known.sweep, 'sweep.')
  }

  allowOnly(on, known.on, 'on.')

  for (const [event, listener] of Object.entries(on)) {
    demand(isFunction(listener), `on.${event} must be a function`)
  }

  demand(
    typeof name === 'string' && /^[A-Za-z][\w-]*$/.test(name),
    'name must be letters, digits, "-" and "_", beginning with a letter'
  )
  demand(
    prefix === '' || (typeof prefix === 'string' && /^\/.*[^/]$/.test(prefix)),
    'prefix must begin with "/" and not end with it, such as "/auth"'
  )
  demand(
    store != null && known.store.every(verb => isFunction(store[verb])),
    'store must be a TokenStore, such as new MemoryStore() from fastify-token-auth/memory'
  )
  demand(
    users != null && isFunction(users.findByLogin) && isFunction(users.findById),
    'users must have the functions findByLogin(login) and findById(id)'
  )

  for (const callback of ['savePasswordHash', 'claims', 'present'] as const) {
    demand(
      users[callback] === undefined || isFunction(users[callback]),
      `users.${callback} must be a function`
    )
  }

  demand(
    options.clock === undefined || isFunction(options.clock),
    'clock must be a function that gives milliseconds'
  )

  for (const member of ['issuer', 'audience'] as const) {
    const value = options[member]
    demand(
      value === undefined || (typeof value === 'string' && value !== ''),
      `${member} must be a text that is not empty`
    )
  }

  const { rotation = true } = options
  demand(typeof rotation === 'boolean', 'rotation must be true or false')
  const { confirmBy = 'access' } = refreshToken
  demand(
    confirmBy === 'access' || confirmBy === 'refresh',
    'refreshToken.confirmBy must be "access" or "refresh"'
  )
  const { shadows = false, sameContext = mayBeSame } = refreshToken
  demand(
    ['report', 'end', false].includes(shadows),
    'refreshToken.shadows must be "report", "end" or false'
  )
  demand(isFunction(sameContext), 'refreshToken.sameContext must be a function of two callers')
  const { maxSessions = Infinity } = options
  demand(
    maxSessions === Infinity ||
      (Number.isSafeInteger(maxSessions) && maxSessions >= 1 && maxSessions <= 100),
    'maxSessions must be a whole number from 1 to 100'
  )
  const { cacheSize = 10_000 } = accessToken
  demand(
    Number.isSafeInteger(cacheSize) && cacheSize >= 2,
    'accessToken.cacheSize must be a whole number, 2 or more'
  )

  demand(
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
  const [refreshLifetime, absolute] = givenRefreshToken === false
    ? [accessLifetime, accessLifetime]
    : [
      duration('refreshToken.lifetime', refreshToken.lifetime, '7d'),
      duration('refreshToken.absolute', refreshToken.absolute, '30d')
    ]
  const grace = duration('refreshToken.grace', refreshToken.grace, '10s')
  const storeTimeout = duration('storeTimeout', options.storeTimeout, '5s')
  demand(
    accessLifetime >= SECOND && accessLifetime % SECOND === 0,
    'accessToken.lifetime must be whole seconds, 1 or more'
  )
  demand(
    renewalWindow === null || (renewalWindow >= SECOND && renewalWindow <= accessLifetime / 2),
    'accessToken.renewWithin must be from 1s to half of accessToken.lifetime'
  )
  demand(
    renewalWindow === null || givenRefreshToken !== false,
    'accessToken.renewWithin needs sessions that outlast an access token: take away refreshToken: false'
  )
  demand(refreshLifetime >= SECOND, 'refreshToken.lifetime must be a second or more')
  demand(
    refreshLifetime <= absolute,
    'refreshToken.lifetime must not be longer than refreshToken.absolute (30d where it is not set)'
  )
  demand(
    givenRefreshToken === false || (grace <= 2 * CLOCK_TOLERANCE && grace < refreshLifetime),
    'refreshToken.grace must be at most 2m, and shorter than refreshToken.lifetime'
  )
  demand(
    storeTimeout > 0 && storeTimeout <= LONGEST_TIMER,
    'storeTimeout must be more than 0 and at most 24d'
  )
  const sweepEvery = sweep === false ? null : duration('sweep.every', sweep.every, '1h')
  demand(
    sweepEvery === null || (sweepEvery >= SECOND && sweepEvery <= LONGEST_TIMER),
    'sweep.every must be from 1s to 24d'
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
    absolute,
    grace,
    confirmBy,
    shadows,
    sameContext,
    passwords: resolvePasswords(options.passwords),
    throttle: resolveThrottle(options.throttle),
    maxSessions,
    storeTimeout,
    sweepEvery,
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
    return { every: null, failAfter: null, wake: undefined }
  }

  allowOnly(given, known.revocations, 'revocations.')
  const { wake } = given
  const every = duration('revocations.every', given.every, '1s')
  const failAfter = given.failAfter === undefined
    ? null
    : duration('revocations.failAfter', given.failAfter, '')
  demand(every >= 10 && every <= CLOCK_TOLERANCE, 'revocations.every must be from 10ms to 1m')
  demand(
    failAfter === null || failAfter >= Math.max(2 * every, storeTimeout),
    'revocations.failAfter must be storeTimeout or more, and twice revocations.every or more'
  )
  demand(
    wake === undefined || isFunction(wake),
    'revocations.wake must be a function that takes another one to call'
  )
  return { every, failAfter, wake }
}

function acceptAny (): boolean {
  return true
}

function resolvePasswords (given: PasswordOptions = {}): PasswordRules {
  allowOnly(given, known.passwords, 'passwords.')
  const { pepper, normalize, minLength = 8, accept = acceptAny } = given
  demand(
    normalize === undefined || normalize === 'NFC',
    'passwords.normalize must be "NFC", or not be set'
  )
  demand(
    Number.isSafeInteger(minLength) && minLength >= 1 && minLength <= MAX_PASSWORD_LENGTH,
    `passwords.minLength must be a whole number from 1 to ${MAX_PASSWORD_LENGTH}`
  )
  demand(
    isFunction(accept),
    'passwords.accept must be a function that takes a password and says whether it may be set'
  )
  const peppers = Object.hasOwn(given, 'pepper') ? checkSecrets('passwords.pepper', pepper) : []

  return {
    peppers: peppers.map(secret => Buffer.from(secret as string)),
    normalize: normalize ?? null,
    minLength,
    accept
  }
}

function resolvePaths (
  routes: NonNullable<TokenAuthOptions['routes']>,
  oauth: ResolvedOAuth | null
): Record<RouteName, string | false> {
  allowOnly(routes, Object.keys(defaultPaths), 'routes.')
  const metadata = oauth?.metadataPath ?? defaultPaths.metadata
  const paths: Record<RouteName, string | false> = { ...defaultPaths, metadata, ...routes }

  for (const [name, path] of Object.entries(paths)) {
    demand(
      path === false || (typeof path === 'string' && path.startsWith('/')),
      `routes.${name} must begin with "/", or be false`
    )
  }

  demand(
    paths.session === false || /:id(?!\w)/.test(paths.session),
    'routes.session must hold ":id", such as "/sessions/:id"'
  )
  return paths
}
