import { mkdirSync, mkdtempSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BrowserContext, Cookie, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse } from '../../src/index.js'
import { getCookies, getSkipReason, startBrowser } from '../helpers/browser/browser.js'
import { startDemoProcess } from '../helpers/demo-process.js'
import type { DemoProcess } from '../helpers/demo-process.js'

const NAME = '<b onclick="alert(1)">ann</b>'
const PASSWORD = 'walnut staple'
/** Tokens and the password. */
const secrets = /eyJ[\w-]{9}|walnut/

/** Opens a page and collects its console messages, except for the expected error responses. */
async function openPage (
  t: Test,
  browser: BrowserContext,
  url: string
): Promise<{ page: Page, messages: string[] }> {
  const page = await browser.newPage()
  const messages: string[] = []
  t.teardown(() => page.close())
  watch(page, messages)
  await page.goto(url)
  return { page, messages }
}

function watch (page: Page, messages: string[]): void {
  page.on('console', message => {
    if (!/^Failed to load resource: .* status of (401|502) /.test(message.text())) {
      messages.push(message.text())
    }
  })
  page.on('pageerror', error => {
    messages.push(error.message)
  })
}

/** Moves the focus to an element with the Tab key. */
async function focusByTab (page: Page, id: string): Promise<void> {
  const visited: string[] = []

  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab')
    const focused = await page.evaluate<string>(
      'document.activeElement.id || document.activeElement.ariaLabel || \'\''
    )

    if (focused === id) {
      return
    }

    visited.push(focused)
  }

  throw new Error(`Tab does not reach ${id}, only ${visited.join(', ')}`)
}

async function press (page: Page, id: string, key = 'Enter'): Promise<void> {
  await focusByTab(page, id)
  await page.keyboard.press(key)
}

async function fill (page: Page, id: string, value: string): Promise<void> {
  await focusByTab(page, id)
  await page.keyboard.type(value)
}

/** Waits until the page shows an element with a text. */
async function expectVisible (page: Page, selector: string, text: string | RegExp): Promise<void> {
  await page.locator(selector).filter({ hasText: text, visible: true }).first().waitFor({
    timeout: 20_000
  })
}

const readLog = (page: Page): Promise<string> =>
  page.evaluate<string>('document.querySelector(\'#entries\').textContent')

/** Signs in on another device. Returns the access token. */
async function signInElsewhere (
  { url }: DemoProcess,
  username: string,
  device: string
): Promise<string> {
  const login = await fetch(`${url}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password: PASSWORD, device })
  })
  return (await login.json() as TokenResponse).access_token
}

async function signUp (page: Page, name: string, device = ''): Promise<void> {
  await fill(page, 'username', name)
  await fill(page, 'password', PASSWORD)
  await fill(page, 'device', device)
  await press(page, 'sign-up')
  await expectVisible(page, '#state', `Signed in as ${name}`)
}

t.test('in Chromium', { skip: getSkipReason() }, async t => {
  const browser = await startBrowser(t)
  const demo = await startDemoProcess(t)
  t.afterEach(() => browser.clearCookies())
  const refreshCookie = async (): Promise<Cookie | undefined> =>
    (await getCookies(browser, { origin: demo.url }))['__Host-auth-refresh']

  await t.test('the demo can be used with the keyboard alone', async t => {
    const { page, messages } = await openPage(t, browser, demo.url)
    await expectVisible(page, '#state', 'Signed out')
    t.match(await readLog(page), /POST \/auth\/refresh → 401 AUTH_REFRESH_MISSING/)

    await fill(page, 'username', NAME)
    await fill(page, 'password', 'wrong horse')
    await page.keyboard.press('Enter')
    await expectVisible(page, '#notice', 'Name or password is wrong.')
    await page.reload()

    await signUp(page, NAME, 'Kitchen <i>laptop</i>')
    t.equal(
      await page.evaluate('document.activeElement.id'),
      'token-title',
      'the focus moves to the next section'
    )
    t.equal(
      await page.locator('main b[onclick], main i').count(),
      0,
      'names are not rendered as HTML'
    )
    await expectVisible(page, '#generation', 'generation 0')
    await expectVisible(page, '#remaining', /^(60|5\d) s$/)

    await press(page, 'call')
    await expectVisible(page, '#call-result', /^200: hello /)
    await press(page, 'call-admin', 'Space')
    await expectVisible(page, '#call-result', '200: only for admins')

    await press(page, 'invalid-token')
    await expectVisible(
      page,
      '#fault-result',
      'The server rejected the call. The client refreshed the token and repeated the call: 200.'
    )
    await expectVisible(page, '#generation', 'generation 1')
    await press(page, 'overload')
    await expectVisible(page, '#fault-result', 'The client waited for Retry-After.')
    await press(page, 'concurrent-calls')
    await expectVisible(page, '#fault-result', 'Five calls, one refresh, five responses with 200.')

    await signInElsewhere(demo, NAME, 'Old phone')
    await signInElsewhere(demo, NAME, 'Older phone')
    await signInElsewhere(demo, NAME, 'Lost phone')
    await press(page, 'reload')
    await expectVisible(page, '#devices li', /Kitchen <i>laptop<\/i>.*this device/)
    await press(page, 'Sign out Lost phone')
    await expectVisible(page, '#notice', 'Lost phone is signed out.')
    t.equal(await page.locator('#devices li').count(), 3)
    await press(page, 'sign-out-others')
    await expectVisible(page, '#notice', 'All other devices are signed out.')
    t.equal(await page.locator('#devices li').count(), 1)

    const opened = browser.waitForEvent('page')
    await press(page, 'tab')
    const second = await opened
    watch(second, messages)
    await expectVisible(second, '#state', `Signed in as ${NAME}`)
    await expectVisible(second, '#generation', /generation \d/)
    await page.bringToFront()
    await press(page, 'sign-out')
    await expectVisible(page, '#notice', 'You have signed out.')
    await expectVisible(second, '#notice', 'You have signed out in another tab.')
    await expectVisible(page, '#entries', 'POST /auth/logout → 204')
    t.notOk(await refreshCookie(), 'the server has cleared the cookie')
    t.match(await readLog(second), /message from another tab: signed out reason: logout/)
    t.equal(await page.evaluate('document.activeElement.id'), 'username')

    await fill(page, 'username', NAME)
    await fill(page, 'password', PASSWORD)
    await focusByTab(page, 'remember')
    await page.keyboard.press('Space')
    await page.keyboard.press('Enter')
    await expectVisible(page, '#state', `Signed in as ${NAME}`)
    await expectVisible(second, '#state', `Signed in as ${NAME}`)
    const cookie = await refreshCookie()
    t.match(cookie, { httpOnly: true, secure: true, sameSite: 'Strict' })
    t.ok((cookie?.expires ?? 0) > 0, 'the cookie is persistent')

    await press(page, 'sign-out-everywhere')
    await expectVisible(page, '#notice', 'You have signed out.')
    await expectVisible(second, '#notice', 'You have signed out in another tab.')
    t.notOk(await refreshCookie())

    for (const tab of [page, second]) {
      t.notMatch(await tab.content(), secrets)
      t.notMatch(
        await tab.evaluate<string>('JSON.stringify({ ...localStorage, ...sessionStorage })'),
        secrets
      )
    }

    t.notMatch(demo.printed(), secrets)
    t.strictSame(messages, [])
  })

  await t.test('the demo refreshes an expired token, also after a lost response', async t => {
    // Without a grace period, the server recovers only because no one has used the new token.
    const demo = await startDemoProcess(t, { ACCESS_LIFETIME: '3s', REFRESH_GRACE: '0s' })
    const { page, messages } = await openPage(t, browser, demo.url)
    await signUp(page, 'ann')
    await expectVisible(
      page,
      '#lifetime',
      'The token has expired. The next call refreshes it first.'
    )
    await press(page, 'call')
    await expectVisible(page, '#call-result', /^200: hello /)
    await expectVisible(page, '#generation', 'generation 1')
    await press(page, 'repeat', 'Space')
    await expectVisible(page, '#generation', 'generation 2')
    await page.keyboard.press('Space')
    await press(page, 'lost-response')
    await expectVisible(
      page,
      '#fault-result',
      'The client refreshed again and got the same successor.'
    )
    t.match(await readLog(page), /POST \/auth\/refresh → 502 refreshed, but the response is lost/)
    await expectVisible(page, '#generation', 'generation 3')
    t.match(demo.printed(), 'recovery: returned the successor again')
    t.notMatch(await page.content(), secrets)
    t.strictSame(messages, [])
  })

  await t.test('the demo shows that its session was revoked on another device', async t => {
    const { page, messages } = await openPage(t, browser, demo.url)
    await signUp(page, 'bob')
    const token = await signInElsewhere(demo, 'bob', 'Phone')
    await fetch(`${demo.url}/auth/sessions`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${token}` }
    })
    await press(page, 'reload')
    await expectVisible(
      page,
      '#notice',
      'This session was revoked, by another device or by the server.'
    )
    await expectVisible(page, '#signed-out', 'Sign in')
    t.strictSame(messages, [])
  })

  await t.test('the demo fits desktop, phone and narrow screens, light and dark', async t => {
    const { page, messages } = await openPage(t, browser, demo.url)
    const folder = process.env.SCREENSHOTS ?? mkdtempSync(join(tmpdir(), 'token-auth-shots-'))
    mkdirSync(folder, { recursive: true })

    if (process.env.SCREENSHOTS === undefined) {
      t.comment(`screenshots: ${folder}`)
    }

    async function checkAll (state: string): Promise<void> {
      for (
        const [size, width, height] of [['desktop', 1280, 800], ['phone', 390, 844], [
          'narrow',
          360,
          640
        ]] as const
      ) {
        await page.setViewportSize({ width, height })
        t.ok(
          await page.evaluate(`document.documentElement.scrollWidth <= ${width}`),
          `${state}, ${size}: the page fits`
        )
        const wide = await page.evaluate<string[]>(
          `[...document.querySelectorAll('body *')].filter(element =>
          element.getBoundingClientRect().right > ${width} + .5).map(({ outerHTML }) => outerHTML.slice(0, 80))`
        )
        t.strictSame(wide, [])

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

    await expectVisible(page, '#state', 'Signed out')
    await checkAll('signed-out')
    await page.setViewportSize({ width: 1280, height: 800 })
    await signUp(page, 'ann', 'Kitchen laptop')
    await signInElsewhere(demo, 'ann', 'Old phone')
    await press(page, 'reload')
    await expectVisible(page, '#devices', 'Old phone')
    await press(page, 'call')
    await press(page, 'lost-response')
    await expectVisible(page, '#fault-result', 'The client refreshed again')
    await page.evaluate('scrollTo(0, 0)')
    await checkAll('signed-in')
    t.strictSame(messages, [])
  })

  await t.test('the demo serves its own files only, with a strict content security policy', async t => {
    const response = await fetch(demo.url)
    const policy = response.headers.get('content-security-policy') ?? ''
    t.match(policy, /default-src 'none'.*script-src 'self' 'sha256-[\w+/]{43}='/)
    t.notMatch(policy, /unsafe|http|\*/)
    t.equal(
      (await fetch(`${demo.url}/fastify-token-auth/index.js`)).status,
      404,
      'modules of the server are not served'
    )
    t.equal(
      (await fetch(`${demo.url}/fastify-token-auth/client/..%2f..%2fpackage.json`)).status,
      404
    )
  })
})
