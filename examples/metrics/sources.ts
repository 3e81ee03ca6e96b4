/**
 * Parts that both metrics libraries share: events, label values and a store that measures itself.
 *
 * Labels have few values, because each value is a series that the metrics server stores.
 *
 * @module
 */

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type {
  EventName,
  HealthReasonCode,
  RefreshRejection,
  RevocationReason,
  TokenAuthEvents,
  TokenStore
} from 'fastify-token-auth'

/** Method of a store, a label value. */
export type StoreMethod = keyof TokenStore

/** Result of a store call. `rejected` means that the store works, but not for this session. */
export type Outcome = 'ok' | 'rejected' | 'failed'

/** Called after each store call with its duration. */
export type ObserveStore = (method: StoreMethod, outcome: Outcome, seconds: number) => void

// Record keys make the compiler report a missing value.
const listKeys = <Key extends string>(record: Record<Key, true>): readonly Key[] =>
  Object.keys(record) as Key[]

/** Reasons of rejected logins. */
export const rejectionReasons = listKeys<TokenAuthEvents['login-rejected']['reason']>({
  'unknown-user': true,
  'wrong-password': true,
  disabled: true,
  'no-password': true,
  'malformed-hash': true,
  'revoked-since': true
})

/** Limits that reject a login before its password is verified. */
export const throttleLimits = listKeys<TokenAuthEvents['login-throttled']['limit']>({
  account: true,
  address: true,
  device: true
})

/** Reasons of rejected refresh tokens. */
export const refreshRejections = listKeys<RefreshRejection>({
  invalid: true,
  'wrong-client': true,
  'wrong-key': true,
  unknown: true,
  expired: true,
  revoked: true,
  reused: true
})

/** Reasons of revoked sessions. */
export const revocationReasons = listKeys<RevocationReason>({
  logout: true,
  'logout-all': true,
  revoked: true,
  reuse: true,
  'user-gone': true,
  replaced: true,
  'too-many': true,
  'password-changed': true,
  'suspicious-replay': true
})

/** Reasons why an instance is not healthy. */
export const healthReasons = listKeys<HealthReasonCode>({
  'store-failed': true,
  'clock-unknown': true,
  'revocations-stale': true,
  'store-slow': true,
  'revocations-late': true,
  'clock-skew': true,
  'hashes-waiting': true,
  'usage-failed': true,
  'sweep-failed': true
})

/** Clocks that can be wrong. */
export const clockSources = listKeys<TokenAuthEvents['clock-skew']['source']>({
  store: true,
  instance: true
})

/** Results of successful refreshes. */
export const refreshKinds = ['rotated', 'kept', 'replayed', 'recovered'] as const

/** Age of a reused token: the generation before the current one, or an older one. */
export const reuseKinds = ['previous', 'older'] as const

/** Returns the age of the token that caused a `reuse` event. */
export function getReuseKind (
  { presented, rotated }: TokenAuthEvents['reuse']
): typeof reuseKinds[number] {
  return rotated.generation - presented.generation === 1 ? 'previous' : 'older'
}

/** Histogram buckets for store calls, in seconds. */
export const storeBuckets = [
  0.0005,
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5
]

/** Histogram buckets for the time until a revocation is known, in seconds. */
export const delayBuckets = [0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30, 60]

/**
 * Returns the seconds since a revocation of another instance.
 *
 * `at` is the time of the store. A wrong clock of this instance changes the result by its offset.
 */
export function getDelay ({ at }: TokenAuthEvents['session-ended']): number {
  return Math.max(0, (Date.now() - at) / 1000)
}

/**
 * Subscribes to an event of the plugin through `node:diagnostics_channel`.
 *
 * A listener must not throw: Node.js would report an uncaught exception.
 *
 * @returns A function that unsubscribes.
 */
export function onEvent<Name extends EventName> (
  name: Name,
  listener: (event: TokenAuthEvents[Name]) => void
): () => void {
  const channel = `fastify-token-auth:${name}`

  const onMessage = (event: unknown): void => {
    listener(event as TokenAuthEvents[Name])
  }

  subscribe(channel, onMessage)

  return () => {
    unsubscribe(channel, onMessage)
  }
}

/** Measures the time since its last restart. */
export class Stopwatch {
  #startedAt = performance.now()

  /** Seconds since the last restart, or since it was created. */
  get seconds (): number {
    return (performance.now() - this.#startedAt) / 1000
  }

  /** Sets the time to 0. */
  restart (): void {
    this.#startedAt = performance.now()
  }
}

/**
 * Wraps a store so that each call is measured.
 *
 * A call that exceeds the plugin's `storeTimeout` is measured until the store responds.
 */
export function measureStore (store: TokenStore, observe: ObserveStore): TokenStore {
  const measure = async <Result>(
    method: StoreMethod,
    call: () => Promise<Result>
  ): Promise<Result> => {
    const stopwatch = new Stopwatch()

    try {
      const result = await call()
      observe(method, 'ok', stopwatch.seconds)
      return result
    } catch (error) {
      const isRejection = error instanceof Error && error.name === 'SessionRefusedError'
      observe(method, isRejection ? 'rejected' : 'failed', stopwatch.seconds)
      throw error
    }
  }

  return {
    check: () => measure('check', () => store.check()),
    create: session => measure('create', () => store.create(session)),
    rotate: (attempt, options) => measure('rotate', () => store.rotate(attempt, options)),
    find: (realm, sessionId) => measure('find', () => store.find(realm, sessionId)),
    list: (realm, userId, page) => measure('list', () => store.list(realm, userId, page)),
    revoke: (target, revocation) => measure('revoke', () => store.revoke(target, revocation)),
    touch: batch => measure('touch', () => store.touch(batch)),
    revocations: (after, limit) => measure('revocations', () => store.revocations(after, limit)),
    sweep: batch => measure('sweep', () => store.sweep(batch))
  }
}
