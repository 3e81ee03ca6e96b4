import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import type { TokenAuthEvents, TokenAuthOptions } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { buildApi } from '../../examples/ssr/api.js'
import { buildPages } from '../../examples/ssr/pages.js'
import { createCookieJar } from '../../src/testing/cookie-jar.js'
import { createBreakableStore } from './broken-store.js'
import type { BreakableStore } from './broken-store.js'
import { createClock } from './clock.js'
import type { TestClock } from './clock.js'

type EventName = 'refresh' | 'replay' | 'recovery' | 'reuse' | 'suspicious-replay'

export interface Site {
  readonly clock: TestClock
  readonly urls: readonly [string, string]
  readonly apiUrls: readonly string[]
  readonly connection: BreakableStore
  /** Names of the events of both instances, with `rotated` or `kept` for a refresh. */
  readonly events: string[]
  /** Called at each event. */
  onEvent: (name: string) => void
  /** Number of requests of loaders that the API has answered with 200. */
  loads: number
}

export interface Page {
  readonly status: number
  readonly html: string
  readonly setCookies: readonly string[]
}

/** A browser that keeps its cookies. */
export interface Browser {
  readonly cookie: string
  open(url: string, options?: { readonly keepsCookies?: boolean }): Promise<Page>
  /** Leaves the page when the API has refreshed the tokens, so that the cookies are lost. */
  openAndLeave(url: string): Promise<void>
  post(path: string, body?: string, headers?: Record<string, string>): Promise<Page>
}

export const LOGIN = 'username=ann&password=correct+horse'
const names: readonly EventName[] = [
  'refresh',
  'replay',
  'recovery',
  'reuse',
  'suspicious-replay'
]

/** Starts two servers that render pages, each with an instance of the API. */
export async function startSite (
  t: Test,
  refreshToken: TokenAuthOptions['refreshToken'] = {}
): Promise<Site> {
  const clock = createClock(Date.now())
  const connection = createBreakableStore(new MemoryStore({ clock }))
  const apps: FastifyInstance[] = []
  t.teardown(async () => {
    for (const app of apps) {
      // The sockets of aborted requests would delay the end by seconds.
      app.server.closeAllConnections()
      await app.close()
    }
  })
  const site = { clock, connection, events: [] as string[], onEvent: (_: string) => {}, loads: 0 }

  const listen = async (app: FastifyInstance): Promise<string> => {
    apps.unshift(app)
    await app.listen({ host: '127.0.0.1', port: 0 })
    return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  }

  const start = async (): Promise<[string, string]> => {
    const api = await buildApi({
      store: connection.store,
      clock,
      throttle: false,
      refreshToken: { transport: 'cookie', confirmBy: 'refresh', ...refreshToken },
      on: Object.fromEntries(names.map(name => [name, (event: TokenAuthEvents[EventName]) => {
        const detail = 'rotated' in event && name === 'refresh'
          ? event.rotated === true ? 'rotated' : 'kept'
          : name
        site.events.push(detail)
        site.onEvent(detail)
      }]))
    })
    api.addHook('onResponse', async (request, reply) => {
      site.loads += request.url.startsWith('/api/') && reply.statusCode === 200 ? 1 : 0
    })
    const apiUrl = await listen(api)
    return [await listen(await buildPages({ apiUrl, now: clock })), apiUrl]
  }

  const [one, other] = [await start(), await start()]
  return Object.assign(site, { urls: [one[0], other[0]] as const, apiUrls: [one[1], other[1]] })
}

let browsers = 0

/** Opens a browser on a network of its own. */
export function openBrowser (site: Site, cookie = ''): Browser {
  const origin = 'https://www.example.test'
  const jar = createCookieJar(site.clock)
  jar.save(origin, cookie.split('; '))
  const headers = {
    'user-agent': `browser ${++browsers}`,
    'x-forwarded-for': `198.51.${browsers}.1`
  }

  const send = async (url: string, init: RequestInit): Promise<Response> =>
    fetch(url, {
      ...init,
      headers: { ...headers, cookie: jar.getHeader(origin), ...init.headers },
      redirect: 'manual'
    })

  const receive = async (response: Response, keepsCookies = true): Promise<Page> => {
    const setCookies = response.headers.getSetCookie()

    if (keepsCookies) {
      jar.save(origin, setCookies)
    }

    return { status: response.status, html: await response.text(), setCookies }
  }

  return {
    get cookie () {
      return jar.getHeader(origin)
    },
    open: async (url, { keepsCookies = true } = {}) => receive(await send(url, {}), keepsCookies),
    async openAndLeave (url) {
      const leaving = new AbortController()
      const { loads } = site

      site.onEvent = () => {
        leaving.abort()
      }

      await send(url, { signal: leaving.signal }).then(() => {
        throw new Error('the page was complete')
      }, () => {})

      site.onEvent = () => {}

      // The server renders the page all the same, and uses the new access token for it.
      while (site.loads < loads + 3) {
        await sleep(5)
      }
    },
    post: async (path, body = '', more = { 'sec-fetch-site': 'same-origin' }) =>
      receive(
        await send(`${site.urls[0]}${path}`, {
          method: 'POST',
          body,
          headers: { 'content-type': 'application/x-www-form-urlencoded', ...more }
        })
      )
  }
}

/** Opens a browser and logs in. */
export async function logIn (site: Site): Promise<Browser> {
  const browser = openBrowser(site)
  const { status } = await browser.post('/login', LOGIN)

  if (status !== 303) {
    throw new Error(`login failed with ${status}`)
  }

  return browser
}
