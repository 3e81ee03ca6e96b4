// A Map that forgets: two generations instead of a list by age, so that a hit costs one look-up and no bookkeeping.

/** */
export class BoundedMap<Key, Value> {
  readonly #half: number
  #young = new Map<Key, Value>()
  #old = new Map<Key, Value>()

  /** @param size How many entries it holds at most; what was used in the younger half of that is never forgotten. */
  constructor (size: number) {
    this.#half = Math.max(1, Math.floor(size / 2))
  }

  get (key: Key): Value | undefined {
    const value = this.#young.get(key)

    if (value !== undefined) {
      return value
    }

    const older = this.#old.get(key)

    if (older !== undefined) {
      this.set(key, older)
    }

    return older
  }

  set (key: Key, value: Value): void {
    if (this.#young.size >= this.#half && !this.#young.has(key)) {
      this.#old = this.#young
      this.#young = new Map()
    }

    this.#young.set(key, value)
  }

  clear (): void {
    this.#young = new Map()
    this.#old = new Map()
  }

  delete (key: Key): void {
    this.#young.delete(key)
    this.#old.delete(key)
  }
}
