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

/** Bundles a file and its imports to one module for browsers. */
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

// `pass` advances the monotonic clock of the tab, as a sleeping device does.
const tabPage = `<!doctype html><link rel="icon" href="data:,"><title>tab</title><body><script>
{
  const now = performance.now.bind(performance)
  let ahead = 0
  performance.now = () => now() + ahead
  globalThis.pass = ms => { ahead += ms }
}
</script><script type="module">
import { createAuthClient } from '/client.js'
globalThis.auth = createAuthClient()
</script>`

export interface ClientApp extends BrowserApp {
  /** Every access token and every refresh token that the app issued. */
  readonly issued: Set<string>
  /** Number of refreshes, and the maximum that ran concurrently. */
  readonly refreshes: { total: number, maxConcurrent: number }
  /**
   * Opens a tab and waits until its client is ready.
   *
   * @param init Script that runs before the scripts of the page.
   */
  openTab(t: Teardown, init?: string): Promise<Page>
  /** Processes requests to a path, but delays their responses until `release` is called. */
  holdResponse(path: string): { readonly isHolding: Promise<void>, readonly release: () => void }
  /** Processes the next request to a path, but closes the connection instead of responding. */
  loseResponse(path: string): void
  countRequests(request: string): number
}

/** Starts an app that uses cookies and serves a page with the client at `/tab`. */
export async function startClientApp (
  t: Teardown,
  browser: BrowserContext,
  options: TestAppOptions = {},
  host?: string
): Promise<ClientApp> {
  const issued = new Set<string>()
  const refreshes = { total: 0, maxConcurrent: 0 }
  const interventions = new Map<string, (socket: Socket) => unknown>()
  let inFlight = 0

  function watch (app: FastifyInstance): void {
    app.addHook('onRequest', async ({ url }) => {
      if (url !== '/auth/refresh') {
        return
      }

      refreshes.total++
      refreshes.maxConcurrent = Math.max(refreshes.maxConcurrent, ++inFlight)
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

  const app = await startApp(t, {
    clock: createTickingClock(),
    ...options,
    options: { refreshToken: { transport: 'cookie' }, ...options.options },
    async before (app) {
      watch(app)
      await options.before?.(app)
    }
  }, host)

  return {
    ...app,
    issued,
    refreshes,
    async openTab (t, init) {
      const page = await browser.newPage()
      t.teardown(() => page.close())

      if (init !== undefined) {
        await page.addInitScript(init)
      }

      await page.goto(`${app.origin}/tab`)
      await waitForClient(page)
      return page
    },
    holdResponse (path) {
      let release = (): void => {}

      const released = new Promise<void>(resolve => {
        release = resolve
      })
      const isHolding = new Promise<void>(resolve => {
        interventions.set(path, () => {
          resolve()
          return released
        })
      })

      return {
        isHolding,
        release () {
          interventions.delete(path)
          release()
        }
      }
    },
    loseResponse (path) {
      interventions.set(path, socket => {
        interventions.delete(path)
        socket.destroy()
      })
    },
    countRequests: request => app.seen.filter(seen => seen.request === request).length
  }
}

/** Waits until the client of a page is ready. */
export async function waitForClient (page: Page): Promise<void> {
  await page.waitForFunction('globalThis.auth')
  await page.evaluate('auth.ready.then(() => {})')
}

function createTickingClock (): TestClock {
  const stoppedClock = createClock()
  const elapsed = (): number => Math.floor(performance.now() - start)
  const start = performance.now()

  return Object.assign(() => stoppedClock() + elapsed(), {
    advance: stoppedClock.advance,
    set (to: number) {
      stoppedClock.set(to - elapsed())
    }
  })
}

/** Waits until a condition is true, for at most 10 s. */
export async function waitUntil (condition: () => unknown): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (await condition()) {
      return
    }

    await sleep(10)
  }

  throw new Error(`condition did not become true: ${condition}`)
}

// Collects all strings that are long enough for a token, as `[place, string]`. Visits every object
// that a script can reach from `window` over own properties.
const searchScript = `(async () => {
  const places = []
  const put = (place, value) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    for (const match of text?.match(/[\\w.-]{20,}/g) ?? []) places.push([place, match])
  }
  put('cookie', document.cookie)
  put('localStorage', { ...localStorage })
  put('sessionStorage', { ...sessionStorage })
  const { documentElement, title } = document
  put('page', [documentElement.outerHTML, title, location.href, name, history.state])
  put('timeline', performance.getEntries())
  for (const { name } of await indexedDB.databases()) {
    const db = await new Promise((resolve, reject) => {
      const onsuccess = ({ target }) => resolve(target.result)
      Object.assign(indexedDB.open(name), { onsuccess, onerror: reject })
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
      if (value === null || !['object', 'function'].includes(typeof value)) continue
      if (seen.has(value)) continue
      seen.add(value)
      queue.push([place, value])
      if (value instanceof Map || value instanceof Set) {
        queue.push([place, [...value.entries()].flat()])
      }
    }
  }
  return JSON.stringify(places)
})()`

/**
 * Returns the places of a page where a script finds one of the strings.
 *
 * The page never receives the strings, because they would then stay in its memory.
 */
export async function findInPage (page: Page, texts: Iterable<string>): Promise<string[]> {
  const wanted = [...texts]
  const places = JSON.parse(await page.evaluate<string>(searchScript)) as Array<
    [place: string, text: string]
  >

  return [
    ...new Set(
      places.filter(([, text]) => wanted.some(one => text.includes(one))).map(([place]) => place)
    )
  ].sort()
}

/** Returns the strings that are in the heap of a page after a garbage collection. */
export async function findInMemory (page: Page, texts: Iterable<string>): Promise<string[]> {
  const session = await page.context().newCDPSession(page)
  let snapshot = ''
  session.on('HeapProfiler.addHeapSnapshotChunk', ({ chunk }) => {
    snapshot += chunk
  })
  await session.send('HeapProfiler.enable')
  await session.send('HeapProfiler.collectGarbage')
  await session.send('HeapProfiler.takeHeapSnapshot', { reportProgress: false })
  await session.detach()
  return [...texts].filter(text => snapshot.includes(text))
}
