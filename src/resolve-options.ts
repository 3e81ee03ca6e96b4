// Checks the options and fills in what was left out. A wrong option fails at start, with a message that says what to do.

import { weaknessOf } from './credentials/keys.js'
import { CLOCK_TOLERANCE } from './domain/rotation.js'
import type { Millis } from './domain/session.js'
import { parseDuration } from './durations.js'
import type { Secret, TokenAuthOptions } from './options.js'
import { defaultPaths } from './protocol.js'
import type { RouteName } from './protocol.js'
import type { EventName, TokenAuthListeners } from './service/events.js'
import type { Wake } from './service/revocation-feed.js'
import type { Users } from './service/users.js'
import type { TokenStore } from './stores/token-store.js'

export interface ResolvedOptions {
  readonly name: string
  readonly prefix: string
  readonly paths: Readonly<Record<RouteName, string | false>>
  readonly secrets: { readonly access: Secrets, readonly refresh: Secrets }
  readonly store: TokenStore
  readonly users: Users
  readonly issuer: string | undefined
  readonly audience: string | undefined
  readonly rotation: boolean
  readonly accessLifetime: Millis
  readonly cacheSize: number
  readonly refreshLifetime: Millis
  readonly absolute: Millis
  readonly grace: Millis
  readonly confirmBy: 'access' | 'refresh'
  readonly storeTimeout: Millis
  readonly sweepEvery: Millis | null
  readonly revocations: { readonly every: Millis | null, readonly failAfter: Millis | null, readonly wake: Wake | undefined }
  readonly on: TokenAuthListeners
  readonly clock: () => Millis
}

/** The current secret, then the previous ones. */
export type Secrets = readonly [string | Uint8Array, ...Array<string | Uint8Array>]

const SECOND: Millis = 1000
const LONGEST_TIMER: Millis = 2 ** 31 - 1

const known = {
  options: [
    'secret', 'store', 'users', 'name', 'prefix', 'routes', 'issuer', 'audience', 'rotation', 'accessToken', 'refreshToken',
    'storeTimeout', 'sweep', 'revocations', 'on', 'clock'
  ],
  accessToken: ['lifetime', 'secret', 'cacheSize'],
  refreshToken: ['lifetime', 'absolute', 'grace', 'confirmBy', 'secret'],
  sweep: ['every'],
  revocations: ['every', 'failAfter', 'wake'],
  on: [
    'login', 'login-rejected', 'refresh', 'replay', 'recovery', 'reuse', 'revoke', 'sweep', 'store-rolled-back',
    'revocations-behind', 'clock-skew'
  ] satisfies EventName[],
  store: ['create', 'rotate', 'find', 'list', 'revoke', 'touch', 'revocations', 'sweep']
} as const

/** @throws TypeError that names the option and the fix */
export function resolveOptions (options: TokenAuthOptions): ResolvedOptions {
  const { name = 'auth', prefix = '/auth', routes = {}, accessToken = {}, refreshToken = {}, sweep = {}, on = {} } = options
  const { users, store } = options
  allowOnly(options, known.options, '')
  allowOnly(accessToken, known.accessToken, 'accessToken.')
  allowOnly(refreshToken, known.refreshToken, 'refreshToken.')
  if (sweep !== false) allowOnly(sweep, known.sweep, 'sweep.')
  allowOnly(on, known.on, 'on.')
  for (const [event, listener] of Object.entries(on)) demand(isFunction(listener), `on.${event} must be a function`)

  demand(typeof name === 'string' && /^[A-Za-z][\w-]*$/.test(name), 'name must be letters, digits, "-" and "_", beginning with a letter')
  demand(prefix === '' || (typeof prefix === 'string' && /^\/.*[^/]$/.test(prefix)), 'prefix must begin with "/" and not end with it, such as "/auth"')
  demand(store != null && known.store.every(verb => isFunction(store[verb])),
    'store must be a TokenStore, such as new MemoryStore() from fastify-token-auth/stores/memory')
  demand(users != null && isFunction(users.findByLogin) && isFunction(users.findById),
    'users must have the functions findByLogin(login) and findById(id)')
  for (const callback of ['savePasswordHash', 'claims', 'present'] as const) {
    demand(users[callback] === undefined || isFunction(users[callback]), `users.${callback} must be a function`)
  }
  demand(options.clock === undefined || isFunction(options.clock), 'clock must be a function that gives milliseconds')
  for (const member of ['issuer', 'audience'] as const) {
    const value = options[member]
    demand(value === undefined || (typeof value === 'string' && value !== ''), `${member} must be a text that is not empty`)
  }
  const { rotation = true } = options
  demand(typeof rotation === 'boolean', 'rotation must be true or false')
  const { confirmBy = 'access' } = refreshToken
  demand(confirmBy === 'access' || confirmBy === 'refresh', 'refreshToken.confirmBy must be "access" or "refresh"')
  const { cacheSize = 10_000 } = accessToken
  demand(Number.isSafeInteger(cacheSize) && cacheSize >= 2, 'accessToken.cacheSize must be a whole number, 2 or more')

  const accessLifetime = duration('accessToken.lifetime', accessToken.lifetime, '15m')
  const refreshLifetime = duration('refreshToken.lifetime', refreshToken.lifetime, '7d')
  const absolute = duration('refreshToken.absolute', refreshToken.absolute, '30d')
  const grace = duration('refreshToken.grace', refreshToken.grace, '10s')
  const storeTimeout = duration('storeTimeout', options.storeTimeout, '5s')
  demand(accessLifetime >= SECOND && accessLifetime % SECOND === 0, 'accessToken.lifetime must be whole seconds, 1 or more')
  demand(refreshLifetime >= SECOND, 'refreshToken.lifetime must be a second or more')
  demand(refreshLifetime <= absolute, 'refreshToken.lifetime must not be longer than refreshToken.absolute (30d where it is not set)')
  demand(grace <= 2 * CLOCK_TOLERANCE && grace < refreshLifetime,
    'refreshToken.grace must be at most 2m, and shorter than refreshToken.lifetime')
  demand(storeTimeout > 0 && storeTimeout <= LONGEST_TIMER, 'storeTimeout must be more than 0 and at most 24d')
  const sweepEvery = sweep === false ? null : duration('sweep.every', sweep.every, '1h')
  demand(sweepEvery === null || (sweepEvery >= SECOND && sweepEvery <= LONGEST_TIMER), 'sweep.every must be from 1s to 24d')

  return {
    name,
    prefix,
    paths: resolvePaths(routes),
    secrets: resolveSecrets(options.secret, accessToken.secret, refreshToken.secret),
    store,
    users,
    issuer: options.issuer,
    audience: options.audience,
    rotation,
    accessLifetime,
    cacheSize,
    refreshLifetime,
    absolute,
    grace,
    confirmBy,
    storeTimeout,
    sweepEvery,
    revocations: resolveRevocations(options.revocations ?? {}, storeTimeout),
    on,
    clock: options.clock ?? Date.now
  }
}

function resolveRevocations (
  given: NonNullable<TokenAuthOptions['revocations']>, storeTimeout: Millis
): ResolvedOptions['revocations'] {
  if (given === false) return { every: null, failAfter: null, wake: undefined }
  allowOnly(given, known.revocations, 'revocations.')
  const { wake } = given
  const every = duration('revocations.every', given.every, '1s')
  const failAfter = given.failAfter === undefined ? null : duration('revocations.failAfter', given.failAfter, '')
  demand(every >= 10 && every <= CLOCK_TOLERANCE, 'revocations.every must be from 10ms to 1m')
  demand(failAfter === null || failAfter >= Math.max(2 * every, storeTimeout),
    'revocations.failAfter must be storeTimeout or more, and twice revocations.every or more')
  demand(wake === undefined || isFunction(wake), 'revocations.wake must be a function that takes another one to call')
  return { every, failAfter, wake }
}

function resolvePaths (routes: NonNullable<TokenAuthOptions['routes']>): ResolvedOptions['paths'] {
  allowOnly(routes, Object.keys(defaultPaths), 'routes.')
  const paths = { ...defaultPaths, ...routes }
  for (const [name, path] of Object.entries(paths)) {
    demand(path === false || (typeof path === 'string' && path.startsWith('/')), `routes.${name} must begin with "/", or be false`)
  }
  demand(paths.session === false || /:id(?!\w)/.test(paths.session), 'routes.session must hold ":id", such as "/sessions/:id"')
  return paths
}

function resolveSecrets (
  base: Secret | undefined, forAccess: Secret | undefined, forRefresh: Secret | undefined
): ResolvedOptions['secrets'] {
  const lists = Object.entries({ secret: base, 'accessToken.secret': forAccess, 'refreshToken.secret': forRefresh })
    .filter(([option, value]) => option === 'secret' || value !== undefined)
    .map(([option, value]) => ({ option, secrets: toSecrets(value) }))
  const currentOnes = new Map<string, string>()
  for (const { option, secrets } of lists) {
    const inList = new Set<string>()
    for (const secret of secrets) {
      demand(typeof secret === 'string' || secret instanceof Uint8Array,
        `${option} is missing: set it to 32 random bytes or more, such as \`openssl rand -base64 48\` prints`)
      const weakness = weaknessOf(secret)
      demand(weakness === null, `${option} ${weakness ?? ''}: use a random one, such as \`openssl rand -base64 48\` prints`)
      inList.add(Buffer.from(secret as string).toString('base64'))
    }
    demand(inList.size === secrets.length, `${option} holds a secret twice: every one must be another`)
    // A previous secret may be the one that was shared until now.
    const [current = ''] = inList
    demand(!currentOnes.has(current), `${option} is the same as ${currentOnes.get(current) ?? ''}: every secret must be another`)
    currentOnes.set(current, option)
  }
  return { access: toSecrets(forAccess ?? base), refresh: toSecrets(forRefresh ?? base) }
}

function toSecrets (secret: Secret | undefined): Secrets {
  return (Array.isArray(secret) && secret.length > 0 ? secret : [secret]) as unknown as Secrets
}

function duration (option: string, value: unknown, byDefault: string): Millis {
  const millis = parseDuration(value ?? byDefault)
  demand(millis !== null, `${option} must be a number of seconds, or a text such as "90s", "15m", "12h" or "7d", and at most a century`)
  return millis
}

function allowOnly (given: object, names: readonly string[], path: string): void {
  demand(typeof given === 'object' && given !== null, `${path.slice(0, -1) || 'the options'} must be an object`)
  const unknown = Object.keys(given).find(name => !names.includes(name))
  demand(unknown === undefined, `${path}${unknown ?? ''} is no option; there are ${names.map(name => path + name).join(', ')}`)
}

function isFunction (value: unknown): boolean {
  return typeof value === 'function'
}

function demand (holds: boolean, message: string): asserts holds {
  if (!holds) throw new TypeError(`fastify-token-auth: ${message}`)
}
