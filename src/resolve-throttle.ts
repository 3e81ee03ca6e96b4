// Checks how often somebody may be wrong, and makes rules of it.

import type { AttemptRule } from './domain/attempts.js'
import type { Millis } from './domain/session.js'
import { allowOnly, demand, duration, isFunction } from './option-checks.js'
import type { AttemptStore } from './stores/attempt-store.js'
import type { ThrottleOptions } from './throttle-options.js'

export interface ResolvedThrottle {
  /** `null` for the memory of this process. */
  readonly attempts: AttemptStore | null
  /** `null` where there is no such limit. */
  readonly account: AttemptRule | null
  readonly address: AttemptRule | null
}

const SECOND: Millis = 1000
const HOUR: Millis = 3_600_000
const YEAR: Millis = 365 * 24 * HOUR

const known = {
  throttle: ['attempts', 'account', 'address'],
  account: ['free', 'most', 'forget'],
  address: ['most', 'within'],
  attempts: ['take', 'release', 'clear', 'sweep']
} as const

/** @throws TypeError that names the option and the fix */
export function resolveThrottle (given: ThrottleOptions | false = {}): ResolvedThrottle | null {
  if (given === false) return null
  allowOnly(given, known.throttle, 'throttle.')
  const { attempts, account = {}, address = {} } = given
  demand(attempts === undefined || (attempts !== null && known.attempts.every(verb => isFunction(attempts[verb]))),
    'throttle.attempts must be an AttemptStore, such as new PostgresAttempts(pool) from fastify-token-auth/attempts/postgres')
  return {
    attempts: attempts ?? null,
    account: account === false ? null : resolveAccount(account),
    address: address === false ? null : resolveAddress(address)
  }
}

function resolveAccount (given: Exclude<ThrottleOptions['account'], false | undefined>): AttemptRule {
  allowOnly(given, known.account, 'throttle.account.')
  const { free = 10, most = Math.max(100, free) } = given
  const memory = duration('throttle.account.forget', given.forget, '1d')
  demandCount('throttle.account.free', free)
  demandCount('throttle.account.most', most)
  demand(free <= most, 'throttle.account.free must not be more than throttle.account.most (100 where it is not set)')
  demand(memory >= HOUR && memory <= YEAR, 'throttle.account.forget must be from 1h, which is the longest wait, to 365d')
  return { free, most, wait: SECOND, longestWait: HOUR, memory, slides: true }
}

function resolveAddress (given: Exclude<ThrottleOptions['address'], false | undefined>): AttemptRule {
  allowOnly(given, known.address, 'throttle.address.')
  const { most = 100 } = given
  const memory = duration('throttle.address.within', given.within, '15m')
  demandCount('throttle.address.most', most)
  demand(memory >= SECOND && memory <= YEAR, 'throttle.address.within must be from 1s to 365d')
  return { free: most, most, wait: 0, longestWait: 0, memory, slides: false }
}

function demandCount (option: string, count: unknown): void {
  demand(Number.isSafeInteger(count) && (count as number) >= 1, `${option} must be a whole number, 1 or more`)
}
