/**
 * Shares one running promise between concurrent callers.
 *
 * @example
 * ```ts
 * const sweep = new SingleFlight<number>()
 * await Promise.all([sweep.run(deleteExpired), sweep.run(deleteExpired)]) // calls it once
 * ```
 */
export class SingleFlight<Result> {
  #running: Promise<Result> | null = null

  /** Promise of the current run; `null` if there is none. */
  get running (): Promise<Result> | null {
    return this.#running
  }

  /** Joins the current run, or starts a run of `work` if there is none. */
  run (work: () => Promise<Result>): Promise<Result> {
    this.#running ??= work().finally(() => {
      this.#running = null
    })
    return this.#running
  }
}

/** Shares one running promise per key between concurrent callers. */
export class KeyedSingleFlight<Key, Result> {
  readonly #running = new Map<Key, Promise<Result>>()

  /** Joins the current run of the key, or starts a run of `work` if there is none. */
  run (key: Key, work: () => Promise<Result>): Promise<Result> {
    let running = this.#running.get(key)

    if (running === undefined) {
      running = work().finally(() => {
        this.#running.delete(key)
      })
      this.#running.set(key, running)
    }

    return running
  }
}
