import type { FastifyInstance } from 'fastify'
import { MemoryStore } from '../../src/stores/memory/index.js'
import type { TokenStore } from '../../src/stores/token-store.js'
import { createTestApp } from '../helpers/app.js'
import type { TestApp } from '../helpers/app.js'
import type { TestClock } from '../helpers/clock.js'

export const ORIGIN = 'https://app.test'

/** Creates a `fetch` that sends requests to an app without a port. */
export function createAppFetch (app: FastifyInstance): typeof fetch {
  return async (input, init = {}) => {
    const { host, pathname, search } = new URL(String(input))
    const response = await app.inject({
      method: init.method as 'GET',
      url: pathname + search,
      headers: { host, ...Object.fromEntries(init.headers as Headers) },
      ...(init.body instanceof ArrayBuffer && { payload: Buffer.from(init.body) })
    })
    const headers = new Headers()

    for (const [name, value] of Object.entries(response.headers)) {
      for (const single of [value].flat()) {
        headers.append(name, String(single))
      }
    }

    const { statusCode: status, body } = response
    return new Response(status === 204 ? null : body, { status, headers })
  }
}

/** Creates a server clock that follows virtual time. Only the virtual clock can change it. */
export function createServerClock (time: () => number): TestClock {
  const reject = (): never => {
    throw new Error('virtual time sets this clock; use `faults.clock`')
  }

  return Object.assign(() => time(), { advance: reject, set: reject })
}

/** Response header with the issued tokens, for the test alone. Clients do not read it. */
export const ISSUED_HEADER = 'x-test-issued'

export interface ServerKind {
  /** Whether the server sends renewed access tokens in `X-New-Token`. */
  readonly renews: boolean
  /** Whether a cookie carries the access token. */
  readonly usesAccessCookie: boolean
  /** Whether requests go through a port. Otherwise they are injected. */
  readonly isRemote: boolean
}

export interface Server {
  readonly app: TestApp
  readonly store: TokenStore
  readonly send: typeof fetch
  /** Replaces the server with a new one on the same store. */
  restart(): Promise<void>
}

/** Content of {@link ISSUED_HEADER}. */
export interface IssuedTokens {
  readonly access?: string
  readonly refresh?: string
}

/** Servers that schedules share, because a start takes longer than most schedules. */
export interface Servers {
  /**
   * Opens a server with an empty store.
   *
   * @param time Returns the time of the server in milliseconds since 1970.
   */
  open(kind: ServerKind, time: () => number): Promise<Server>
  close(): Promise<void>
}

interface RunningServer {
  readonly app: TestApp
  readonly send: typeof fetch
}

export function createServers (): Servers {
  const running = new Map<string, RunningServer>()
  let store: TokenStore = new MemoryStore()
  let time = (): number => 0
  const clock = createServerClock(() => time())
  const currentStore: TokenStore = {
    check: () => store.check(),
    create: session => store.create(session),
    rotate: (attempt, options) => store.rotate(attempt, options),
    find: (realm, id) => store.find(realm, id),
    list: (realm, userId, page) => store.list(realm, userId, page),
    revoke: (target, revocation) => store.revoke(target, revocation),
    touch: batch => store.touch(batch),
    revocations: (after, limit) => store.revocations(after, limit),
    sweep: batch => store.sweep(batch)
  }

  async function start (
    { renews, usesAccessCookie, isRemote }: ServerKind
  ): Promise<RunningServer> {
    const app = await createTestApp({
      store: currentStore,
      clock,
      after: app => {
        app.post('/upload', { onRequest: app.authenticate }, request => ({
          ...request.auth,
          content: request.body
        }))
      },
      options: {
        refreshToken: { transport: 'both' },
        revocations: false,
        ...(usesAccessCookie && { cookie: { accessToken: true } }),
        ...(renews && { accessToken: { renewWithin: '2m' } })
      }
    })

    if (!isRemote) {
      return { app, send: createAppFetch(app.app) }
    }

    const root = await app.app.listen({ port: 0, host: '127.0.0.1' })

    return {
      app,
      send: (input, init) => fetch(String(input).replace(ORIGIN, root), init)
    }
  }

  return {
    async open (kind, serverTime) {
      const key = JSON.stringify([kind.renews, kind.usesAccessCookie, kind.isRemote])
      store = new MemoryStore()
      time = serverTime

      if (!running.has(key)) {
        running.set(key, await start(kind))
      }

      const getCurrent = (): RunningServer => running.get(key) as RunningServer
      getCurrent().app.events.length = 0

      return {
        get app () {
          return getCurrent().app
        },
        store: currentStore,
        async send (input, init) {
          return addIssuedTokens(await getCurrent().send(input, init))
        },
        async restart () {
          const { app } = getCurrent()
          running.set(key, await start(kind))
          getCurrent().app.events.push(...app.events)
          await app.app.close()
        }
      }
    },
    async close () {
      for (const { app } of running.values()) {
        await app.app.close()
      }
    }
  }
}

/** Copies a response and adds the tokens of its body, headers and cookies in one header. */
async function addIssuedTokens (response: Response): Promise<Response> {
  const { status } = response
  const headers = new Headers(response.headers)
  const content = await response.text()
  const cookies = headers.getSetCookie()
  const readCookie = (name: string): string | undefined =>
    cookies
      .map(cookie => new RegExp(`^__Host-auth-${name}=([^;]+)`).exec(cookie)?.[1])
      .find(value => value !== undefined)
  const body = content.startsWith('{') ? JSON.parse(content) as Record<string, string> : {}
  const issued = {
    access: body.access_token ?? headers.get('x-new-token') ?? readCookie('access'),
    refresh: body.refresh_token ?? readCookie('refresh')
  } as IssuedTokens
  headers.set(ISSUED_HEADER, JSON.stringify(issued))
  return new Response(status === 204 ? null : content, { status, headers })
}

export interface TokenClaims {
  readonly sid: string
  readonly exp: number
  readonly iat: number
  readonly sub: string
}

/** Decodes the claims of a token without verification. */
export function decodeClaims (token: string): TokenClaims {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as TokenClaims
}
