import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { InstanceClocks } from './store-clock.js'

const MIN_OVERDUE: Millis = 3 * SECOND
const OVERDUE_INTERVALS = 2

/**
 * Calls back at an interval, and notices if the process stood still for longer than that.
 *
 * A process stands still if it is frozen, if its event loop is blocked or if its machine is
 * suspended. The monotonic clock may stand while a machine is suspended, so both clocks count. A
 * wall clock that is set forward looks like a suspended machine once.
 */
export class PollSchedule {
  readonly #interval: Millis
  readonly #clocks: InstanceClocks
  readonly #callback: (isOverdue: boolean) => void
  /** Time without a callback after which polls are overdue. */
  readonly #limit: Millis
  #overdueAt = Infinity
  #overdueAtWall = Infinity
  #isHeld = false
  #timer: NodeJS.Timeout | undefined

  /** @param callback - Called at every interval, with whether the process stood still before. */
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
      const isOverdue = this.isOverdue()
      this.start()
      this.#callback(isOverdue)
    }, this.#interval).unref()
  }

  stop (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#isHeld = false
    this.#overdueAt = Infinity
    this.#overdueAtWall = Infinity
  }

  /** Whether a poll should have been sent and was not, or is held. */
  isOverdue (): boolean {
    const { monotonic, wall } = this.#clocks
    return monotonic() > this.#overdueAt || wall() > this.#overdueAtWall
  }

  /** Stays overdue until {@link release} is called. */
  hold (): void {
    this.#isHeld = true
    this.#overdueAt = -Infinity
  }

  /** Starts again from now. */
  release (): void {
    this.#isHeld = false

    if (this.#timer !== undefined) {
      this.#restart()
    }
  }

  #restart (): void {
    if (!this.#isHeld) {
      this.#overdueAt = this.#clocks.monotonic() + this.#limit
      this.#overdueAtWall = this.#clocks.wall() + this.#limit
    }
  }
}
