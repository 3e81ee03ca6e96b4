/** Result of an attempt that was tracked. */
export type AttemptResult = 'counted' | 'not-counted'

/** Attempt of a login, from the moment when it is sent to the store. */
export interface TrackedAttempt {
  /** `counted` when the login has finished; `not-counted` if the store did not count it. */
  settle(result: AttemptResult): void
}

/** Tracks running attempts by key, so that a blocked caller can wait for their result. */
export class InFlight {
  readonly #running = new Map<string, Set<Promise<AttemptResult>>>()

  /** Tracks an attempt under all its keys until it is settled. */
  track (keys: readonly string[]): TrackedAttempt {
    const { promise, resolve } = createDeferred<AttemptResult>()

    for (const key of keys) {
      const running = this.#running.get(key) ?? new Set()
      this.#running.set(key, running.add(promise))
    }

    return {
      settle: result => {
        for (const key of keys) {
          this.#remove(key, promise)
        }

        resolve(result)
      }
    }
  }

  /** Returns the results of the running attempts of a key. */
  getRunning (key: string): ReadonlyArray<Promise<AttemptResult>> {
    return Array.from(this.#running.get(key) ?? [])
  }

  #remove (key: string, promise: Promise<AttemptResult>): void {
    const running = this.#running.get(key)
    running?.delete(promise)

    if (running?.size === 0) {
      this.#running.delete(key)
    }
  }
}

function createDeferred<T> (): {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
} {
  let resolve = (_value: T): void => {}

  const promise = new Promise<T>(_resolve => {
    resolve = _resolve
  })

  return { promise, resolve }
}
