type Links<Name extends string, Item> = { [Link in Name]: Item | null }

/**
 * Lists of items by key. Adding and removing an item takes the same time in a list of any length.
 *
 * The items contain the links. A `Set` for each key would need about 200 bytes for one item.
 *
 * @example
 * ```ts
 * interface Socket { userId: string, next: Socket | null, previous: Socket | null }
 *
 * const byUser = new LinkedLists<string, 'next' | 'previous', Socket>('next', 'previous')
 * byUser.add(socket.userId, socket)
 * ```
 */
export class LinkedLists<Key, Name extends string, Item extends Links<Name, Item>> {
  readonly #first = new Map<Key, Item>()
  readonly #next: Name
  readonly #previous: Name

  /**
   * @param next - Name of the member with the next item of the list.
   * @param previous - Name of the member with the previous item of the list.
   */
  constructor (next: Name, previous: Name) {
    this.#next = next
    this.#previous = previous
  }

  /** Keys whose list is not empty. */
  keys (): Iterable<Key> {
    return this.#first.keys()
  }

  /** Adds an item that is in no list. */
  add (key: Key, item: Item): void {
    const first = this.#first.get(key) ?? null
    this.#link(null, item)
    this.#link(item, first)
    this.#first.set(key, item)
  }

  /** Removes an item from the list of its key. */
  remove (key: Key, item: Item): void {
    const next: Item | null = item[this.#next]
    const previous: Item | null = item[this.#previous]
    this.#link(previous, next)
    this.#link(null, item)
    this.#link(item, null)

    if (previous === null) {
      if (next === null) {
        this.#first.delete(key)
      } else {
        this.#first.set(key, next)
      }
    }
  }

  /** Returns the items of a key. */
  get (key: Key): Item[] {
    const items: Item[] = []

    for (let item = this.#first.get(key) ?? null; item !== null; item = item[this.#next]) {
      items.push(item)
    }

    return items
  }

  #link (previous: Item | null, next: Item | null): void {
    if (previous !== null) {
      const links: Links<Name, Item> = previous
      links[this.#next] = next
    }

    if (next !== null) {
      const links: Links<Name, Item> = next
      links[this.#previous] = previous
    }
  }
}
