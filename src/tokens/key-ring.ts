import type { JwtCodec } from './jwt-codec.js'
import { createSigners } from './key-signer.js'
import { readKeys } from './keys.js'
import type { AppKey, AppKeys, KeyInput, PublicJwk } from './keys.js'

/** Holds the app's own keys for access tokens and replaces them while the app runs. */
export class KeyRing {
  readonly #codec: JwtCodec
  readonly #onKeyRemoved: () => void
  #keys: AppKeys

  /** @param onKeyRemoved - Called when tokens of a removed key may still be cached. */
  constructor (keys: AppKeys, codec: JwtCodec, onKeyRemoved: () => void) {
    this.#keys = keys
    this.#codec = codec
    this.#onKeyRemoved = onKeyRemoved
  }

  /** Public keys for the JWKS route. Secrets have none. */
  get publicKeys (): PublicJwk[] {
    return this.#keys.flatMap(({ publicJwk }) => publicJwk ?? [])
  }

  /**
   * Replaces all keys.
   *
   * @throws TypeError if a key cannot be used. The keys stay unchanged then.
   */
  rotate (inputs: readonly KeyInput[]): void {
    const keys = readKeys(inputs)
    const isKept = (old: AppKey): boolean =>
      keys.some(({ kid, alg, verifying }) =>
        kid === old.kid && alg === old.alg && verifying.equals(old.verifying)
      )
    const hasRemoved = !this.#keys.every(isKept)
    this.#keys = keys
    this.#codec.use(createSigners(keys, this.#codec.typ))

    if (hasRemoved) {
      this.#onKeyRemoved()
    }
  }
}
