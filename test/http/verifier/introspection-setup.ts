import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import Fastify from 'fastify'
import type { FastifyServerOptions, LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import type { TokenVerifierOptions } from '../../../src/verifier/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createClock } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'

export const scope = { issuer: 'https://a.example', audience: 'api' }

// Special characters, because credentials are form-encoded before they are sent.
export const client = {
  clientId: 'orders:100%+',
  clientSecret: 'Zt5v+k2mQx8Lw4%n7Bc1Jd6Hf9Gs3:a0&=/'
}

export const key = generateKeyPairSync('ed25519').privateKey

export interface Issuer extends TestApp {
  readonly uri: string
  /** One URL for each introspection. */
  readonly hits: string[]
  loginAs(clientId: string): Promise<TokenResponse>
}

/** Starts a real issuer on a real port. */
export async function startIssuer (
  t: Test,
  clock: TestClock,
  options: Partial<TokenAuthOptions> = {}
): Promise<Issuer> {
  const hits: string[] = []
  const test = await createTestApp({
    clock,
    options: {
      ...scope,
      oauth: { clients: [{ clientId: 'phone' }, client] },
      users: {
        findByLogin: login => test.users.get(`u-${login}`),
        findById: id => test.users.get(id),
        claims: ({ id }) => ({ role: id === 'u-ann' ? 'admin' : 'member', groups: ['a'] })
      },
      ...options
    },
    before: app => {
      app.addHook('onRequest', async ({ url }) => {
        if (url === '/auth/introspect') {
          hits.push(url)
        }
      })
    }
  })
  t.teardown(() => test.app.close())
  const uri = `${await test.app.listen({ host: '127.0.0.1', port: 0 })}/auth/introspect`

  const loginAs: Issuer['loginAs'] = async clientId => {
    const body = { username: 'ann', password: PASSWORD, client_id: clientId }
    return (await test.post('/auth/login', body)).json()
  }

  return { ...test, hits, uri, loginAs }
}

export type Respond = (response: ServerResponse) => void

export interface ReceivedRequest {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface IntrospectionServer {
  readonly uri: string
  readonly requests: ReceivedRequest[]
  /** Open connections. */
  readonly sockets: Set<Socket>
  respond: Respond
}

/** Starts an issuer that responds as the test defines. */
export async function startIntrospectionServer (
  t: Test,
  respond: Respond
): Promise<IntrospectionServer> {
  const requests: ReceivedRequest[] = []
  const sockets = new Set<Socket>()
  const http = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += String(chunk)
    }).on('end', () => {
      requests.push({ headers: request.headers, body })
      server.respond(response)
    })
  }).listen(0, '127.0.0.1')
  http.on('connection', socket => {
    sockets.add(socket)
    socket.once('close', () => {
      sockets.delete(socket)
    })
  })
  await new Promise(resolve => {
    http.once('listening', resolve)
  })
  t.teardown(() => {
    http.close().closeAllConnections()
  })
  const { port } = http.address() as AddressInfo
  const server: IntrospectionServer = {
    uri: `http://127.0.0.1:${port}/auth/introspect?key=hidden`,
    requests,
    sockets,
    respond
  }
  return server
}

export function respondWith (
  body: unknown,
  status = 200,
  headers: Record<string, string> = {}
): Respond {
  return response => {
    response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body))
  }
}

export const down: Respond = response => {
  response.socket?.destroy()
}

export const silent: Respond = () => {}

export const now = createClock()() / 1000

export const claims = {
  active: true,
  token_type: 'Bearer',
  ...scope,
  iss: scope.issuer,
  aud: scope.audience,
  sub: 'u-ann',
  sid: 's1',
  gen: 0,
  jti: 's1.0.1',
  type: 'access',
  auth_time: now,
  iat: now,
  exp: now + 900
}

function encode (part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}

/** Creates an unsigned string that has the form and the claims of a token. */
export function createFakeToken (name: string, header: object = {}, members: object = {}): string {
  const { active, token_type: _type, ...payload } = claims
  const head = { alg: 'HS256', typ: 'at+jwt', kid: 'k', ...header }
  return `${encode(head)}.${encode({ ...payload, name, ...members })}.c2ln`
}

export interface Verifier {
  readonly clock: TestClock
  get(url: string, token: string): Promise<LightMyRequestResponse>
  status(token: string): Promise<number>
}

type Introspection = NonNullable<TokenVerifierOptions['introspection']>

/** Starts a service that introspects tokens. */
export async function startVerifier (
  t: Test,
  clock: TestClock,
  uri: string,
  introspection: Partial<Introspection> = {},
  { timeout = '5s', fastify = {} }: { timeout?: string, fastify?: FastifyServerOptions } = {}
): Promise<Verifier> {
  const app = Fastify(fastify)
  t.teardown(() => app.close())
  await app.register(tokenVerifier, {
    introspection: { uri, ...client, ...introspection },
    ...scope,
    clock,
    timeout
  })
  app.get('/protected', { onRequest: app.authenticate }, request => request.auth)
  app.get('/admin', {
    onRequest: [app.authenticate, app.requireClaims({ role: 'admin' } as object)]
  }, () => 'admin')
  app.get('/pay', { onRequest: [app.authenticate, app.requireFresh('5m')] }, () => 'paid')
  const get: Verifier['get'] = async (url, token) =>
    app.inject({ url, headers: { authorization: `Bearer ${token}` } })
  return { clock, get, status: async token => (await get('/protected', token)).statusCode }
}

export async function until (condition: () => boolean): Promise<void> {
  while (!condition()) {
    await setTimeout(5)
  }
}
