/**
 * Map with a size limit that drops entries which were not used for a long time.
 *
 * Entries live in a young and an old half. A read moves an entry to the young half. When the young
 * half is full, it becomes the old one, and the previous old half is dropped. So the map needs no
 * list of entries in the order of use.
 *
 * @example
 * ```ts
 * const names = new BoundedMap<string, string>(1000)
 * names.set('u1', 'Ann')
 * ```
 */
export class BoundedMap<Key, Value> {
  readonly #maxYoung: number
  #young = new Map<Key, Value>()
  #old = new Map<Key, Value>()

  /**
   * @param maxSize - Maximum number of entries, at least 2. The `maxSize / 2` entries that were
   * used last are never dropped.
   */
  constructor (maxSize: number) {
    this.#maxYoung = Math.max(1, Math.floor(maxSize / 2))
  }

  get (key: Key): Value | undefined {
    const young = this.#young.get(key)

    if (young !== undefined) {
      return young
    }

    const old = this.#old.get(key)

    if (old !== undefined) {
      this.set(key, old)
    }

    return old
  }

  set (key: Key, value: Value): void {
    if (this.#young.size >= this.#maxYoung && !this.#young.has(key)) {
      this.#old = this.#young
      this.#young = new Map()
    }

    this.#young.set(key, value)
  }

  delete (key: Key): void {
    this.#young.delete(key)
    this.#old.delete(key)
  }

  clear (): void {
    this.#young = new Map()
    this.#old = new Map()
  }
}
