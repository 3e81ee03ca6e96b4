import type { TokenAuthListeners } from '../events.js'
import type { Duration } from '../lib/duration.js'
import { MAX_TIMER } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { InstanceClocks } from '../revocations/store-clock.js'
import type { ParsedIds, Users } from '../sessions/user-callbacks.js'
import type { TokenStore } from '../stores/token-store.js'
import { resolveDpop } from './dpop.js'
import type { DpopOptions } from './dpop.js'
import { resolveListeners } from './listeners.js'
import { oauthServerShape } from './oauth.js'
import type { OAuthServerOptions } from './oauth.js'
import { openApiShape } from './openapi.js'
import type { OpenApiOptions } from './openapi.js'
import { resolvePasswords } from './passwords.js'
import type { PasswordOptions } from './passwords.js'
import { protectionShape } from './protection.js'
import type { ProtectionOptions } from './protection.js'
import { sessionShape } from './sessions.js'
import type { SessionOptions } from './sessions.js'
import { signingShape } from './signing.js'
import type { SigningOptions } from './signing.js'
import { startupShape } from './startup.js'
import type { StartupOptions } from './startup.js'
import { tokenStore } from './stores.js'
import { throttleShape } from './throttle.js'
import type { ThrottleOptions } from './throttle.js'
import { transportShape } from './transport.js'
import type { TransportOptions } from './transport.js'
import {
  assert,
  duration,
  group,
  implementation,
  optional,
  resolveName,
  unlessFalse
} from './validate.js'
import type { Shape } from './validate.js'

/**
 * Options of the plugin. `secret`, `store` and `users` are required.
 *
 * An invalid or unknown option throws a `TypeError` at startup.
 *
 * @example
 * ```ts
 * import { tokenAuth } from 'fastify-token-auth'
 * import { MemoryStore } from 'fastify-token-auth/memory'
 *
 * await app.register(tokenAuth, {
 *   secret: process.env.AUTH_SECRET,
 *   store: new MemoryStore(),
 *   users: { findByLogin, findById }
 * })
 * ```
 */
export interface TokenAuthOptions
  extends SigningOptions, SessionOptions, TransportOptions, OAuthServerOptions, ProtectionOptions {
  /**
   * Store of the sessions.
   *
   * There is no default, because a store that loses all sessions on a restart must be a choice.
   *
   * @example
   * ```ts
   * import { PostgresStore } from 'fastify-token-auth/postgres'
   *
   * store: new PostgresStore(pool)
   * ```
   */
  readonly store: TokenStore

  /**
   * Callbacks that look up users. Build them with `defineUsers`, so that TypeScript infers the type
   * of your user for `claims` and `present`.
   *
   * @example
   * ```ts
   * users: {
   *   findByLogin: login => db.users.findOne({ username: login }),
   *   findById: id => db.users.findOne({ id })
   * }
   * ```
   */
  readonly users: Users | ParsedIds

  /**
   * Name of this registration, which distinguishes it from others in the same app.
   *
   * Keys are derived from it, so that one registration rejects the tokens of another. It is also
   * the realm of its sessions, events and challenges: two registrations may share a store, and
   * never see each other's sessions. A letter, followed by at most 63 letters, digits, `-` and `_`.
   * Changing it signs all users out.
   *
   * @default 'auth'
   */
  readonly name?: string

  /**
   * Options for password hashes, and for new passwords.
   *
   * @example
   * ```ts
   * passwords: { pepper, minLength: 15 }
   * ```
   */
  readonly passwords?: PasswordOptions

  /**
   * Limits for failed logins. `false` disables them, for apps that limit guesses by other means.
   *
   * @default 10 consecutive failures per account, then growing delays and a stop after 100; 100
   *   failures in 15 minutes per address
   * @example
   * ```ts
   * import { PostgresAttempts } from 'fastify-token-auth/postgres'
   *
   * throttle: { attempts: new PostgresAttempts(pool) }
   * ```
   */
  readonly throttle?: ThrottleOptions | false

  /**
   * Binds the tokens of a session to a key of its client if the login has a DPoP proof (RFC
   * 9449).
   *
   * An attacker who copies such a token cannot use it without the key, and cannot revoke the
   * session with it. Behind a proxy, set `trustProxy` or `publicUrl`, because a proof contains
   * the URL of its request.
   *
   * @default false, which rejects tokens that are bound to a key
   * @example
   * ```ts
   * dpop: { required: true }
   * ```
   */
  readonly dpop?: DpopOptions | boolean

  /**
   * Timeout of each call of the store and of the `users` callbacks. At most 24 days.
   *
   * The response is 503 after it. A shorter timeout fails sooner during an outage, but also
   * rejects requests that a slow database would still complete. At most half of
   * `refreshToken.grace`, so that other tabs can still use the previous token afterwards.
   *
   * @default '5s', or half of `refreshToken.grace` if that is less
   */
  readonly storeTimeout?: Duration

  /**
   * Options for a store that does not respond when the app starts.
   *
   * @default { storeDown: 'fail' }
   * @example
   * ```ts
   * startup: { storeDown: 'serve' }
   * ```
   */
  readonly startup?: StartupOptions

  /**
   * Options for the OpenAPI document of `@fastify/swagger`.
   *
   * @default the routes are in the document, with the tag `name`
   * @example
   * ```ts
   * openapi: { hide: true }
   * ```
   */
  readonly openapi?: OpenApiOptions

  /**
   * Event listeners. See {@link TokenAuthListeners}.
   *
   * A listener that throws is logged and does not affect the request.
   *
   * @default no listeners
   * @example
   * ```ts
   * on: { reuse: ({ userId }) => notifyUser(userId) }
   * ```
   */
  readonly on?: TokenAuthListeners

  /**
   * Clock of the app, for tests and simulations that do not wait.
   *
   * A function replaces store time: the plugin judges sessions and tokens by it, and ignores the
   * clock of the database. An object replaces only the two clocks of the instance. The plugin still
   * estimates the clock of the database. All values are milliseconds.
   *
   * @default the clock of the database; with `revocations: false`, `Date.now`
   * @example
   * ```ts
   * clock: () => now
   * ```
   */
  readonly clock?: (() => Millis) | InstanceClocks
}

/** Checks of {@link TokenAuthOptions}. */
export const optionsShape = {
  store: tokenStore(),
  users: resolveUsers,
  name: resolveName,
  ...signingShape,
  ...sessionShape,
  ...transportShape,
  ...oauthServerShape,
  ...protectionShape,
  passwords: resolvePasswords,
  throttle: unlessFalse(group(throttleShape)),
  dpop: resolveDpop,
  storeTimeout: optional(duration({ min: 1, max: MAX_TIMER })),
  startup: group(startupShape),
  openapi: group(openApiShape),
  on: resolveListeners,
  clock: resolveClock
} satisfies Shape<TokenAuthOptions>

const requireUsers = implementation<Users>(
  ['findByLogin', 'findById'],
  'an object with the functions findByLogin(login) and findById(id)'
)

function resolveUsers (value: unknown, path: string, isSet: boolean): Users | ParsedIds {
  const users = requireUsers(value, path, isSet)

  for (const name of ['parseId', 'savePasswordHash', 'claims', 'present'] as const) {
    assert(
      users[name] === undefined || typeof users[name] === 'function',
      `"${path}.${name}" must be a function`
    )
  }

  return users
}

function resolveClock (value: unknown, path: string): (() => Millis) | InstanceClocks | null {
  if (value === undefined) {
    return null
  }

  if (typeof value === 'function') {
    return value as () => Millis
  }

  return implementation<InstanceClocks>(
    ['wall', 'monotonic'],
    'a function, or an object with the functions wall() and monotonic()'
  )(value, path, true)
}
