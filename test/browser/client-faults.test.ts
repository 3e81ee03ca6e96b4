import type { ServerHttp2Session } from 'node:http2'
import type { FastifyServerOptions } from 'fastify'
import type { Page, Route } from 'playwright-core'
import t from 'tap'
import { getChromiumSkipReason, startBrowser } from '../helpers/browser/browser.js'
import {
  advanceTabClock,
  expireAccessToken,
  fetchStatuses,
  getRotations,
  getState,
  login,
  mapPages,
  openTwoTabs,
  resetAfterEach
} from '../helpers/browser/client-actions.js'
import { startClientApp, waitForClient } from '../helpers/browser/client-page.js'
import type { ClientApp } from '../helpers/browser/client-page.js'
import { DAY, MINUTE } from '../helpers/clock.js'

const skip = getChromiumSkipReason()

t.test('in Chromium', { skip }, async t => {
  const browser = await startBrowser(t)
  resetAfterEach(t, browser)

  await t.test('a refresh that fails without a rejection is retried [86]', async t => {
    const html = { contentType: 'text/html', body: '<h1>Sorry</h1>' }
    const lostResponse = 'a lost response'
    const faults: Record<string, (route: Route, app: ClientApp) => Promise<void>> = {
      'a reset connection': route => route.abort('connectionreset'),
      [lostResponse] (route, app) {
        app.loseResponse('/auth/refresh')
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
      'a captive portal': route => route.fulfill({ status: 200, ...html }),
      'a redirect to a captive portal': route =>
        route.fulfill({ status: 302, headers: { location: 'https://portal.test' } })
    }
    await Promise.all(
      Object.entries(faults).map(async ([name, injectFault], i) => {
        const app = await startClientApp(t, browser, {}, `fault-${i}.test`)
        const page = await app.openTab(t)
        await login(page)
        await expireAccessToken(app, [page])
        let refreshes = 0
        await page.route(
          '**/auth/refresh',
          route => ++refreshes > 1 ? route.continue() : injectFault(route, app)
        )
        const start = performance.now()
        t.strictSame(await fetchStatuses(page, 3), [200, 200, 200], name)

        if (name === '429') {
          t.ok(performance.now() - start >= 1000, 'the client honors Retry-After')
        }

        // Chromium itself retries a lost response on a reused connection, unseen by the route.
        t.ok(refreshes === 2 || name === lostResponse, `${name}: ${refreshes} refreshes`)
        t.match(await getState(page), { status: 'signed-in', user: { username: 'ann' } }, name)
        t.strictSame(getRotations(app), [1], name)
        t.notOk(app.events.some(event => event.name === 'reuse'), name)
      })
    )
  })

  await t.test('an offline tab sends few requests and stays signed in [86]', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTwoTabs(t, app)
    await expireAccessToken(app, tabs)
    let attempts = 0
    await browser.route('**/auth/refresh', route => {
      attempts++
      return route.abort('internetdisconnected')
    })
    const fetchWithTimeout = (page: Page): Promise<unknown> =>
      page.evaluate(`
        auth.fetch('/protected', { signal: AbortSignal.timeout(1500) })
          .then(response => response.status, error => error.name)`)
    t.strictSame(await mapPages(tabs, fetchWithTimeout), ['TimeoutError', 'TimeoutError'])
    t.ok(attempts >= 2 && attempts <= 6, `${attempts} attempts`)

    for (const page of tabs) {
      t.match(await getState(page), { status: 'signed-in' })
    }

    await browser.unrouteAll()
    t.strictSame((await mapPages(tabs, page => fetchStatuses(page))).flat(), [200, 200])
  })

  await t.test('a request with a stream as body is not retried [86]', async t => {
    const app = await startClientApp(t, browser, {
      // Chromium sends streams over HTTP/2 only. It keeps these connections open.
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
    const page = await app.openTab(t)
    await login(page)
    const post = (body: string): Promise<unknown> =>
      page.evaluate(`
        auth.fetch('/echo', {
          method: 'POST',
          headers: { 'content-type': 'text/plain' },
          duplex: 'half',
          body: ${body}
        }).then(
          async response => response.status === 200 ? await response.text() : response.status,
          error => error.name
        )`)
    const stream = 'new Blob([\'from a stream\']).stream()'
    t.equal(await post(stream), 'from a stream')

    const cases = [
      [stream, 401, 1],
      ['\'a text\'', 'a text', 1],
      ['new Blob([\'bytes\'])', 'bytes', 2]
    ] as const

    for (const [body, result, times] of cases) {
      app.clock.advance(20 * MINUTE)
      app.seen.length = 0
      t.equal(await post(body), result)
      t.equal(app.countRequests('POST /echo'), times, body)
    }

    app.clock.advance(20 * MINUTE)
    app.seen.length = 0
    const status = await page.evaluate(`
      auth.fetch(new Request('/echo', { method: 'POST', body: 'x' }))
        .then(response => response.status)`)
    t.not(status, 401, 'the body of a Request is cloned')
    t.equal(app.countRequests('POST /echo'), 2)
  })

  await t.test('a wall clock that is a day off or jumps signs nobody out [86]', async t => {
    const shiftClock = (days: number): string =>
      `{
      const { now } = Date
      globalThis.shift = ${days * DAY}
      globalThis.Date = class extends Date {
        constructor (...args) { super(...args.length > 0 ? args : [now() + shift]) }
        static now () { return now() + shift }
      }
    }`
    const clocks = [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]] as const
    const runs = await Promise.all(clocks.map(async ([days, jumpDays], i) => {
      const app = await startClientApp(t, browser, {}, `clock-${i}.test`)
      const page = await app.openTab(t, shiftClock(days))
      const difference = await page.evaluate<number>('Date.now()') - Date.now()
      t.ok(Math.abs(difference - days * DAY) < MINUTE, 'the clock is off')
      await login(page)
      await page.evaluate(`shift += ${jumpDays * DAY}`)
      const statuses: unknown[] = []

      for (const minutes of [0, 10, 6, 5, 20]) {
        app.clock.advance(minutes * MINUTE)
        await advanceTabClock(page, minutes * MINUTE)
        statuses.push(...await fetchStatuses(page, 2))
      }

      await page.reload()
      await waitForClient(page)
      statuses.push(...await fetchStatuses(page))

      return {
        statuses,
        seen: app.seen.map(({ request, result }) => `${request} ${result}`),
        state: await getState(page)
      }
    }))

    for (const [i, { statuses, seen, state }] of runs.entries()) {
      t.match({ statuses, state }, {
        statuses: Array(11).fill(200),
        state: { status: 'signed-in' }
      })
      // After a jump ahead, the client cannot tell whether the device has slept.
      const [days = 0, jumpDays = 0] = clocks[i] ?? []
      const refreshes = seen.filter(seen => seen === 'POST /auth/refresh 200').length
      t.equal(refreshes, jumpDays > 0 ? 4 : 3, `${days} days off, jumps by ${jumpDays}`)
    }
  })
})
