// Time that passes only when it is told to, and never while a server is at work: so a test of a month takes a moment, and
// comes out the same each time.

export interface Clock {
  /** What the device counts: milliseconds that only ever grow. Stands in for `performance.now`. */
  now(): number
  /** What the device takes for the date, in milliseconds since 1970; see {@link step}. Stands in for its `Date.now`. */
  date(): number
  /** The true time, in milliseconds since 1970. For the server: `app.register(tokenAuth, { clock: faults.clock.time, … })`. */
  time(): number
  /** Resolves after so many milliseconds, or when the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Lets so many milliseconds pass, and all happen that falls into them. One call at a time. */
  run(ms: number): Promise<void>
  /**
   * Lets time pass until the promise has settled, and gives what it gives.
   * @param ms At most so many milliseconds. @default 120_000
   * @throws Error where it takes longer
   */
  until<Result>(promise: Promise<Result>, ms?: number): Promise<Result>
  /**
   * The device is asleep for so many milliseconds: nothing happens on it, what was due comes late, and what was under way in
   * the network is lost.
   * @param isCounted Whether {@link now} counts that time; on many machines it does not. @default true
   */
  suspend(ms: number, isCounted?: boolean): void
  /** How many milliseconds it has been asleep so far. */
  slept(): number
  /** Puts the date of the device forward, or back; {@link now} and {@link time} are as they were. */
  step(ms: number): void
  /** Does work that takes real time. Meanwhile no other time passes, and no other such work is done. */
  hold<Result>(work: () => Promise<Result>): Promise<Result>
}

interface Timer {
  readonly at: number
  readonly end: () => void
}

/** Nothing that is under way without a timer, such as the reading of a body, takes more turns of the event loop. */
const QUIET = 2
const PATIENCE = 120_000

/** @param start The date at the beginning, in milliseconds since 1970. */
export function createClock (start: number): Clock {
  const timers: Timer[] = []
  let now = 0
  let uncounted = 0
  let slept = 0
  let error = 0
  let last: Promise<unknown> = Promise.resolve()
  let held = 0

  const isHeld = (): boolean => held > 0

  async function settle (): Promise<void> {
    for (let quiet = 0; quiet < QUIET; quiet++) {
      await turn()

      while (isHeld()) {
        await last
        quiet = -1
      }
    }
  }

  /** @returns Whether there was a timer until then. */
  async function fire (until: number): Promise<boolean> {
    await settle()
    const [next] = timers

    if (next === undefined || next.at > until) {
      return false
    }

    now = Math.max(now, next.at)
    next.end()
    return true
  }

  return {
    now: () => now,
    date: () => Math.floor(start + now + uncounted + error),
    time: () => Math.floor(start + now + uncounted),
    sleep: (ms, signal) =>
      new Promise(resolve => {
        if (!(ms > 0) || signal?.aborted) {
          return resolve()
        }

        const timer = { at: now + ms, end }

        function end (): void {
          timers.splice(timers.indexOf(timer), 1)
          signal?.removeEventListener('abort', end)
          resolve()
        }

        const later = timers.findIndex(({ at }) => at > timer.at)
        timers.splice(later < 0 ? timers.length : later, 0, timer)
        signal?.addEventListener('abort', end)
      }),
    async run (ms) {
      const until = now + ms

      while (await fire(until)) {
      }

      now = Math.max(now, until)
    },
    async until (promise, ms = PATIENCE) {
      const until = now + ms
      let isDone = false
      const done = promise.finally(() => {
        isDone = true
      })
      done.catch(() => {})

      for (;;) {
        await settle()

        if (isDone) {
          return done
        }

        if (!await fire(until)) {
          throw new Error(`nothing has come of it within ${ms} ms`)
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
    step (ms) {
      error += ms
    },
    hold (work) {
      held++
      const result = last.then(work)
      last = result.catch(() => {}).then(() => {
        held--
      })
      return result
    }
  }
}

// A timer of the platform would take a millisecond or more.

function turn (): Promise<void> {
  return new Promise(resolve => {
    if (typeof setImmediate === 'function') {
      setImmediate(resolve)
    } else {
      setTimeout(resolve)
    }
  })
}
