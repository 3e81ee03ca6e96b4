// A proof of possession (DPoP, RFC 9449): a JWT that a client signs for one request, with a key that never leaves it. Here is
// what the proof says, once it is sure that the key in it has signed it; whether it is for this request is the caller's to ask.

import type { JsonWebKey } from 'node:crypto'
import { decodeParts, isSameType, parseRecord } from '../tokens/jwt-codec.js'
import { isNonEmptyString, isRecord } from '../tokens/claims.js'
import type { Claims } from '../tokens/claims.js'
import { isSignature } from '../tokens/signatures.js'
import type { KeyAlgorithm } from '../tokens/signatures.js'
import { readKey } from '../tokens/keys.js'
import type { AppKey } from '../tokens/keys.js'

export const PROOF_TYP = 'dpop+jwt'

/** What an authentic proof says (RFC 9449 section 4.2). */
export interface DpopProofClaims {
  /** RFC 7638, SHA-256: what tokens name the key by, as `cnf.jkt`. */
  readonly thumbprint: string
  readonly jti: string
  /** The method of the request. */
  readonly htm: string
  /** The address of the request. */
  readonly htu: string
  /** In seconds, by the client's clock. */
  readonly iat: number
  readonly nonce: string | null
  /** The hash of the access token that comes with it. */
  readonly ath: string | null
}

// By the names that are in use: RFC 9864 has one of its own for Ed25519.
const algorithms: Readonly<Record<string, KeyAlgorithm>> = {
  ES256: 'ES256',
  Ed25519: 'EdDSA',
  EdDSA: 'EdDSA',
  PS256: 'PS256',
  RS256: 'RS256'
}

/** The `alg` of proofs that are accepted: for metadata and challenges. */
export const proofAlgorithms: readonly string[] = Object.keys(algorithms)

const publicMembers = ['kty', 'crv', 'x', 'y', 'n', 'e']
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']
// A modulus of 4096 bits; and a header of such a key.
const LONGEST = { proof: 8192, jti: 256, modulus: 683, knownHeader: 1200 }

/** Keys by the header that shows them, as it is spelled: who proves once mostly does so again. */
export interface KnownKeys {
  get(header: string): AppKey | undefined
  set(header: string, key: AppKey): void
}

/**
 * Steps 2 to 7 of RFC 9449 section 4.3: one JWT in its one spelling, of this type, signed by the asymmetric key that it shows,
 * which holds nothing private. `null` for everything else, also for two proofs in one header, which Node joins by a comma.
 */
export function readDpopProof (text: string, known?: KnownKeys): DpopProofClaims | null {
  const parts = text.length > LONGEST.proof ? null : decodeParts(text)
  const claims = parseRecord(parts?.payload)

  if (parts === null || claims === null) {
    return null
  }

  const header = text.slice(0, text.indexOf('.'))
  const remembered = known?.get(header)
  const key = remembered ?? keyOf(parseRecord(parts.header))

  if (key === null || !isSigned(text, key, parts.signature)) {
    return null
  }

  if (remembered === undefined && header.length <= LONGEST.knownHeader) {
    known?.set(header, key)
  }

  const { jti, htm, htu, iat, nonce = null, ath = null } = claims

  if (
    !isNonEmptyString(jti) || jti.length > LONGEST.jti || !isNonEmptyString(htm) ||
    !isNonEmptyString(htu) || !isNumericDate(iat)
  ) {
    return null
  }

  if (!isTextOrNull(nonce) || !isTextOrNull(ath)) {
    return null
  }

  return { thumbprint: key.kid, jti, htm, htu, iat, nonce, ath }
}

function keyOf (header: Claims | null): AppKey | null {
  if (header === null || !isSameType(header.typ, PROOF_TYP) || 'crit' in header) {
    return null
  }

  const { alg, jwk } = header
  const known = typeof alg === 'string' && Object.hasOwn(algorithms, alg)
    ? algorithms[alg]
    : undefined

  if (
    known === undefined || !isRecord(jwk) || privateMembers.some(member => member in jwk) ||
    isLaborious(jwk)
  ) {
    return null
  }

  // What else it says of itself, such as the alg by another of its names, is of no matter.
  const key = Object.fromEntries(
    publicMembers.filter(member => member in jwk).map(member => [member, jwk[member]])
  )

  try {
    const read = readKey({ key: key as JsonWebKey, alg: known })
    return read.publicJwk === null ? null : read
  } catch {
    return null
  }
}

// Whoever sends a proof has us verify it, also a stranger: with a longer key or exponent that takes up to fifty times as long.
function isLaborious ({ kty, n, e }: Claims): boolean {
  return kty === 'RSA' && (e !== 'AQAB' || String(n).length > LONGEST.modulus)
}

function isSigned (text: string, key: AppKey, signature: Buffer): boolean {
  try {
    return isSignature(text.slice(0, text.lastIndexOf('.')), signature, key.alg, key.verifying)
  } catch {
    return false
  }
}

/** RFC 7519 section 2: others write fractions. */
function isNumericDate (value: unknown): value is number {
  return Number.isFinite(value) && (value as number) >= 0
}

function isTextOrNull (value: unknown): value is string | null {
  return value === null || isNonEmptyString(value)
}
