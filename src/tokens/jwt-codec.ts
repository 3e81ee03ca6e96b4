import { isUtf8 } from 'node:buffer'
import { isRecord } from './claims.js'
import type { Claims } from './claims.js'

/**
 * Signs and verifies tokens of one type with one key.
 *
 * A signer checks the signature only. `JwtCodec` checks everything else before it calls one.
 */
export interface JwtSigner {
  /** Key ID, the `kid` header member (RFC 7515, section 4.1.4). */
  readonly kid: string
  /** Signature algorithm, the `alg` header member (RFC 7518, section 3.1). */
  readonly alg: string
  /**
   * Creates a token in compact serialization with the header members `alg`, `typ` and `kid`.
   *
   * @throws Error if the key can only verify.
   */
  sign(claims: Claims): string
  /**
   * Verifies the signature of a token in compact serialization.
   *
   * @throws Error if the signature is invalid or the payload is not JSON.
   */
  verify(token: string): unknown
}

/** At least one signer. The first one signs, all of them verify. */
export type JwtSigners = readonly [JwtSigner, ...JwtSigner[]]

/** Maximum length of a token in characters. Longer ones are rejected without parsing. */
export const MAX_TOKEN_LENGTH = 8192

const COMPACT_FORM = /^[\w-]+\.[\w-]+\.[\w-]+$/

// Valid last characters of a base64url string, by its length modulo 4. All others set unused bits.
const LAST_CHARACTERS: Readonly<Record<number, string>> = { 2: 'AQgw', 3: 'AEIMQUYcgkosw048' }

const HEADER_MEMBERS: ReadonlySet<string> = new Set(['alg', 'typ', 'kid'])

/**
 * Creates and verifies JSON Web Tokens of one type, with strict checks in front of the signer.
 *
 * Libraries that verify signatures accept several spellings of one token and unknown header
 * members. This class accepts one spelling, the header members `alg`, `typ` and `kid`, and keys
 * that it was given (RFC 8725, section 3). Callers check the times and types of claims.
 */
export class JwtCodec {
  /** The `typ` header member of all tokens of this codec (RFC 8725, section 3.11). */
  readonly typ: string
  #current!: JwtSigner
  /** Encoded header of every token that `#current` signs, with the dot after it. */
  #header!: string
  #signers!: ReadonlyMap<string, JwtSigner>

  constructor (typ: string, signers: JwtSigners) {
    this.typ = typ
    this.use(signers)
  }

  /** Replaces all signers. Tokens of removed keys are rejected from now on. */
  use (signers: JwtSigners): void {
    const [current] = signers
    this.#current = current
    this.#header = encodeHeader(current, this.typ)
    this.#signers = new Map(signers.map(signer => [signer.kid, signer]))
  }

  /** Creates a token with the current signer. */
  sign (claims: Claims): string {
    return this.#current.sign(claims)
  }

  /**
   * Verifies the form, the header and the signature of a token.
   *
   * @returns The claims, or `null` if the token is not authentic.
   */
  verify (token: string): Claims | null {
    if (token.length > MAX_TOKEN_LENGTH || !COMPACT_FORM.test(token)) {
      return null
    }

    const signer = token.startsWith(this.#header) ? this.#current : this.#findSigner(token)

    if (signer === undefined || !hasCanonicalBody(token)) {
      return null
    }

    try {
      const claims = signer.verify(token)
      return isRecord(claims) ? claims : null
    } catch {
      return null
    }
  }

  /** Whether the header claims this type. Proves nothing, because it verifies no signature. */
  looksLike (token: string): boolean {
    return isSameType(decodeHeader(token)?.typ, this.typ)
  }

  #findSigner (token: string): JwtSigner | undefined {
    const header = decodeHeader(token)

    if (header === null || !isSameType(header.typ, this.typ)) {
      return undefined
    }

    const signer = typeof header.kid === 'string' ? this.#signers.get(header.kid) : undefined
    return signer?.alg === header.alg ? signer : undefined
  }
}

/** Encodes the header of a token, with the dot after it. */
export function encodeHeader (
  { alg, kid }: Pick<JwtSigner, 'alg' | 'kid'>,
  typ: string
): string {
  return `${encode(JSON.stringify({ alg, typ, kid }))}.`
}

/** Encodes claims as the payload of a token. */
export function encodePayload (claims: Claims): string {
  return encode(JSON.stringify(claims))
}

/**
 * Decodes the header of a token without verifying it.
 *
 * @returns `null` if the token is malformed or the header has members other than `alg`, `typ`
 * and `kid`.
 */
export function decodeHeader (token: string): Claims | null {
  const header = token.length > MAX_TOKEN_LENGTH ? null : parseRecord(decodeParts(token)?.header)

  return header !== null && Object.keys(header).every(member => HEADER_MEMBERS.has(member))
    ? header
    : null
}

/** The three parts of a token, decoded. */
export interface JwtParts {
  readonly header: Buffer
  readonly payload: Buffer
  readonly signature: Buffer
}

/**
 * Decodes the parts of a token in compact serialization.
 *
 * @returns `null` if a part is not canonical base64url, or if the header or the payload is not
 * UTF-8 (RFC 8725, section 3.7).
 */
export function decodeParts (token: string): JwtParts | null {
  if (!COMPACT_FORM.test(token)) {
    return null
  }

  const [header = null, payload = null, signature = null] = token.split('.').map(decode)

  if (
    header === null || payload === null || signature === null || !isUtf8(header) || !isUtf8(payload)
  ) {
    return null
  }

  return { header, payload, signature }
}

/** Parses a JSON object. Returns `null` for every other value. */
export function parseRecord (json: Buffer | undefined): Claims | null {
  try {
    const value: unknown = JSON.parse(String(json))
    return isRecord(value) ? value : null
  } catch {
    return null
  }
}

/** Whether two media types are the same, regardless of case and of `application/`. */
export function isSameType (actual: unknown, expected: string): boolean {
  return typeof actual === 'string' &&
    actual.toLowerCase().replace(/^application\//, '') === expected
}

// Checks the payload and the signature. `verify` compares or decodes the header.
function hasCanonicalBody (token: string): boolean {
  const [start, end] = [token.indexOf('.'), token.lastIndexOf('.')]
  const payload = decode(token.slice(start + 1, end))
  return payload !== null && isUtf8(payload) && isCanonical(token.slice(end + 1))
}

function encode (string: string): string {
  return Buffer.from(string).toString('base64url')
}

function decode (part: string): Buffer | null {
  return isCanonical(part) ? Buffer.from(part, 'base64url') : null
}

// Node's decoder ignores padding and unused bits. `COMPACT_FORM` has already rejected padding.
function isCanonical (part: string): boolean {
  const rest = part.length % 4
  return rest === 0 || (LAST_CHARACTERS[rest] ?? '').includes(part.charAt(part.length - 1))
}
