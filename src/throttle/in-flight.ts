/** Result of an attempt that was tracked. */
export type AttemptResult = 'counted' | 'not-counted'

/** Attempt of a login, from the moment when it is sent to the store. */
export interface TrackedAttempt {
  /** `counted` when the login has finished; `not-counted` if the store did not count it. */
  settle(result: AttemptResult): void
}

/** Attempts of a key that are running at one moment. */
export interface RunningAttempts {
  /**
   * Waits until all of them are settled.
   *
   * @returns Whether an attempt of the key was counted meanwhile.
   */
  waitForCounted(): Promise<boolean>
}

interface KeyState {
  running: number
  counted: number
  /** Resolves when all attempts so far are settled. */
  settled: Promise<void>
}

const NO_ATTEMPTS: RunningAttempts = { waitForCounted: async () => false }

/**
 * Tracks running attempts by key, so that a blocked caller can wait for their result.
 *
 * Each attempt waits for one promise, however many are running. Otherwise a flood of attempts with
 * one name would take quadratic time and memory.
 */
export class InFlight {
  readonly #states = new Map<string, KeyState>()

  /** Number of keys with running attempts. */
  get size (): number {
    return this.#states.size
  }

  /** Tracks an attempt under all its keys until it is settled. */
  track (keys: readonly string[]): TrackedAttempt {
    const { promise, resolve } = createDeferred()

    for (const key of keys) {
      const state = this.#states.get(key) ?? { running: 0, counted: 0, settled: Promise.resolve() }
      const { settled: before } = state
      state.running++
      state.settled = promise.then(() => before)
      this.#states.set(key, state)
    }

    return {
      settle: result => {
        for (const key of keys) {
          this.#settle(key, result)
        }

        resolve()
      }
    }
  }

  /** Returns the running attempts of a key, without those that are tracked later. */
  getRunning (key: string): RunningAttempts {
    const state = this.#states.get(key)

    if (state === undefined) {
      return NO_ATTEMPTS
    }

    const { counted, settled } = state

    return {
      async waitForCounted () {
        await settled
        return state.counted > counted
      }
    }
  }

  #settle (key: string, result: AttemptResult): void {
    const state = this.#states.get(key) as KeyState
    state.running--
    state.counted += result === 'counted' ? 1 : 0

    if (state.running === 0) {
      this.#states.delete(key)
    }
  }
}

function createDeferred (): { readonly promise: Promise<void>, readonly resolve: () => void } {
  let resolve = (): void => {}

  const promise = new Promise<void>(_resolve => {
    resolve = _resolve
  })

  return { promise, resolve }
}
