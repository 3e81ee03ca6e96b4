import { setTimeout as sleep } from 'node:timers/promises'
import type { Events, Logger } from '../events.js'
import { MAX_TIMER, MINUTE, SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { AttemptStore } from './attempt-store.js'
import type { TokenStore } from './token-store.js'

const BATCH_SIZE = 100
/** Length of the pause after a batch, as a multiple of the time that the batch took. */
const PAUSE_FACTOR = 3
const MAX_PAUSE: Millis = SECOND
/** Time after which a sweep stops. The next one follows after the same time. */
const MAX_SWEEP_TIME: Millis = MINUTE
/** Part of the interval by which sweeps vary, so that instances do not sweep at the same moment. */
const JITTER = 0.1

export interface SweeperContext {
  /** Store of sessions. `null` if there is none. */
  readonly store: TokenStore | null
  /** Stores of login attempts and used DPoP proofs. */
  readonly attempts: readonly AttemptStore[]
  readonly events: Events
  readonly logger: Logger
  readonly clock: () => Millis
  /** Time between two sweeps, give or take a tenth. `null` disables scheduled sweeps. */
  readonly interval: Millis | null
  /** Time for which the store keeps a session after its end. */
  readonly keep: Millis
}

/**
 * Deletes expired records in batches.
 *
 * Pauses after each batch for three times as long as the batch took, so that a sweep uses at most a
 * quarter of the event loop and of one database connection.
 */
export class Sweeper {
  readonly #context: SweeperContext
  readonly #stopping = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<number> | undefined
  #hasTimedOut = false

  constructor (context: SweeperContext) {
    this.#context = context
  }

  /** Schedules sweeps. The first one follows at a random moment within the interval. */
  start (): void {
    // Instances that live for less than an interval sweep too.
    this.#schedule(Math.random())
  }

  /**
   * Deletes expired records, or joins the sweep that is running.
   *
   * @returns The number of deleted records.
   */
  sweep (): Promise<number> {
    this.#running ??= this.#sweepAll().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Cancels scheduled sweeps and waits for the batch that is running. */
  async stop (): Promise<void> {
    this.#stopping.abort()
    clearTimeout(this.#timer)
    await this.#running?.catch(() => {})
  }

  #schedule (intervals: number): void {
    const { interval, logger } = this.#context

    if (interval === null || this.#stopping.signal.aborted) {
      return
    }

    this.#timer = setTimeout(() => {
      this.sweep()
        .catch(() => {
          logger.warn({}, 'failed to delete expired sessions')
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
    const endedBefore = at - keep
    this.#hasTimedOut = false
    let deleted = store === null
      ? 0
      : await this.#sweepInBatches(at, limit => store.sweep({ endedBefore, limit }))

    for (const attemptStore of attempts) {
      deleted += await this.#sweepInBatches(at, limit => attemptStore.sweep({ now: at, limit }))
    }

    const event = { at, deleted, took: clock() - at }
    events.emit('sweep', event)
    logger.info(event, 'deleted expired sessions')
    return deleted
  }

  async #sweepInBatches (
    startedAt: Millis,
    sweepBatch: (limit: number) => Promise<number>
  ): Promise<number> {
    for (let deleted = 0;;) {
      const batchStartedAt = performance.now()
      const count = await sweepBatch(BATCH_SIZE)
      deleted += count

      if (count < BATCH_SIZE) {
        return deleted
      }

      this.#hasTimedOut = this.#context.clock() - startedAt >= MAX_SWEEP_TIME

      if (!this.#hasTimedOut) {
        await this.#pause((performance.now() - batchStartedAt) * PAUSE_FACTOR)
      }

      if (this.#hasTimedOut || this.#stopping.signal.aborted) {
        return deleted
      }
    }
  }

  async #pause (duration: Millis): Promise<void> {
    const { signal } = this.#stopping
    await sleep(Math.min(duration, MAX_PAUSE), undefined, { signal }).catch(() => {})
  }
}
