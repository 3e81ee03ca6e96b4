// The app's own keys for access tokens, while the app runs: one signs, all of them verify, and they can be changed under load.

import { createKeySigner, readKey } from './keys.js'
import type { AppKey, KeyInput, PublicJwk } from './keys.js'
import type { JwtCodec, JwtSigner } from './jwt-codec.js'

/** The first one signs. */
export type AppKeys = readonly [AppKey, ...AppKey[]]

/** @throws TypeError that names the key by its place, and holds nothing of it */
export function readKeys (inputs: readonly KeyInput[]): AppKeys {
  if (!Array.isArray(inputs)) {
    throw new TypeError('keys must be an array')
  }

  const keys = inputs.map((input, i) => {
    try {
      return readKey(input)
    } catch (error) {
      throw new TypeError(
        `keys[${i}] ${error instanceof TypeError ? error.message : 'cannot be read'}`
      )
    }
  })
  const [first] = keys

  if (first === undefined || first.signing === null) {
    throw new TypeError('keys[0] must be a private key, or a secret: it signs')
  }

  if (new Set(keys.map(({ kid }) => kid)).size < keys.length) {
    throw new TypeError('keys holds a kid twice: each must be another')
  }

  if (new Set(keys.map(({ publicJwk }) => publicJwk === null)).size > 1) {
    throw new TypeError(
      'keys holds secrets and key pairs: who has one kind might pass it for the other (RFC 8725 section 3.1)'
    )
  }

  return keys as unknown as AppKeys
}

/** */
export function createSigners (keys: AppKeys): readonly [JwtSigner, ...JwtSigner[]] {
  return keys.map(createKeySigner) as unknown as readonly [JwtSigner, ...JwtSigner[]]
}

/** */
export class KeyRing {
  readonly #tokens: JwtCodec
  readonly #onRetired: () => void
  #keys: AppKeys

  /** @param onRetired Is told where a key is gone by which tokens were verified. */
  constructor (keys: AppKeys, tokens: JwtCodec, onRetired: () => void) {
    this.#keys = keys
    this.#tokens = tokens
    this.#onRetired = onRetired
  }

  /** Public parts alone; none of secrets. */
  get publicKeys (): PublicJwk[] {
    return this.#keys.flatMap(({ publicJwk }) => publicJwk ?? [])
  }

  /** @throws TypeError as {@link readKeys}; the keys stay as they were then */
  rotate (inputs: readonly KeyInput[]): void {
    const keys = readKeys(inputs)
    const isKept = (old: AppKey): boolean =>
      keys.some(({ kid, alg, verifying }) =>
        kid === old.kid && alg === old.alg && verifying.equals(old.verifying)
      )
    const isRetired = !this.#keys.every(isKept)
    this.#keys = keys
    this.#tokens.use(createSigners(keys))

    if (isRetired) {
      this.#onRetired()
    }
  }
}
