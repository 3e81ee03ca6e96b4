import type { HashLoad } from '../login/hash-queue.js'
import type { Millis } from '../lib/time.js'
import type { LastSweep } from '../stores/sweeper.js'

/**
 * State of an instance.
 *
 * - `ok`: everything works.
 * - `degraded`: requests succeed, but an engineer must look at the reasons.
 * - `unavailable`: some requests get 503. Logins and refreshes fail if the store does. Protected
 *   routes fail if `acceptsTokens` is `false`.
 */
export type HealthStatus = 'ok' | 'degraded' | 'unavailable'

/**
 * Code of a reason.
 *
 * | code | status | cause |
 * |---|---|---|
 * | `store-failed` | unavailable | The store does not respond, or rejects. |
 * | `clock-unknown` | unavailable | The store has not responded since the start. |
 * | `revocations-stale` | unavailable | No read since the start, or for `failAfter`. |
 * | `store-slow` | degraded | A look-up takes longer than 250 ms. |
 * | `revocations-late` | degraded | Logouts elsewhere are unknown here for a while. |
 * | `clock-skew` | degraded | The clock of this instance is wrong by more than 1 s. |
 * | `hashes-waiting` | degraded | Logins wait longer than 1 s for a password hash. |
 * | `usage-failed` | degraded | The last batch of usage data was not written. |
 * | `sweep-failed` | degraded | The last sweep failed, so the table may grow. |
 */
export type HealthReasonCode =
  | 'store-failed'
  | 'clock-unknown'
  | 'revocations-stale'
  | 'store-slow'
  | 'revocations-late'
  | 'clock-skew'
  | 'hashes-waiting'
  | 'usage-failed'
  | 'sweep-failed'

/** Reason why the status is not `ok`. */
export interface HealthReason {
  /** Code for programs. Does not change between versions. */
  readonly code: HealthReasonCode
  /** Status that this reason causes. */
  readonly status: Exclude<HealthStatus, 'ok'>
  /** Explanation for an engineer. May change between versions. */
  readonly message: string
}

/** Result of `app.tokenAuth.health()`: plain data without any secret, ID or address. */
export interface Health {
  /** Worst status of the reasons; `ok` if there is none. */
  readonly status: HealthStatus
  /** Reasons of the status; empty if it is `ok`. */
  readonly reasons: readonly HealthReason[]
  /** Whether protected routes accept valid access tokens now. Otherwise, they respond with 503. */
  readonly acceptsTokens: boolean
  /** State of the store. */
  readonly store: {
    /** Time of a look-up in milliseconds, at most 1 s old; `null` if it failed. */
    readonly roundTrip: Millis | null
    /** Type and code of the error, or the timeout; `null` if the look-up succeeded. */
    readonly failure: string | null
    /** Number of rotations that wait for the store; `null` if the store does not report it. */
    readonly pendingRotations: number | null
  }
  /** `null` with `revocations: false`. */
  readonly revocations: {
    /** Milliseconds since the revocations of all instances were last read completely. */
    readonly age: Millis
  } | null
  /** Clock of the store, which all instances use. */
  readonly clock: {
    /** Whether the time of the store is known. */
    readonly isKnown: boolean
    /** Time of the store minus the clock of this instance, in milliseconds. `null` if unknown. */
    readonly offset: Millis | null
  }
  /** Password hashes of this process. */
  readonly hashes: HashLoad
  /** Writes that wait to be saved. */
  readonly usage: {
    /** Sessions whose last use is not written yet. */
    readonly pending: number
    /** Whether the last write failed. Failed ones are written again. */
    readonly hasFailed: boolean
  }
  /** `null` before the first sweep of this instance. */
  readonly lastSweep: LastSweep | null
}

/** Measurements of an instance, from which {@link judgeHealth} derives its status. */
export type Measurements = Omit<Health, 'status' | 'reasons' | 'acceptsTokens'> & {
  /** Whether `authenticate` responds with 503, because too many revocations may be missing. */
  readonly isStale: boolean
  /** Age above which revocations are late; `null` for no limit. */
  readonly maxRevocationAge: Millis | null
}

const MAX_ROUND_TRIP: Millis = 250
const MAX_OFFSET: Millis = 1000
const MAX_HASH_WAIT: Millis = 1000

/** Judges the measurements of an instance. */
export function judgeHealth (
  { isStale, maxRevocationAge, ...measured }: Measurements
): Health {
  // If all tokens are rejected, late revocations have no effect.
  const maxAge = isStale ? null : maxRevocationAge
  const reasons = [...getOutages(measured, isStale), ...getDegradations(measured, maxAge)]
  const isUnavailable = reasons.some(({ status }) => status === 'unavailable')
  const degraded = reasons.length > 0 ? 'degraded' : 'ok'

  return {
    status: isUnavailable ? 'unavailable' : degraded,
    reasons,
    acceptsTokens: measured.clock.isKnown && !isStale,
    ...measured
  }
}

function getOutages (
  { store, clock }: Pick<Measurements, 'store' | 'clock'>,
  isStale: boolean
): HealthReason[] {
  const reasons: HealthReason[] = []

  const add = (code: HealthReasonCode, message: string): void => {
    reasons.push({ code, status: 'unavailable', message })
  }

  if (store.failure !== null) {
    add('store-failed', `the store failed (${store.failure}); logins and refreshes get 503`)
  }

  if (!clock.isKnown) {
    add('clock-unknown', 'the store has not responded since the start; all requests get 503')
  }

  if (isStale) {
    add(
      'revocations-stale',
      'revocations were not read since the start or for "failAfter"; protected routes get 503'
    )
  }

  return reasons
}

function getDegradations (
  measured: Omit<Measurements, 'isStale' | 'maxRevocationAge'>,
  maxRevocationAge: Millis | null
): HealthReason[] {
  const { store, revocations, clock, hashes, usage, lastSweep } = measured
  const reasons: HealthReason[] = []

  const add = (code: HealthReasonCode, message: string): void => {
    reasons.push({ code, status: 'degraded', message })
  }

  if (store.roundTrip !== null && store.roundTrip > MAX_ROUND_TRIP) {
    add('store-slow', `a look-up in the store took ${store.roundTrip} ms`)
  }

  if (revocations !== null && maxRevocationAge !== null && revocations.age > maxRevocationAge) {
    add(
      'revocations-late',
      `revocations were last read ${revocations.age} ms ago; ` +
        'sessions that other instances revoked since are accepted here'
    )
  }

  if (clock.offset !== null && Math.abs(clock.offset) > MAX_OFFSET) {
    const direction = clock.offset > 0 ? 'behind' : 'ahead of'
    add(
      'clock-skew',
      `the clock of this instance is ${Math.abs(clock.offset)} ms ${direction} the store's`
    )
  }

  if (hashes.expectedWait > MAX_HASH_WAIT) {
    add(
      'hashes-waiting',
      `${hashes.waiting} password hashes wait; a new one waits about ${hashes.expectedWait} ms`
    )
  }

  if (usage.hasFailed) {
    add('usage-failed', `the last write of usage data failed; pending sessions: ${usage.pending}`)
  }

  if (lastSweep?.failed === true) {
    add('sweep-failed', 'the last sweep failed; the log has the cause')
  }

  return reasons
}
