/**
 * Limits the requests that run at the same time. Others wait in the order of their arrival.
 *
 * A request must have its own timeout, also while it waits. Callers check {@link isFull} first.
 */
export class RequestQueue {
  readonly #maxRunning: number
  readonly #maxWaiting: number
  readonly #waiting: Array<() => void> = []
  #running = 0

  constructor (maxRunning: number, maxWaiting: number) {
    this.#maxRunning = maxRunning
    this.#maxWaiting = maxWaiting
  }

  /** Whether too many requests wait. */
  get isFull (): boolean {
    return this.#waiting.length >= this.#maxWaiting
  }

  /** Runs a request when there is room for it. */
  async run<Result> (request: () => Promise<Result>): Promise<Result> {
    if (this.#running >= this.#maxRunning) {
      await new Promise<void>(resolve => {
        this.#waiting.push(resolve)
      })
    } else {
      this.#running++
    }

    try {
      return await request()
    } finally {
      const next = this.#waiting.shift()

      // The next request takes the place of this one.
      if (next === undefined) {
        this.#running--
      } else {
        next()
      }
    }
  }
}
