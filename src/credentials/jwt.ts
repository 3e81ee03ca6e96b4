// A JWT of one kind: what is checked before and beside the signature, for access and refresh tokens alike.
//
// The libraries that verify signatures let through more than one text for one token, and more than one type for one
// claim. Here a token has one spelling, its header holds `alg`, `typ` and `kid` alone, each of them a text that this
// server would have written, and the key is looked up, never taken from the token (RFC 8725 section 3).

import { isUtf8 } from 'node:buffer'

/** Signs and verifies with one key; `verify` throws where the signature does not fit. */
export interface JwtSigner {
  readonly kid: string
  readonly alg: string
  sign (claims: Claims): string
  verify (token: string): unknown
}

export type Claims = Readonly<Record<string, unknown>>

const MAX_LENGTH = 8192
const compactForm = /^[\w-]+\.[\w-]+\.[\w-]+$/
const headerMembers: ReadonlySet<string> = new Set(['alg', 'typ', 'kid'])

export class JwtKind {
  readonly #typ: string
  #current!: JwtSigner
  #signers!: ReadonlyMap<string, JwtSigner>

  /** @param signers The first one signs; all of them verify. */
  constructor (typ: string, signers: readonly [JwtSigner, ...JwtSigner[]]) {
    this.#typ = typ
    this.use(signers)
  }

  /** From now on these: the first one signs; all of them verify, and no other. */
  use (signers: readonly [JwtSigner, ...JwtSigner[]]): void {
    this.#current = signers[0]
    this.#signers = new Map(signers.map(signer => [signer.kid, signer]))
  }

  sign (claims: Claims): string {
    return this.#current.sign(claims)
  }

  /** The claims of an authentic token of this kind; `null` for everything else. Times and types of claims are the caller's. */
  open (token: string): Claims | null {
    const header = headerOf(token)
    if (header === null || !isSameType(header.typ, this.#typ)) return null
    const signer = typeof header.kid === 'string' ? this.#signers.get(header.kid) : undefined
    if (signer === undefined || header.alg !== signer.alg) return null
    try {
      const claims = signer.verify(token)
      return isRecord(claims) ? claims : null
    } catch {
      return null
    }
  }

  /** Whether a text says of itself that it is a token of this kind. Proves nothing. */
  resembles (token: string): boolean {
    return isSameType(headerOf(token)?.typ, this.#typ)
  }
}

/** The header of a token in its one spelling; `null` for every other text. Proves nothing. */
// Node's decoder forgives padding, foreign characters and bits that belong to no byte; encoding again shows them. JSON is
// UTF-8 (RFC 8725 section 3.7).
export function headerOf (token: string): Claims | null {
  if (token.length > MAX_LENGTH || !compactForm.test(token)) return null
  const texts = token.split('.')
  const parts = texts.map(text => Buffer.from(text, 'base64url'))
  if (!parts.every((part, i) => part.toString('base64url') === texts[i])) return null
  const [head, payload] = parts as [Buffer, Buffer]
  if (!isUtf8(head) || !isUtf8(payload)) return null
  try {
    const header: unknown = JSON.parse(head.toString())
    return isRecord(header) && Object.keys(header).every(member => headerMembers.has(member)) ? header : null
  } catch {
    return null
  }
}

/** Media types compare without case and without `application/` (RFC 7515 section 4.1.9). */
export function isSameType (actual: unknown, expected: string): boolean {
  return typeof actual === 'string' && actual.toLowerCase().replace(/^application\//, '') === expected
}

export function isRecord (value: unknown): value is Claims {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A NumericDate in whole seconds (RFC 7519 section 2), or a count. */
export function isCount (value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

export function isText (value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

export function isTexts (value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isText)
}
