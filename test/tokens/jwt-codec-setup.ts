import { createHmac, randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import { ACCESS_TYP, readAccessClaims } from '../../src/tokens/access-token.js'
import type { AccessScope, AccessToken } from '../../src/tokens/access-token.js'
import { JwtCodec } from '../../src/tokens/jwt-codec.js'
import type { JwtSigner } from '../../src/tokens/jwt-codec.js'
import { createSecretCodec } from '../helpers/signers.js'

// Encodes to base64url with both `-` and `_`, which the standard alphabet spells `+` and `/`.
export const KID = 'k>?>?>?~~~'
export const KEY = randomBytes(32)
export const OTHER_KEY = randomBytes(32)
export const NOW = Date.UTC(2026, 0, 1)
export const START = NOW / 1000
export const NO_SCOPE = { issuer: undefined, audience: undefined }
export const unbound = { clientId: null, thumbprint: null }

export const header = { alg: 'HS256', typ: ACCESS_TYP, kid: KID }

export const accessClaims = {
  sub: 'u-ann',
  sid: 's1',
  gen: 3,
  type: 'access',
  auth_time: START,
  iat: START,
  exp: START + 900
}

export function encode (part: unknown): string {
  const bytes = part instanceof Buffer
    ? part
    : Buffer.from(typeof part === 'string' ? part : JSON.stringify(part))
  return bytes.toString('base64url')
}

export function decode (part: string): Buffer {
  return Buffer.from(part, 'base64url')
}

export function sign (input: string, key: Buffer | string = KEY, algorithm = 'sha256'): string {
  return `${input}.${createHmac(algorithm, key).update(input).digest('base64url')}`
}

/** Signs any header and payload. Strings and bytes are encoded unchanged. */
export function createToken (
  head: unknown,
  payload: unknown,
  key?: Buffer | string,
  algorithm?: string
): string {
  return sign(`${encode(head)}.${encode(payload)}`, key, algorithm)
}

/** Returns JSON with one member replaced by `json`, or removed if `json` is `undefined`. */
export function withMember (object: object, name: string, json: string | undefined): string {
  const members = Object.entries(object).filter(([key]) => key !== name).map(([key, value]) =>
    `"${key}":${JSON.stringify(value)}`
  )
  return `{${[...members, ...(json === undefined ? [] : [`"${name}":${json}`])].join()}}`
}

export function readAccessToken (
  codec: JwtCodec,
  token: string,
  now: number,
  scope: AccessScope
): AccessToken | null {
  const claims = codec.verify(token)
  return claims === null ? null : readAccessClaims(claims, now, scope)
}

export function splitToken (token: string): [string, string, string] {
  return token.split('.') as [string, string, string]
}

// Accepts every signature, so that JwtCodec itself must reject.
const lenientSigner: JwtSigner = {
  kid: KID,
  alg: 'HS256',
  sign: claims => createToken(header, claims),
  verify: token => JSON.parse(decode(splitToken(token)[1]).toString())
}

/** Creates codecs with a real signer and with one that accepts every signature. */
export async function createCodecs (typ: string): Promise<Record<'real' | 'lenient', JwtCodec>> {
  return {
    real: await createSecretCodec(typ, { id: KID, key: KEY }),
    lenient: new JwtCodec(typ, [lenientSigner])
  }
}

export const codecs = await createCodecs(ACCESS_TYP)

export function assertRejected (t: Test, token: string, name: string): void {
  for (const [signer, codec] of Object.entries(codecs)) {
    t.equal(codec.verify(token), null, `${name} (${signer} signer)`)
  }
}

export function assertAccepted (t: Test, token: string, name: string): void {
  for (const [signer, codec] of Object.entries(codecs)) {
    t.not(codec.verify(token), null, `${name} (${signer} signer)`)
  }
}
