// A Map by long texts that forgets, as BoundedMap does. A text that has just arrived has no hash yet, and to make one takes
// longer than all the rest of finding it: so a few characters of its end, in tokens those of the signature, find it, and the
// whole is compared. What ends alike takes each other's place.
//
// It is asked at every request, and what that takes is caches that miss: a value holds its text itself, since each object on the
// way costs as much as the rest.

import { BoundedMap } from '../lib/bounded-map.js'

const LETTERS = 8

/** */
export class TokenCache<Value extends { readonly text: string }> {
  readonly #entries: BoundedMap<number, Value>

  /** @param size As that of a BoundedMap. */
  constructor (size: number) {
    this.#entries = new BoundedMap(size)
  }

  get (text: string): Value | undefined {
    const value = this.#entries.get(endOf(text))
    return value?.text === text ? value : undefined
  }

  set (value: Value): void {
    this.#entries.set(endOf(value.text), value)
  }

  delete (text: string): void {
    if (this.get(text) !== undefined) {
      this.#entries.delete(endOf(text))
    }
  }

  clear (): void {
    this.#entries.clear()
  }
}

// A whole number of 32 bits is the quickest key that there is.
function endOf (text: string): number {
  let end = 0

  for (let i = Math.max(0, text.length - LETTERS); i < text.length; i++) {
    end = Math.imul(end, 61) + text.charCodeAt(i) | 0
  }

  return end
}
