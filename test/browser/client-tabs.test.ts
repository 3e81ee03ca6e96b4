import { setTimeout as sleep } from 'node:timers/promises'
import type { Page } from 'playwright-core'
import t from 'tap'
import {
  getChromiumSkipReason,
  getRefreshCookies,
  startBrowser
} from '../helpers/browser/browser.js'
import {
  countSessions,
  expireAccessToken,
  fetchStatuses,
  getState,
  login,
  mapPages,
  openTabs,
  openTwoTabs,
  resetAfterEach,
  waitForState
} from '../helpers/browser/client-actions.js'
import { startClientApp, waitForClient, waitUntil } from '../helpers/browser/client-page.js'

const skip = getChromiumSkipReason()

t.test('in Chromium', { skip }, async t => {
  const browser = await startBrowser(t)
  resetAfterEach(t, browser)

  await t.test('a login or a logout in one tab reaches all tabs', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTabs(t, app, 5)
    await mapPages(tabs, page => waitForState(page, 'signed-in', 'ann'))
    await login(tabs[3] as Page, 'bob')
    await mapPages(tabs, page => waitForState(page, 'signed-in', 'bob'))
    const ids = await mapPages(tabs, page =>
      page.evaluate(`
        auth.fetch('/protected').then(response => response.json()).then(({ userId }) => userId)`))
    t.strictSame(ids, Array(5).fill('u-bob'))
    t.equal(await countSessions(app, 'u-ann'), 0, 'replaced')
    await tabs[1]?.evaluate('auth.logout()')
    await mapPages(tabs, page => waitForState(page, 'signed-out'))
    t.strictSame((await mapPages(tabs, page => fetchStatuses(page))).flat(), Array(5).fill(401))
    t.equal(app.countRequests('POST /auth/logout'), 1)
    t.equal(app.issued.size > 0 && await countSessions(app, 'u-bob'), 0)

    await login(tabs[0] as Page)
    await mapPages(tabs, page => waitForState(page, 'signed-in', 'ann'))
    await tabs[4]?.evaluate('auth.logoutEverywhere()')
    await mapPages(tabs, page => waitForState(page, 'signed-out'))
    t.strictSame(await getRefreshCookies(browser, app), {})
  })

  for (const tab of ['the same tab', 'another tab'] as const) {
    await t.test(`a logout in ${tab} cancels a refresh in flight`, async t => {
      const app = await startClientApp(t, browser)
      const tabs = await openTwoTabs(t, app)
      await expireAccessToken(app, tabs)
      const { isHolding, release } = app.holdResponse('/auth/refresh')
      const calls = fetchStatuses(tabs[0], 3)
      await isHolding
      const logout = tabs[tab === 'the same tab' ? 0 : 1].evaluate('auth.logout()')
      await waitUntil(() => app.countRequests('POST /auth/logout') === 1)
      release()
      await logout
      t.strictSame(await calls, Array(3).fill('signed-out'))
      await sleep(200)

      for (const page of tabs) {
        t.match(await getState(page), { status: 'signed-out', user: null, reason: 'logout' })
        t.equal(await page.evaluate('auth.getAccessToken()'), null)
        t.strictSame(await fetchStatuses(page), [401])
      }

      t.strictSame(await getRefreshCookies(browser, app), {})
      t.equal(await countSessions(app), 0)
      const next = await app.openTab(t)
      t.match(await getState(next), { status: 'signed-out' })
    })
  }

  await t.test('the cookie alone signs in a reloaded page and a new tab', async t => {
    const app = await startClientApp(t, browser)
    const page = await app.openTab(t)
    await login(page)

    for (const clearStorage of ['', 'localStorage.clear()']) {
      await page.evaluate(clearStorage)
      await page.reload()
      await waitForClient(page)
      t.match(await getState(page), { status: 'signed-in', user: { username: 'ann' } })
      await page.evaluate(clearStorage)
      const next = await app.openTab(t)
      t.match(await getState(next), { status: 'signed-in', user: { username: 'ann' } })
      t.strictSame(await fetchStatuses(next), [200])
    }

    await page.goto('about:blank')
    await page.goBack()
    await waitForClient(page)
    t.strictSame(await fetchStatuses(page), [200])
    t.equal(await countSessions(app), 1)
    t.notOk(app.events.some(({ name }) => name === 'reuse'))
  })
})
