import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import * as jose from 'jose'
import * as oauth from 'oauth4webapi'
import type { Test } from 'tap'
import type { TokenResponse } from '../../../src/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import type { TokenVerifierOptions } from '../../../src/verifier/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import { createClock } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'

export const scope = { issuer: 'https://a.example', audience: 'api' }
export const client = { clientId: 'orders', clientSecret: 'Zt5vRk2mQx8Lw4Yn7Bc1Jd6Hf9Gs3Pa0' }
export const HERE = 'http://localhost/protected'

const signing = generateKeyPairSync('ed25519').privateKey

/** Client with a key pair. */
export interface Holder {
  readonly publicKey: jose.CryptoKey
  readonly privateKey: jose.CryptoKey
}

/** Claims that replace the default ones of a proof. `undefined` removes a claim. */
export type ProofClaims = Readonly<Record<string, unknown>>

/** Creates a DPoP proof, for `GET` of the protected route by default. */
export async function createProof (
  holder: Holder,
  token: string | null,
  claims: ProofClaims = {},
  alg = 'ES256'
): Promise<string> {
  const ath = token === null ? undefined : createHash('sha256').update(token).digest('base64url')
  const payload = {
    jti: randomUUID(),
    htm: 'GET',
    htu: HERE,
    ath,
    iat: createClock()() / 1000,
    ...claims
  }

  return new jose.SignJWT(payload)
    .setProtectedHeader({ alg, typ: 'dpop+jwt', jwk: await jose.exportJWK(holder.publicKey) })
    .sign(holder.privateKey)
}

export const [ann, attacker] = await Promise.all([
  oauth.generateKeyPair('ES256'),
  oauth.generateKeyPair('ES256')
])

export interface Issuer {
  readonly base: string
  /** @param holder - Client to whose key the tokens are bound. `null` for bearer tokens. */
  login(holder: Holder | null): Promise<TokenResponse>
}

/** Starts a real issuer on a real port. */
export async function startIssuer (
  t: Test,
  clock: TestClock | (() => number) = createClock()
): Promise<Issuer> {
  const { app } = await createTestApp({
    clock: clock as TestClock,
    options: { ...scope, keys: [signing], oauth: { clients: [client] }, dpop: { nonces: false } }
  })
  t.teardown(() => app.close())
  const base = await app.listen({ host: '127.0.0.1', port: 0 })

  return {
    base,
    async login (holder) {
      const claims = { htm: 'POST', htu: `${base}/auth/login`, iat: Math.floor(clock() / 1000) }
      const response = await fetch(`${base}/auth/login`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(holder !== null && { dpop: await createProof(holder, null, claims) })
        },
        body: JSON.stringify({ username: 'ann', password: PASSWORD })
      })
      return await response.json() as TokenResponse
    }
  }
}

export interface Verifier {
  readonly app: FastifyInstance
  get(headers: Record<string, string>, url?: string): Promise<LightMyRequestResponse>
  /** Returns 200, the error code of a 401, or another status. */
  ask(scheme: string, token: string, proof?: string): Promise<unknown>
}

/** Starts the service that verifies tokens. */
export async function startVerifier (
  t: Test,
  { base }: Issuer,
  dpop?: TokenVerifierOptions['dpop'],
  options: Partial<TokenVerifierOptions> = {}
): Promise<Verifier> {
  const app = Fastify()
  t.teardown(() => app.close())
  const source = options.introspection === undefined
    ? { jwksUri: `${base}/.well-known/jwks.json` }
    : {}
  const given = dpop === undefined ? {} : { dpop }
  await app.register(tokenVerifier, {
    ...source,
    ...scope,
    clock: createClock(),
    ...given,
    ...options
  })
  app.get('/protected', { onRequest: app.authenticate }, request => request.auth)
  app.get('/twice', { onRequest: [app.authenticate, app.authenticate] }, () => 'twice')
  app.get(
    '/public',
    { onRequest: app.authenticate, config: { tokenAuth: 'public' } },
    () => 'public'
  )
  app.get('/awaited', {
    onRequest: async (request, reply) => {
      await app.authenticate(request, reply)
    }
  }, () => 'awaited')
  await app.ready()
  const get: Verifier['get'] = async (headers, url = '/protected') =>
    app.inject({ url, headers: { host: 'localhost', ...headers } })

  return {
    app,
    get,
    async ask (scheme, token, proof) {
      const response = await get({
        authorization: `${scheme} ${token}`,
        ...(proof !== undefined && { dpop: proof })
      })

      if (response.statusCode === 200) {
        return 200
      }

      return response.statusCode === 401 ? response.json().code : response.statusCode
    }
  }
}
