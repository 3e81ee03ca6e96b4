// Signing keys that the app brings: key pairs, so that other services can verify what this one signs, or secrets of other
// strengths. By Node's own cryptography, at once and with keys that were parsed once.

import {
  constants,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  KeyObject,
  sign,
  timingSafeEqual,
  verify
} from 'node:crypto'
import type { JsonWebKey } from 'node:crypto'
import { createMac } from './hmac.js'
import type { MacHash } from './hmac.js'
import type { JwtSigner } from './jwt-codec.js'
import { findWeakness } from './key-derivation.js'
import type { SigningKey } from './key-derivation.js'

/** RFC 7518 section 3.1, RFC 8037 section 3.1. */
export type KeyAlgorithm = 'HS256' | 'HS384' | 'HS512' | 'ES256' | 'EdDSA' | 'RS256' | 'PS256'

/** PEM (SPKI, PKCS #8), a JWK or a KeyObject. */
export type KeyMaterial = string | JsonWebKey | KeyObject

/** A key, alone or with what it is used with; see `keys` of the options for how the rest is found out. */
export type KeyInput = KeyMaterial | KeyUse

export interface KeyUse {
  readonly key: KeyMaterial
  /** @default what a JWK says, or EdDSA, ES256, RS256 or HS256, as the key is */
  readonly alg?: KeyAlgorithm
  /** A JWK's own is not read. @default the thumbprint of the public key (RFC 7638) */
  readonly kid?: string
}

/** A public key as others see it (RFC 7517). */
export type PublicJwk = Readonly<JsonWebKey> & {
  readonly kid: string
  readonly alg: string
  readonly use: 'sig'
}

export interface AppKey {
  readonly kid: string
  readonly alg: KeyAlgorithm
  /** `null` where this process can only verify. */
  readonly signing: KeyObject | null
  readonly verifying: KeyObject
  /** `null` for a secret. */
  readonly publicJwk: PublicJwk | null
}

const hashes: Readonly<Record<KeyAlgorithm, 'sha256' | 'sha384' | 'sha512' | null>> = {
  HS256: 'sha256',
  HS384: 'sha384',
  HS512: 'sha512',
  ES256: 'sha256',
  EdDSA: null,
  RS256: 'sha256',
  PS256: 'sha256'
}
const algorithmsByType: Readonly<Record<string, readonly KeyAlgorithm[]>> = {
  secret: ['HS256', 'HS384', 'HS512'],
  'ec prime256v1': ['ES256'],
  ed25519: ['EdDSA'],
  rsa: ['RS256', 'PS256']
}
const MIN_RSA_BITS = 2048
const MIN_RSA_EXPONENT = 65_537n
const kidForm = /^[\w.-]{1,128}$/
// RFC 7638 section 3.2: the members that are the key, in order.
const thumbprintMembers: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n']
}

/** @throws TypeError that says what is wrong with it, and holds nothing of it */
export function readKey (input: KeyInput): AppKey {
  const { key: material, alg: given, kid }: KeyUse = isKeyUse(input) ? input : { key: input }
  const stray = isKeyUse(input)
    ? Object.keys(input).find(name => !['key', 'alg', 'kid'].includes(name))
    : undefined
  assert(stray === undefined, 'has another member than key, alg and kid')
  const { alg: own, use } = isJwk(material) ? material : {}
  assert(use === undefined || use === 'sig', 'is a JWK whose use is not "sig"')
  assert(
    given === undefined || own === undefined || given === own,
    'is a JWK with an alg of its own: give no other'
  )
  const signing = toKeyObject(material)
  const verifying = signing.type === 'private' ? createPublicKey(signing) : signing
  const possible = algorithmsByType[typeOf(verifying)]
  assert(
    possible !== undefined,
    'is of no type that can be used: ES256 (P-256), EdDSA (Ed25519), RS256 and PS256 (RSA), HS256 to HS512'
  )
  const alg = (given ?? own ?? possible[0]) as KeyAlgorithm
  assert(possible.includes(alg), `cannot be used with that alg: there is ${possible.join(', ')}`)
  assertStrength(verifying, alg)
  assert(
    kid === undefined || (typeof kid === 'string' && kidForm.test(kid)),
    'has a kid that is no text of letters, digits, ".", "-" and "_"'
  )
  assert(
    signing === verifying || isSignature('', signatureOf('', alg, signing), alg, verifying),
    'holds a public part that is not its own'
  )
  const id = kid ?? thumbprintOf(verifying)

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

/** Without a private key it can only verify. */
export function createKeySigner ({ kid, alg, signing, verifying }: AppKey): JwtSigner {
  if (verifying.type === 'secret') {
    return createSecretSigner({ id: kid, key: verifying.export() }, alg)
  }

  return {
    kid,
    alg,
    sign (input) {
      if (signing === null) {
        throw new Error('This key can only verify.')
      }

      return signatureOf(input, alg, signing).toString('base64url')
    },
    verify: (input, signature) =>
      isSignature(input, Buffer.from(signature, 'base64url'), alg, verifying)
  }
}

/** By a key that signs and verifies, such as those that are derived from the app's secret. */
export function createSecretSigner (
  { id, key }: SigningKey,
  alg: KeyAlgorithm = 'HS256'
): JwtSigner {
  const sign = createMac(hashes[alg] as MacHash, key)

  return {
    kid: id,
    alg,
    sign,
    verify (input, signature) {
      const expected = sign(input)

      return signature.length === expected.length &&
        timingSafeEqual(Buffer.from(signature), Buffer.from(expected))
    }
  }
}

function signatureOf (input: string, alg: KeyAlgorithm, key: KeyObject): Buffer {
  const signature = sign(hashes[alg], Buffer.from(input), { key, ...detailsOf(alg) })
  return alg === 'ES256' ? withLowS(signature) : signature
}

function isSignature (
  input: string,
  signature: Buffer,
  alg: KeyAlgorithm,
  key: KeyObject
): boolean {
  // Of the two signatures that fit, the one with the lower s is ours: a token has one spelling.
  return (alg !== 'ES256' || withLowS(signature).equals(signature)) &&
    isSignatureBy({ alg, verifying: key }, input, signature)
}

/** Whether a key has signed a text, however it is spelled: for what others have signed. */
export function isSignatureBy (
  { alg, verifying: key }: Pick<AppKey, 'alg' | 'verifying'>,
  input: string,
  signature: Buffer
): boolean {
  return verify(hashes[alg], Buffer.from(input), { key, ...detailsOf(alg) }, signature)
}

function detailsOf (alg: KeyAlgorithm): object {
  if (alg === 'ES256') {
    return { dsaEncoding: 'ieee-p1363' }
  }

  return alg === 'PS256'
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {}
}

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

function withLowS (signature: Buffer): Buffer {
  const s = BigInt(`0x${signature.toString('hex', 32)}`)

  if (s <= P256_ORDER / 2n) {
    return signature
  }

  return Buffer.concat([
    signature.subarray(0, 32),
    Buffer.from((P256_ORDER - s).toString(16).padStart(64, '0'), 'hex')
  ])
}

function toKeyObject (material: KeyMaterial): KeyObject {
  if (material instanceof KeyObject) {
    return material
  }

  try {
    if (isJwk(material)) {
      if (material.kty === 'oct') {
        return createSecretKey(fromBase64url(material.k))
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
    // What Node says may hold what it was given.
  }

  throw new TypeError(
    'cannot be read: it must be PEM (SPKI or PKCS #8, not encrypted), a JWK or a KeyObject'
  )
}

function fromBase64url (text: unknown): Buffer {
  const bytes = Buffer.from(String(text), 'base64url')

  if (bytes.toString('base64url') !== text) {
    throw new Error('Not base64url')
  }

  return bytes
}

function isKeyUse (input: KeyInput): input is KeyUse {
  return typeof input === 'object' && input !== null && !(input instanceof KeyObject) &&
    !('kty' in input) && 'key' in input
}

function isJwk (material: unknown): material is JsonWebKey {
  return typeof material === 'object' && material !== null && 'kty' in material
}

function typeOf (key: KeyObject): string {
  if (key.type === 'secret') {
    return 'secret'
  }

  const curve = key.asymmetricKeyDetails?.namedCurve
  return curve === undefined ? String(key.asymmetricKeyType) : `${key.asymmetricKeyType} ${curve}`
}

function assertStrength (key: KeyObject, alg: KeyAlgorithm): void {
  const { modulusLength: bits, publicExponent = MIN_RSA_EXPONENT } = key.asymmetricKeyDetails ?? {}
  assert(
    publicExponent >= MIN_RSA_EXPONENT,
    `has an exponent of ${publicExponent}: ${MIN_RSA_EXPONENT} is the least`
  )
  assert(
    bits === undefined || bits >= MIN_RSA_BITS,
    `has ${bits} bits, ${MIN_RSA_BITS} are needed: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072`
  )

  if (key.type !== 'secret') {
    return
  }

  const [size = 0, needed] = [key.symmetricKeySize, Number(alg.slice(2)) / 8]
  assert(
    size >= needed,
    `is ${size} bytes long, ${needed} are needed for ${alg}: openssl rand -base64 ${needed}`
  )
  const weakness = findWeakness(key.export())
  assert(weakness === null, `${weakness}: openssl rand -base64 ${needed}`)
}

// Of a secret, a plain hash could be searched for: HMAC under the secret itself.
function thumbprintOf (key: KeyObject): string {
  if (key.type === 'secret') {
    return createHmac('sha256', key).update('kid').digest('base64url').slice(0, 12)
  }

  const jwk = key.export({ format: 'jwk' }) as Record<string, unknown>
  const members = (thumbprintMembers[String(jwk.kty)] ?? []).map(name => [name, jwk[name]])

  return createHash('sha256').update(JSON.stringify(Object.fromEntries(members))).digest(
    'base64url'
  )
}

function assert (holds: boolean, message: string): asserts holds {
  if (!holds) {
    throw new TypeError(message)
  }
}
