// These helpers create DPoP proofs (RFC 9449) without a library, because a library would not sign
// malformed proofs.

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
  /** Public key. */
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
  return createProofKeyFrom(
    alg,
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
      : alg.startsWith('Ed')
      ? generateKeyPairSync('ed25519').privateKey
      : generateKeyPairSync('rsa', { modulusLength: bits }).privateKey
  )
}

export function createProofKeyFrom (alg: ProofAlgorithm, privateKey: KeyObject): ProofKey {
  return { alg, privateKey, jwk: createPublicKey(privateKey).export({ format: 'jwk' }) }
}

/** Encodes a part of a JWT as base64url. Values other than strings and bytes become JSON. */
export function encode (part: unknown): string {
  return Buffer.from(
    Buffer.isBuffer(part) || typeof part === 'string' ? part as string : JSON.stringify(part)
  ).toString('base64url')
}

export function signProof (input: string, { alg, privateKey: key }: ProofKey): string {
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

export function signWithSecret (input: string, secret: string | Buffer, digest = 'sha256'): string {
  return `${input}.${createHmac(digest, secret).update(input).digest('base64url')}`
}

/**
 * Creates a proof.
 *
 * @param header Members that replace those of a valid header. `undefined` removes a member.
 */
export function createProof (key: ProofKey, claims: unknown, header: object = {}): string {
  return signProof(
    `${encode({ typ: 'dpop+jwt', alg: key.alg, jwk: key.jwk, ...header })}.${encode(claims)}`,
    key
  )
}

export function hashAccessToken (accessToken: string): string {
  return hash('sha256', accessToken, 'base64url')
}

export interface ProofRequest {
  /** Access token. The proof contains its hash. */
  readonly token?: string
  readonly body?: object | string
  readonly headers?: Record<string, string>
  /** Claims that replace those of a valid proof. `undefined` removes a claim. */
  readonly claims?: object
}

/** Client that signs a proof for each request and saves the last nonce. */
export class DpopClient {
  nonce: string | undefined
  readonly #app: FastifyInstance
  readonly #key: ProofKey

  constructor (app: FastifyInstance, key: ProofKey = createProofKey()) {
    this.#app = app
    this.#key = key
  }

  createProof (method: string, path: string, claims: object = {}): string {
    const iat = Math.floor(Date.now() / 1000)

    return createProof(this.#key, {
      jti: randomUUID(),
      htm: method,
      htu: `http://localhost${path}`,
      iat,
      nonce: this.nonce,
      ...claims
    })
  }

  /** Sends one request with a proof. */
  async sendOnce (
    method: 'GET' | 'POST',
    path: string,
    { token, body, headers, claims }: ProofRequest = {}
  ): Promise<LightMyRequestResponse> {
    const dpop = this.createProof(method, path, {
      ...(token !== undefined && { ath: hashAccessToken(token) }),
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

  /** Sends a request with a proof, and retries it once with a new nonce. */
  async send (
    method: 'GET' | 'POST',
    path: string,
    sent: ProofRequest = {}
  ): Promise<LightMyRequestResponse> {
    const response = await this.sendOnce(method, path, sent)

    return /AUTH_DPOP_NONCE|use_dpop_nonce/.test(response.body)
      ? this.sendOnce(method, path, sent)
      : response
  }
}
