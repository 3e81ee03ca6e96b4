import { createWindowRule } from '../domain/attempt-rule.js'
import type { AttemptRule } from '../domain/attempt-rule.js'
import type { Duration } from '../lib/duration.js'
import { DAY, HOUR, SECOND } from '../lib/time.js'
import type { AttemptStore } from '../stores/attempt-store.js'
import { attemptStore } from './stores.js'
import {
  assert,
  duration,
  integer,
  optional,
  resolveShape,
  unlessFalse
} from './validate.js'
import type { Shape } from './validate.js'

/** Options for the limit of failed logins per account. */
export interface AccountLimitOptions {
  /**
   * Number of consecutive failures without a delay.
   *
   * The next attempt waits 1 s, and each further one twice as long, up to 1 hour. A lower number
   * slows down guessing, and users who forgot their password.
   *
   * @default 10
   */
  readonly freeAttempts?: number

  /**
   * Number of consecutive failures after which the account accepts no further attempt.
   *
   * Attempts are possible again after `resetAfter` without any, or after
   * `app.tokenAuth.passwordChanged`. At least `freeAttempts`.
   *
   * @default 100, or `freeAttempts` if it is more
   */
  readonly maxAttempts?: number

  /**
   * Time without an attempt after which the count is reset. From 1 hour to 365 days.
   *
   * A shorter time lets an attacker try more passwords per day.
   *
   * @default '1d'
   */
  readonly resetAfter?: Duration
}

/** Options for the limit of failed logins per address. */
export interface AddressLimitOptions {
  /**
   * Number of failures in `window` after which an address is rejected, regardless of the
   * accounts.
   *
   * A lower number can lock out users who share an address, such as an office.
   *
   * @default 100
   */
  readonly maxAttempts?: number

  /**
   * Time window that failures are counted in. From 1 s to 365 days.
   *
   * A rejected address has to wait until the window ends.
   *
   * @default '15m'
   */
  readonly window?: Duration
}

/**
 * Limits for failed logins.
 *
 * Failures are counted per account and per address, before the password is hashed. An attempt
 * beyond a limit gets 429 `AUTH_TOO_MANY_ATTEMPTS` with `Retry-After`. Successful logins and
 * refreshes with an authentic token do not count.
 *
 * A device on which its user logged in before has its own limit, so that an attacker cannot lock
 * it out. A cookie or `device_token` identifies it. All known devices of a user share one more
 * limit of the same size. Attempts count while their password is verified. So at most
 * `freeAttempts` passwords of an account are verified concurrently.
 *
 * Spellings of a name that differ in case, accents, width or spaces count as one. If attempts with
 * one name block a user, attempts with another name of the user get 401, like those of an unknown
 * user. A 429 would show that both names belong to one user.
 */
export interface ThrottleOptions {
  /**
   * Store that counts the attempts.
   *
   * By default each instance counts on its own, so 3 instances allow 3 times as many attempts. A
   * shared store costs each login a query. One-time tokens and `fastify-token-auth/account` require
   * a shared store, unless the app has a single instance (`revocations: false`).
   *
   * @default in memory
   * @example
   * ```ts
   * import { PostgresAttempts } from 'fastify-token-auth/postgres'
   *
   * throttle: { attempts: new PostgresAttempts(pool) }
   * ```
   */
  readonly attempts?: AttemptStore

  /**
   * Limit per account, and per known device. Counts names without an account too. `false` disables
   * it.
   *
   * A successful login resets the count.
   *
   * @default { freeAttempts: 10, maxAttempts: 100, resetAfter: '1d' }
   * @example
   * ```ts
   * throttle: { account: { freeAttempts: 5 } }
   * ```
   */
  readonly account?: AccountLimitOptions | false

  /**
   * Limit per IPv4 address or IPv6 /64. `false` disables it.
   *
   * Behind a proxy, set Fastify's `trustProxy`; otherwise all users share one address. A port in
   * `X-Forwarded-For` is ignored. Forged refresh tokens have the same limit, counted separately in
   * each instance.
   *
   * @default { maxAttempts: 100, window: '15m' }
   * @example
   * ```ts
   * throttle: { address: { maxAttempts: 500, window: '1h' } }
   * ```
   */
  readonly address?: AddressLimitOptions | false
}

const LONGEST_WAIT = HOUR
const YEAR = 365 * DAY

/** Checks of {@link AccountLimitOptions}. */
export const accountLimitShape = {
  freeAttempts: integer({ min: 1, fallback: 10 }),
  maxAttempts: optional(integer({ min: 1 })),
  // A count that expires sooner would shorten the longest wait.
  resetAfter: duration({ min: LONGEST_WAIT, max: YEAR, fallback: '1d' })
} satisfies Shape<AccountLimitOptions>

/** Checks of {@link AddressLimitOptions}. */
export const addressLimitShape = {
  maxAttempts: integer({ min: 1, fallback: 100 }),
  window: duration({ min: SECOND, max: YEAR, fallback: '15m' })
} satisfies Shape<AddressLimitOptions>

/** Checks of {@link ThrottleOptions}. */
export const throttleShape = {
  attempts: optional(
    attemptStore('new PostgresAttempts(pool) from fastify-token-auth/postgres')
  ),
  account: unlessFalse(resolveAccountRule),
  address: unlessFalse(resolveAddressRule)
} satisfies Shape<ThrottleOptions>

function resolveAccountRule (value: unknown = {}, path: string): AttemptRule {
  const { freeAttempts, resetAfter, ...given } = resolveShape(accountLimitShape, value, path)
  const maxAttempts = given.maxAttempts ?? Math.max(100, freeAttempts)
  assert(
    freeAttempts <= maxAttempts,
    `"${path}.freeAttempts" must be at most "${path}.maxAttempts"`
  )

  return {
    freeAttempts,
    maxAttempts,
    wait: SECOND,
    longestWait: LONGEST_WAIT,
    retention: resetAfter,
    sliding: true
  }
}

function resolveAddressRule (value: unknown = {}, path: string): AttemptRule {
  return createWindowRule(resolveShape(addressLimitShape, value, path))
}
