import { createHmac, timingSafeEqual } from 'node:crypto'
import { isNonEmptyString } from './claims.js'
import type { SigningKeys } from './key-derivation.js'

/** Length of the claim in bytes. One guess succeeds with a probability of 2^-64. */
const LENGTH = 8

/**
 * Creates and checks the claim `seen` of access tokens.
 *
 * It proves to the issuer that a service has received a token of a generation. A service cannot
 * compute it, so it can only report tokens that it was shown.
 */
export class SeenClaim {
  readonly #keys: SigningKeys
  readonly #realm: string

  /** @param keys - Current key, followed by keys whose claims are still accepted. */
  constructor (keys: SigningKeys, realm: string) {
    this.#keys = keys
    this.#realm = realm
  }

  /** Returns the claim of a token: 11 characters of base64url. */
  create (sessionId: string, generation: number): string {
    return this.#compute(this.#keys[0].key, sessionId, generation).toString('base64url')
  }

  /** Whether a value is the claim of a token of this generation. */
  verify (sessionId: string, generation: number, value: unknown): boolean {
    const given = isNonEmptyString(value) ? Buffer.from(value, 'base64url') : null

    return given?.length === LENGTH &&
      this.#keys.some(({ key }) =>
        timingSafeEqual(given, this.#compute(key, sessionId, generation))
      )
  }

  // JSON separates the parts unambiguously, whatever characters they contain.
  #compute (key: Buffer, sessionId: string, generation: number): Buffer {
    const message = JSON.stringify([this.#realm, sessionId, generation])
    return createHmac('sha256', key).update(message).digest().subarray(0, LENGTH)
  }
}
