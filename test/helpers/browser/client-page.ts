// Pages on which the client runs, in tabs of Chromium: bundled from its source, and served by the
// app itself. And a search for tokens, in every place of a browser that can keep a text.

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

/** One module for browsers, of a file and all that it imports. */
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

// `pass` lets the tab's monotonic clock go on, as it does while a device sleeps.
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
  /** Every access token and every refresh token that was handed out. */
  readonly issued: Set<string>
  /** How many refreshes there were, and how many at once at most. */
  readonly refreshes: { all: number, most: number }
  /**
   * Opens a tab, and waits until its client knows who is signed in. `init` runs before everything
   * else.
   */
  tab(t: Teardown, init?: string): Promise<Page>
  /** Acts upon what comes to a path, and keeps the answers back until it is released. */
  hold(path: string): { readonly isHolding: Promise<void>, readonly release: () => void }
  /** Acts upon the next request to a path, and breaks the connection instead of an answer. */
  lose(path: string): void
  count(request: string): number
}

/** The app, in cookie mode, with a page for the client at `/tab`. */
export async function startClientApp (
  t: Teardown,
  browser: BrowserContext,
  given: TestAppOptions = {},
  host?: string
): Promise<ClientApp> {
  const issued = new Set<string>()
  const refreshes = { all: 0, most: 0 }
  const interventions = new Map<string, (socket: Socket) => unknown>()
  let inFlight = 0

  function watch (app: FastifyInstance): void {
    app.addHook('onRequest', async ({ url }) => {
      if (url !== '/auth/refresh') {
        return
      }

      refreshes.all++
      refreshes.most = Math.max(refreshes.most, ++inFlight)
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

  const made = await startApp(t, {
    clock: createTickingClock(),
    ...given,
    options: { refreshToken: { transport: 'cookie' }, ...given.options },
    async before (app) {
      watch(app)
      await given.before?.(app)
    }
  }, host)

  return {
    ...made,
    issued,
    refreshes,
    async tab (t, init) {
      const page = await browser.newPage()
      t.teardown(() => page.close())

      if (init !== undefined) {
        await page.addInitScript(init)
      }

      await page.goto(`${made.origin}/tab`)
      await ready(page)
      return page
    },
    hold (path) {
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
    lose (path) {
      interventions.set(path, socket => {
        interventions.delete(path)
        socket.destroy()
      })
    },
    count: request => made.seen.filter(seen => seen.request === request).length
  }
}

/** Waits until the client of a page knows who is signed in. */
export async function ready (page: Page): Promise<void> {
  await page.waitForFunction('globalThis.auth')
  await page.evaluate('auth.ready.then(() => {})')
}

function createTickingClock (): TestClock {
  const still = createClock()
  const elapsed = (): number => Math.floor(performance.now() - start)
  const start = performance.now()

  return Object.assign(() => still() + elapsed(), {
    advance: still.advance,
    set (to: number) {
      still.set(to - elapsed())
    }
  })
}

/** Waits for what must become true, for 10 s at most. */
export async function until (isSo: () => unknown): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (await isSo()) {
      return
    }

    await sleep(10)
  }

  throw new Error(`it did not come to this: ${isSo}`)
}

// All that is long enough for a token, as [place, text]. Objects are followed from `window` over
// their own properties, as far as a script gets.
const searchScript = `(async () => {
  const places = []
  const put = (place, value) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    for (const long of text?.match(/[\\w.-]{20,}/g) ?? []) places.push([place, long])
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
 * Where a script of the page finds one of these texts. It is not told which, since they would be in
 * its memory from then on.
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

/** Which of these texts are in a page's memory, rubbish excepted: as a debugger would find them. */
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
