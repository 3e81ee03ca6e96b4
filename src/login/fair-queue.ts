/**
 * Path of an entry in a {@link FairQueue}, from the widest group to the narrowest one.
 *
 * All entries of a queue have paths of the same length.
 */
export type GroupPath = readonly string[]

/**
 * Queue that takes one entry of each group in turn.
 *
 * A group may have groups inside, such as the addresses of a network. The entries of the innermost
 * group leave in the order in which they came. So one group cannot delay the others by the number
 * of its entries.
 */
export class FairQueue<Entry> {
  /** Groups in the order of their turns. Empty in an innermost group. */
  readonly #groups = new Map<string, FairQueue<Entry>>()
  /** Entries of an innermost group. */
  readonly #entries: Entry[] = []
  #size = 0

  get size (): number {
    return this.#size
  }

  push (path: GroupPath, entry: Entry): void {
    const [name, ...inner] = path
    this.#size++

    if (name === undefined) {
      this.#entries.push(entry)
      return
    }

    const group = this.#groups.get(name) ?? new FairQueue<Entry>()
    group.push(inner, entry)
    this.#groups.set(name, group)
  }

  /** Takes the first entry of the group whose turn it is. */
  shift (): Entry | undefined {
    const [turn] = this.#groups

    if (turn === undefined) {
      return this.#takeAt(0)
    }

    const [name, group] = turn
    const entry = group.shift()
    this.#size--
    this.#groups.delete(name)

    // The group has its next turn after all others.
    if (group.size > 0) {
      this.#groups.set(name, group)
    }

    return entry
  }

  /** Removes an entry that has not been taken. */
  remove (path: GroupPath, entry: Entry): void {
    const [name, ...inner] = path

    if (name === undefined) {
      this.#takeAt(this.#entries.indexOf(entry))
    } else {
      this.#removeFrom(name, group => group.remove(inner, entry))
    }
  }

  /**
   * Finds a group that has at least two entries more than the group of `path`.
   *
   * @returns The path of the larger group; `undefined` if there is none.
   */
  findLarger (path: GroupPath): GroupPath | undefined {
    const [name, ...inner] = path

    if (name === undefined) {
      return undefined
    }

    const own = this.#groups.get(name)
    const largest = this.#findLargest()

    if (largest !== undefined && largest.group.size > (own?.size ?? 0) + 1) {
      return [largest.name]
    }

    const larger = own?.findLarger(inner)
    return larger === undefined ? undefined : [name, ...larger]
  }

  /** Removes the newest entry of a group, from its largest groups inside. */
  removeNewest (path: GroupPath): Entry | undefined {
    const [name = this.#findLargest()?.name, ...inner] = path

    return name === undefined
      ? this.#takeAt(this.#entries.length - 1)
      : this.#removeFrom(name, group => group.removeNewest(inner))
  }

  #removeFrom<Result> (
    name: string,
    remove: (group: FairQueue<Entry>) => Result
  ): Result | undefined {
    const group = this.#groups.get(name)

    if (group === undefined) {
      return undefined
    }

    const before = group.size
    const result = remove(group)
    this.#size -= before - group.size

    if (group.size === 0) {
      this.#groups.delete(name)
    }

    return result
  }

  #findLargest (): { readonly name: string, readonly group: FairQueue<Entry> } | undefined {
    let largest: { readonly name: string, readonly group: FairQueue<Entry> } | undefined

    for (const [name, group] of this.#groups) {
      // The last one of equal groups would wait longest.
      if (largest === undefined || group.size >= largest.group.size) {
        largest = { name, group }
      }
    }

    return largest
  }

  #takeAt (index: number): Entry | undefined {
    if (index < 0 || index >= this.#entries.length) {
      return undefined
    }

    this.#size--
    return this.#entries.splice(index, 1)[0]
  }
}
