import { setTimeout as sleep } from 'node:timers/promises'
import type { Page } from 'playwright-core'
import t from 'tap'
import { getChromiumSkipReason, startBrowser } from '../helpers/browser/browser.js'
import {
  expireAccessToken,
  fetchStatuses,
  getRotations,
  getState,
  login,
  mapPages,
  NO_CHANNELS,
  NO_WEB_LOCKS,
  openTabs,
  openTwoTabs,
  resetAfterEach,
  waitForState
} from '../helpers/browser/client-actions.js'
import { startClientApp, waitForClient } from '../helpers/browser/client-page.js'
import { MINUTE } from '../helpers/clock.js'

const skip = getChromiumSkipReason()

t.test('in Chromium', { skip }, async t => {
  const browser = await startBrowser(t)
  resetAfterEach(t, browser)

  // Steals the lock when the client first requests one, and never releases it.
  const stealLock = `{
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
  const scenarios = [
    { name: 'with a stolen lock', initScript: undefined, maxConcurrent: 5, isStolen: true },
    { name: 'with Web Locks', initScript: undefined, maxConcurrent: 1 },
    { name: 'without Web Locks', initScript: NO_WEB_LOCKS, maxConcurrent: 5 },
    {
      name: 'without Web Locks and channels',
      initScript: `${NO_WEB_LOCKS}; ${NO_CHANNELS}`,
      maxConcurrent: 5
    }
  ] as const

  await t.test('five tabs that wake together rotate each generation once [86]', async t => {
    async function wakeTabs (scenario: typeof scenarios[number]): Promise<void> {
      const { name, initScript, maxConcurrent } = scenario
      const host = `scenario-${scenarios.indexOf(scenario)}.test`
      const app = await startClientApp(t, browser, {}, host)
      const tabs = await openTabs(t, app, 5, initScript)

      // Without channels, a tab learns of a login only from a reload.
      if (initScript?.includes(NO_CHANNELS)) {
        await mapPages(tabs.slice(1), page => page.reload().then(() => waitForClient(page)))
      }

      await mapPages(tabs, page => waitForState(page, 'signed-in', 'ann'))

      if ('isStolen' in scenario) {
        const holder = await browser.newPage()
        t.teardown(() => holder.close())
        await holder.addInitScript(stealLock)
        await holder.goto(`${app.origin}/tab`)
        await holder.waitForFunction('globalThis.holds')
      }

      await expireAccessToken(app, tabs)
      app.refreshes.total = app.refreshes.maxConcurrent = app.events.length = 0

      const { isHolding, release } = app.holdResponse('/auth/refresh')
      const statuses = mapPages(tabs, page => fetchStatuses(page, 10))
      await isHolding
      await sleep(300)
      release()
      t.strictSame((await statuses).flat(), Array(50).fill(200), name)
      t.strictSame(
        getRotations(app),
        [...new Set(getRotations(app))],
        `${name}: one rotation per generation`
      )
      t.ok(getRotations(app).length >= 1, `${name}: ${getRotations(app).length} rotations`)
      t.ok(app.refreshes.total <= 5, `${name}: ${app.refreshes.total} refreshes`)
      t.ok(
        app.refreshes.maxConcurrent <= maxConcurrent,
        `${name}: ${app.refreshes.maxConcurrent} concurrent`
      )
      t.notOk(app.events.some(({ name }) => name === 'reuse' || name === 'session-ended'), name)

      for (const page of tabs) {
        t.match(await getState(page), { status: 'signed-in', user: { username: 'ann' } }, name)
      }

      t.strictSame(
        (await mapPages(tabs, page => fetchStatuses(page))).flat(),
        Array(5).fill(200),
        name
      )
      await mapPages(tabs, page => page.close())
    }

    // The tabs of the first scenario wait for their lock while the other scenarios run.
    const [stolen, ...others] = scenarios
    const done = wakeTabs(stolen)

    for (const scenario of others) {
      await wakeTabs(scenario)
    }

    await done
  })

  await t.test('each tab refreshes once after the server rejects its token [86]', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTabs(t, app, 5)
    await mapPages(tabs, page => waitForState(page, 'signed-in', 'ann'))
    app.clock.advance(20 * MINUTE)
    app.seen.length = app.refreshes.total = app.events.length = 0
    t.strictSame(
      (await mapPages(tabs, page => fetchStatuses(page, 10))).flat(),
      Array(50).fill(200)
    )
    t.ok(app.refreshes.total <= 5, `${app.refreshes.total} refreshes`)
    t.strictSame(getRotations(app), [...new Set(getRotations(app))])
    t.ok(app.countRequests('GET /protected') <= 100)
  })

  await t.test('concurrent calls in one tab share one refresh [86]', async t => {
    const app = await startClientApp(t, browser)
    const page = await app.openTab(t, `${NO_WEB_LOCKS}; ${NO_CHANNELS}`)
    await login(page)
    await expireAccessToken(app, [page])
    app.refreshes.total = 0
    const { isHolding, release } = app.holdResponse('/auth/refresh')
    const calls = fetchStatuses(page, 10)
    await isHolding
    const more = fetchStatuses(page, 10)
    await sleep(50)
    release()
    t.strictSame([...await calls, ...await more], Array(20).fill(200))
    t.equal(app.refreshes.total, 1)
  })

  await t.test('concurrent calls in two tabs share one refresh [86]', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTwoTabs(t, app)
    await expireAccessToken(app, tabs)
    app.refreshes.total = app.refreshes.maxConcurrent = 0
    const { isHolding, release } = app.holdResponse('/auth/refresh')
    const calls = mapPages(tabs, page => fetchStatuses(page, 5))
    await isHolding
    await sleep(100)
    release()
    t.strictSame((await calls).flat(), Array(10).fill(200))
    t.strictSame(app.refreshes, { total: 1, maxConcurrent: 1 })
  })

  await t.test('no tab sends another refresh after a revocation [86]', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTabs(t, app, 5)
    await mapPages(tabs, page => waitForState(page, 'signed-in', 'ann'))
    await app.app.tokenAuth.revokeUser('u-ann')
    app.seen.length = app.refreshes.total = 0
    t.strictSame(
      (await mapPages(tabs, page => fetchStatuses(page, 10))).flat(),
      Array(50).fill(401)
    )

    for (const page of tabs) {
      t.match(await getState(page), { status: 'signed-out', user: null, reason: /^AUTH_REFRESH_/ })
    }

    t.ok(app.refreshes.total <= 5, `${app.refreshes.total} refreshes`)
    t.ok(app.countRequests('GET /protected') <= 100)
    app.seen.length = 0
    await mapPages(tabs, page => fetchStatuses(page, 10))
    await sleep(1500)
    t.equal(app.seen.length, 50, 'one request per call and no refresh')
    t.equal(app.countRequests('GET /protected'), 50)

    const [page] = tabs as [Page]
    app.seen.length = 0
    await page.reload()
    await waitForClient(page)
    t.match(await getState(page), { status: 'signed-out' })
    await fetchStatuses(page, 10)
    t.ok(app.countRequests('POST /auth/refresh') <= 1)
  })
})
