// What a server gives to be put into proofs of possession (RFC 9449 section 8), so that none is made ahead, and time is the
// server's: a client whose clock is wrong is let in. Nothing is kept: a nonce is a code of its minute under a key that all
// instances have.

import { createHmac } from 'node:crypto'
import { MINUTE } from '../lib/time.js'
import type { Millis } from '../lib/time.js'

/** How long after it was given a nonce is good at most, by clocks that differ by less than a minute. */
export const LONGEST_NONCE: Millis = 3 * MINUTE

/** */
export class DpopNonces {
  readonly #keys: readonly Buffer[]

  /** @param keys The current one, then previous ones. */
  constructor (keys: readonly Buffer[]) {
    this.#keys = keys
  }

  /** The one to give now. */
  current (now: Millis): string {
    return this.#of(minuteOf(now))[0] as string
  }

  /** Whether it was given in this minute or the one before, or in the next one by an instance that is ahead. */
  isFresh (nonce: string, now: Millis): boolean {
    return [0, -1, 1].some(others => this.#of(minuteOf(now) + others).includes(nonce))
  }

  #of (minute: number): string[] {
    return this.#keys.map(key =>
      createHmac('sha256', key).update(`nonce ${minute}`).digest('base64url')
    )
  }
}

function minuteOf (now: Millis): number {
  return Math.floor(now / MINUTE)
}
