// The client in Chromium: with its cookies, its tabs, its Web Locks and its redirects (security.md
// 85 to 87).

import { readdirSync, readFileSync } from 'node:fs'
import type { ServerHttp2Session } from 'node:http2'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import cors from '@fastify/cors'
import type { FastifyServerOptions } from 'fastify'
import type { Page, Route } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { PASSWORD } from '../helpers/app.js'
import {
  createProfile,
  hosts,
  jar,
  startApp,
  startBrowser,
  whyNoChromium
} from '../helpers/browser/browser.js'
import type { BrowserApp } from '../helpers/browser/browser.js'
import {
  findInMemory,
  findInPage,
  ready,
  startClientApp,
  until
} from '../helpers/browser/client-page.js'
import type { ClientApp } from '../helpers/browser/client-page.js'
import { DAY, MINUTE } from '../helpers/clock.js'

const skip = whyNoChromium()

const login = (page: Page, username = 'ann'): Promise<unknown> =>
  page.evaluate(`auth.login(${JSON.stringify({ username, password: PASSWORD })}).then(() => {})`)
/** The statuses of so many calls at once; the code, or the name, of what else comes. */
const call = (page: Page, times = 1, path = '/protected', init: object = {}): Promise<unknown[]> =>
  page.evaluate(`
  Promise.all(Array.from({ length: ${times} }, () =>
    auth.fetch(${JSON.stringify(path)}, ${
    JSON.stringify(init)
  }).then(answer => answer.status, error => error.code ?? error.name)))`)
const state = (page: Page): Promise<unknown> => page.evaluate('auth.state')
const stateBecomes = (page: Page, status: string, username?: string): Promise<unknown> =>
  page.waitForFunction(
    `auth.state.status === '${status}' && auth.state.user?.username === ${JSON.stringify(username)}`
  )
const pass = (page: Page, ms: number): Promise<unknown> => page.evaluate(`pass(${ms})`)
const all = <Result>(
  pages: readonly Page[],
  act: (page: Page) => Promise<Result>
): Promise<Result[]> => Promise.all(pages.map(page => act(page)))

/** Time goes on for everybody, past the end of the access token. */
async function sleepOver (app: ClientApp, pages: readonly Page[]): Promise<void> {
  app.clock.advance(20 * MINUTE)
  await all(pages, page => pass(page, 20 * MINUTE))
}

const rotations = ({ events }: ClientApp): number[] =>
  events.flatMap(event => event.name === 'refresh' && event.rotated ? [event.generation] : [])
const sessionsOf = async ({ store, clock }: BrowserApp, userId = 'u-ann'): Promise<number> =>
  (await store.list(userId, { now: clock(), limit: 9 })).length
const isAccess = (token: string): boolean => atob(token.split('.')[0] as string).includes('at+jwt')
// No shorter text would do, and no longer one would find a part of it.
const ends = (tokens: Iterable<string>): string[] => [...tokens].map(token => token.slice(-24))

t.test('in Chromium', { skip }, async t => {
  const browser = await startBrowser(t)
  t.afterEach(async () => {
    await browser.setOffline(false)
    await browser.unrouteAll()
    await browser.clearCookies()
  })

  async function openTabs (t: Test, app: ClientApp, count: number, init?: string): Promise<Page[]> {
    const pages = await Promise.all(Array.from({ length: count }, () => app.tab(t, init)))
    await login(pages[0] as Page)
    return pages
  }

  async function openTwo (t: Test, app: ClientApp, init?: string): Promise<[Page, Page]> {
    const [one, other] = await openTabs(t, app, 2, init) as [Page, Page]
    await stateBecomes(other, 'signed-in', 'ann')
    return [one, other]
  }

  const noLocks = 'delete Navigator.prototype.locks'
  const noChannels = 'delete globalThis.BroadcastChannel'
  // Whichever lock is asked for, this tab has it, and keeps it; it asks the server for nothing.
  const greedy = `{
    globalThis.fetch = () => new Promise(() => {})
    const { request } = LockManager.prototype
    LockManager.prototype.request = function (name, ...rest) {
      globalThis.held ??= request.call(this, name, { steal: true }, () => {
        globalThis.holds = true
        return new Promise(() => {})
      })
      return request.call(this, name, ...rest)
    }
  }`
  const wakings = [
    ['with a tab that holds the lock for ever', undefined, 5],
    ['with Web Locks', undefined, 1],
    ['without Web Locks', noLocks, 5],
    ['without Web Locks and channels', `${noLocks}; ${noChannels}`, 5]
  ] as const
  await t.test('86: five tabs wake at once', async t => {
    async function wake ([name, init, most]: typeof wakings[number]): Promise<void> {
      const app = await startClientApp(
        t,
        browser,
        {},
        `waking-${wakings.findIndex(([other]) => other === name)}.test`
      )
      const tabs = await openTabs(t, app, 5, init)

      // Who cannot hear of a login hears of it by a reload.
      if (init?.includes(noChannels)) {
        await all(tabs.slice(1), page => page.reload().then(() => ready(page)))
      }

      await all(tabs, page => stateBecomes(page, 'signed-in', 'ann'))

      if (name.includes('for ever')) {
        const holder = await browser.newPage()
        t.teardown(() => holder.close())
        await holder.addInitScript(greedy)
        await holder.goto(`${app.origin}/tab`)
        await holder.waitForFunction('globalThis.holds')
      }

      await sleepOver(app, tabs)
      app.refreshes.all = app.refreshes.most = app.events.length = 0

      const { isHolding, release } = app.hold('/auth/refresh')
      const answers = all(tabs, page => call(page, 10))
      await isHolding
      await sleep(300)
      release()
      t.strictSame((await answers).flat(), Array(50).fill(200), name)
      t.strictSame(
        rotations(app),
        [...new Set(rotations(app))],
        `${name}: one rotation a generation`
      )
      t.ok(rotations(app).length >= 1, `${name}: ${rotations(app).length} rotations`)
      t.ok(app.refreshes.all <= 5, `${name}: ${app.refreshes.all} refreshes`)
      t.ok(app.refreshes.most <= most, `${name}: ${app.refreshes.most} at once`)
      t.notOk(app.events.some(({ name }) => name === 'reuse' || name === 'revoke'), name)

      for (const page of tabs) {
        t.match(await state(page), { status: 'signed-in', user: { username: 'ann' } }, name)
      }

      t.strictSame((await all(tabs, page => call(page))).flat(), Array(5).fill(200), name)
      await all(tabs, page => page.close())
    }

    // The lock is waited for during the others.
    const [stuck, ...others] = wakings
    const done = wake(stuck)

    for (const one of others) {
      await wake(one)
    }

    await done
  })

  await t.test('86: the server alone finds the tokens too old: each tab refreshes once, and sends again once', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTabs(t, app, 5)
    await all(tabs, page => stateBecomes(page, 'signed-in', 'ann'))
    app.clock.advance(20 * MINUTE)
    app.seen.length = app.refreshes.all = app.events.length = 0
    t.strictSame((await all(tabs, page => call(page, 10))).flat(), Array(50).fill(200))
    t.ok(app.refreshes.all <= 5, `${app.refreshes.all} refreshes`)
    t.strictSame(rotations(app), [...new Set(rotations(app))])
    t.ok(app.count('GET /protected') <= 100)
  })

  await t.test('86: in a tab, one refresh for all who wait', async t => {
    const app = await startClientApp(t, browser)
    const page = await app.tab(t, `${noLocks}; ${noChannels}`)
    await login(page)
    await sleepOver(app, [page])
    app.refreshes.all = 0
    const { isHolding, release } = app.hold('/auth/refresh')
    const calls = call(page, 10)
    await isHolding
    const more = call(page, 10)
    await sleep(50)
    release()
    t.strictSame([...await calls, ...await more], Array(20).fill(200))
    t.equal(app.refreshes.all, 1)
  })

  await t.test('86: over tabs, one refresh at a time, and what it brings is for all', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTwo(t, app)
    await sleepOver(app, tabs)
    app.refreshes.all = app.refreshes.most = 0
    const { isHolding, release } = app.hold('/auth/refresh')
    const calls = all(tabs, page => call(page, 5))
    await isHolding
    await sleep(100)
    release()
    t.strictSame((await calls).flat(), Array(10).fill(200))
    t.strictSame(app.refreshes, { all: 1, most: 1 })
  })

  await t.test('86: a session that was ended: each tab stops, and none goes on asking', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTabs(t, app, 5)
    await all(tabs, page => stateBecomes(page, 'signed-in', 'ann'))
    await app.app.tokenAuth.revokeUser('u-ann')
    app.seen.length = app.refreshes.all = 0
    t.strictSame((await all(tabs, page => call(page, 10))).flat(), Array(50).fill(401))

    for (const page of tabs) {
      t.match(await state(page), { status: 'signed-out', user: null, reason: /^AUTH_REFRESH_/ })
    }

    t.ok(app.refreshes.all <= 5, `${app.refreshes.all} refreshes`)
    t.ok(app.count('GET /protected') <= 100)
    app.seen.length = 0
    await all(tabs, page => call(page, 10))
    await sleep(1500)
    t.equal(app.seen.length, 50, 'each was asked for once, and nothing besides')
    t.equal(app.count('GET /protected'), 50)

    const [page] = tabs as [Page]
    app.seen.length = 0
    await page.reload()
    await ready(page)
    t.match(await state(page), { status: 'signed-out' })
    await call(page, 10)
    t.ok(app.count('POST /auth/refresh') <= 1)
  })

  await t.test('86: what is not a refusal signs nobody out', async t => {
    const html = { contentType: 'text/html', body: '<h1>Sorry</h1>' }
    const troubles: Record<string, (route: Route, app: ClientApp) => Promise<void>> = {
      'a connection that breaks': route => route.abort('connectionreset'),
      'an answer that is lost' (route, app) {
        app.lose('/auth/refresh')
        return route.continue()
      },
      500: route => route.fulfill({ status: 500, ...html }),
      503: route => route.fulfill({ status: 503, json: { code: 'AUTH_STORE_UNAVAILABLE' } }),
      429: route =>
        route.fulfill({
          status: 429,
          headers: { 'retry-after': '1' },
          json: { code: 'AUTH_TOO_MANY_ATTEMPTS' }
        }),
      'a 401 of a proxy': route => route.fulfill({ status: 401, ...html }),
      'a 403 of a proxy': route => route.fulfill({ status: 403, ...html }),
      'the page of a hotel': route => route.fulfill({ status: 200, ...html }),
      'a way to the page of a hotel': route =>
        route.fulfill({ status: 302, headers: { location: 'https://hotel.test' } })
    }
    await Promise.all(
      Object.entries(troubles).map(async ([name, trouble], i) => {
        const app = await startClientApp(t, browser, {}, `trouble-${i}.test`)
        const page = await app.tab(t)
        await login(page)
        await sleepOver(app, [page])
        let asked = 0
        await page.route(
          '**/auth/refresh',
          route => ++asked > 1 ? route.continue() : trouble(route, app)
        )
        const start = performance.now()
        t.strictSame(await call(page, 3), [200, 200, 200], name)

        if (name === '429') {
          t.ok(performance.now() - start >= 1000, 'as late as it was asked to be')
        }

        // Chromium itself asks again over a connection that it had used before.
        t.ok(asked === 2 || name === 'an answer that is lost', `${name}: asked ${asked} times`)
        t.match(await state(page), { status: 'signed-in', user: { username: 'ann' } }, name)
        t.strictSame(rotations(app), [1], name)
        t.notOk(
          app.events.some(event => event.name === 'reuse'),
          name
        )
      })
    )
  })

  await t.test('86: offline for a while: calls wait or fail, few requests are tried, and nobody is signed out', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTwo(t, app)
    await sleepOver(app, tabs)
    let tried = 0
    await browser.route('**/auth/refresh', route => {
      tried++
      return route.abort('internetdisconnected')
    })
    const impatient = (page: Page): Promise<unknown> =>
      page.evaluate(`
      auth.fetch('/protected', { signal: AbortSignal.timeout(1500) }).then(answer => answer.status, error => error.name)`)
    t.strictSame(await all(tabs, impatient), ['TimeoutError', 'TimeoutError'])
    t.ok(tried >= 2 && tried <= 6, `${tried} tries`)

    for (const page of tabs) {
      t.match(await state(page), { status: 'signed-in' })
    }

    await browser.unrouteAll()
    t.strictSame((await all(tabs, page => call(page))).flat(), [200, 200])
  })

  await t.test('86: a body that is a stream is not sent again; others are', async t => {
    const app = await startClientApp(t, browser, {
      // To send a stream takes HTTP/2, of which Chromium keeps connections open.
      fastify: { http2: true } as FastifyServerOptions,
      before (app) {
        const sessions = new Set<ServerHttp2Session>()
        app.server.on('session', (session: ServerHttp2Session) => sessions.add(session))
        app.addHook('preClose', async () => {
          for (const session of sessions) {
            session.destroy()
          }
        })
      },
      after (app) {
        app.post('/echo', { onRequest: app.authenticate }, request => request.body)
      }
    })
    const page = await app.tab(t)
    await login(page)
    const post = (body: string): Promise<unknown> =>
      page.evaluate(`
      auth.fetch('/echo', { method: 'POST', headers: { 'content-type': 'text/plain' }, duplex: 'half', body: ${body} })
        .then(async answer => answer.status === 200 ? await answer.text() : answer.status, error => error.name)`)
    const stream = 'new Blob([\'from a stream\']).stream()'
    t.equal(await post(stream), 'from a stream')

    for (
      const [body, answer, times] of [[stream, 401, 1], ['\'a text\'', 'a text', 1], [
        'new Blob([\'bytes\'])',
        'bytes',
        2
      ]]
    ) {
      app.clock.advance(20 * MINUTE)
      app.seen.length = 0
      t.equal(await post(body as string), answer)
      t.equal(app.count('POST /echo'), times, body as string)
    }

    const request =
      'auth.fetch(new Request(\'/echo\', { method: \'POST\', body: \'x\' })).then(answer => answer.status)'
    app.clock.advance(20 * MINUTE)
    app.seen.length = 0
    t.equal(await page.evaluate(request), 401, 'the body of a Request is a stream')
    t.equal(app.count('POST /echo'), 1)
  })

  await t.test('86: a wall clock that is wrong by a day, or leaps, changes nothing', async t => {
    const shift = (days: number): string =>
      `{
      const { now } = Date
      globalThis.shift = ${days * DAY}
      globalThis.Date = class extends Date {
        constructor (...given) { super(...given.length > 0 ? given : [now() + shift]) }
        static now () { return now() + shift }
      }
    }`
    const clocks = [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]] as const
    const runs = await Promise.all(clocks.map(async ([days, leap], i) => {
      const app = await startClientApp(t, browser, {}, `clock-${i}.test`)
      const page = await app.tab(t, shift(days))
      const apart = await page.evaluate<number>('Date.now()') - Date.now()
      t.ok(Math.abs(apart - days * DAY) < MINUTE, 'the clock is wrong')
      await login(page)
      await page.evaluate(`shift += ${leap * DAY}`)
      const answers: unknown[] = []

      for (const minutes of [0, 10, 6, 5, 20]) {
        app.clock.advance(minutes * MINUTE)
        await pass(page, minutes * MINUTE)
        answers.push(...await call(page, 2))
      }

      await page.reload()
      await ready(page)
      answers.push(...await call(page))

      return {
        answers,
        seen: app.seen.map(({ request, answer }) => `${request} ${answer}`),
        state: await state(page)
      }
    }))
    t.match(runs[0], { answers: Array(11).fill(200), state: { status: 'signed-in' } })
    t.equal(runs[0]?.seen.filter(seen => seen === 'POST /auth/refresh 200').length, 3)

    for (const run of runs) {
      t.strictSame(run, runs[0])
    }
  })

  await t.test('85: what a script may find: the search itself finds what is put there', async t => {
    const app = await startClientApp(t, browser)
    const page = await app.tab(t)
    const needle = 'needle-in-a-haystack-of-hay'
    await page.evaluate(`(async () => {
      document.cookie = 'a=${needle}'
      localStorage.setItem('${needle}', '')
      sessionStorage.setItem('a', 'a ${needle}')
      history.replaceState({ a: ['${needle}'] }, '')
      const db = await new Promise(resolve => {
        const request = indexedDB.open('db')
        request.onupgradeneeded = () => request.result.createObjectStore('store')
        request.onsuccess = () => resolve(request.result)
      })
      await new Promise(oncomplete => {
        Object.assign(db.transaction('store', 'readwrite'), { oncomplete }).objectStore('store').put({ b: '${needle}' }, 'a')
      })
      db.close()
      await caches.open('c').then(cache => cache.put('/x', new Response('${needle}')))
      await fetch('/?${needle}').then(answer => answer.text())
      auth.subscribe.leak = { deep: [new Map([['x', { '${needle}': 'y' }]]), 'a ${needle}'] }
    })()`)
    t.strictSame(await findInPage(page, [needle]), [
      'caches',
      'cookie',
      'indexedDB',
      'localStorage',
      'page',
      'sessionStorage',
      'timeline',
      'window',
      'window.auth.subscribe.leak.deep.1',
      'window.sessionStorage.a'
    ])
    await page.evaluate('caches.delete(\'c\').then(() => { indexedDB.deleteDatabase(\'db\') })')
  })

  await t.test('85: no token is anywhere but in memory, and after a logout in the memory of no tab', async t => {
    const app = await startClientApp(t, browser, {
      options: { accessToken: { lifetime: '15m', renewWithin: '5m' } }
    })
    const tabs = await openTwo(t, app)
    const [one, other] = tabs
    t.strictSame([await call(one), await call(other)], [[200], [200]])
    await sleepOver(app, tabs)
    t.strictSame([await call(one), await call(other)], [[200], [200]])
    app.clock.advance(11 * MINUTE)
    t.strictSame([await call(one), await call(other)], [[200], [200]])
    t.ok(app.issued.size >= 5, 'of a login, of a refresh, and a renewed one')
    const [refreshToken] = Object.values(await jar(browser, app))
    t.match(refreshToken, { httpOnly: true, secure: true, sameSite: 'Strict' })
    const kept = ends(app.issued)
    t.ok(kept.includes(ends([refreshToken?.value as string])[0] as string))

    for (const page of tabs) {
      t.equal((await findInMemory(page, kept)).length, 1, 'the access token of now')
    }

    await one.evaluate('auth.logout()')
    await stateBecomes(other, 'signed-out')

    for (const page of tabs) {
      t.strictSame(await findInMemory(page, kept), [], 'gone from memory')
    }

    t.strictSame(await jar(browser, app), {})
    t.equal(await sessionsOf(app), 0)

    await login(one)
    await stateBecomes(other, 'signed-in', 'ann')
    await call(one)

    for (const page of tabs) {
      t.equal(await page.evaluate('document.cookie'), '')
      t.strictSame(await page.evaluate('Object.values(localStorage)'), ['in'])
      t.strictSame(await findInPage(page, ends(app.issued)), [])
    }

    await one.evaluate('auth.logout()')
    await stateBecomes(other, 'signed-out')

    for (const page of tabs) {
      t.strictSame(await findInPage(page, ends(app.issued)), [])
      t.strictSame(await page.evaluate('Object.values(localStorage)'), [])
      t.equal(await page.evaluate('auth.getAccessToken()'), null)
    }

    for (const url of app.seen) {
      t.notOk(ends(app.issued).some(token => url.request.includes(token)), 'no token in a URL')
    }
  })

  await t.test('85: a logout offline: nothing is left in any tab, and the server is told when it can be', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTwo(t, app)
    const [one, other] = tabs
    await call(other)
    await browser.setOffline(true)
    await one.evaluate('auth.logout()')
    await stateBecomes(other, 'signed-out')
    t.match(await state(one), { status: 'signed-out', reason: 'logout' })

    for (const page of tabs) {
      t.strictSame(await findInPage(page, ends(app.issued)), [])
      t.equal(await page.evaluate('auth.getAccessToken()'), null)
    }

    t.strictSame(await findInMemory(other, ends(app.issued)), [])
    t.equal(await sessionsOf(app), 1, 'the server does not know yet')
    await browser.setOffline(false)
    await until(() => app.count('POST /auth/logout') > 0)
    await until(async () => Object.keys(await jar(browser, app)).length === 0)
    t.equal(await sessionsOf(app), 0)
    await until(async () => await one.evaluate('localStorage.length') === 0)
    // Until then it proves, for the server, whose session is to be ended.
    t.strictSame(await findInMemory(one, ends(app.issued)), [])
    t.strictSame(await call(one), [401])
  })

  await t.test('85: a logout that nobody heard is told by the next tab, which is not signed in meanwhile', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTwo(t, app)
    let tried = 0
    await browser.route('**/auth/logout', route => {
      tried++

      return tried % 2 === 0
        ? route.abort('connectionreset')
        : route.fulfill({ status: 503, body: 'down' })
    })
    await tabs[0].evaluate('auth.logout()')
    await all(tabs, page => page.close())
    t.ok(tried >= 1)
    t.equal(Object.keys(await jar(browser, app)).length, 1, 'a script cannot delete it')
    app.seen.length = 0
    const next = await app.tab(t)
    t.match(await state(next), { status: 'signed-out' })
    t.strictSame(await call(next), [401])
    t.equal(app.count('POST /auth/refresh'), 0, 'what is left of the session is not used')
    t.strictSame(await findInPage(next, ends(app.issued)), [])
    await browser.unrouteAll()
    await until(() => app.count('POST /auth/logout') > 0)
    await until(async () => Object.keys(await jar(browser, app)).length === 0)
    t.equal(await sessionsOf(app), 0)
    await login(next, 'bob')
    t.match(await state(next), { status: 'signed-in', user: { username: 'bob' } })
  })

  // The other origins, which allow everything that CORS can allow.
  interface Stranger {
    readonly port: string
    readonly received: Array<
      { readonly request: string, readonly headers: Record<string, unknown> }
    >
    readonly bodies: unknown[]
  }

  async function startStranger (t: Test): Promise<Stranger> {
    const received: Stranger['received'] = []
    const bodies: unknown[] = []
    const app = await startApp(t, {
      async before (app) {
        app.addHook('onRequest', async ({ method, url, headers }, reply) => {
          received.push({ request: `${method} ${url}`, headers })
          reply.header('x-new-token', `e30.${btoa(JSON.stringify({ iat: 1, exp: 1e6 }))}.x`)
        })
        app.addHook('preHandler', async ({ body }) => {
          bodies.push(body)
        })
        app.addContentTypeParser(
          '*',
          { parseAs: 'string' },
          async (_request: unknown, body: unknown) => body
        )
        await app.register(cors, {
          origin: true,
          credentials: true,
          methods: ['GET', 'POST', 'PUT'],
          exposedHeaders: ['x-new-token'],
          allowedHeaders: ['authorization', 'content-type', 'x-custom', 'x-token-transport']
        })
        app.route({
          method: ['GET', 'POST', 'PUT'],
          url: '/elsewhere',
          handler: async () => 'elsewhere'
        })
      }
    }, hosts.foreign)
    return { port: new URL(app.origin).port, received, bodies }
  }

  /**
   * What others must not get: a header with a token, an offer of one, a cookie, a token in the URL
   * or in the body.
   */
  function checkReceived (
    t: Test,
    { received, bodies }: Stranger,
    app: ClientApp,
    times: number
  ): void {
    t.ok(
      received.filter(({ request }) => !request.startsWith('OPTIONS')).length >= times,
      `${times} requests came`
    )

    for (const { request, headers } of received) {
      t.notOk('authorization' in headers || 'cookie' in headers, request)
      t.notMatch(headers['access-control-request-headers'] ?? '', /authorization/, request)
      t.notOk(
        ends(app.issued).some(token => (request + JSON.stringify(headers)).includes(token)),
        request
      )
    }

    for (const body of bodies) {
      t.notOk(
        [PASSWORD, ...ends(app.issued)].some(text => JSON.stringify(body ?? '').includes(text))
      )
    }
  }

  await t.test('87: no token goes to another origin, however its URL is written', async t => {
    const app = await startClientApp(t, browser)
    const stranger = await startStranger(t)
    const page = await app.tab(t)
    await login(page)
    const token = await page.evaluate('auth.getAccessToken()')
    const [{ port: own, host }, { port }] = [new URL(app.origin), stranger]
    const others = [
      ...[
        hosts.app,
        hosts.sibling,
        hosts.foreign,
        '127.0.0.1',
        'localhost',
        `${hosts.app}.`,
        `${host}@${hosts.foreign}`
      ]
        .map(other => `https://${other}:${port}/elsewhere`),
      `//${hosts.foreign}:${port}/elsewhere`,
      `\\\\\\\\${hosts.app}:${port}/elsewhere`,
      `https:\\\\\\\\${hosts.foreign}:${port}/elsewhere`,
      ` HTTPS://${hosts.foreign.toUpperCase()}:${port}/elsewhere#${host}`
    ]

    for (const url of others) {
      const told = await page.evaluate(`(async () => {
        const url = '${url}'
        const init = { method: 'POST', headers: { 'x-custom': '1' }, body: 'x' }
        const answers = []
        for (const [input, init = {}] of [[url], [new URL(url, location)], [url, { method: 'POST', headers: { 'x-custom': '1' }, body: 'x' }]]) {
          answers.push(await auth.fetch(input, init).then(answer => answer.text(), error => error.name))
        }
        if (!url.includes('@')) answers.push(await auth.fetch(new Request(url, { method: 'PUT', body: 'x' })).then(answer => answer.text()))
        return [...new Set(answers)]
      })()`)
      // A URL with a name in it is none for fetch, unless it is a URL already... whoever reads it.
      t.strictSame(told, url.includes('@') ? ['TypeError'] : ['elsewhere'], url)
    }

    checkReceived(t, stranger, app, 4 * (others.length - 1))
    t.equal(await page.evaluate('auth.getAccessToken()'), token, 'nothing is taken from there')

    stranger.received.length = app.seen.length = 0
    const near = [
      `https://${hosts.app}.:${own}`,
      `https://${hosts.sibling}:${own}`,
      `https://localhost:${own}`,
      `http://${hosts.app}:${own}`
    ]

    for (const origin of near) {
      t.strictSame(await call(page, 1, `${origin}/protected`), ['TypeError'], origin)
    }

    t.equal(app.count('OPTIONS /protected'), 0, 'no preflight, for want of a header')
    t.notOk(app.seen.some(({ answer }) => answer === '200'))
    t.strictSame(await call(page, 1, `${app.origin}/protected`), [200])
    t.strictSame(await call(page, 1, `//${host}/protected`), [200])
  })

  await t.test('87: no token follows a redirect to another origin', async t => {
    const app = await startClientApp(t, browser, {
      after (app) {
        app.route<{ Querystring: { to: string, status: string } }>({
          method: ['GET', 'POST', 'PUT'],
          url: '/go',
          handler: ({ query: { to, status } }, reply) => reply.redirect(to, Number(status))
        })
      }
    })
    const stranger = await startStranger(t)
    const page = await app.tab(t)
    await login(page)
    const token = await page.evaluate('auth.getAccessToken()')
    let asked = 0

    for (const host of [hosts.app, hosts.sibling, hosts.foreign, '127.0.0.1']) {
      for (const status of [301, 302, 303, 307, 308]) {
        const path = `/go?status=${status}&to=${
          encodeURIComponent(`https://${host}:${stranger.port}/elsewhere`)
        }`
        const init = { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } }
        t.strictSame(await call(page, 1, path), [200], path)
        t.strictSame(await call(page, 1, path, init), [200], path)
        asked += 2
      }
    }

    checkReceived(t, stranger, app, asked)
    t.equal(await page.evaluate('auth.getAccessToken()'), token, 'nothing is taken from there')

    for (const { request, answer } of app.seen.filter(({ request }) => request.includes('/go'))) {
      t.match(answer, /^30/, request)
    }

    const home = `${app.origin}/protected`
    const path = `/go?status=307&to=${encodeURIComponent(home)}`
    t.strictSame(await call(page, 1, path), [200], 'it follows one to its own origin')
  })

  await t.test('87: a login, a refresh and a logout go where they should, or nowhere', async t => {
    let to = ''
    const app = await startClientApp(t, browser, {
      before (app) {
        app.addHook('onRequest', async ({ url }, reply) => {
          if (to !== '' && url.startsWith('/auth/')) {
            return reply.redirect(to, 307)
          }
        })
      }
    })
    const stranger = await startStranger(t)
    const page = await app.tab(t)

    for (const host of [hosts.app, hosts.foreign]) {
      to = `https://${host}:${stranger.port}/elsewhere`
      const tried = page.evaluate(
        `auth.login({ username: 'ann', password: '${PASSWORD}' }).catch(error => error.code)`
      )
      t.equal(await tried, 'network')
      to = ''
      await login(page)
      await sleepOver(app, [page])
      to = `https://${host}:${stranger.port}/elsewhere`
      t.equal(
        await page.evaluate(`
        auth.fetch('/protected', { signal: AbortSignal.timeout(300) }).catch(error => error.name)`),
        'TimeoutError'
      )
      t.match(await state(page), { status: 'signed-in' })
      await page.evaluate('auth.logout()')
      to = ''
      await until(async () => Object.keys(await jar(browser, app)).length === 0)
    }

    t.strictSame(stranger.received, [])
  })

  await t.test('tabs: a login, another login and a logout reach all tabs', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTabs(t, app, 5)
    await all(tabs, page => stateBecomes(page, 'signed-in', 'ann'))
    await login(tabs[3] as Page, 'bob')
    await all(tabs, page => stateBecomes(page, 'signed-in', 'bob'))
    const ids = (await all(tabs, page =>
      page.evaluate('auth.fetch(\'/protected\').then(answer => answer.json())')))
      .map(auth =>
        (auth as { userId: string }).userId
      )
    t.strictSame(ids, Array(5).fill('u-bob'))
    t.equal(await sessionsOf(app, 'u-ann'), 0, 'replaced')
    await tabs[1]?.evaluate('auth.logout()')
    await all(tabs, page =>
      stateBecomes(page, 'signed-out'))
    t.strictSame((await all(tabs, page => call(page))).flat(), Array(5).fill(401))
    t.equal(app.count('POST /auth/logout'), 1)
    t.equal(app.issued.size > 0 && await sessionsOf(app, 'u-bob'), 0)

    await login(tabs[0] as Page)
    await all(tabs, page => stateBecomes(page, 'signed-in', 'ann'))
    await tabs[4]?.evaluate('auth.logoutEverywhere()')
    await all(tabs, page => stateBecomes(page, 'signed-out'))
    t.strictSame(await jar(browser, app), {})
  })

  for (const who of ['the same tab', 'another tab'] as const) {
    await t.test(`a logout in ${who} wins over a refresh in flight`, async t => {
      const app = await startClientApp(t, browser)
      const tabs = await openTwo(t, app)
      await sleepOver(app, tabs)
      const { isHolding, release } = app.hold('/auth/refresh')
      const calls = call(tabs[0], 3)
      await isHolding
      const leaving = tabs[who === 'the same tab' ? 0 : 1].evaluate('auth.logout()')
      await until(() => app.count('POST /auth/logout') === 1)
      release()
      await leaving
      t.strictSame(await calls, Array(3).fill('signed-out'))
      await sleep(200)

      for (const page of tabs) {
        t.match(await state(page), { status: 'signed-out', user: null, reason: 'logout' })
        t.equal(await page.evaluate('auth.getAccessToken()'), null)
        t.strictSame(await call(page), [401])
      }

      t.strictSame(await jar(browser, app), {})
      t.equal(await sessionsOf(app), 0)
      const next = await app.tab(t)
      t.match(await state(next), { status: 'signed-out' })
    })
  }

  await t.test('a reload and a new tab: signed in again, by the cookie alone', async t => {
    const app = await startClientApp(t, browser)
    const page = await app.tab(t)
    await login(page)

    for (const forget of ['', 'localStorage.clear()']) {
      await page.evaluate(forget)
      await page.reload()
      await ready(page)
      t.match(await state(page), { status: 'signed-in', user: { username: 'ann' } })
      await page.evaluate(forget)
      const next = await app.tab(t)
      t.match(await state(next), { status: 'signed-in', user: { username: 'ann' } })
      t.strictSame(await call(next), [200])
    }

    await page.goto('about:blank')
    await page.goBack()
    await ready(page)
    t.strictSame(await call(page), [200])
    t.equal(await sessionsOf(app), 1)
    t.notOk(app.events.some(({ name }) => name === 'reuse'))
  })
})

t.test('85: no access token is on the disk', { skip }, async t => {
  const profile = createProfile(t)
  const browser = await startBrowser(t, profile)
  const app = await startClientApp(t, browser)
  const page = await app.tab(t)
  await login(page)
  await sleepOver(app, [page])
  t.strictSame(await call(page), [200])
  await page.evaluate('localStorage.setItem(\'draft\', \'a-text-to-be-found\')')
  const access = [...app.issued].filter(isAccess)
  t.equal(access.length, 2)
  await browser.close()
  const found = (text: string): string[] =>
    readdirSync(profile, { recursive: true, withFileTypes: true })
      .filter(entry =>
        entry.isFile() && readFileSync(join(entry.parentPath, entry.name)).includes(text)
      )
      .map(({ name }) => name)
  t.ok(found('a-text-to-be-found').length > 0, 'the search finds what is there')

  for (const token of ends(access)) {
    t.strictSame(found(token), [])
  }
})
