// A JWT of one kind: what is checked before and beside the signature, for access and refresh tokens alike.
//
// The libraries that verify signatures let through more than one text for one token, and more than one type for one
// claim. Here a token has one spelling, its header holds `alg`, `typ` and `kid` alone, each of them a text that this
// server would have written, and the key is looked up, never taken from the token (RFC 8725 section 3).

import { isUtf8 } from 'node:buffer'

/** Signs and verifies texts with one key. Signatures are base64url, in its one spelling. */
export interface JwtSigner {
  readonly kid: string
  readonly alg: string
  /** @throws Error where the key can only verify */
  sign(input: string): string
  verify(input: string, signature: string): boolean
}

export type Claims = Readonly<Record<string, unknown>>

/** No token of ours is longer, in characters. */
export const MAX_TOKEN_LENGTH = 8192
const compactForm = /^[\w-]+\.[\w-]+\.[\w-]+$/
// By how many characters a part has beyond a multiple of four; no part has one.
const lastCharacters: Readonly<Record<number, string>> = { 2: 'AQgw', 3: 'AEIMQUYcgkosw048' }
const headerMembers: ReadonlySet<string> = new Set(['alg', 'typ', 'kid'])

/** */
export class JwtCodec {
  readonly #typ: string
  #current!: JwtSigner
  /** As all that it signs begins, the dot included: what begins like this need not be read. */
  #header!: string
  #signers!: ReadonlyMap<string, JwtSigner>

  /** @param signers The first one signs; all of them verify. */
  constructor (typ: string, signers: readonly [JwtSigner, ...JwtSigner[]]) {
    this.#typ = typ
    this.use(signers)
  }

  /** From now on these: the first one signs; all of them verify, and no other. */
  use (signers: readonly [JwtSigner, ...JwtSigner[]]): void {
    this.#current = signers[0]
    const { alg, kid } = this.#current
    this.#header = `${encode(JSON.stringify({ alg, typ: this.#typ, kid }))}.`
    this.#signers = new Map(signers.map(signer => [signer.kid, signer]))
  }

  sign (claims: Claims): string {
    const input = `${this.#header}${encode(JSON.stringify(claims))}`
    return `${input}.${this.#current.sign(input)}`
  }

  /** The claims of an authentic token of this kind; `null` for everything else. Times and types of claims are the caller's. */
  verify (token: string): Claims | null {
    if (token.length > MAX_TOKEN_LENGTH || !compactForm.test(token)) {
      return null
    }

    const [start, end] = [token.indexOf('.'), token.lastIndexOf('.')]
    const signer = token.startsWith(this.#header) ? this.#current : this.#signerOf(token)

    if (signer === undefined) {
      return null
    }

    const payload = decode(token.slice(start + 1, end))
    const signature = token.slice(end + 1)

    if (payload === null || !isOneSpelling(signature) || !isUtf8(payload)) {
      return null
    }

    try {
      return signer.verify(token.slice(0, end), signature) ? parseRecord(payload) : null
    } catch {
      return null
    }
  }

  /** Whether a text says of itself that it is a token of this kind. Proves nothing. */
  looksLike (token: string): boolean {
    return isSameType(decodeHeader(token)?.typ, this.#typ)
  }

  #signerOf (token: string): JwtSigner | undefined {
    const header = decodeHeader(token)

    if (header === null || !isSameType(header.typ, this.#typ)) {
      return undefined
    }

    const signer = typeof header.kid === 'string' ? this.#signers.get(header.kid) : undefined
    return signer?.alg === header.alg ? signer : undefined
  }
}

/** The header of a token in its one spelling; `null` for every other text. Proves nothing. */
export function decodeHeader (token: string): Claims | null {
  const header = token.length > MAX_TOKEN_LENGTH ? null : parseRecord(decodeParts(token)?.header)

  return header !== null && Object.keys(header).every(member => headerMembers.has(member))
    ? header
    : null
}

/** The parts of a text in the one spelling that a JWT has; `null` for every other one. JSON is UTF-8 (RFC 8725 section 3.7). */
export function decodeParts (
  token: string
): { readonly header: Buffer, readonly payload: Buffer, readonly signature: Buffer } | null {
  if (!compactForm.test(token)) {
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

/** The members of a JSON object; `null` for everything else. */
export function parseRecord (json: Buffer | undefined): Claims | null {
  try {
    const value: unknown = JSON.parse(String(json))
    return isRecord(value) ? value : null
  } catch {
    return null
  }
}

function encode (text: string): string {
  return Buffer.from(text).toString('base64url')
}

function decode (part: string): Buffer | null {
  return isOneSpelling(part) ? Buffer.from(part, 'base64url') : null
}

// Node's decoder forgives padding and foreign characters, which `compactForm` has refused by then, and bits that belong to no
// byte: those of the last character, where the length is no multiple of four.
function isOneSpelling (part: string): boolean {
  const rest = part.length % 4
  return rest === 0 || (lastCharacters[rest] ?? '').includes(part.charAt(part.length - 1))
}

/** Media types compare without case and without `application/` (RFC 7515 section 4.1.9). */
export function isSameType (actual: unknown, expected: string): boolean {
  return typeof actual === 'string' &&
    actual.toLowerCase().replace(/^application\//, '') === expected
}

/** */
export function isRecord (value: unknown): value is Claims {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A NumericDate in whole seconds (RFC 7519 section 2), or a count. */
export function isNonNegativeInteger (value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** */
export function isNonEmptyString (value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** */
export function isStringArray (value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isNonEmptyString)
}
