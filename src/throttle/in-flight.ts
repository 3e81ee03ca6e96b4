// What is under way, by a key: whoever is refused may wait until that is known which was in the way.

/** */
export class InFlight {
  readonly #turns = new Map<string, Promise<unknown>>()
  readonly #running = new Map<string, Set<Promise<void>>>()

  /** One after the other for each key, so that `work` knows of all that were let in before it. */
  async inTurn<T> (key: string, work: () => Promise<T>): Promise<T> {
    const result = (this.#turns.get(key) ?? Promise.resolve()).then(work)
    const turn = result.catch(() => {}).then(() => {
      if (this.#turns.get(key) === turn) {
        this.#turns.delete(key)
      }
    })
    this.#turns.set(key, turn)
    return result
  }

  /** Something of this key is under way until `ended` resolves. */
  add (key: string, ended: Promise<void>): void {
    const running = this.#running.get(key) ?? new Set()
    this.#running.set(key, running.add(ended))
    void ended.then(() => {
      running.delete(ended)

      if (running.size === 0 && this.#running.get(key) === running) {
        this.#running.delete(key)
      }
    })
  }

  /** The ends of all that is under way now: as they are, since to wait for all of them is dear, and few who ask have to. */
  underWay (key: string): ReadonlyArray<Promise<void>> {
    return Array.from(this.#running.get(key) ?? [])
  }
}
