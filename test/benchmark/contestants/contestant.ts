// What every server of this benchmark brings, so that one harness can start it, put load on it and check its answers: a module
// with a function `start`. All say the same to a request (`{ "user": .. }`), and all know the same users.

import type { AddressInfo } from 'node:net'
import { generateKeyPairSync } from 'node:crypto'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'

export type Algorithm = 'HS256' | 'EdDSA' | 'ES256'

export interface Setup {
  readonly alg: Algorithm
  /** How many tokens, each of a session of its own. */
  readonly tokens: number
  /** Whether verified tokens are remembered, where one can choose; where it is a number, how many. */
  readonly cache?: boolean | number
  /** For one that only looks like another. */
  readonly like?: Sample
}

/** What is presented and answered elsewhere. */
export interface Sample {
  readonly presented: string
  readonly answer: string
  readonly headers: Readonly<Record<string, string>>
}

/** The requests that are sent. Where `$token` stands in a value or the body, a token is put. */
export interface Work {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly tokens: readonly string[]
  /** Where each answer holds the token to present next: its member of the JSON. Without it, tokens are presented in turn. */
  readonly next?: string
  /** What each right answer contains. */
  readonly proof: string
  /** The status of an answer to a token that was tampered with, or spent; `null` where tokens are not looked at. */
  readonly refusal: number | null
}

export interface Started {
  readonly port: number
  readonly work: Work
}

export type Start = (setup: Setup) => Promise<Started>

export const SECRET = 'a secret for the benchmark alone, of 32 bytes or more'
export const LIFETIME = 24 * 3600

/** The id of the user whom the n-th token belongs to: all are of one length, so that all answers are. */
export function userId (n: number): string {
  return `user-${String(n).padStart(8, '0')}`
}

/** A claim beside the user: peers get one of the size of our session's id. */
export function sessionId (n: number): string {
  return `s${String(n).padStart(22, '0')}`
}

/** A new key pair as PEM. */
export function keyPair (
  alg: 'EdDSA' | 'ES256'
): { readonly privateKey: string, readonly publicKey: string } {
  const { publicKey, privateKey } = alg === 'EdDSA'
    ? generateKeyPairSync('ed25519')
    : generateKeyPairSync('ec', { namedCurve: 'P-256' })

  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString()
  }
}

export function createApp (): FastifyInstance {
  return Fastify({ logger: false })
}

export async function listen (app: FastifyInstance): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as AddressInfo).port
}

/** GET /protected with a bearer token, which is answered with its user. */
export function protectedWork (tokens: readonly string[], refusal: Work['refusal'] = 401): Work {
  return {
    method: 'GET',
    path: '/protected',
    headers: { authorization: 'Bearer $token' },
    tokens,
    proof: '{"user":"user-0',
    refusal
  }
}

/** POST with the refresh token in JSON; the next one is in the answer. */
export function refreshWork (
  path: string,
  tokens: readonly string[],
  refusal: Work['refusal'] = 401
): Work {
  return {
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json' },
    body: '{"refresh_token":"$token"}',
    tokens,
    next: 'refresh_token',
    proof: '"access_token":"',
    refusal
  }
}
