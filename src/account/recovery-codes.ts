import { createHmac, randomInt } from 'node:crypto'
import type { SigningKeys } from '../tokens/key-derivation.js'

/** Digits and letters that cannot be mistaken for each other (Crockford's base 32). */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
/** Length of a code without the hyphen: 50 bits. */
const LENGTH = 10
const COUNT = 10

/** Recovery codes of a user. */
export interface RecoveryCodes {
  /** Codes to show once, such as `7K2MX-9QW4T`. */
  readonly codes: readonly string[]
  /** Hashes that replace the saved ones, in the order of the codes. */
  readonly hashes: readonly string[]
}

/**
 * Creates and hashes recovery codes.
 *
 * The hash is an HMAC-SHA256 with a key that derives from `secret`. The codes are random, so a slow
 * password hash would only cost time. Without the key, a copy of the database does not suffice to
 * try all 2^50 codes. The same code has the same hash, so one statement finds and deletes it.
 */
export class RecoveryCodeHasher {
  readonly #keys: SigningKeys

  /** @param keys - The first one hashes new codes. Codes of the others remain valid. */
  constructor (keys: SigningKeys) {
    this.#keys = keys
  }

  /** Creates ten random codes. */
  create (userId: string): RecoveryCodes {
    const codes = Array.from({ length: COUNT }, createCode)
    return { codes, hashes: codes.map(code => this.hash(userId, code)[0] as string) }
  }

  /** Returns the hash of a code under each key. Ignores case, spaces and hyphens. */
  hash (userId: string, code: string): string[] {
    const normalized = code.toUpperCase()
      .replace(/[\s-]/g, '')
      .replace(/O/g, '0')
      .replace(/[IL]/g, '1')

    return this.#keys.map(({ key }) =>
      createHmac('sha256', key).update(JSON.stringify([userId, normalized])).digest('base64url')
    )
  }
}

function createCode (): string {
  const code = Array.from({ length: LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')
  return `${code.slice(0, LENGTH / 2)}-${code.slice(LENGTH / 2)}`
}
