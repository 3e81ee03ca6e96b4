import type { NotBefore } from '../../domain/not-before.js'
import { HOUR } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'
import type { Cursor, FeedWindow, Revocation, RevocationPage } from '../token-store.js'

/** Window of a reader whose cursor is not valid. */
const DEFAULT_WINDOW: Millis = 25 * HOUR

interface Entry {
  readonly storedAt: Millis
  readonly revocation: Revocation
}

/** Revocations in the order of their storage, by consecutive numbers. */
export class MemoryFeed {
  readonly #clock: () => Millis
  readonly #entries = new Map<number, Entry>()
  #first = 0
  #next = 0

  constructor (clock: () => Millis) {
    this.#clock = clock
  }

  add (revocation: Revocation): void {
    this.#entries.set(this.#next, { storedAt: this.#clock(), revocation })
    this.#next++
  }

  /** Deletes the oldest entry if it was stored before a moment, and returns whether it did. */
  deleteOldest (before: Millis): boolean {
    const oldest = this.#entries.get(this.#first)

    if (oldest === undefined || oldest.storedAt >= before) {
      return false
    }

    this.#entries.delete(this.#first)
    this.#first++
    return true
  }

  /** @param realms - Not-befores of realms, which the first page of a window shows too. */
  read (
    after: Cursor | FeedWindow,
    limit: number,
    realms: readonly NotBefore[]
  ): RevocationPage {
    const now = this.#clock()
    const position = typeof after === 'string' ? this.#parse(after) : null
    const start = position ??
      this.#findStart(now - (typeof after === 'string' ? DEFAULT_WINDOW : after.within))
    const end = Math.min(this.#next, start + limit)
    const entries: Revocation[] = position === null
      ? realms.map(({ realm, at, reason, before }) => ({ realm, at, reason, before }))
      : []

    for (let number = start; number < end; number++) {
      entries.push(this.#getEntry(number).revocation)
    }

    return { now, cursor: String(end), complete: end === this.#next, entries }
  }

  /** Returns the number of the next entry, or `null` if the cursor is not valid. */
  #parse (cursor: Cursor): number | null {
    const number = /^\d{1,15}$/.test(cursor) ? Number(cursor) : null
    return number === null || number > this.#next ? null : Math.max(number, this.#first)
  }

  // The clock may have gone backwards, so the first entry within the window counts.
  #findStart (from: Millis): number {
    let number = this.#first

    while (number < this.#next && this.#getEntry(number).storedAt < from) {
      number++
    }

    return number
  }

  #getEntry (number: number): Entry {
    return this.#entries.get(number) as Entry
  }
}
