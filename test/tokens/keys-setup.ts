import {
  constants,
  createHmac,
  createSecretKey,
  generateKeyPairSync,
  KeyObject,
  randomBytes,
  sign
} from 'node:crypto'
import type { JsonWebKey } from 'node:crypto'
import { ACCESS_TYP } from '../../src/tokens/access-token.js'
import { JwtCodec } from '../../src/tokens/jwt-codec.js'
import { readKey } from '../../src/tokens/keys.js'
import { createKeySigner } from '../../src/tokens/key-signer.js'
import type { KeyAlgorithm } from '../../src/tokens/signatures.js'
import type { KeyInput, KeyMaterial } from '../../src/tokens/keys.js'

interface Pair {
  readonly signing: KeyObject
  readonly verifying: KeyObject
}

const toPair = (made: { privateKey: KeyObject, publicKey: KeyObject }): Pair => ({
  signing: made.privateKey,
  verifying: made.publicKey
})

const createSecretPair = (bytes: number): Pair => {
  const secret = createSecretKey(randomBytes(bytes))
  return { signing: secret, verifying: secret }
}

export const rsa = toPair(generateKeyPairSync('rsa', { modulusLength: 2048 }))

export const pairs: Record<KeyAlgorithm, Pair> = {
  HS256: createSecretPair(32),
  HS384: createSecretPair(48),
  HS512: createSecretPair(64),
  ES256: toPair(generateKeyPairSync('ec', { namedCurve: 'P-256' })),
  EdDSA: toPair(generateKeyPairSync('ed25519')),
  RS256: rsa,
  PS256: rsa
}

export const all = Object.entries(pairs) as Array<[KeyAlgorithm, Pair]>

export const asymmetric = all.filter(([alg]) => !alg.startsWith('HS'))

export const claims = { sub: 'u-ann', n: '>?>?>?~~~' }

export const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

export const toJwk = (key: KeyObject): JsonWebKey => key.export({ format: 'jwk' })

export const toPem = (
  key: KeyObject,
  type: 'pkcs8' | 'spki' | 'pkcs1' | 'sec1' = key.type === 'private' ? 'pkcs8' : 'spki'
): string => key.export({ format: 'pem', type } as never) as string

/** Returns a key in every form that the option `keys` accepts. */
export function toAllForms (key: KeyObject): Record<string, KeyMaterial> {
  const forms = { 'a KeyObject': key, 'a JWK': toJwk(key) }

  return key.type === 'secret'
    ? forms
    : { ...forms, 'a PEM': toPem(key), 'a PEM with more lines': `${toPem(key)}\n\n` }
}

export function createCodec (...keys: KeyInput[]): JwtCodec {
  return new JwtCodec(
    ACCESS_TYP,
    keys.map(key => createKeySigner(readKey(key), ACCESS_TYP)) as never
  )
}

export const encode = (part: unknown): string =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')

export const decode = (part: string): Buffer => Buffer.from(part, 'base64url')

export const splitToken = (token: string): [string, string, string] =>
  token.split('.') as [string, string, string]

/** Signs any header and payload. Strings are encoded unchanged. */
export function createToken (alg: KeyAlgorithm, head: unknown, payload: unknown = claims): string {
  const input = `${encode(head)}.${encode(payload)}`
  return `${input}.${createSignature(alg, input).toString('base64url')}`
}

const SIGNATURE_DETAILS = {
  ES256: { dsaEncoding: 'ieee-p1363' },
  PS256: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
} as Partial<Record<KeyAlgorithm, object>>

export function createSignature (alg: KeyAlgorithm, input: string): Buffer {
  const key = pairs[alg].signing

  if (key.type === 'secret') {
    return createHmac(`sha${alg.slice(2)}`, key).update(input).digest()
  }

  const bytes = sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(input), {
    key,
    ...SIGNATURE_DETAILS[alg]
  })
  return alg === 'ES256' && bytes.readUInt8(32) > 0x7e ? createSignature(alg, input) : bytes
}

export const [spare, p384] = [
  generateKeyPairSync('ed25519').privateKey,
  generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey
]

export const { signing, verifying } = pairs.EdDSA
