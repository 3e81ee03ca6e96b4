import { constants, generateKeyPairSync, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mock } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyServerOptions, LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import type { ClaimRequirements, TokenAuthOptions } from '../../../src/index.js'
import { readKey } from '../../../src/tokens/keys.js'
import type { KeyInput } from '../../../src/tokens/keys.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import type { PublicAlgorithm, TokenVerifierOptions } from '../../../src/verifier/index.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createClock } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'
import { toLowS } from '../../helpers/respellings.js'

export const JWKS = '/.well-known/jwks.json'
export const scope = { issuer: 'https://a.example', audience: 'api' }
export const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
export const pairs: Record<PublicAlgorithm, KeyObject> = {
  EdDSA: generateKeyPairSync('ed25519').privateKey,
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  RS256: rsa,
  PS256: rsa
}
export const algorithms = Object.keys(pairs) as PublicAlgorithm[]

/** Start of all test clocks, in seconds. */
export const now = createClock()() / 1000

/** Claims of a valid access token. */
export const claims = {
  iss: scope.issuer,
  aud: scope.audience,
  sub: 'u-ann',
  sid: 's1',
  gen: 0,
  jti: 's1.0.1',
  type: 'access',
  auth_time: now,
  amr: ['pwd'],
  iat: now,
  exp: now + 900
}

/** Clock that also sets `Date.now()`, which the age of a key set follows. */
export function createSystemClock (t: Test): TestClock {
  mock.timers.reset()
  mock.timers.enable({ apis: ['Date'], now: createClock()() })
  t.teardown(() => {
    mock.timers.reset()
  })

  return Object.assign(() => Date.now(), {
    advance (by: number) {
      mock.timers.setTime(Date.now() + by)
    },
    set (to: number) {
      mock.timers.setTime(to)
    }
  })
}

export interface Issuer extends TestApp {
  readonly base: string
  /** One URL for each request for the key set. */
  readonly hits: string[]
}

/** Starts a real issuer on a real port. */
export async function startIssuer (
  t: Test,
  clock: TestClock,
  keys: readonly [KeyInput, ...KeyInput[]],
  options: Partial<TokenAuthOptions> = {}
): Promise<Issuer> {
  const hits: string[] = []
  const test = await createTestApp({
    clock,
    options: {
      ...scope,
      keys,
      users: {
        findByLogin: login => test.users.get(`u-${login}`),
        findById: id => test.users.get(id),
        claims: ({ id }) => ({ role: id === 'u-ann' ? 'admin' : 'member' })
      },
      ...options
    },
    before: app => {
      app.addHook('onRequest', async ({ url }) => {
        if (url === JWKS) {
          hits.push(url)
        }
      })
    }
  })
  t.teardown(() => test.app.close())
  return { ...test, hits, base: await test.app.listen({ host: '127.0.0.1', port: 0 }) }
}

export type KeyResponse = 'down' | 'silent' | {
  readonly status?: number
  readonly headers?: Record<string, string>
  readonly body: string
}

export interface KeyServer {
  readonly uri: string
  /** One URL for each request. */
  readonly hits: string[]
  response: KeyResponse
}

/** Starts an issuer that returns a key set, or another response if the test sets one. */
export async function startKeyServer (t: Test, ...keys: object[]): Promise<KeyServer> {
  const hits: string[] = []
  const server = createServer((request, reply) => {
    hits.push(request.url ?? '')
    const { response } = keyServer

    if (response === 'down') {
      request.socket.destroy()
    } else if (response !== 'silent') {
      const { status = 200, headers, body } = response
      reply.writeHead(status, { connection: 'close', ...headers }).end(body)
    }
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => {
    server.once('listening', resolve)
  })
  t.teardown(() => {
    server.close().closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const keyServer: KeyServer = {
    uri: `http://127.0.0.1:${port}${JWKS}`,
    hits,
    response: toKeySet(...keys)
  }
  return keyServer
}

export function toKeySet (...keys: object[]): KeyResponse {
  return { body: JSON.stringify({ keys }) }
}

export function toJwk (key: KeyObject, alg?: PublicAlgorithm, kid?: string): object {
  return readKey({ key, ...(alg && { alg }), ...(kid && { kid }) }).publicJwk as object
}

export function createEd25519Key (): KeyObject {
  return generateKeyPairSync('ed25519').privateKey
}

export function toRequirements (requirements: object): ClaimRequirements {
  return requirements
}

export function encode (part: unknown): string {
  return Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')
}

const SIGNATURE_DETAILS: Partial<Record<PublicAlgorithm, object>> = {
  ES256: { dsaEncoding: 'ieee-p1363' },
  PS256: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
}

export function createSignature (alg: PublicAlgorithm, input: string, key: KeyObject): string {
  const hash = alg === 'EdDSA' ? null : 'sha256'
  const signature = sign(hash, Buffer.from(input), { key, ...SIGNATURE_DETAILS[alg] })
  return (alg === 'ES256' ? toLowS(signature) : signature).toString('base64url')
}

export function createHeader (alg: PublicAlgorithm): Record<string, unknown> {
  return { alg, typ: 'at+jwt', kid: readKey({ key: pairs[alg], alg }).kid }
}

/** Signs any header and payload, also those that no library signs. */
export function createToken (
  alg: PublicAlgorithm,
  header: unknown = createHeader(alg),
  payload: unknown = claims,
  key = pairs[alg]
): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${createSignature(alg, input, key)}`
}

export interface Verifier {
  readonly app: FastifyInstance
  readonly clock: TestClock
  get(url: string, token?: string): Promise<LightMyRequestResponse>
  /** Returns the status of a protected route. */
  status(token: string): Promise<number>
}

/** Starts the service that verifies tokens. */
export async function startVerifier (
  t: Test,
  jwksUri: string,
  options: Partial<TokenVerifierOptions> = {},
  fastify: FastifyServerOptions = {}
): Promise<Verifier> {
  const clock = (options.clock ?? createSystemClock(t)) as TestClock
  const app = Fastify(fastify)
  t.teardown(() => app.close())
  await app.register(tokenVerifier, { jwksUri, ...scope, clock, ...options })
  app.get('/protected', { onRequest: app.authenticate }, request => request.auth)
  app.get('/admin', {
    onRequest: [app.authenticate, app.requireClaims(toRequirements({ role: 'admin' }))]
  }, () => 'admin')
  app.get('/pay', { onRequest: [app.authenticate, app.requireFresh('5m')] }, () => 'paid')
  app.get(
    '/public',
    { onRequest: app.authenticate, config: { tokenAuth: 'public' } },
    request => ({ auth: request.auth })
  )
  await app.ready()
  const get: Verifier['get'] = async (url, token) =>
    app.inject({ url, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } })
  return { app, clock, get, status: async token => (await get('/protected', token)).statusCode }
}

export async function until (condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!await condition()) {
    await setTimeout(5)
  }
}
