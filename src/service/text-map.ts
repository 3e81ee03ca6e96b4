// A Map by long texts that forgets, as BoundedMap does. A text that has just arrived has no hash yet, and to make one takes
// longer than all the rest of finding it: so a few characters of its end, in tokens those of the signature, find it, and the
// whole is compared. What ends alike takes each other's place.

import { BoundedMap } from './bounded-map.js'

interface Entry<Value> {
  readonly text: string
  readonly value: Value
}

const LETTERS = 8

export class TextMap<Value> {
  readonly #entries: BoundedMap<number, Entry<Value>>

  /** @param size As that of a BoundedMap. */
  constructor (size: number) {
    this.#entries = new BoundedMap(size)
  }

  get (text: string): Value | undefined {
    const entry = this.#entries.get(endOf(text))
    return entry?.text === text ? entry.value : undefined
  }

  set (text: string, value: Value): void {
    this.#entries.set(endOf(text), { text, value })
  }

  delete (text: string): void {
    if (this.get(text) !== undefined) this.#entries.delete(endOf(text))
  }

  clear (): void {
    this.#entries.clear()
  }
}

// A whole number of 32 bits is the quickest key that there is.
function endOf (text: string): number {
  let end = 0
  for (let i = Math.max(0, text.length - LETTERS); i < text.length; i++) end = Math.imul(end, 61) + text.charCodeAt(i) | 0
  return end
}
