import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  KeyObject
} from 'node:crypto'
import type { webcrypto } from 'node:crypto'
import { findWeakness } from './key-derivation.js'
import { isKeyPair } from './signatures.js'
import type { KeyAlgorithm } from './signatures.js'

/** Key as PEM (SPKI or PKCS #8, not encrypted), JWK or `KeyObject`. */
export type KeyMaterial = string | webcrypto.JsonWebKey | KeyObject

/** Key alone, or key with its algorithm and ID. */
export type KeyInput = KeyMaterial | KeyUse

/**
 * Key with its algorithm and ID.
 *
 * @example
 * ```ts
 * keys: [{ key: process.env.SIGNING_KEY, alg: 'PS256', kid: '2027-01' }]
 * ```
 */
export interface KeyUse {
  /** Private key, public key or secret. */
  readonly key: KeyMaterial
  /**
   * Signature algorithm.
   *
   * @default the `alg` member of a JWK, or else EdDSA, ES256, RS256 or HS256, by the type of key
   */
  readonly alg?: KeyAlgorithm
  /**
   * Key ID, up to 128 letters, digits, `.`, `-` and `_`. The `kid` member of a JWK is ignored.
   *
   * @default the thumbprint of the public key (RFC 7638); for a secret, a string derived from it
   */
  readonly kid?: string
}

/** Public key as the JWKS route returns it (RFC 7517). */
export type PublicJwk = Readonly<webcrypto.JsonWebKey> & {
  readonly kid: string
  readonly alg: string
  readonly use: 'sig'
}

/** Key of the app, parsed and checked. */
export interface AppKey {
  readonly kid: string
  readonly alg: KeyAlgorithm
  /** `null` if this process can only verify. */
  readonly signing: KeyObject | null
  readonly verifying: KeyObject
  /** `null` for a secret. */
  readonly publicJwk: PublicJwk | null
}

/** Entry of `keys` for the keys that derive from the option `secret`. */
export const DERIVED_KEY = 'secret'

/** At least one key. The first one signs, all of them verify. */
export type AppKeys = readonly [
  AppKey | typeof DERIVED_KEY,
  ...Array<AppKey | typeof DERIVED_KEY>
]

const ALGORITHMS_BY_TYPE: Readonly<Record<string, readonly KeyAlgorithm[]>> = {
  secret: ['HS256', 'HS384', 'HS512'],
  'ec prime256v1': ['ES256'],
  ed25519: ['EdDSA'],
  rsa: ['RS256', 'PS256']
}

const KEY_USE_MEMBERS = ['key', 'alg', 'kid']

const MIN_RSA_BITS = 2048
const MIN_RSA_EXPONENT = 65_537n
const KID_FORM = /^[\w.-]{1,128}$/

// Required members in lexicographic order (RFC 7638, section 3.2).
const THUMBPRINT_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n']
}

/**
 * Reads the keys of the app.
 *
 * @throws TypeError if a key cannot be used. The error names its index and contains no part of it.
 */
export function readKeys (inputs: readonly KeyInput[]): AppKeys {
  if (!Array.isArray(inputs)) {
    throw new TypeError('"keys" must be an array')
  }

  const keys = inputs.map((input, i) => {
    try {
      return input === DERIVED_KEY ? input : readKey(input)
    } catch (error) {
      throw new TypeError(
        `"keys[${i}]" ${error instanceof TypeError ? error.message : 'cannot be read'}`
      )
    }
  })
  const [first] = keys

  if (first === undefined || (first !== DERIVED_KEY && first.signing === null)) {
    throw new TypeError('"keys[0]" must be a private key or a secret, because it signs')
  }

  if (new Set(keys.map(key => key === DERIVED_KEY ? '' : key.kid)).size < keys.length) {
    throw new TypeError('"keys" must not contain a kid twice')
  }

  // A public key could be presented as an HMAC secret (RFC 8725, section 3.1). A derived key cannot
  // be confused with one, because its ID and its algorithm are fixed.
  if (new Set(getOwnKeys(keys).map(({ publicJwk }) => publicJwk === null)).size > 1) {
    throw new TypeError('"keys" must be either all key pairs or all secrets')
  }

  return keys as unknown as AppKeys
}

/** Returns the keys without the entry for derived ones. */
export function getOwnKeys (keys: ReadonlyArray<AppKey | typeof DERIVED_KEY>): readonly AppKey[] {
  return keys.filter(key => key !== DERIVED_KEY)
}

/**
 * Reads one key.
 *
 * @throws TypeError with a message without its subject, such as `must be a JWK`.
 */
export function readKey (input: KeyInput): AppKey {
  const { key: material, alg: given, kid }: KeyUse = isKeyUse(input) ? input : { key: input }
  const unknown = isKeyUse(input)
    ? Object.keys(input).find(name => !KEY_USE_MEMBERS.includes(name))
    : undefined
  assert(
    unknown === undefined,
    `must not have the member "${unknown ?? ''}"; valid members: ${KEY_USE_MEMBERS.join(', ')}`
  )
  const { alg: own, use } = isJwk(material) ? material : {}
  assert(use === undefined || use === 'sig', 'must be a JWK with the use "sig"')
  assert(
    given === undefined || own === undefined || given === own,
    'must have the same alg as its JWK; remove one of the two'
  )

  const signing = toKeyObject(material)
  const verifying = signing.type === 'private' ? createPublicKey(signing) : signing
  const possible = ALGORITHMS_BY_TYPE[getKeyType(verifying)]
  assert(
    possible !== undefined,
    'must be a key for ES256 (P-256), EdDSA (Ed25519), RS256 or PS256 (RSA), or HS256 to HS512'
  )
  const alg = (given ?? own ?? possible[0]) as KeyAlgorithm
  assert(possible.includes(alg), `cannot be used with this alg; valid: ${possible.join(', ')}`)
  assertStrong(verifying, alg)
  assert(
    kid === undefined || (typeof kid === 'string' && KID_FORM.test(kid)),
    'must have a kid of letters, digits, ".", "-" and "_"'
  )
  assert(
    signing === verifying || isKeyPair(signing, verifying, alg),
    'contains a public part that belongs to another key'
  )
  const id = kid ?? createThumbprint(verifying)

  return {
    kid: id,
    alg,
    signing: signing.type === 'public' ? null : signing,
    verifying,
    publicJwk: verifying.type === 'secret'
      ? null
      : { ...verifying.export({ format: 'jwk' }), kid: id, alg, use: 'sig' }
  }
}

function toKeyObject (material: KeyMaterial): KeyObject {
  if (material instanceof KeyObject) {
    return material
  }

  try {
    if (isJwk(material)) {
      if (material.kty === 'oct') {
        return createSecretKey(decodeBase64url(material.k))
      }

      return material.d === undefined
        ? createPublicKey({ key: material, format: 'jwk' })
        : createPrivateKey({ key: material, format: 'jwk' })
    }

    if (typeof material === 'string' && /^-----BEGIN [A-Z ]*KEY-----/.test(material)) {
      return material.includes('PRIVATE KEY-----')
        ? createPrivateKey(material)
        : createPublicKey(material)
    }
  } catch {
    // The message of node:crypto may contain the key.
  }

  throw new TypeError('must be PEM (SPKI or PKCS #8, not encrypted), a JWK or a KeyObject')
}

function decodeBase64url (string: unknown): Buffer {
  const bytes = Buffer.from(String(string), 'base64url')

  if (bytes.toString('base64url') !== string) {
    throw new Error('Invalid base64url')
  }

  return bytes
}

function isKeyUse (input: KeyInput): input is KeyUse {
  return typeof input === 'object' && input !== null && !(input instanceof KeyObject) &&
    !('kty' in input) && 'key' in input
}

// With @types/node 20, `createPublicKey` requires the index signature.
function isJwk (
  material: unknown
): material is webcrypto.JsonWebKey & Readonly<Record<string, unknown>> {
  return typeof material === 'object' && material !== null && 'kty' in material
}

function getKeyType (key: KeyObject): string {
  if (key.type === 'secret') {
    return 'secret'
  }

  const curve = key.asymmetricKeyDetails?.namedCurve
  return curve === undefined ? String(key.asymmetricKeyType) : `${key.asymmetricKeyType} ${curve}`
}

function assertStrong (key: KeyObject, alg: KeyAlgorithm): void {
  const { modulusLength: bits, publicExponent = MIN_RSA_EXPONENT } = key.asymmetricKeyDetails ?? {}
  assert(
    publicExponent >= MIN_RSA_EXPONENT,
    `must have an exponent of at least ${MIN_RSA_EXPONENT}, not ${publicExponent}`
  )
  assert(
    bits === undefined || bits >= MIN_RSA_BITS,
    `must have at least ${MIN_RSA_BITS} bits, not ${bits}; ` +
      'run "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072"'
  )

  if (key.type !== 'secret') {
    return
  }

  const [size = 0, required] = [key.symmetricKeySize, Number(alg.slice(2)) / 8]
  assert(
    size >= required,
    `must have at least ${required} bytes for ${alg}, not ${size}; ` +
      `run "openssl rand -base64 ${required}"`
  )
  const weakness = findWeakness(key.export())
  assert(
    weakness === null,
    `must be a random secret, but ${weakness}; run "openssl rand -base64 ${required}"`
  )
}

// Attackers have tables of plain hashes, so the ID of a secret is an HMAC under the secret itself.
function createThumbprint (key: KeyObject): string {
  if (key.type === 'secret') {
    return createHmac('sha256', key).update('kid').digest('base64url').slice(0, 12)
  }

  const jwk = key.export({ format: 'jwk' }) as Record<string, unknown>
  const members = (THUMBPRINT_MEMBERS[String(jwk.kty)] ?? []).map(name => [name, jwk[name]])
  const json = JSON.stringify(Object.fromEntries(members))
  return createHash('sha256').update(json).digest('base64url')
}

function assert (condition: boolean, message: string): asserts condition {
  if (!condition) {
    throw new TypeError(message)
  }
}
