import { createHmac } from 'node:crypto'
import { MINUTE } from '../lib/time.js'
import type { Millis } from '../lib/time.js'

/** Longest time for which a nonce is accepted, if clocks differ by less than one minute. */
export const MAX_NONCE_LIFETIME: Millis = 3 * MINUTE

/**
 * Creates and checks nonces for DPoP proofs (RFC 9449, section 8).
 *
 * With a nonce, nobody can make proofs in advance, and a client with a wrong clock still works. A
 * nonce is the HMAC of its minute, so the server stores none. All instances need the same key.
 */
export class DpopNonces {
  readonly #keys: readonly Buffer[]

  /** @param keys - Current key, followed by previous ones. */
  constructor (keys: readonly Buffer[]) {
    this.#keys = keys
  }

  /** Returns the nonce of the current minute. */
  current (now: Millis): string {
    return this.#createAll(getMinute(now))[0] as string
  }

  /**
   * Whether a nonce is of the current or the previous minute.
   *
   * Also accepts the next minute, because the clock of another instance may be ahead.
   */
  isFresh (nonce: string, now: Millis): boolean {
    return [0, -1, 1].some(offset => this.#createAll(getMinute(now) + offset).includes(nonce))
  }

  /** Returns the nonces of one minute, one per key. */
  #createAll (minute: number): string[] {
    return this.#keys.map(key =>
      createHmac('sha256', key).update(`nonce ${minute}`).digest('base64url')
    )
  }
}

function getMinute (now: Millis): number {
  return Math.floor(now / MINUTE)
}
