import { createHmac } from 'node:crypto'
import { MINUTE } from '../lib/time.js'
import type { Millis } from '../lib/time.js'

/** Longest time for which a nonce is accepted, if clocks differ by less than one minute. */
export const MAX_NONCE_LIFETIME: Millis = 3 * MINUTE

/** Current key, followed by previous ones. */
export type NonceKeys = readonly [Buffer, ...Buffer[]]

/**
 * Creates and checks nonces for DPoP proofs (RFC 9449, section 8).
 *
 * With nonces, nobody can create proofs in advance, and a client with a wrong clock still works. A
 * nonce is the HMAC of its minute, so the server stores none. All instances need the same key.
 */
export class DpopNonces {
  readonly #keys: NonceKeys

  constructor (keys: NonceKeys) {
    this.#keys = keys
  }

  /** Returns the nonce of the current minute. */
  current (now: Millis): string {
    return createNonce(this.#keys[0], getMinute(now))
  }

  /**
   * Whether a nonce is of the current or the previous minute.
   *
   * Also accepts the next minute, because the clock of another instance may be ahead.
   */
  isFresh (nonce: string, now: Millis): boolean {
    const minute = getMinute(now)

    return [0, -1, 1].some(offset =>
      this.#keys.some(key => createNonce(key, minute + offset) === nonce)
    )
  }
}

function createNonce (key: Buffer, minute: number): string {
  return createHmac('sha256', key).update(`nonce ${minute}`).digest('base64url')
}

function getMinute (now: Millis): number {
  return Math.floor(now / MINUTE)
}
