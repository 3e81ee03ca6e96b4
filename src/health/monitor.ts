import { describeError } from '../lib/safe-error.js'
import { SingleFlight } from '../lib/single-flight.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { Passwords } from '../login/passwords.js'
import type { RevocationFeed } from '../revocations/feed.js'
import type { StoreTime } from '../revocations/store-clock.js'
import type { UsageTracker } from '../revocations/usage-tracker.js'
import { createGuard } from '../stores/guard.js'
import type { Guard } from '../stores/guard.js'
import type { Sweeper } from '../stores/sweeper.js'
import type { TokenStore } from '../stores/token-store.js'
import { judgeHealth } from './health.js'
import type { Health } from './health.js'

/** Collaborators and settings of a {@link HealthMonitor}. */
export interface HealthMonitorContext {
  /** Store of the app, without a guard. */
  readonly store: TokenStore & { readonly pendingRotations?: unknown }
  readonly realm: string
  readonly feed: RevocationFeed
  readonly time: StoreTime
  readonly usage: UsageTracker
  readonly passwords: Passwords
  readonly sweeper: Sweeper
  readonly storeTimeout: Millis
  /** Time between two polls; `null` if there is only one instance. */
  readonly pollInterval: Millis | null
}

/** Result of one look-up in the store. */
interface RoundTrip {
  readonly roundTrip: Millis | null
  readonly failure: string | null
}

/** Shorter than the default timeout of Kubernetes probes, which is 1 s. */
const MAX_TIMEOUT: Millis = 800
/** Time for which a result is shared. */
const MAX_AGE: Millis = SECOND
const MIN_LATE_AGE: Millis = 5 * SECOND
/** Missed polls after which revocations are late. */
const LATE_POLLS = 3
/** ID that no session has. */
const PROBE_ID = 'health'

// The result contains the failure. One line per probe would flood the log during an outage.
const silentLogger = { error: () => {}, warn: () => {}, info: () => {} }

/**
 * Measures the health of an instance.
 *
 * Reads the store at most once per second, however many probes there are.
 */
export class HealthMonitor {
  readonly #context: HealthMonitorContext
  readonly #timeout: Millis
  readonly #guard: Guard
  readonly #measuring = new SingleFlight<RoundTrip>()
  #last: RoundTrip | null = null
  #measuredAt = -Infinity

  constructor (context: HealthMonitorContext) {
    this.#context = context
    this.#timeout = Math.min(context.storeTimeout, MAX_TIMEOUT)
    this.#guard = createGuard(this.#timeout, silentLogger, 'store')
  }

  /** Returns the health of this instance. Never rejects. */
  async check (): Promise<Health> {
    const { store, feed, time, usage, passwords, sweeper, pollInterval } = this.#context
    const measured = await this.#getRoundTrip()
    const { pendingRotations } = store

    return judgeHealth({
      store: {
        ...measured,
        pendingRotations: typeof pendingRotations === 'number' ? pendingRotations : null
      },
      revocations: pollInterval === null ? null : { age: Math.round(feed.age) },
      clock: { isKnown: time.isKnown, offset: time.offset },
      hashes: passwords.load,
      usage: { pending: usage.pending, hasFailed: usage.hasFailed },
      lastSweep: sweeper.lastSweep,
      isStale: feed.isStale(),
      maxRevocationAge: pollInterval === null
        ? null
        : Math.max(MIN_LATE_AGE, LATE_POLLS * pollInterval)
    })
  }

  async #getRoundTrip (): Promise<RoundTrip> {
    if (this.#last !== null && performance.now() - this.#measuredAt < MAX_AGE) {
      return this.#last
    }

    return this.#measuring.run(async () => {
      const result = await this.#measure()
      this.#last = result
      this.#measuredAt = performance.now()
      return result
    })
  }

  async #measure (): Promise<RoundTrip> {
    const { store, realm } = this.#context
    const startedAt = performance.now()
    let failure = `no response within ${this.#timeout} ms`

    try {
      await this.#guard('health', async () => {
        try {
          await store.find(realm, PROBE_ID)
        } catch (error) {
          const { type, code } = describeError(error, false)
          failure = [type, code].filter(part => part !== undefined).join(' ')
          throw error
        }
      })
      return { roundTrip: Math.round(performance.now() - startedAt), failure: null }
    } catch {
      return { roundTrip: null, failure }
    }
  }
}
