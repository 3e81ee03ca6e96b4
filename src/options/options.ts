import type { EventName, TokenAuthListeners } from '../events.js'
import type { Duration } from '../lib/duration.js'
import { MAX_TIMER } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { Users } from '../sessions/users.js'
import type { TokenStore } from '../stores/token-store.js'
import { resolveDpop } from './dpop.js'
import type { DpopOptions } from './dpop.js'
import { oauthServerShape } from './oauth.js'
import type { OAuthServerOptions } from './oauth.js'
import { resolvePasswords } from './passwords.js'
import type { PasswordOptions } from './passwords.js'
import { sessionShape } from './sessions.js'
import type { SessionOptions } from './sessions.js'
import { signingShape } from './signing.js'
import type { SigningOptions } from './signing.js'
import { throttleShape } from './throttle.js'
import type { ThrottleOptions } from './throttle.js'
import { transportShape } from './transport.js'
import type { TransportOptions } from './transport.js'
import {
  assert,
  callable,
  duration,
  group,
  implementation,
  rejectUnknownKeys,
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
  extends SigningOptions, SessionOptions, TransportOptions, OAuthServerOptions {
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
   * Callbacks that look up users.
   *
   * @example
   * ```ts
   * users: {
   *   findByLogin: login => db.users.findOne({ username: login }),
   *   findById: id => db.users.findOne({ id })
   * }
   * ```
   */
  readonly users: Users

  /**
   * Name of this registration, which distinguishes it from others in the same app.
   *
   * Keys are derived from it, so that one registration rejects the tokens of another. It is also
   * the `realm` of challenges. Letters, digits, `-` and `_`. Changing it signs all users out.
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
   * rejects requests that a slow database would still complete.
   *
   * @default '5s'
   */
  readonly storeTimeout?: Duration

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
   * Returns the current time in milliseconds, for tokens, sessions and sweeps.
   *
   * Lets tests and simulations run without waiting.
   *
   * @default Date.now
   * @example
   * ```ts
   * clock: () => now
   * ```
   */
  readonly clock?: () => Millis
}

/** Events that the option `on` accepts. */
export const listenerShape = {
  login: true,
  'login-rejected': true,
  'login-throttled': true,
  refresh: true,
  replay: true,
  recovery: true,
  reuse: true,
  'suspicious-replay': true,
  revoke: true,
  sweep: true,
  'store-rolled-back': true,
  'revocations-stalled': true,
  'clock-skew': true
} satisfies Record<EventName, true>

/** Checks of {@link TokenAuthOptions}. */
export const optionsShape = {
  store: implementation<TokenStore>(
    ['create', 'rotate', 'find', 'list', 'revoke', 'touch', 'revocations', 'sweep'],
    'a TokenStore, such as new MemoryStore() from fastify-token-auth/memory'
  ),
  users: resolveUsers,
  name: resolveName,
  ...signingShape,
  ...sessionShape,
  ...transportShape,
  ...oauthServerShape,
  passwords: resolvePasswords,
  throttle: unlessFalse(group(throttleShape)),
  dpop: resolveDpop,
  storeTimeout: duration({ min: 1, max: MAX_TIMER, fallback: '5s' }),
  on: resolveListeners,
  clock: callable<() => Millis>('returns milliseconds', Date.now)
} satisfies Shape<TokenAuthOptions>

const requireUsers = implementation<Users>(
  ['findByLogin', 'findById'],
  'an object with the functions findByLogin(login) and findById(id)'
)

function resolveUsers (value: unknown, path: string, isSet: boolean): Users {
  const users = requireUsers(value, path, isSet)

  for (const name of ['savePasswordHash', 'claims', 'present'] as const) {
    assert(
      users[name] === undefined || typeof users[name] === 'function',
      `"${path}.${name}" must be a function`
    )
  }

  return users
}

function resolveListeners (value: unknown = {}, path: string): TokenAuthListeners {
  rejectUnknownKeys(value, listenerShape, path)

  for (const [event, listener] of Object.entries(value)) {
    assert(typeof listener === 'function', `"${path}.${event}" must be a function`)
  }

  return value
}
