import type { webcrypto } from 'node:crypto'
import { isNonEmptyString, isRecord } from '../tokens/claims.js'
import type { Claims } from '../tokens/claims.js'
import { decodeParts, isSameType, parseRecord } from '../tokens/jwt-codec.js'
import { readKey } from '../tokens/keys.js'
import type { AppKey } from '../tokens/keys.js'
import { isSignature } from '../tokens/signatures.js'
import type { KeyAlgorithm } from '../tokens/signatures.js'

// `typ` of a DPoP proof (RFC 9449, section 4.2).
const PROOF_TYP = 'dpop+jwt'

/** Claims of an authentic proof (RFC 9449, section 4.2). Proves nothing about the request. */
export interface DpopProofClaims {
  /** JWK thumbprint, SHA-256 (RFC 7638). Tokens name the key by it, as `cnf.jkt`. */
  readonly thumbprint: string
  readonly jti: string
  /** HTTP method. */
  readonly htm: string
  /** URL of the request. */
  readonly htu: string
  /** Creation time in seconds, by the client's clock. */
  readonly iat: number
  readonly nonce: string | null
  /** Hash of the access token in the request. */
  readonly ath: string | null
}

// Includes both names of Ed25519: `EdDSA` and the newer one of RFC 9864.
const ALGORITHMS: Readonly<Record<string, KeyAlgorithm>> = {
  ES256: 'ES256',
  Ed25519: 'EdDSA',
  EdDSA: 'EdDSA',
  PS256: 'PS256',
  RS256: 'RS256'
}

/** Accepted `alg` values, for metadata and challenges. */
export const proofAlgorithms: readonly string[] = Object.keys(ALGORITHMS)

const PUBLIC_MEMBERS = ['kty', 'crv', 'x', 'y', 'n', 'e']
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

const MAX_PROOF_LENGTH = 8192
const MAX_JTI_LENGTH = 256
// 4096 bits in base64url. A longer RSA key or exponent takes up to 50 times as long to verify.
const MAX_MODULUS_LENGTH = 683
// Fits the header of a proof with the longest accepted key.
const MAX_CACHED_HEADER_LENGTH = 1200

/** Cache of public keys by the encoded header that contains them. */
export interface KeyCache {
  get(header: string): AppKey | undefined
  set(header: string, key: AppKey): void
}

/**
 * Reads a DPoP proof and verifies its signature (RFC 9449, section 4.3, checks 2 to 7).
 *
 * Accepts one spelling of each JWT. The header contains the public key that verifies the signature.
 *
 * @param cache - Saves parsing the key of a client that sends several proofs.
 * @returns `null` if the proof is invalid, or if the request has two `DPoP` headers, which Node
 * joins with a comma.
 */
export function readDpopProof (proof: string, cache?: KeyCache): DpopProofClaims | null {
  const parts = proof.length > MAX_PROOF_LENGTH ? null : decodeParts(proof)
  const claims = parseRecord(parts?.payload)

  if (parts === null || claims === null) {
    return null
  }

  const header = proof.slice(0, proof.indexOf('.'))
  const cached = cache?.get(header)
  const key = cached ?? readHeaderKey(parseRecord(parts.header))

  if (key === null || !isSigned(proof, key, parts.signature)) {
    return null
  }

  if (cached === undefined && header.length <= MAX_CACHED_HEADER_LENGTH) {
    cache?.set(header, key)
  }

  const { jti, htm, htu, iat, nonce = null, ath = null } = claims

  if (
    !isNonEmptyString(jti) || jti.length > MAX_JTI_LENGTH || !isNonEmptyString(htm) ||
    !isNonEmptyString(htu) || !isNumericDate(iat)
  ) {
    return null
  }

  if (!isStringOrNull(nonce) || !isStringOrNull(ath)) {
    return null
  }

  return { thumbprint: key.kid, jti, htm, htu, iat, nonce, ath }
}

/** Returns the public key in a header; `null` if the header or the key is not acceptable. */
function readHeaderKey (header: Claims | null): AppKey | null {
  if (header === null || !isSameType(header.typ, PROOF_TYP) || 'crit' in header) {
    return null
  }

  const { alg, jwk } = header
  const algorithm = typeof alg === 'string' && Object.hasOwn(ALGORITHMS, alg)
    ? ALGORITHMS[alg]
    : undefined

  if (
    algorithm === undefined || !isRecord(jwk) || PRIVATE_MEMBERS.some(member => member in jwk) ||
    isExpensive(jwk)
  ) {
    return null
  }

  // Ignores other members, such as an `alg` that uses another name of the same algorithm.
  const key = Object.fromEntries(
    PUBLIC_MEMBERS.filter(member => member in jwk).map(member => [member, jwk[member]])
  )

  try {
    const read = readKey({ key: key as webcrypto.JsonWebKey, alg: algorithm })
    return read.publicJwk === null ? null : read
  } catch {
    return null
  }
}

/** Whether verifying a signature would take long. Anyone can send a proof, also an attacker. */
function isExpensive ({ kty, n, e }: Claims): boolean {
  return kty === 'RSA' && (e !== 'AQAB' || String(n).length > MAX_MODULUS_LENGTH)
}

function isSigned (proof: string, key: AppKey, signature: Buffer): boolean {
  try {
    return isSignature(proof.slice(0, proof.lastIndexOf('.')), signature, key.alg, key.verifying)
  } catch {
    return false
  }
}

/** Whether a value is a NumericDate, which may have decimals (RFC 7519, section 2). */
function isNumericDate (value: unknown): value is number {
  return Number.isFinite(value) && (value as number) >= 0
}

function isStringOrNull (value: unknown): value is string | null {
  return value === null || isNonEmptyString(value)
}
