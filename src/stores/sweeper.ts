// Deletes what has ended, in bounded batches, so that no table grows for ever and no request waits for it.

import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import type { AttemptStore } from './attempt-store.js'
import type { TokenStore } from './token-store.js'
import type { Events, Logger } from '../events.js'
import { MAX_TIMER } from '../lib/time.js'
import type { Millis } from '../lib/time.js'

const [FIRST_BATCH, LARGEST_BATCH] = [20, 200]
/** What a batch is to take, and how many it has at least: where the store keeps the event loop to itself meanwhile, */
const HERE = { aim: 1, smallest: 10 } as const
/** and where a server does the work. */
const ELSEWHERE = { aim: 20, smallest: 50 } as const
/** By so much a quick batch counts for less with each that follows. */
const FORGETS = 1.1
/** After a batch, others have so many times as long as it took. */
const ROOM = 3
const LONGEST_PAUSE: Millis = 1000
/** A sweep ends after that long, and after as long again comes one for what is left: the database has other work. */
const BUDGET: Millis = 60_000
const JITTER = 0.1

export interface SweeperContext {
  /** `null` where there are no sessions. */
  readonly store: TokenStore | null
  /** What is to be forgotten: of logins that were wrong, and of proofs that were seen. */
  readonly attempts: readonly AttemptStore[]
  readonly events: Events
  readonly logger: Logger
  readonly clock: () => Millis
  /** Between two sweeps, give or take a tenth, so that instances do not sweep in step; `null` for never. */
  readonly interval: Millis | null
  /** How long something stays after its end. */
  readonly keep: Millis
}

/** */
export class Sweeper {
  readonly #context: SweeperContext
  #timer: NodeJS.Timeout | undefined
  #running: Promise<number> | undefined
  #stopped = false
  /** Whether something was left to the next sweep. */
  #isBehind = false
  readonly #stopping = new AbortController()

  constructor (context: SweeperContext) {
    this.#context = context
  }

  /** The first sweep comes at any moment of the first interval, so that instances which live shortly sweep too. */
  start (): void {
    this.#schedule(Math.random())
  }

  #schedule (intervals: number): void {
    const { interval, logger } = this.#context

    if (interval === null || this.#stopped) {
      return
    }

    this.#timer = setTimeout(() => {
      this.sweep()
        .catch(() => {
          logger.warn({}, 'the sweep failed and is tried again at its next time')
        })
        .finally(() => {
          const whole = this.#isBehind ? Math.min(1, BUDGET / interval) : 1
          this.#schedule(whole * (1 - JITTER + Math.random() * 2 * JITTER))
        })
    }, Math.min(interval * intervals, MAX_TIMER)).unref()
  }

  /** Sweeps now, or joins the sweep that is under way. @returns How many records were deleted. */
  sweep (): Promise<number> {
    this.#running ??= this.#sweepAll().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Ends the batch that is under way and begins no other. */
  async stop (): Promise<void> {
    this.#stopped = true
    this.#stopping.abort()
    clearTimeout(this.#timer)
    await this.#running?.catch(() => {})
  }

  async #sweepAll (): Promise<number> {
    const { store, attempts, events, logger, clock, keep } = this.#context
    const at = clock()
    this.#isBehind = false
    let deleted = store === null
      ? 0
      : await this.#inBatches(at, limit => store.sweep({ endedBefore: at - keep, limit }))

    for (const each of attempts) {
      deleted += await this.#inBatches(at, limit => each.sweep({ now: at, limit }))
    }

    const event = { at, deleted, took: clock() - at }
    events.emit('sweep', event)
    logger.info(event, 'what has ended was swept')
    return deleted
  }

  // Batches are as large as they can be without being felt. What one took may be what others did meanwhile: the quickest of the
  // last ones is what tells.
  async #inBatches (at: Millis, sweep: (limit: number) => Promise<number>): Promise<number> {
    let deleted = 0
    let each = Infinity

    for (let limit = FIRST_BATCH;;) {
      const { count, took, place: { aim, smallest } } = await measured(() => sweep(limit))
      deleted += count

      if (count < limit || this.#stopped) {
        return deleted
      }

      this.#isBehind = this.#context.clock() - at >= BUDGET

      if (this.#isBehind) {
        return deleted
      }

      each = Math.min(each * FORGETS, took / limit)
      // Stores that answer at once would otherwise keep the event loop to themselves.
      await this.#pause(each * limit * ROOM)

      if (this.#stopped) {
        return deleted
      }

      limit = Math.max(smallest, Math.min(Math.floor(aim / each), 2 * limit, LARGEST_BATCH))
    }
  }

  async #pause (ms: Millis): Promise<void> {
    if (ms < 1) {
      await turn()
    } else {
      await sleep(Math.min(ms, LONGEST_PAUSE), undefined, { signal: this.#stopping.signal }).catch(
        () => {}
      )
    }
  }
}

type Place = typeof HERE | typeof ELSEWHERE

async function measured (
  work: () => Promise<number>
): Promise<{ count: number, took: Millis, place: Place }> {
  let hasTurned = false
  const onTurn = setImmediate(() => {
    hasTurned = true
  })
  const start = performance.now()
  const count = await work()
  clearImmediate(onTurn)
  return { count, took: performance.now() - start, place: hasTurned ? ELSEWHERE : HERE }
}
