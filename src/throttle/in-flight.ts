/** Tracks running attempts by key, so that a blocked caller can wait for their result. */
export class InFlight {
  readonly #queues = new Map<string, Promise<unknown>>()
  readonly #running = new Map<string, Set<Promise<void>>>()

  /** Runs `work` after all earlier work of the key, so that it sees every attempt they tracked. */
  async runInTurn<T> (key: string, work: () => Promise<T>): Promise<T> {
    const result = (this.#queues.get(key) ?? Promise.resolve()).then(work)
    const turn = result.catch(() => {}).then(() => {
      if (this.#queues.get(key) === turn) {
        this.#queues.delete(key)
      }
    })
    this.#queues.set(key, turn)
    return result
  }

  /** Tracks an attempt until `finished` resolves. */
  track (key: string, finished: Promise<void>): void {
    const running = this.#running.get(key) ?? new Set()
    this.#running.set(key, running.add(finished))
    void finished.then(() => {
      running.delete(finished)

      if (running.size === 0 && this.#running.get(key) === running) {
        this.#running.delete(key)
      }
    })
  }

  /** Returns one promise per running attempt, because only few callers need to wait for them. */
  getRunning (key: string): ReadonlyArray<Promise<void>> {
    return Array.from(this.#running.get(key) ?? [])
  }
}
