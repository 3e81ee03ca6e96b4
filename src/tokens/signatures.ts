import { constants, createHmac, sign, timingSafeEqual, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

/** Signature algorithm (RFC 7518, section 3.1; RFC 8037, section 3.1). */
export type KeyAlgorithm = 'HS256' | 'HS384' | 'HS512' | 'ES256' | 'EdDSA' | 'RS256' | 'PS256'

type HashName = 'sha256' | 'sha384' | 'sha512'

const HASHES: Readonly<Record<KeyAlgorithm, HashName | null>> = {
  HS256: 'sha256',
  HS384: 'sha384',
  HS512: 'sha512',
  ES256: 'sha256',
  EdDSA: null,
  RS256: 'sha256',
  PS256: 'sha256'
}

const ES256_LENGTH = 64
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** Whether a private key and a public key form a pair. */
export function isKeyPair (signing: KeyObject, verifying: KeyObject, alg: KeyAlgorithm): boolean {
  return isSignature('', createSignature('', alg, signing), alg, verifying)
}

/** Whether a key has created a signature. Accepts both forms of an ES256 signature. */
export function isSignature (
  input: string,
  signature: Buffer,
  alg: KeyAlgorithm,
  key: KeyObject
): boolean {
  if (key.type === 'secret') {
    const expected = createSignature(input, alg, key)
    return signature.length === expected.length && timingSafeEqual(signature, expected)
  }

  return verify(HASHES[alg], Buffer.from(input), { key, ...getSignatureDetails(alg) }, signature)
}

/** Creates a signature or an HMAC. */
export function createSignature (input: string, alg: KeyAlgorithm, key: KeyObject): Buffer {
  if (key.type === 'secret') {
    return createHmac(HASHES[alg] as HashName, key).update(input).digest()
  }

  const signature = sign(HASHES[alg], Buffer.from(input), { key, ...getSignatureDetails(alg) })
  return alg === 'ES256' ? toLowS(signature) : signature
}

/**
 * Whether a key has created a signature, in the one form that we accept.
 *
 * Every ES256 signature has a second valid form, `n - s`. Our tokens have one spelling, so only the
 * form with the lower `s` is accepted. The check takes 2 µs of the 80 µs of a verification.
 */
export function isCanonicalSignature (
  input: string,
  signature: Buffer,
  alg: KeyAlgorithm,
  key: KeyObject
): boolean {
  return isCanonicalForm(signature, alg) && isSignature(input, signature, alg, key)
}

/** Whether a signature has the one form that we accept, valid or not. */
export function isCanonicalForm (signature: Buffer, alg: KeyAlgorithm): boolean {
  // The length is checked first, because an empty `s` is no number.
  return alg !== 'ES256' ||
    (signature.length === ES256_LENGTH && toLowS(signature) === signature)
}

function toLowS (signature: Buffer): Buffer {
  const s = BigInt(`0x${signature.toString('hex', 32)}`)

  if (s <= P256_ORDER / 2n) {
    return signature
  }

  const low = (P256_ORDER - s).toString(16).padStart(64, '0')
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(low, 'hex')])
}

function getSignatureDetails (alg: KeyAlgorithm): object {
  if (alg === 'ES256') {
    return { dsaEncoding: 'ieee-p1363' }
  }

  return alg === 'PS256'
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {}
}
