// The test saves screenshots of the demo in the folder $SCREENSHOTS, or in a temporary folder.

import { mkdirSync, mkdtempSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Cookie } from 'playwright-core'
import t from 'tap'
import {
  getChromiumSkipReason,
  getRefreshCookies,
  startBrowser
} from '../helpers/browser/browser.js'
import {
  fill,
  focusByTab,
  getLog,
  loginOnDevice,
  openDemoPage,
  PASSWORD,
  press,
  secrets,
  signUp,
  waitForText,
  watchConsole
} from '../helpers/browser/demo-page.js'
import { startDemoProcess } from '../helpers/demo-process.js'

const NAME = '<b onclick="alert(1)">ann</b>'

t.test('in Chromium', { skip: getChromiumSkipReason() }, async t => {
  const browser = await startBrowser(t)
  const demo = await startDemoProcess(t)
  t.afterEach(() => browser.clearCookies())
  const refreshCookie = async (): Promise<Cookie | undefined> =>
    (await getRefreshCookies(browser, { origin: demo.url }))['__Host-auth-refresh']

  await t.test('the keyboard alone reaches every feature', async t => {
    const { page, consoleMessages } = await openDemoPage(t, browser, demo.url)
    await waitForText(page, '#state', 'Signed out')
    t.match(await getLog(page), /POST \/auth\/refresh → 401 AUTH_REFRESH_MISSING/)

    await fill(page, 'username', NAME)
    await fill(page, 'password', 'wrong horse')
    await page.keyboard.press('Enter')
    await waitForText(page, '#notice', 'Name or password is wrong.')
    await page.reload()

    await signUp(page, NAME, 'Kitchen <i>laptop</i>')
    t.equal(
      await page.evaluate('document.activeElement.id'),
      'token-title',
      'the focus moves to the next step'
    )
    t.equal(await page.locator('main b[onclick], main i').count(), 0, 'names are not markup')
    await waitForText(page, '#generation', 'not refreshed yet')
    await waitForText(page, '#remaining', /^(60|5\d) s$/)

    await press(page, 'call')
    await waitForText(page, '#call-result', /^200: hello /)
    await press(page, 'call-admin', 'Space')
    await waitForText(page, '#call-result', '200: only for admins')

    await press(page, 'invalid-token')
    await waitForText(
      page,
      '#fault-result',
      'The server rejected the call. The client refreshed the token. ' +
        'The client repeated the call: 200.'
    )
    await waitForText(page, '#generation', 'refreshed once')
    await press(page, 'overload')
    await waitForText(
      page,
      '#fault-result',
      'too busy for 2 refreshes (503), and the client waited'
    )
    await press(page, 'concurrent-calls')
    await waitForText(
      page,
      '#fault-result',
      'The client refreshed the token. The client repeated the calls: 5 × 200.'
    )

    await loginOnDevice(demo, NAME, 'Old phone')
    await loginOnDevice(demo, NAME, 'Older phone')
    await loginOnDevice(demo, NAME, 'Lost phone')
    await press(page, 'reload')
    await waitForText(page, '#devices li', /Kitchen <i>laptop<\/i>.*this device/)
    await press(page, 'Sign out Lost phone')
    await waitForText(page, '#notice', 'Lost phone is signed out.')
    t.equal(await page.locator('#devices li').count(), 3)
    await press(page, 'sign-out-others')
    await waitForText(page, '#notice', 'All other devices are signed out.')
    t.equal(await page.locator('#devices li').count(), 1)

    const opened = browser.waitForEvent('page')
    await press(page, 'tab')
    const second = await opened
    watchConsole(second, consoleMessages)
    await waitForText(second, '#state', `Signed in as ${NAME}`)
    await waitForText(second, '#generation', /refreshed/)
    await page.bringToFront()
    await press(page, 'sign-out')
    await waitForText(page, '#notice', 'You have signed out.')
    await waitForText(second, '#notice', 'You have signed out in another tab.')
    await waitForText(page, '#entries', 'POST /auth/logout → 204')
    t.notOk(await refreshCookie(), 'the server has cleared the cookie')
    t.match(await getLog(second), /message from another tab: signed out reason: logout/)
    t.equal(await page.evaluate('document.activeElement.id'), 'username')

    await fill(page, 'username', NAME)
    await fill(page, 'password', PASSWORD)
    await focusByTab(page, 'remember')
    await page.keyboard.press('Space')
    await page.keyboard.press('Enter')
    await waitForText(page, '#state', `Signed in as ${NAME}`)
    await waitForText(second, '#state', `Signed in as ${NAME}`)
    const cookie = await refreshCookie()
    t.match(cookie, { httpOnly: true, secure: true, sameSite: 'Strict' })
    t.ok((cookie?.expires ?? 0) > 0, 'the cookie outlives the browser')

    await press(page, 'sign-out-everywhere')
    await waitForText(page, '#notice', 'You have signed out.')
    await waitForText(second, '#notice', 'You have signed out in another tab.')
    t.notOk(await refreshCookie())

    for (const tab of [page, second]) {
      t.notMatch(await tab.content(), secrets)
      t.notMatch(
        await tab.evaluate<string>('JSON.stringify({ ...localStorage, ...sessionStorage })'),
        secrets
      )
    }

    t.notMatch(demo.getOutput(), secrets)
    t.strictSame(consoleMessages, [])
  })

  await t.test('the page refreshes an expired token, even after a lost response', async t => {
    // Without a grace period, only the recovery of an unused successor helps.
    const demo = await startDemoProcess(t, { ACCESS_LIFETIME: '3s', REFRESH_GRACE: '0s' })
    const { page, consoleMessages } = await openDemoPage(t, browser, demo.url)
    await signUp(page, 'ann')
    await waitForText(page, '#lifetime', 'The token has expired. The next call refreshes it first.')
    await press(page, 'call')
    await waitForText(page, '#call-result', /^200: hello /)
    await waitForText(page, '#generation', 'refreshed once')
    await press(page, 'repeat', 'Space')
    await waitForText(page, '#generation', 'refreshed 2 times')
    await page.keyboard.press('Space')
    await press(page, 'lost-response')
    await waitForText(
      page,
      '#fault-result',
      'The client refreshed the token again. The server returned the same new token.'
    )
    t.match(
      await getLog(page),
      /POST \/auth\/refresh → 502 caused by this page: the response is lost/
    )
    await waitForText(page, '#generation', 'refreshed 3 times')
    t.match(demo.getOutput(), 'recovery: returned the successor again')
    t.notMatch(await page.content(), secrets)
    t.strictSame(consoleMessages, [])
  })

  await t.test('the page notices that another device revoked its session', async t => {
    const { page, consoleMessages } = await openDemoPage(t, browser, demo.url)
    await signUp(page, 'bob')
    const token = await loginOnDevice(demo, 'bob', 'Phone')
    await fetch(`${demo.url}/auth/sessions`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${token}` }
    })
    await press(page, 'reload')
    await waitForText(
      page,
      '#notice',
      'This session was revoked, by another device or by the server.'
    )
    await waitForText(page, '#signed-out', 'Sign in')
    t.strictSame(consoleMessages, [])
  })

  await t.test('every layout fits its screen', async t => {
    const { page, consoleMessages } = await openDemoPage(t, browser, demo.url)
    const folder = process.env.SCREENSHOTS ?? mkdtempSync(join(tmpdir(), 'token-auth-shots-'))
    mkdirSync(folder, { recursive: true })

    if (process.env.SCREENSHOTS === undefined) {
      t.comment(`screenshots: ${folder}`)
    }

    async function checkLayout (state: string): Promise<void> {
      const screens = [
        ['desktop', 1280, 800],
        ['phone', 390, 844],
        ['narrow', 360, 640]
      ] as const

      for (const [size, width, height] of screens) {
        await page.setViewportSize({ width, height })
        t.ok(
          await page.evaluate(`document.documentElement.scrollWidth <= ${width}`),
          `${state}, ${size}: nothing is cut off`
        )
        const tooWide = await page.evaluate<string[]>(`
          [...document.querySelectorAll('body *')]
            .filter(element => element.getBoundingClientRect().right > ${width} + .5)
            .map(({ outerHTML }) => outerHTML.slice(0, 80))`)
        t.strictSame(tooWide, [])

        if (size === 'narrow') {
          continue
        }

        for (const colorScheme of ['light', 'dark'] as const) {
          await page.emulateMedia({ colorScheme })
          const path = join(folder, `${state}-${size}-${colorScheme}.png`)
          await page.screenshot({ path })
          t.ok(statSync(path).size > 15_000, path)
        }
      }

      await page.emulateMedia({ colorScheme: 'light' })
    }

    await waitForText(page, '#state', 'Signed out')
    await checkLayout('signed-out')
    await page.setViewportSize({ width: 1280, height: 800 })
    await signUp(page, 'ann', 'Kitchen laptop')
    await loginOnDevice(demo, 'ann', 'Old phone')
    await press(page, 'reload')
    await waitForText(page, '#devices', 'Old phone')
    await press(page, 'call')
    await press(page, 'lost-response')
    await waitForText(page, '#fault-result', 'The client refreshed the token again')
    await page.evaluate('scrollTo(0, 0)')
    await checkLayout('signed-in')
    t.strictSame(consoleMessages, [])
  })

  await t.test('the server sends only the files of the page', async t => {
    const response = await fetch(demo.url)
    const policy = response.headers.get('content-security-policy') ?? ''
    t.match(policy, /default-src 'none'.*script-src 'self' 'sha256-[\w+/]{43}='/)
    t.notMatch(policy, /unsafe|http|\*/)
    t.equal((await fetch(`${demo.url}/fastify-token-auth.js`)).status, 200)

    for (const path of ['fastify-token-auth/index.js', 'index.js', '..%2f..%2fpackage.json']) {
      t.equal((await fetch(`${demo.url}/${path}`)).status, 404, path)
    }
  })
})
