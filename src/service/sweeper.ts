// Deletes what has ended, in bounded batches, so that no table grows for ever and no request waits for it.

import type { Millis } from '../domain/session.js'
import type { AttemptStore } from '../stores/attempt-store.js'
import type { TokenStore } from '../stores/token-store.js'
import type { Events, Logger } from './events.js'

const BATCH = 500
/** A sweep ends after that long, and what is left waits for the next one: the database has other work. */
const BUDGET: Millis = 60_000
const JITTER = 0.1
const LONGEST_TIMER: Millis = 2 ** 31 - 1

export interface SweeperContext {
  readonly store: TokenStore
  /** What is to be forgotten of logins that were wrong. */
  readonly attempts: AttemptStore
  readonly events: Events
  readonly logger: Logger
  readonly clock: () => Millis
  /** Between two sweeps, give or take a tenth, so that instances do not sweep in step; `null` for never. */
  readonly every: Millis | null
  /** How long something stays after its end. */
  readonly keep: Millis
}

export class Sweeper {
  readonly #context: SweeperContext
  #timer: NodeJS.Timeout | undefined
  #running: Promise<number> | undefined
  #stopped = false

  constructor (context: SweeperContext) {
    this.#context = context
  }

  /** The first sweep comes at any moment of the first interval, so that instances which live shortly sweep too. */
  start (): void {
    this.#schedule(Math.random())
  }

  #schedule (intervals: number): void {
    const { every, logger } = this.#context
    if (every === null || this.#stopped) return
    this.#timer = setTimeout(() => {
      this.sweep()
        .catch(() => { logger.warn({}, 'the sweep failed and is tried again at its next time') })
        .finally(() => { this.#schedule(1 - JITTER + Math.random() * 2 * JITTER) })
    }, Math.min(every * intervals, LONGEST_TIMER)).unref()
  }

  /** Sweeps now, or joins the sweep that is under way. @returns How many records were deleted. */
  sweep (): Promise<number> {
    this.#running ??= this.#sweepAll().finally(() => { this.#running = undefined })
    return this.#running
  }

  /** Ends the batch that is under way and begins no other. */
  async stop (): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running?.catch(() => {})
  }

  async #sweepAll (): Promise<number> {
    const { store, attempts, events, logger, clock, keep } = this.#context
    const at = clock()
    const deleted = await this.#inBatches(at, limit => store.sweep({ endedBefore: at - keep, limit })) +
      await this.#inBatches(at, limit => attempts.sweep({ now: at, limit }))
    const event = { at, deleted, took: clock() - at }
    events.emit('sweep', event)
    logger.info(event, 'ended sessions were swept')
    return deleted
  }

  async #inBatches (at: Millis, sweep: (limit: number) => Promise<number>): Promise<number> {
    let deleted = 0
    for (let count = BATCH; count === BATCH && !this.#stopped && this.#context.clock() - at < BUDGET;) {
      count = await sweep(BATCH)
      deleted += count
      // Stores that answer at once would otherwise keep the event loop to themselves.
      await new Promise(resolve => { setImmediate(resolve) })
    }
    return deleted
  }
}
