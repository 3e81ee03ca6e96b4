import type { AddressInfo } from 'node:net'
import { generateKeyPairSync } from 'node:crypto'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'

/** Signature algorithm of access tokens. */
export type Algorithm = 'HS256' | 'EdDSA' | 'ES256'

/** Settings of a server. */
export interface ServerSettings {
  readonly alg: Algorithm
  /** Number of tokens, each with a session and a user of its own. */
  readonly tokens: number
  /** Whether verified tokens are cached, or the size of the cache. */
  readonly cache?: boolean | number
  /** Exchange that a baseline server imitates. */
  readonly exchange?: Exchange
}

/** Token of a request, and the response to it. */
export interface Exchange {
  readonly token: string
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

/** Requests that the load process sends. A token replaces `$token` in headers and the body. */
export interface Workload {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly tokens: readonly string[]
  /**
   * Member of the response that contains the next token to present.
   *
   * Without it, the tokens are presented in turn.
   */
  readonly nextToken?: string
  /** Substring of each correct response. */
  readonly expected: string
  /** Status for an invalid or spent token, or `null` if the server does not check tokens. */
  readonly rejectionStatus: number | null
}

/** A server that listens. */
export interface StartedServer {
  readonly port: number
  readonly workload: Workload
}

/**
 * Starts a server.
 *
 * Each module of this folder and of `peers` exports such functions. All servers have the same
 * users, and send the same response: `{ "user": "..." }`.
 */
export type StartServer = (settings: ServerSettings) => Promise<StartedServer>

export const SECRET = 'only-for-the-benchmark-Vq3xZ8nK1rT6wY0p'

/** Lifetime of access tokens, in seconds. */
export const LIFETIME = 24 * 3600

/** Returns the id of the user of a token. All ids have one length, so that all responses have. */
export function createUserId (n: number): string {
  return `user-${String(n).padStart(8, '0')}`
}

/** Returns a claim for the tokens of peers, which is as long as a session id of this package. */
export function createSessionId (n: number): string {
  return `s${String(n).padStart(22, '0')}`
}

/** Creates a key pair in PEM format. */
export function createKeyPair (
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

/** Listens on an unused port, and returns it. */
export async function listen (app: FastifyInstance): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as AddressInfo).port
}

/** Creates the workload of a protected route, which returns the user of a bearer token. */
export function createProtectedWorkload (
  tokens: readonly string[],
  rejectionStatus: number | null = 401
): Workload {
  return {
    method: 'GET',
    path: '/protected',
    headers: { authorization: 'Bearer $token' },
    tokens,
    expected: '{"user":"user-0',
    rejectionStatus
  }
}

/** Creates the workload of a refresh route, whose response contains the next refresh token. */
export function createRefreshWorkload (
  path: string,
  tokens: readonly string[],
  rejectionStatus: number | null = 401
): Workload {
  return {
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json' },
    body: '{"refresh_token":"$token"}',
    tokens,
    nextToken: 'refresh_token',
    expected: '"access_token":"',
    rejectionStatus
  }
}
