import { setTimeout as sleep } from 'node:timers/promises'
import type { Events, Logger } from '../events.js'
import { SingleFlight } from '../lib/single-flight.js'
import { HOUR, MAX_TIMER, MINUTE, SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { AttemptStore } from './attempt-store.js'
import type { TokenStore } from './token-store.js'

/**
 * Time for which expired sessions and revocations stay in the store. Longer than the lifetime of
 * any access token, so that a registration with a short one deletes nothing that another one needs.
 */
export const KEPT_AFTER_END: Millis = 25 * HOUR

const BATCH_SIZE = 100
/** Length of the pause after a batch, as a multiple of the time that the batch took. */
const PAUSE_FACTOR = 3
const MAX_PAUSE: Millis = SECOND
/** Time after which a sweep stops. The next one follows after the same time. */
const MAX_SWEEP_TIME: Millis = MINUTE
/** Part of the interval by which sweeps vary, so that instances do not sweep at the same moment. */
const JITTER = 0.1

/** Settings and collaborators of a {@link Sweeper}. */
export interface SweeperContext {
  /** Store of the sessions to delete. `null` if only attempts are swept. */
  readonly store: TokenStore | null
  /** Stores of the login attempts and used DPoP proofs to delete. */
  readonly attempts: readonly AttemptStore[]
  readonly events: Events
  readonly logger: Logger
  /** Current time. `null` if nothing may be deleted now. */
  readonly clock: () => Millis | null
  /** Time between two sweeps, varied by a tenth. `null` disables scheduled sweeps. */
  readonly interval: Millis | null
  /** Time for which an expired session stays in the store. */
  readonly keep: Millis
}

/** Result of the last sweep of an instance. */
export interface LastSweep {
  /** Moment when it began. */
  readonly at: Millis
  /** Number of deleted records. */
  readonly deleted: number
  /** Length of the sweep in milliseconds. */
  readonly took: Millis
  /** Whether a store failed. The next sweep tries again. */
  readonly failed: boolean
}

/** Deletes at most `limit` records, and returns their number. */
type SweepBatch = (limit: number) => Promise<number>

/**
 * Deletes expired sessions, login attempts and DPoP proofs in batches.
 *
 * Pauses after each batch for three times as long as the batch took, at most 1 s. So a sweep uses a
 * quarter of the event loop and of one database connection, unless a batch takes more than 0.3 s.
 */
export class Sweeper {
  readonly #context: SweeperContext
  readonly #stopping = new AbortController()
  readonly #sweeping = new SingleFlight<number>()
  #timer: NodeJS.Timeout | undefined
  #hasTimedOut = false
  #lastSweep: LastSweep | null = null

  constructor (context: SweeperContext) {
    this.#context = context
  }

  /** Result of the last completed sweep; `null` before the first one. */
  get lastSweep (): LastSweep | null {
    return this.#lastSweep
  }

  /** Schedules sweeps. The first one follows at a random moment within the interval. */
  start (): void {
    // Instances that live for less than an interval sweep too.
    this.#schedule(Math.random())
  }

  /**
   * Deletes expired records, or joins the sweep that is running.
   *
   * Sweeps every store, also after another one failed.
   *
   * @returns The number of deleted records. 0 if nothing may be deleted now: within an hour after a
   * step of the store's clock.
   * @throws The first error of a store.
   */
  sweep (): Promise<number> {
    return this.#sweeping.run(() => this.#sweepAll())
  }

  /** Cancels scheduled sweeps and waits for the batch that is running. */
  async stop (): Promise<void> {
    this.#stopping.abort()
    clearTimeout(this.#timer)
    await this.#sweeping.running?.catch(() => {})
  }

  #schedule (intervals: number): void {
    const { interval, logger } = this.#context

    if (interval === null || this.#stopping.signal.aborted) {
      return
    }

    this.#timer = setTimeout(() => {
      this.sweep()
        .catch(() => {
          logger.warn({}, 'failed to delete expired records')
        })
        .finally(() => {
          const next = this.#hasTimedOut ? Math.min(1, MAX_SWEEP_TIME / interval) : 1
          this.#schedule(next * (1 - JITTER + Math.random() * 2 * JITTER))
        })
    }, Math.min(interval * intervals, MAX_TIMER)).unref()
  }

  async #sweepAll (): Promise<number> {
    const { store, attempts, events, logger, clock, keep } = this.#context
    const at = clock()
    this.#hasTimedOut = false

    if (at === null) {
      return 0
    }

    const startedAt = performance.now()
    const endedBefore = at - keep
    const sweeps: SweepBatch[] = attempts.map(attemptStore => limit =>
      attemptStore.sweep({ now: at, limit })
    )

    if (store !== null) {
      sweeps.unshift(limit => store.sweep({ endedBefore, limit }))
    }

    const errors: unknown[] = []
    let deleted = 0

    for (const sweepBatch of sweeps) {
      try {
        deleted += await this.#sweepInBatches(startedAt, sweepBatch)
      } catch (error) {
        // An outage of one store must not keep the records of another one.
        errors.push(error)
      }
    }

    const event = { at, deleted, took: Math.round(performance.now() - startedAt) }
    this.#lastSweep = { ...event, failed: errors.length > 0 }

    if (errors.length > 0) {
      throw errors[0]
    }

    events.emit('sweep', event)
    logger.info(event, 'deleted expired records')
    return deleted
  }

  async #sweepInBatches (startedAt: Millis, sweepBatch: SweepBatch): Promise<number> {
    for (let deleted = 0;;) {
      const batchStartedAt = performance.now()
      const count = await sweepBatch(BATCH_SIZE)
      deleted += count

      if (count < BATCH_SIZE) {
        return deleted
      }

      if (performance.now() - startedAt >= MAX_SWEEP_TIME) {
        this.#hasTimedOut = true
        return deleted
      }

      await this.#pause((performance.now() - batchStartedAt) * PAUSE_FACTOR)

      if (this.#stopping.signal.aborted) {
        return deleted
      }
    }
  }

  async #pause (duration: Millis): Promise<void> {
    const { signal } = this.#stopping
    await sleep(Math.min(duration, MAX_PAUSE), undefined, { signal }).catch(() => {})
  }
}
