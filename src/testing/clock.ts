/**
 * Virtual time of a test.
 *
 * Time passes only when the test says so, and never while a server handles a request. So a test of
 * a month takes a moment, and each run has the same result.
 */
export interface Clock {
  /** Returns milliseconds since the start on the monotonic clock of devices that are awake. */
  now(): number
  /** Returns the date of devices in milliseconds since 1970. See {@link Clock.shiftDate}. */
  date(): number
  /**
   * Returns the true time in milliseconds since 1970. Use it as the clock of the server.
   *
   * @example
   * ```ts
   * await app.register(tokenAuth, { clock: faults.clock.time, ...options })
   * ```
   */
  time(): number
  /** Resolves after a number of milliseconds, or when the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Lets a number of milliseconds pass and runs all timers that are due. One call at a time. */
  run(ms: number): Promise<void>
  /**
   * Lets time pass until the promise has settled, and returns its result.
   *
   * @param limit - Maximum number of milliseconds. Defaults to 120,000.
   * @throws Error if the promise takes longer
   */
  until<Result>(promise: Promise<Result>, limit?: number): Promise<Result>
  /**
   * Simulates that all devices sleep for a number of milliseconds, which pass immediately.
   *
   * Due timers run after it, and requests in flight are lost. Tabs get no event, like a page that
   * was visible all the time. Use {@link Device.suspend} for one device, with an event at the end.
   *
   * @param isCounted - Whether {@link Clock.now} includes the time. Many devices exclude it.
   *   Defaults to `true`.
   */
  suspend(ms: number, isCounted?: boolean): void
  /** Returns the number of milliseconds of all calls of {@link Clock.suspend}. */
  slept(): number
  /** Shifts the date of all devices by a number of milliseconds. No time passes. */
  shiftDate(ms: number): void
  /** Runs work that needs real time, one call at a time. No virtual time passes meanwhile. */
  hold<Result>(work: () => Promise<Result>): Promise<Result>
}

interface Timer {
  readonly at: number
  readonly fire: () => void
}

/**
 * Turns of the event loop after which nothing more happens without a timer.
 *
 * Work without a timer, such as reading a body, takes at most two.
 */
const IDLE_TURNS = 2
const DEFAULT_LIMIT = 120_000

/**
 * Creates a clock.
 *
 * @param start - Date at the beginning in milliseconds since 1970.
 */
export function createClock (start: number): Clock {
  const timers: Timer[] = []
  let now = 0
  let uncounted = 0
  let slept = 0
  let dateShift = 0
  let lastHold: Promise<unknown> = Promise.resolve()
  let holdCount = 0

  const isHeld = (): boolean => holdCount > 0

  async function waitUntilIdle (): Promise<void> {
    for (let idleTurns = 0; idleTurns < IDLE_TURNS; idleTurns++) {
      await waitForTurn()

      while (isHeld()) {
        await lastHold
        idleTurns = -1
      }
    }
  }

  /** Fires the next timer up to a time. Returns whether there was one. */
  async function fireNext (until: number): Promise<boolean> {
    await waitUntilIdle()
    const [next] = timers

    if (next === undefined || next.at > until) {
      return false
    }

    now = Math.max(now, next.at)
    next.fire()
    return true
  }

  return {
    now: () => now,
    date: () => Math.floor(start + now + uncounted + dateShift),
    time: () => Math.floor(start + now + uncounted),
    sleep: (ms, signal) =>
      new Promise(resolve => {
        if (!(ms > 0) || signal?.aborted) {
          return resolve()
        }

        const timer = { at: now + ms, fire }

        function fire (): void {
          timers.splice(timers.indexOf(timer), 1)
          signal?.removeEventListener('abort', fire)
          resolve()
        }

        const laterIndex = timers.findIndex(({ at }) => at > timer.at)
        timers.splice(laterIndex < 0 ? timers.length : laterIndex, 0, timer)
        signal?.addEventListener('abort', fire)
      }),
    async run (ms) {
      const until = now + ms

      let hasFired = true

      while (hasFired) {
        hasFired = await fireNext(until)
      }

      now = Math.max(now, until)
    },
    async until (promise, limit = DEFAULT_LIMIT) {
      const until = now + limit
      let isSettled = false
      const settled = promise.finally(() => {
        isSettled = true
      })
      settled.catch(() => {})

      for (;;) {
        await waitUntilIdle()

        if (isSettled) {
          return settled
        }

        if (!await fireNext(until)) {
          throw new Error(`promise did not settle within ${limit} ms`)
        }
      }
    },
    suspend (ms, isCounted = true) {
      slept += ms

      if (isCounted) {
        now += ms
      } else {
        uncounted += ms
      }
    },
    slept: () => slept,
    shiftDate (ms) {
      dateShift += ms
    },
    hold (work) {
      holdCount++
      const result = lastHold.then(work)
      lastHold = result.catch(() => {}).then(() => {
        holdCount--
      })
      return result
    }
  }
}

function waitForTurn (): Promise<void> {
  return new Promise(resolve => {
    // `setTimeout` takes a millisecond or more.
    if (typeof setImmediate === 'function') {
      setImmediate(resolve)
    } else {
      setTimeout(resolve)
    }
  })
}
