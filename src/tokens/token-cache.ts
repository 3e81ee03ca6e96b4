import { BoundedMap } from '../lib/bounded-map.js'

const KEY_LENGTH = 8

/** Cached value that contains the string by which it is found. */
export interface CacheEntry {
  readonly cacheKey: string
}

/**
 * Bounded cache by long strings, such as tokens.
 *
 * A `Map` would hash the whole string at every request: 1.0 µs instead of 0.2 µs. This cache finds
 * an entry by the last 8 characters, which belong to the signature, and then compares the whole
 * strings. Strings with equal ends replace each other.
 */
export class TokenCache<Entry extends CacheEntry> {
  readonly #entries: BoundedMap<number, Entry>

  /** @param size - Maximum number of entries. */
  constructor (size: number) {
    this.#entries = new BoundedMap(size)
  }

  /** Returns the entry of a string, or `undefined`. */
  get (cacheKey: string): Entry | undefined {
    const entry = this.#entries.get(hashEnd(cacheKey))
    return entry?.cacheKey === cacheKey ? entry : undefined
  }

  /** Adds an entry or replaces the one with the same end. */
  set (entry: Entry): void {
    this.#entries.set(hashEnd(entry.cacheKey), entry)
  }

  /** Removes the entry of a string. */
  delete (cacheKey: string): void {
    if (this.get(cacheKey) !== undefined) {
      this.#entries.delete(hashEnd(cacheKey))
    }
  }

  /** Removes all entries. */
  clear (): void {
    this.#entries.clear()
  }
}

// 32-bit integers are the fastest keys of a Map.
function hashEnd (string: string): number {
  let hash = 0

  for (let i = Math.max(0, string.length - KEY_LENGTH); i < string.length; i++) {
    hash = Math.imul(hash, 61) + string.charCodeAt(i) | 0
  }

  return hash
}
