import type { Clock } from './clock.js'

/** Clocks and timers of one device, which may be wrong and stand still while the device sleeps. */
export interface DeviceClock {
  /** Whether the device sleeps. */
  readonly isAsleep: boolean
  /** Returns milliseconds on the monotonic clock. */
  now(): number
  /** Returns the date in milliseconds since 1970. */
  date(): number
  /**
   * Resolves after a number of milliseconds on the monotonic clock, or when the signal is aborted.
   *
   * Does not resolve while the device sleeps.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Resolves when the device does not sleep. */
  waitUntilAwake(): Promise<void>
  /** Returns a number that changes with each sleep, which disconnects requests in flight. */
  slept(): number
  /** Starts a sleep. See `Device.suspend`. */
  suspend(ms: number, isCounted: boolean): void
  /** Ends a sleep. Returns whether the device was asleep. */
  wake(): boolean
  /** Shifts the date by a number of milliseconds. */
  shiftDate(ms: number): void
}

/** Sleep in progress. */
interface Sleep {
  readonly startedAt: number
  readonly isCounted: boolean
  readonly end: Promise<void>
  /** Aborted when the sleep ends. */
  readonly controller: AbortController
}

/**
 * Creates the clocks of a device.
 *
 * @param onTimeout - Called when a sleep has ended by itself.
 */
export function createDeviceClock (clock: Clock, onTimeout: () => void): DeviceClock {
  let currentSleep: Sleep | null = null
  let sleepCount = 0
  /** Milliseconds for which the monotonic clock stood still in earlier sleeps. */
  let stoodStill = 0
  let dateShift = 0

  const getStoppedTime = (): number =>
    currentSleep === null || currentSleep.isCounted
      ? stoodStill
      : stoodStill + clock.now() - currentSleep.startedAt

  const now = (): number => clock.now() - getStoppedTime()

  async function waitUntilAwake (): Promise<void> {
    await currentSleep?.end

    // Another sleep may have started meanwhile.
    return currentSleep === null ? undefined : waitUntilAwake()
  }

  function wake (): boolean {
    if (currentSleep === null) {
      return false
    }

    stoodStill = getStoppedTime()
    const { controller } = currentSleep
    currentSleep = null
    controller.abort()
    return true
  }

  async function sleep (ms: number, signal?: AbortSignal): Promise<void> {
    const until = now() + ms
    await waitUntilAwake()
    const stoodStillBefore = stoodStill
    await clock.sleep(until - now(), signal)

    if (currentSleep !== null || (stoodStill !== stoodStillBefore && !signal?.aborted)) {
      await sleep(until - now(), signal)
    }
  }

  return {
    get isAsleep () {
      return currentSleep !== null
    },
    now,
    date: () => clock.date() + dateShift,
    sleep,
    waitUntilAwake,
    slept: () => clock.slept() + sleepCount,
    suspend (ms, isCounted) {
      wake()
      sleepCount++
      const controller = new AbortController()
      const { signal } = controller
      const end = clock.sleep(ms, signal).then(() => {
        if (!signal.aborted) {
          wake()
          onTimeout()
        }
      })
      currentSleep = { startedAt: clock.now(), isCounted, end, controller }
    },
    wake,
    shiftDate (ms) {
      dateShift += ms
    }
  }
}
