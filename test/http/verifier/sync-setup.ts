import { createServer } from 'node:http'
import type { IncomingHttpHeaders, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import type { TokenVerifierOptions } from '../../../src/verifier/index.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import type { Note, SyncResponse } from '../oauth/sync-setup.js'
import { claims, createHeader, createToken, JWKS, pairs, scope, toJwk } from './jwks-setup.js'

export const client = {
  clientId: 'orders:100%+',
  clientSecret: 'Zt5v+k2mQx8Lw4%n7Bc1Jd6Hf9Gs3:a0&=/'
}

/** Options of an issuer with a client that may sync. */
export const issuerOptions: Partial<TokenAuthOptions> = {
  ...scope,
  keys: [pairs.EdDSA],
  oauth: { clients: [{ ...client, sync: true }] },
  revocations: { pollInterval: '1s' }
}

export interface Issuer extends TestApp {
  readonly base: string
}

/** Starts a real issuer on a real port. */
export async function startIssuer (t: Test, given: TestAppOptions = {}): Promise<Issuer> {
  const test = await createTestApp({
    ...given,
    options: { ...issuerOptions, clock: undefined, ...given.options } as never
  })
  t.teardown(() => test.app.close())
  return { ...test, base: await test.app.listen({ host: '127.0.0.1', port: 0 }) }
}

export interface SyncRequest {
  readonly cursor: string | null
  readonly notes: readonly Note[]
  readonly length: number
  readonly headers: IncomingHttpHeaders
  readonly at: number
}

/** Reaction of a fake issuer to a request: a response, a closed connection, or silence. */
export type Reaction = 'down' | 'silent' | {
  readonly status?: number
  readonly headers?: Record<string, string>
  readonly body: string
}

export interface FakeIssuer {
  readonly base: string
  readonly requests: SyncRequest[]
  /** Revocations of the next response. */
  revocations: object[]
  react: (request: SyncRequest) => Reaction | null
  stop(): void
  restart(): Promise<void>
}

/** Body of a response. */
export function createBody (members: Partial<SyncResponse> = {}): string {
  return JSON.stringify({
    now: Date.now(),
    cursor: 'c',
    complete: true,
    retention: 2_700_000,
    revocations: [],
    ignored: 0,
    ...members
  })
}

/** Starts an issuer that has a key set and a programmable route `sync`. */
export async function startFakeIssuer (t: Test): Promise<FakeIssuer> {
  const keySet = JSON.stringify({ keys: [toJwk(pairs.EdDSA)] })
  let count = 0
  let server: Server
  let port = 0

  const listen = async (): Promise<void> => {
    server = createServer((request, reply) => {
      if (request.url === JWKS) {
        reply.end(keySet)
        return
      }

      let text = ''
      request.setEncoding('utf8').on('data', chunk => {
        text += chunk
      }).on('end', () => {
        const { cursor, notes } = JSON.parse(text) as Pick<SyncRequest, 'cursor' | 'notes'>
        const { headers } = request
        const sent = { cursor, notes, length: text.length, headers, at: performance.now() }
        issuer.requests.push(sent)
        const reaction = issuer.react(sent)

        if (reaction === 'down') {
          request.socket.destroy()
        } else if (reaction !== 'silent') {
          const { status = 200, headers = {}, body } = reaction ?? {
            body: createBody({
              cursor: `c${++count}`,
              revocations: issuer.revocations.splice(0) as never
            })
          }
          reply.writeHead(status, headers).end(body)
        }
      })
    }).listen(port, '127.0.0.1')
    await new Promise(resolve => {
      server.once('listening', resolve)
    })
    port = (server.address() as AddressInfo).port
  }

  const issuer: FakeIssuer = {
    get base () {
      return `http://127.0.0.1:${port}`
    },
    requests: [],
    revocations: [],
    react: () => null,
    stop () {
      server.close().closeAllConnections()
    },
    restart: listen
  }
  await listen()
  t.teardown(() => {
    issuer.stop()
  })
  return issuer
}

export interface Verifier {
  readonly app: FastifyInstance
  /** Returns 200, or the code of the error. */
  read(token: string): Promise<number | string>
}

/** Starts a service that syncs with an issuer. */
export async function startVerifier (
  t: Test,
  base: string,
  { sync, ...options }: Partial<TokenVerifierOptions> = {},
  fastify: FastifyServerOptions = {}
): Promise<Verifier> {
  const app = Fastify(fastify)
  t.teardown(() => app.close())
  await app.register(tokenVerifier, {
    jwksUri: base + JWKS,
    ...scope,
    sync: { uri: `${base}/auth/sync`, ...client, ...sync },
    ...options
  })
  app.get('/protected', { onRequest: [app.authenticate] }, request => request.auth)
  await app.ready()

  return {
    app,
    async read (token) {
      const headers = { authorization: `Bearer ${token}` }
      const response = await app.inject({ url: '/protected', headers })
      return response.statusCode === 200 ? 200 : response.json<{ code: string }>().code
    }
  }
}

const header = createHeader('EdDSA')

/** Signs a token of a session that began now, as the fake issuer would. */
export function signToken (sid: string, gen = 0, members: object = {}): string {
  const iat = Math.floor(Date.now() / 1000)
  const times = { iat, auth_time: iat, exp: iat + 900 }

  return createToken('EdDSA', header, {
    ...claims,
    ...times,
    sid,
    gen,
    jti: `${sid}.${gen}`,
    seen: 'AAAAAAAAAAA',
    ...members
  })
}

/** Waits for a condition, and returns the milliseconds that it took. */
export async function waitUntil (
  condition: () => boolean | Promise<boolean>,
  limit = 15_000
): Promise<number> {
  const start = performance.now()

  while (!await condition()) {
    if (performance.now() - start > limit) {
      throw new Error(`condition is not met after ${limit} ms`)
    }

    await setTimeout(10)
  }

  return performance.now() - start
}
