import type { Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { build } from 'esbuild'
import type { FastifyInstance } from 'fastify'
import type { BrowserContext, Page } from 'playwright-core'
import type { TestAppOptions } from '../app.js'
import { startApp } from './browser.js'
import type { BrowserApp } from './browser.js'
import { createClock } from '../clock.js'
import type { TestClock } from '../clock.js'
import { root } from '../consumer.js'

interface Teardown {
  teardown(end: () => unknown): unknown
}

/** Bundles a file and its imports as one module for browsers. */
export async function bundle (file: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(root, file)],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"development"' },
    logLevel: 'silent',
    write: false
  })
  return outputFiles[0]?.text as string
}

const client = bundle('src/client/index.ts')

/** Page with a client. `skipTime` advances its monotonic clock, like the sleep of a device. */
const tabPage = `<!doctype html><link rel="icon" href="data:,"><title>tab</title><body><script>
{
  const now = performance.now.bind(performance)
  let ahead = 0
  performance.now = () => now() + ahead
  globalThis.skipTime = ms => { ahead += ms }
}
</script><script type="module">
import { createAuthClient } from '/client.js'
globalThis.auth = createAuthClient()
</script>`

export interface ClientApp extends BrowserApp {
  /** All access tokens and refresh tokens that the server has issued. */
  readonly issued: Set<string>
  /** Number of refreshes, and the largest number of concurrent ones. */
  readonly refreshes: { total: number, concurrent: number }
  /**
   * Opens a tab and waits until its client is ready.
   *
   * @param init Script that runs before all others.
   */
  openTab(t: Teardown, init?: string): Promise<Page>
  /** Handles requests to a path, but withholds the responses until `release` is called. */
  withholdResponses(path: string): WithheldResponses
  /** Handles the next request to a path, but closes the connection before the response. */
  dropNextResponse(path: string): void
  /** Returns the number of requests with a method and a path. */
  countRequests(request: string): number
}

export interface WithheldResponses {
  /** Resolves when the first response is withheld. */
  readonly hasStarted: Promise<void>
  release(): void
}

/** Starts an app with cookies, and with a page for the client at `/tab`. */
export async function startClientApp (
  t: Teardown,
  browser: BrowserContext,
  given: TestAppOptions = {},
  host?: string
): Promise<ClientApp> {
  const issued = new Set<string>()
  const refreshes = { total: 0, concurrent: 0 }
  const interventions = new Map<string, (socket: Socket) => unknown>()
  let inFlight = 0

  function watch (app: FastifyInstance): void {
    app.addHook('onRequest', async ({ url }) => {
      if (url !== '/auth/refresh') {
        return
      }

      refreshes.total++
      refreshes.concurrent = Math.max(refreshes.concurrent, ++inFlight)
    })
    app.addHook('onSend', async ({ url, raw: { socket } }, _reply, payload) => {
      const token = typeof payload === 'string'
        ? /"access_token":"([^"]+)"/.exec(payload)?.[1]
        : undefined

      if (token !== undefined) {
        issued.add(token)
      }

      await interventions.get(url)?.(socket)

      if (url === '/auth/refresh') {
        inFlight--
      }
    })
    app.addHook('onResponse', async (_request, reply) => {
      for (const cookie of [reply.getHeader('set-cookie') ?? []].flat()) {
        const token = /-(?:refresh|access)=([^;]+)/.exec(String(cookie))?.[1]

        if (token !== undefined) {
          issued.add(token)
        }
      }

      const renewed = reply.getHeader('x-new-token')

      if (renewed !== undefined) {
        issued.add(String(renewed))
      }
    })
    app.get(
      '/client.js',
      async (_request, reply) => reply.type('text/javascript').send(await client)
    )
    app.get('/tab', (_request, reply) => reply.type('text/html').send(tabPage))
  }

  const browserApp = await startApp(t, {
    clock: createTickingClock(),
    ...given,
    options: { refreshToken: { transport: 'cookie' }, ...given.options },
    async before (app) {
      watch(app)
      await given.before?.(app)
    }
  }, host)

  return {
    ...browserApp,
    issued,
    refreshes,
    async openTab (t, init) {
      const page = await browser.newPage()
      t.teardown(() => page.close())

      if (init !== undefined) {
        await page.addInitScript(init)
      }

      await page.goto(`${browserApp.origin}/tab`)
      await waitForClient(page)
      return page
    },
    withholdResponses (path) {
      let release = (): void => {}

      const released = new Promise<void>(resolve => {
        release = resolve
      })
      const hasStarted = new Promise<void>(resolve => {
        interventions.set(path, () => {
          resolve()
          return released
        })
      })

      return {
        hasStarted,
        release () {
          interventions.delete(path)
          release()
        }
      }
    },
    dropNextResponse (path) {
      interventions.set(path, socket => {
        interventions.delete(path)
        socket.destroy()
      })
    },
    countRequests: wanted => browserApp.requests.filter(({ request }) => request === wanted).length
  }
}

/** Waits until the client of a page is ready. */
export async function waitForClient (page: Page): Promise<void> {
  await page.waitForFunction('globalThis.auth')
  await page.evaluate('auth.ready.then(() => {})')
}

/** Creates a test clock that also follows real time. */
function createTickingClock (): TestClock {
  const clock = createClock()
  const elapsed = (): number => Math.floor(performance.now() - start)
  const start = performance.now()

  return Object.assign(() => clock() + elapsed(), {
    advance: clock.advance,
    set (to: number) {
      clock.set(to - elapsed())
    }
  })
}

/** Waits up to 10 s until a condition is true. */
export async function waitUntil (condition: () => unknown): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (await condition()) {
      return
    }

    await sleep(10)
  }

  throw new Error(`condition was not met within 10 s: ${condition}`)
}

/**
 * Finds all strings that are long enough for a token, as pairs of place and string.
 *
 * Follows the own properties of all objects from `window`, and reads all kinds of storage.
 */
const searchScript = `(async () => {
  const places = []
  const put = (place, value) => {
    const string = typeof value === 'string' ? value : JSON.stringify(value)
    for (const long of string?.match(/[\\w.-]{20,}/g) ?? []) places.push([place, long])
  }
  put('cookie', document.cookie)
  put('localStorage', { ...localStorage })
  put('sessionStorage', { ...sessionStorage })
  put('page', [document.documentElement.outerHTML, document.title, location.href, name, history.state])
  put('timeline', performance.getEntries())
  for (const { name } of await indexedDB.databases()) {
    const db = await new Promise((resolve, reject) => {
      Object.assign(indexedDB.open(name), { onsuccess: ({ target }) => resolve(target.result), onerror: reject })
    })
    for (const store of db.objectStoreNames) {
      const all = await new Promise(resolve => {
        const request = db.transaction(store).objectStore(store).getAll()
        request.onsuccess = () => resolve(request.result)
      })
      put('indexedDB', all)
    }
    db.close()
  }
  for (const name of await caches.keys()) {
    const cache = await caches.open(name)
    for (const request of await cache.keys()) {
      put('caches', request.url + await (await cache.match(request)).text())
    }
  }
  const seen = new Set()
  const queue = [['window', window]]
  while (queue.length > 0) {
    const [path, object] = queue.pop()
    for (const key of Reflect.ownKeys(object)) {
      let value
      try { value = object[key] } catch { continue }
      const place = path + '.' + String(key)
      if (typeof key === 'string') put('window', key)
      if (typeof value === 'string') put(place, value)
      if (value === null || (typeof value !== 'object' && typeof value !== 'function') || seen.has(value)) continue
      seen.add(value)
      queue.push([place, value])
      if (value instanceof Map || value instanceof Set) queue.push([place, [...value.entries()].flat()])
    }
  }
  return JSON.stringify(places)
})()`

/**
 * Returns the places in which a script of the page finds one of the strings.
 *
 * The page does not receive the strings, because they would be in its memory from then on.
 */
export async function findInPage (page: Page, strings: Iterable<string>): Promise<string[]> {
  const wanted = [...strings]
  const places = JSON.parse(await page.evaluate<string>(searchScript)) as Array<
    [place: string, found: string]
  >

  return [
    ...new Set(
      places.filter(([, found]) => wanted.some(string => found.includes(string))).map(([place]) =>
        place
      )
    )
  ].sort()
}

/** Returns those of the strings that a heap snapshot of the page contains after a collection. */
export async function findInMemory (page: Page, strings: Iterable<string>): Promise<string[]> {
  const session = await page.context().newCDPSession(page)
  let snapshot = ''
  session.on('HeapProfiler.addHeapSnapshotChunk', ({ chunk }) => {
    snapshot += chunk
  })
  await session.send('HeapProfiler.enable')
  await session.send('HeapProfiler.collectGarbage')
  await session.send('HeapProfiler.takeHeapSnapshot', { reportProgress: false })
  await session.detach()
  return [...strings].filter(string => snapshot.includes(string))
}
