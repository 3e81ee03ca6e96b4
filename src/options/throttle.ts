// How often somebody may be wrong.

import type { AttemptRule } from '../domain/attempt-rule.js'
import type { Duration } from '../lib/duration.js'
import type { AttemptStore } from '../stores/attempt-store.js'
import { assert, duration, isFunction, rejectUnknownKeys } from './validate.js'
import { HOUR, SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'

/**
 * Logins whose password is wrong, counted by account and by address before a password is hashed: who has tried too often gets 429
 * AUTH_TOO_MANY_ATTEMPTS with `Retry-After`. A login that succeeds never counts, nor does a refresh with an authentic token. A
 * device that its user has logged in on before, known by a cookie or by `device_token`, counts by itself, so that no
 * stranger can keep it out.
 *
 * An attempt counts while its password is being checked: of one account ten at once are looked at, and no more.
 */
export interface ThrottleOptions {
  /**
   * Where attempts are counted, such as `new PostgresAttempts(pool)` of `fastify-token-auth/postgres`. By default each
   * instance counts for itself, and three of them let through three times as many.
   * @default in memory
   */
  readonly attempts?: AttemptStore
  /**
   * By account, whether it is there or not: after `free` failures running the next one waits a second, each further one twice as
   * long, up to an hour. After `most` there is no other one until nobody has tried for `forget`, or `passwordChanged` is
   * called. A login ends the count, and so does `forget`.
   * @default { free: 10, most: 100, forget: '1d' }
   */
  readonly account?:
    | {
      readonly freeAttempts?: number
      readonly maxAttempts?: number
      readonly resetAfter?: Duration
    }
    | false
  /**
   * By address, of IPv6 by its first 64 bits: `most` failures `within` a time, whatever the accounts. Behind a proxy
   * set Fastify's `trustProxy`, or everybody has one address. Refresh tokens that were never issued count apart, by the
   * same rule, in each process.
   * @default { most: 100, within: '15m' }
   */
  readonly address?: { readonly maxAttempts?: number, readonly window?: Duration } | false
}

// Checks how often somebody may be wrong, and makes rules of it.

export interface ResolvedThrottle {
  /** `null` for the memory of this process. */
  readonly attempts: AttemptStore | null
  /** `null` where there is no such limit. */
  readonly account: AttemptRule | null
  readonly address: AttemptRule | null
}

const YEAR: Millis = 365 * 24 * HOUR

const known = {
  throttle: ['attempts', 'account', 'address'],
  account: ['freeAttempts', 'maxAttempts', 'resetAfter'],
  address: ['maxAttempts', 'window'],
  attempts: ['consume', 'refund', 'reset', 'sweep']
} as const

/** @throws TypeError that names the option and the fix */
export function resolveThrottle (given: ThrottleOptions | false = {}): ResolvedThrottle | null {
  if (given === false) {
    return null
  }

  rejectUnknownKeys(given, known.throttle, 'throttle.')
  const { attempts, account = {}, address = {} } = given
  assert(
    attempts === undefined ||
      (attempts !== null && known.attempts.every(verb => isFunction(attempts[verb]))),
    'throttle.attempts must be an AttemptStore, such as new PostgresAttempts(pool) from fastify-token-auth/postgres'
  )

  return {
    attempts: attempts ?? null,
    account: account === false ? null : resolveAccount(account),
    address: address === false ? null : resolveAddress(address)
  }
}

function resolveAccount (
  given: Exclude<ThrottleOptions['account'], false | undefined>
): AttemptRule {
  rejectUnknownKeys(given, known.account, 'throttle.account.')
  const { freeAttempts = 10, maxAttempts = Math.max(100, freeAttempts) } = given
  const retention = duration('throttle.account.resetAfter', given.resetAfter, '1d')
  assertCount('throttle.account.freeAttempts', freeAttempts)
  assertCount('throttle.account.maxAttempts', maxAttempts)
  assert(
    freeAttempts <= maxAttempts,
    'throttle.account.freeAttempts must not be more than throttle.account.maxAttempts (100 where it is not set)'
  )
  assert(
    retention >= HOUR && retention <= YEAR,
    'throttle.account.resetAfter must be from 1h, which is the longest wait, to 365d'
  )
  return { freeAttempts, maxAttempts, wait: SECOND, longestWait: HOUR, retention, sliding: true }
}

function resolveAddress (
  given: Exclude<ThrottleOptions['address'], false | undefined>
): AttemptRule {
  rejectUnknownKeys(given, known.address, 'throttle.address.')
  const { maxAttempts = 100 } = given
  const retention = duration('throttle.address.window', given.window, '15m')
  assertCount('throttle.address.maxAttempts', maxAttempts)
  assert(
    retention >= SECOND && retention <= YEAR,
    'throttle.address.window must be from 1s to 365d'
  )

  return {
    freeAttempts: maxAttempts,
    maxAttempts,
    wait: 0,
    longestWait: 0,
    retention,
    sliding: false
  }
}

function assertCount (option: string, count: unknown): void {
  assert(
    Number.isSafeInteger(count) && (count as number) >= 1,
    `${option} must be a whole number, 1 or more`
  )
}
