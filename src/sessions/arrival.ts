import type { StandstillMonitor } from '../lib/standstill.js'
import type { Millis } from '../lib/time.js'
import type { RevocationFeed } from '../revocations/feed.js'
import type { StoreTime } from '../revocations/store-clock.js'

/** Clocks that show when a request reached this instance. */
export interface ArrivalsContext {
  readonly clock: () => Millis
  readonly time: Pick<StoreTime, 'monotonic'>
  readonly feed: Pick<RevocationFeed, 'isOverdue' | 'catchUp'>
  readonly standstill: Pick<StandstillMonitor, 'stoodStill'>
}

/** Circumstances in which a request reached this instance. */
export interface RequestArrival {
  readonly arrivedAt: Millis
  /** Whether the process stood still in the second before the request arrived. */
  readonly afterStandstill: boolean
}

interface Delay {
  readonly duration: Millis
  readonly afterStandstill: boolean
}

/**
 * Lets the first requests after a standstill wait for the time of the database.
 *
 * While the machine was suspended, the clock by which tokens are judged may have stood still. An
 * expired token would look valid, an outdated one would look like one that arrived within the grace
 * period, and a new session would begin in the past.
 */
export class Arrivals {
  readonly #context: ArrivalsContext
  /** Requests that have waited in {@link waitForTime}. */
  readonly #delays = new WeakMap<object, Delay>()

  constructor (context: ArrivalsContext) {
    this.#context = context
  }

  /**
   * Waits for the time of the database before a request is handled.
   *
   * @returns `null` if the process did not stand still.
   */
  waitForTime (request: object): Promise<void> | null {
    return this.#context.feed.isOverdue() ? this.#delay(request) : null
  }

  /**
   * Returns when a request arrived.
   *
   * Waits again if the process has stood still since {@link waitForTime}, for example while it
   * received the body.
   */
  async read (request: object): Promise<RequestArrival> {
    const afterStandstill = this.#context.standstill.stoodStill

    if (this.#context.feed.isOverdue()) {
      await this.#delay(request)
    }

    const now = this.#context.clock()
    const delay = this.#delays.get(request)

    return delay === undefined
      ? { arrivedAt: now, afterStandstill }
      // The wait must not make a token look older.
      : {
        arrivedAt: now - Math.ceil(delay.duration),
        afterStandstill: afterStandstill || delay.afterStandstill
      }
  }

  async #delay (request: object): Promise<void> {
    const { feed, time, standstill } = this.#context
    const before = this.#delays.get(request)
    const startedAt = time.monotonic()
    const afterStandstill = standstill.stoodStill || before?.afterStandstill === true
    await feed.catchUp()
    const duration = (before?.duration ?? 0) + time.monotonic() - startedAt
    this.#delays.set(request, { duration, afterStandstill })
  }
}
