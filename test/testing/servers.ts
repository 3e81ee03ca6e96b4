// Real servers for schedules. They are shared, since to start one takes longer than most schedules do; each schedule has a store
// of its own, and a restart is a new server on the same store.

import { createTestApp } from '../helpers/app.js'
import type { TestApp } from '../helpers/app.js'
import { createClock } from '../helpers/clock.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import type { TokenStore } from '../../src/stores/token-store.js'

export const ORIGIN = 'https://app.test'
/** What a server handed out, for the test alone: no client looks for it. */
export const GIVEN = 'x-test-given'

export interface ServerKind {
  /** X-New-Token. */
  readonly renews: boolean
  /** Whether a cookie holds the access token too. */
  readonly usesAccessCookie: boolean
  /** Over a port, or by `inject`. */
  readonly isRemote: boolean
}

export interface Server {
  readonly app: TestApp
  readonly store: TokenStore
  readonly send: typeof fetch
  restart(): Promise<void>
}

/** What is written after `x-test-given:`, in JSON. */
export interface Given {
  readonly access?: string
  readonly refresh?: string
}

export interface Servers {
  /** @param time What the server takes for the time, in milliseconds since 1970. */
  open(kind: ServerKind, time: () => number): Promise<Server>
  close(): Promise<void>
}

interface Running {
  readonly app: TestApp
  readonly root: string
}

export function createServers (): Servers {
  const running = new Map<string, Running>()
  let store: TokenStore = new MemoryStore()
  let time = (): number => 0
  const clock = Object.assign(() => time(), {
    advance: createClock().advance,
    set: createClock().set
  })
  const delegate: TokenStore = {
    create: session => store.create(session),
    rotate: attempt => store.rotate(attempt),
    find: id => store.find(id),
    list: (userId, page) => store.list(userId, page),
    revoke: (target, revocation) => store.revoke(target, revocation),
    touch: batch => store.touch(batch),
    revocations: (after, limit) => store.revocations(after, limit),
    sweep: batch => store.sweep(batch)
  }

  async function start ({ renews, usesAccessCookie, isRemote }: ServerKind): Promise<Running> {
    const app = await createTestApp({
      store: delegate,
      clock,
      options: {
        refreshToken: { transport: 'both' },
        revocations: false,
        ...(usesAccessCookie && { cookie: { accessToken: true } }),
        ...(renews && { accessToken: { renewWithin: '2m' } })
      }
    })
    const root = isRemote ? await app.app.listen({ port: 0, host: '127.0.0.1' }) : ORIGIN
    return { app, root }
  }

  return {
    async open (kind, serverTime) {
      const key = JSON.stringify(kind)
      store = new MemoryStore()
      time = serverTime

      if (!running.has(key)) {
        running.set(key, await start(kind))
      }

      const current = (): Running => running.get(key) as Running
      current().app.events.length = 0

      return {
        get app () {
          return current().app
        },
        store: delegate,
        async send (input, init = {}) {
          const { pathname, search } = new URL(String(input))
          const { root, app } = current()

          if (kind.isRemote) {
            const answer = await fetch(root + pathname + search, init)
            return annotate(answer.status, new Headers(answer.headers), await answer.text())
          }

          const response = await app.app.inject({
            method: init.method as 'GET',
            url: pathname + search,
            headers: { host: new URL(ORIGIN).host, ...Object.fromEntries(init.headers as Headers) },
            ...(init.body instanceof ArrayBuffer && { payload: Buffer.from(init.body) })
          })
          const headers = new Headers()

          for (const [name, value] of Object.entries(response.headers)) {
            for (const one of [value].flat()) {
              headers.append(name, String(one))
            }
          }

          return annotate(response.statusCode, headers, response.body)
        },
        async restart () {
          const { app } = current()
          running.set(key, await start(kind))
          current().app.events.push(...app.events)
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

function annotate (status: number, headers: Headers, text: string): Response {
  const cookies = headers.getSetCookie()
  const cookie = (name: string): string | undefined =>
    cookies
      .map(text => new RegExp(`^__Host-auth-${name}=([^;]+)`).exec(text)?.[1]).find(value =>
        value !== undefined
      )
  const body = text.startsWith('{') ? JSON.parse(text) as Record<string, string> : {}
  const given: Given = {
    access: body.access_token ?? headers.get('x-new-token') ?? cookie('access'),
    refresh: body.refresh_token ?? cookie('refresh')
  } as Given
  headers.set(GIVEN, JSON.stringify(given))
  return new Response(status === 204 ? null : text, { status, headers })
}

export interface Claims {
  readonly sid: string
  readonly exp: number
  readonly iat: number
  readonly sub: string
}

export function claimsOf (token: string): Claims {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Claims
}
