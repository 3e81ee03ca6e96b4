import type { Millis } from './time.js'

/**
 * Limits repeated reports to a number per window, and counts the ones that it skips.
 *
 * @example
 * ```ts
 * const limit = new RateLimit(10, 10 * SECOND)
 * const skipped = limit.next()
 *
 * if (skipped !== null) {
 *   logger.warn({ skipped }, 'a clock is wrong')
 * }
 * ```
 */
export class RateLimit {
  readonly #max: number
  readonly #window: Millis
  readonly #clock: () => Millis
  #windowStart = -Infinity
  #accepted = 0
  #skipped = 0

  /** @param clock - Clock in milliseconds. By default, a monotonic clock. */
  constructor (max: number, window: Millis, clock: () => Millis = () => performance.now()) {
    this.#max = max
    this.#window = window
    this.#clock = clock
  }

  /**
   * Accepts or skips one report.
   *
   * @returns The number of reports that were skipped since the last accepted one, or `null` if this
   * one must be skipped too.
   */
  next (): number | null {
    const now = this.#clock()

    // A clock that was set back must not block reports.
    if (now - this.#windowStart >= this.#window || now < this.#windowStart) {
      this.#windowStart = now
      this.#accepted = 0
    }

    if (this.#accepted >= this.#max) {
      this.#skipped++
      return null
    }

    this.#accepted++
    const skipped = this.#skipped
    this.#skipped = 0
    return skipped
  }
}
