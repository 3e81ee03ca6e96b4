import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  createProfile,
  getChromiumSkipReason,
  getRefreshCookies,
  startBrowser
} from '../helpers/browser/browser.js'
import {
  countSessions,
  expireAccessToken,
  fetchStatuses,
  getState,
  getTails,
  login,
  mapPages,
  openTwoTabs,
  resetAfterEach,
  waitForState
} from '../helpers/browser/client-actions.js'
import {
  findInMemory,
  findInPage,
  startClientApp,
  waitUntil
} from '../helpers/browser/client-page.js'
import { MINUTE } from '../helpers/clock.js'

const skip = getChromiumSkipReason()

t.test('in Chromium', { skip }, async t => {
  const browser = await startBrowser(t)
  resetAfterEach(t, browser)

  await t.test('the token search covers every place that a script can read [85]', async t => {
    const app = await startClientApp(t, browser)
    const page = await app.openTab(t)
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
        const transaction = Object.assign(db.transaction('store', 'readwrite'), { oncomplete })
        transaction.objectStore('store').put({ b: '${needle}' }, 'a')
      })
      db.close()
      await caches.open('c').then(cache => cache.put('/x', new Response('${needle}')))
      await fetch('/?${needle}').then(response => response.text())
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

  await t.test('tokens are only in memory, and a logout clears all tabs [85]', async t => {
    const app = await startClientApp(t, browser, {
      options: { accessToken: { lifetime: '15m', renewWithin: '5m' } }
    })
    const tabs = await openTwoTabs(t, app)
    const [one, other] = tabs
    t.strictSame([await fetchStatuses(one), await fetchStatuses(other)], [[200], [200]])
    await expireAccessToken(app, tabs)
    t.strictSame([await fetchStatuses(one), await fetchStatuses(other)], [[200], [200]])
    app.clock.advance(11 * MINUTE)
    t.strictSame([await fetchStatuses(one), await fetchStatuses(other)], [[200], [200]])
    t.ok(app.issued.size >= 5, 'tokens of a login, a refresh and a renewal')
    const [refreshToken] = Object.values(await getRefreshCookies(browser, app))
    t.match(refreshToken, { httpOnly: true, secure: true, sameSite: 'Strict' })
    const kept = getTails(app.issued)
    t.ok(kept.includes(getTails([refreshToken?.value as string])[0] as string))

    for (const page of tabs) {
      t.equal((await findInMemory(page, kept)).length, 1, 'the current access token')
    }

    await one.evaluate('auth.logout()')
    await waitForState(other, 'signed-out')

    for (const page of tabs) {
      t.strictSame(await findInMemory(page, kept), [], 'gone from memory')
    }

    t.strictSame(await getRefreshCookies(browser, app), {})
    t.equal(await countSessions(app), 0)

    await login(one)
    await waitForState(other, 'signed-in', 'ann')
    await fetchStatuses(one)

    for (const page of tabs) {
      t.equal(await page.evaluate('document.cookie'), '')
      t.strictSame(await page.evaluate('Object.values(localStorage)'), ['in'])
      t.strictSame(await findInPage(page, getTails(app.issued)), [])
    }

    await one.evaluate('auth.logout()')
    await waitForState(other, 'signed-out')

    for (const page of tabs) {
      t.strictSame(await findInPage(page, getTails(app.issued)), [])
      t.strictSame(await page.evaluate('Object.values(localStorage)'), [])
      t.equal(await page.evaluate('auth.getAccessToken()'), null)
    }

    for (const url of app.seen) {
      t.notOk(getTails(app.issued).some(token => url.request.includes(token)), 'no token in a URL')
    }
  })

  await t.test('an offline logout clears all tabs and reaches the server later [85]', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTwoTabs(t, app)
    const [one, other] = tabs
    await fetchStatuses(other)
    await browser.setOffline(true)
    await one.evaluate('auth.logout()')
    await waitForState(other, 'signed-out')
    t.match(await getState(one), { status: 'signed-out', reason: 'logout' })

    for (const page of tabs) {
      t.strictSame(await findInPage(page, getTails(app.issued)), [])
      t.equal(await page.evaluate('auth.getAccessToken()'), null)
    }

    t.strictSame(await findInMemory(other, getTails(app.issued)), [])
    t.equal(await countSessions(app), 1, 'the server has not received the logout')
    await browser.setOffline(false)
    await waitUntil(() => app.countRequests('POST /auth/logout') > 0)
    await waitUntil(async () => Object.keys(await getRefreshCookies(browser, app)).length === 0)
    t.equal(await countSessions(app), 0)
    await waitUntil(async () => await one.evaluate('localStorage.length') === 0)
    // Until then, the tab needs its token to authenticate the logout.
    t.strictSame(await findInMemory(one, getTails(app.issued)), [])
    t.strictSame(await fetchStatuses(one), [401])
  })

  await t.test('the next tab repeats a failed logout and stays signed out [85]', async t => {
    const app = await startClientApp(t, browser)
    const tabs = await openTwoTabs(t, app)
    let attempts = 0
    await browser.route('**/auth/logout', route => {
      attempts++

      return attempts % 2 === 0
        ? route.abort('connectionreset')
        : route.fulfill({ status: 503, body: 'down' })
    })
    await tabs[0].evaluate('auth.logout()')
    await mapPages(tabs, page => page.close())
    t.ok(attempts >= 1)
    t.equal(
      Object.keys(await getRefreshCookies(browser, app)).length,
      1,
      'a script cannot delete the cookie'
    )
    app.seen.length = 0
    const next = await app.openTab(t)
    t.match(await getState(next), { status: 'signed-out' })
    t.strictSame(await fetchStatuses(next), [401])
    t.equal(app.countRequests('POST /auth/refresh'), 0, 'the remaining cookie is not used')
    t.strictSame(await findInPage(next, getTails(app.issued)), [])
    await browser.unrouteAll()
    await waitUntil(() => app.countRequests('POST /auth/logout') > 0)
    await waitUntil(async () => Object.keys(await getRefreshCookies(browser, app)).length === 0)
    t.equal(await countSessions(app), 0)
    await login(next, 'bob')
    t.match(await getState(next), { status: 'signed-in', user: { username: 'bob' } })
  })
})

t.test('no access token is on disk [85]', { skip }, async t => {
  const profile = createProfile(t)
  const browser = await startBrowser(t, profile)
  const app = await startClientApp(t, browser)
  const page = await app.openTab(t)
  await login(page)
  await expireAccessToken(app, [page])
  t.strictSame(await fetchStatuses(page), [200])
  await page.evaluate('localStorage.setItem(\'draft\', \'a-text-to-be-found\')')
  const accessTokens = [...app.issued].filter(token =>
    atob(token.split('.')[0] as string).includes('at+jwt')
  )
  t.equal(accessTokens.length, 2)
  await browser.close()
  const findFiles = (text: string): string[] =>
    readdirSync(profile, { recursive: true, withFileTypes: true })
      .filter(entry =>
        entry.isFile() && readFileSync(join(entry.parentPath, entry.name)).includes(text)
      )
      .map(({ name }) => name)
  t.ok(findFiles('a-text-to-be-found').length > 0, 'the search finds text in a profile')

  for (const token of getTails(accessTokens)) {
    t.strictSame(findFiles(token), [])
  }
})
