import type { Millis } from './time.js'

/** Time that a standstill is remembered. */
const MEMORY: Millis = 1000
const MIN_INTERVAL: Millis = 10
const MAX_INTERVAL: Millis = 250

/**
 * Detects that the process did not run for a while, for example because it was stopped or because
 * the event loop was blocked.
 *
 * Requests that arrived meanwhile are served afterwards, when their clients may have given up.
 */
export class StandstillMonitor {
  readonly #limit: Millis
  readonly #interval: Millis
  readonly #monotonic: () => Millis
  #timer: NodeJS.Timeout | undefined
  #tickedAt: Millis
  #stoodStillAt = -Infinity

  /**
   * @param limit - Shortest duration that counts as a standstill. 0 disables the detection.
   * @param monotonic - Clock that never jumps, in milliseconds.
   */
  constructor (limit: Millis, monotonic: () => Millis = () => performance.now()) {
    this.#limit = limit
    this.#interval = Math.max(MIN_INTERVAL, Math.min(MAX_INTERVAL, limit / 4))
    this.#monotonic = monotonic
    this.#tickedAt = monotonic()
  }

  /** Starts the timer that shows that the process runs. */
  start (): void {
    if (this.#limit === 0) {
      return
    }

    this.#tickedAt = this.#monotonic()
    this.#timer = setInterval(() => {
      this.#check()
      this.#tickedAt = this.#monotonic()
    }, this.#interval).unref()
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Whether the process stood still within the last second. */
  get stoodStill (): boolean {
    if (this.#timer === undefined) {
      return false
    }

    // After a standstill, requests may be served before the timer.
    this.#check()
    return this.#monotonic() - this.#stoodStillAt <= MEMORY
  }

  #check (): void {
    const now = this.#monotonic()

    if (now - this.#tickedAt > this.#interval + this.#limit) {
      this.#stoodStillAt = now
    }
  }
}
