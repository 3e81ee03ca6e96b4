// Proofs of possession (RFC 9449) by hand, so that the right key signs what no library would, and a
// client that sends them.

import {
  constants,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  hash,
  randomUUID,
  sign
} from 'node:crypto'
import type { JsonWebKey, KeyObject } from 'node:crypto'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'

export type ProofAlgorithm = 'ES256' | 'Ed25519' | 'EdDSA' | 'RS256' | 'PS256'

export interface ProofKey {
  readonly alg: ProofAlgorithm
  readonly privateKey: KeyObject
  /** Its public part. */
  readonly jwk: JsonWebKey
}

export const proofAlgorithms: readonly ProofAlgorithm[] = [
  'ES256',
  'Ed25519',
  'EdDSA',
  'RS256',
  'PS256'
]

export function createProofKey (alg: ProofAlgorithm = 'Ed25519', bits = 2048): ProofKey {
  return keyOf(
    alg,
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
      : alg.startsWith('Ed')
      ? generateKeyPairSync('ed25519').privateKey
      : generateKeyPairSync('rsa', { modulusLength: bits }).privateKey
  )
}

export function keyOf (alg: ProofAlgorithm, privateKey: KeyObject): ProofKey {
  return { alg, privateKey, jwk: createPublicKey(privateKey).export({ format: 'jwk' }) }
}

/** As in a proof: of JSON, or of a text or bytes as they stand. */
export function encode (part: unknown): string {
  return Buffer.from(
    Buffer.isBuffer(part) || typeof part === 'string' ? part as string : JSON.stringify(part)
  ).toString('base64url')
}

export function signed (input: string, { alg, privateKey: key }: ProofKey): string {
  const padding = alg === 'PS256'
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {}
  const digest = alg.startsWith('Ed') ? null : 'sha256'

  return `${input}.${
    sign(digest, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363', ...padding }).toString(
      'base64url'
    )
  }`
}

export function signedBySecret (input: string, secret: string | Buffer, digest = 'sha256'): string {
  return `${input}.${createHmac(digest, secret).update(input).digest('base64url')}`
}

/** @param header Merged over that of a sound proof; an `undefined` member is left out. */
export function writeProof (key: ProofKey, claims: unknown, header: object = {}): string {
  return signed(
    `${encode({ typ: 'dpop+jwt', alg: key.alg, jwk: key.jwk, ...header })}.${encode(claims)}`,
    key
  )
}

export function athOf (accessToken: string): string {
  return hash('sha256', accessToken, 'base64url')
}

export interface Sent {
  /** Under the scheme `DPoP`; the proof names it. */
  readonly token?: string
  readonly body?: object | string
  readonly headers?: Record<string, string>
  /** Merged over those of a sound proof; an `undefined` one is left out. */
  readonly claims?: object
}

/**
 * A client that holds a key, and remembers the nonce that it was told last. Its requests go to
 * `http://localhost`.
 */
export class Holder {
  nonce: string | undefined
  readonly #app: FastifyInstance
  readonly #key: ProofKey

  constructor (app: FastifyInstance, key: ProofKey = createProofKey()) {
    this.#app = app
    this.#key = key
  }

  prove (method: string, path: string, claims: object = {}): string {
    const iat = Math.floor(Date.now() / 1000)

    return writeProof(this.#key, {
      jti: randomUUID(),
      htm: method,
      htu: `http://localhost${path}`,
      iat,
      nonce: this.nonce,
      ...claims
    })
  }

  /** One request with a proof. */
  async once (
    method: 'GET' | 'POST',
    path: string,
    { token, body, headers, claims }: Sent = {}
  ): Promise<LightMyRequestResponse> {
    const dpop = this.prove(method, path, {
      ...(token !== undefined && { ath: athOf(token) }),
      ...claims
    })
    const authorization = token === undefined ? {} : { authorization: `DPoP ${token}` }
    const payload = body === undefined ? {} : { payload: body }
    const response = await this.#app.inject({
      method,
      url: path,
      headers: { dpop, ...authorization, ...headers },
      ...payload
    })
    this.nonce = (response.headers['dpop-nonce'] as string | undefined) ?? this.nonce
    return response
  }

  /** The same, and once more where it takes another nonce. */
  async send (
    method: 'GET' | 'POST',
    path: string,
    sent: Sent = {}
  ): Promise<LightMyRequestResponse> {
    const response = await this.once(method, path, sent)

    return /AUTH_DPOP_NONCE|use_dpop_nonce/.test(response.body)
      ? this.once(method, path, sent)
      : response
  }
}
