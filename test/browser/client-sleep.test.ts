import { setTimeout as sleep } from 'node:timers/promises'
import type { Page } from 'playwright-core'
import t from 'tap'
import { getChromiumSkipReason, startBrowser } from '../helpers/browser/browser.js'
import {
  expireAccessToken,
  fetchStatuses,
  getState,
  login,
  mapPages,
  openTabs,
  resetAfterEach,
  waitForState
} from '../helpers/browser/client-actions.js'
import { startClientApp } from '../helpers/browser/client-page.js'
import type { ClientApp } from '../helpers/browser/client-page.js'

const skip = getChromiumSkipReason()

/** `nap` lets the wall clock go on while the monotonic clock stands still. */
const NAP = `{
  const { now } = Date
  let ahead = 0
  Date.now = () => now() + ahead
  globalThis.nap = ms => { ahead += ms }
}`

/** `failLocks` lets each request for a lock fail until it is called with \`false\`. */
const FAILING_LOCKS = `{
  const { locks } = navigator
  const request = locks.request.bind(locks)
  let fails = false
  locks.request = (...args) =>
    fails ? Promise.reject(new DOMException('internal error', 'UnknownError')) : request(...args)
  globalThis.failLocks = isFailing => { fails = isFailing }
}`

t.test('in Chromium', { skip }, async t => {
  const browser = await startBrowser(t)
  resetAfterEach(t, browser)

  /** Lets all tabs wake with an expired token. Returns the number of refreshes. */
  async function countRefreshes (app: ClientApp, tabs: readonly Page[]): Promise<number> {
    await expireAccessToken(app, tabs)
    const before = app.countRequests('POST /auth/refresh')
    const statuses = await mapPages(tabs, page => fetchStatuses(page, 2))
    t.strictSame(statuses.flat(), Array(tabs.length * 2).fill(200))
    return app.countRequests('POST /auth/refresh') - before
  }

  await t.test('five tabs refresh at most twice around a slow response', async t => {
    const app = await startClientApp(t, browser, {}, 'slow.test')
    const tabs = await openTabs(t, app, 5)
    await mapPages(tabs, page => waitForState(page, 'signed-in', 'ann'))
    t.ok(await countRefreshes(app, tabs) <= 2, 'before')

    const { isHolding, release } = app.holdResponse('/auth/refresh')
    const slow = countRefreshes(app, tabs)
    await isHolding
    await sleep(7000)
    release()
    t.ok(await slow <= 2, 'during')

    for (let i = 0; i < 3; i++) {
      t.ok(await countRefreshes(app, tabs) <= 2, 'after')
    }

    t.notOk(app.events.some(({ name }) => name === 'reuse'))
  })

  await t.test('five tabs refresh at most twice around a lock that fails', async t => {
    const app = await startClientApp(t, browser, {}, 'locks.test')
    const tabs = await openTabs(t, app, 5, FAILING_LOCKS)
    await mapPages(tabs, page => waitForState(page, 'signed-in', 'ann'))
    t.ok(await countRefreshes(app, tabs) <= 2, 'before')
    await mapPages(tabs, page =>
      page.evaluate(`
      failLocks(true)
      setTimeout(() => { failLocks(false) }, 20)`))
    t.ok(await countRefreshes(app, tabs) <= 2, 'during a moment of failure')
    await mapPages(tabs, page => page.evaluate('failLocks(true)'))
    await countRefreshes(app, tabs)
    await mapPages(tabs, page => page.evaluate('failLocks(false)'))
    t.ok(await countRefreshes(app, tabs) <= 2, 'after')
    t.notOk(app.events.some(({ name }) => name === 'reuse'))
  })

  await t.test('naps of 9 s never lead to a token that the server rejects', async t => {
    const app = await startClientApp(t, browser, {
      options: { accessToken: { lifetime: '20s' } }
    }, 'nap.test')
    const page = await app.openTab(t, NAP)
    await login(page)

    for (let i = 0; i < 30; i++) {
      app.clock.advance(9000)
      const status = await page.evaluate(`
        nap(9000)
        auth.getAccessToken().then(token =>
          fetch('/protected', { headers: { authorization: 'Bearer ' + token } })
            .then(response => response.status))`)
      t.equal(status, 200, `nap ${i}`)
    }

    t.ok(app.countRequests('POST /auth/refresh') >= 10)
  })

  await t.test('the first call after the network is back succeeds within 2 s', async t => {
    const app = await startClientApp(t, browser, {}, 'back.test')
    const page = await app.openTab(t)
    await login(page)
    await expireAccessToken(app, [page])
    await browser.setOffline(true)

    for (let i = 0; i < 2; i++) {
      t.strictSame(await fetchStatuses(page), ['network'])
    }

    await browser.setOffline(false)
    const start = Date.now()
    t.strictSame(await fetchStatuses(page), [200])
    t.ok(Date.now() - start < 2000, `${Date.now() - start} ms`)
    t.match(await getState(page), { status: 'signed-in' })
  })
})
