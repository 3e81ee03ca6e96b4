import { SECOND } from './time.js'
import type { Millis } from './time.js'

const MAX_CALLS = 10_000
const PROBE_INTERVAL: Millis = SECOND

/** Number of calls that timed out and that the driver has not settled yet. */
interface Abandoned {
  count: number
}

/**
 * Limits the calls that wait for a database, so that memory is bounded while it does not respond.
 *
 * A call that timed out counts until it settles, because it stays in the queue of the driver. If
 * the limit is reached, one call per second is let through. A call that succeeds in time proves
 * that the database responds again. The calls that timed out before then no longer count, because
 * some drivers never settle them.
 */
export class CallLimit {
  readonly #maxCalls: number
  readonly #monotonic: () => Millis
  #running = 0
  #abandoned: Abandoned = { count: 0 }
  #probedAt = -Infinity

  constructor (maxCalls = MAX_CALLS, monotonic: () => Millis = () => performance.now()) {
    this.#maxCalls = maxCalls
    this.#monotonic = monotonic
  }

  /** Counts a call and returns `true`. Returns `false` if the call must not be sent. */
  start (): boolean {
    if (this.#running + this.#abandoned.count >= this.#maxCalls) {
      const now = this.#monotonic()

      if (now - this.#probedAt < PROBE_INTERVAL) {
        return false
      }

      this.#probedAt = now
    }

    this.#running++
    return true
  }

  /** Stops counting a call that settled in time. */
  finish (isSuccess: boolean): void {
    this.#running--

    if (isSuccess && this.#abandoned.count > 0) {
      this.#abandoned = { count: 0 }
    }
  }

  /** Marks a call that timed out. Returns a function to call when it settles. */
  abandon (): () => void {
    const abandoned = this.#abandoned
    this.#running--
    abandoned.count++

    return () => {
      abandoned.count--
    }
  }
}
