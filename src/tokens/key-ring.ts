import type { JwtCodec, JwtSigners } from './jwt-codec.js'
import { createSigners } from './key-signer.js'
import { DERIVED_KEY, getOwnKeys, readKeys } from './keys.js'
import type { AppKeys, KeyInput, PublicJwk } from './keys.js'

/** Holds the app's own keys for access tokens and replaces them while the app runs. */
export class KeyRing {
  readonly #codec: JwtCodec
  readonly #derived: JwtSigners
  readonly #onKeyRemoved: () => void
  #keys: AppKeys

  /**
   * @param derived - Signers for the entry `'secret'`.
   * @param onKeyRemoved - Called when tokens of a removed key may still be cached.
   */
  constructor (keys: AppKeys, codec: JwtCodec, derived: JwtSigners, onKeyRemoved: () => void) {
    this.#keys = keys
    this.#codec = codec
    this.#derived = derived
    this.#onKeyRemoved = onKeyRemoved
  }

  /** Public keys for the JWKS route. Secrets have none. */
  get publicKeys (): PublicJwk[] {
    return getOwnKeys(this.#keys).flatMap(({ publicJwk }) => publicJwk ?? [])
  }

  /**
   * Replaces all keys.
   *
   * @throws TypeError if a key cannot be used. The keys stay unchanged then.
   */
  rotate (inputs: readonly KeyInput[]): void {
    const keys = readKeys(inputs)
    const hasRemoved = !this.#keys.every(old => hasKey(keys, old))
    this.#keys = keys
    this.#codec.use(createSigners(keys, this.#codec.typ, this.#derived))

    if (hasRemoved) {
      this.#onKeyRemoved()
    }
  }
}

function hasKey (keys: AppKeys, wanted: AppKeys[0]): boolean {
  return wanted === DERIVED_KEY
    ? keys.includes(DERIVED_KEY)
    : getOwnKeys(keys).some(({ kid, alg, verifying }) =>
      kid === wanted.kid && alg === wanted.alg && verifying.equals(wanted.verifying)
    )
}
