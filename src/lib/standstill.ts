import type { Millis } from './time.js'

/** Time for which `stoodStill` reports a standstill. */
const MEMORY: Millis = 1000
const MIN_INTERVAL: Millis = 10
const MAX_INTERVAL: Millis = 250

// Fake timers of an app's tests replace `Date` later. Their jumps are no standstill.
const readWallClock = Date.now

/**
 * Detects that the process did not run for a while. For example, it was stopped, its event loop was
 * blocked, or the machine was suspended.
 *
 * Requests that arrived meanwhile are served afterwards, when their clients may have given up.
 */
export class StandstillMonitor {
  readonly #limit: Millis
  readonly #interval: Millis
  readonly #monotonic: () => Millis
  readonly #wall: () => Millis
  #timer: NodeJS.Timeout | undefined
  #tickedAt: Millis
  #tickedAtWall: Millis
  #stoodStillAt = -Infinity

  /**
   * @param limit - Shortest duration that counts as a standstill. 0 disables the detection.
   * @param monotonic - Clock that never jumps, in milliseconds.
   * @param wall - Clock that also runs while the machine is suspended. If it is set forward, that
   * looks like a standstill once.
   */
  constructor (
    limit: Millis,
    monotonic: () => Millis = () => performance.now(),
    wall: () => Millis = readWallClock
  ) {
    this.#limit = limit
    this.#interval = Math.max(MIN_INTERVAL, Math.min(MAX_INTERVAL, limit / 4))
    this.#monotonic = monotonic
    this.#wall = wall
    this.#tickedAt = monotonic()
    this.#tickedAtWall = wall()
  }

  /** Starts the timer that shows that the process runs. */
  start (): void {
    if (this.#limit === 0) {
      return
    }

    this.#tick()
    this.#timer = setInterval(() => {
      this.#check()
      this.#tick()
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

  #tick (): void {
    this.#tickedAt = this.#monotonic()
    this.#tickedAtWall = this.#wall()
  }

  #check (): void {
    const now = this.#monotonic()
    const passed = Math.max(now - this.#tickedAt, this.#wall() - this.#tickedAtWall)

    if (passed > this.#interval + this.#limit) {
      this.#stoodStillAt = now
    }
  }
}
