import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { InstanceClocks } from './store-clock.js'

const MIN_OVERDUE: Millis = 3 * SECOND
const OVERDUE_INTERVALS = 2

/**
 * Calls back at an interval, and detects that the process stood still: for more than two intervals,
 * and at least 3 s.
 *
 * A process stands still if it is frozen, if its event loop is blocked or if its machine is
 * suspended. The monotonic clock may stand while a machine is suspended, so both clocks count. A
 * wall clock that is set forward looks like a suspended machine once.
 */
export class PollSchedule {
  readonly #interval: Millis
  readonly #clocks: InstanceClocks
  readonly #callback: (isOverdue: boolean) => void
  /** Time without a callback after which the process stood still. */
  readonly #limit: Millis
  #overdueAt = Infinity
  #overdueAtWall = Infinity
  /** Number of standstills so far. */
  #standstills = 0
  /** Number of standstills after which a poll was sent, and has succeeded or failed. */
  #settled = 0
  #timer: NodeJS.Timeout | undefined

  /** @param callback - Called at every interval, with whether a poll is overdue. */
  constructor (
    interval: Millis,
    clocks: InstanceClocks,
    callback: (isOverdue: boolean) => void
  ) {
    this.#interval = interval
    this.#clocks = clocks
    this.#callback = callback
    this.#limit = Math.max(MIN_OVERDUE, OVERDUE_INTERVALS * interval)
  }

  start (): void {
    this.#restart()
    this.#timer = setTimeout(() => {
      this.countStandstills()
      this.start()
      this.#callback(this.isOverdue())
    }, this.#interval).unref()
  }

  stop (): void {
    clearTimeout(this.#timer)
    this.#settled = this.#standstills
    this.#overdueAt = Infinity
    this.#overdueAtWall = Infinity
  }

  /** Whether a standstill is not settled. */
  isOverdue (): boolean {
    return this.#settled < this.#standstills || this.#hasStoodStill()
  }

  /** Returns the number of standstills so far, to settle after a poll that is sent now. */
  countStandstills (): number {
    if (this.#hasStoodStill()) {
      this.#standstills++
      this.#restart()
    }

    return this.#standstills
  }

  /**
   * Settles the standstills that were counted before a poll was sent.
   *
   * A later standstill stays overdue, because the store may have responded before it.
   */
  settle (standstills: number): void {
    this.countStandstills()
    this.#settled = Math.max(this.#settled, standstills)
  }

  #hasStoodStill (): boolean {
    const { monotonic, wall } = this.#clocks
    return monotonic() > this.#overdueAt || wall() > this.#overdueAtWall
  }

  #restart (): void {
    this.#overdueAt = this.#clocks.monotonic() + this.#limit
    this.#overdueAtWall = this.#clocks.wall() + this.#limit
  }
}
