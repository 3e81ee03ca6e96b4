// The demo's page, as a visitor without a mouse goes through it. Leaves pictures of it behind, in
// $SCREENSHOTS or a folder of its own: desktop and phone, signed out and signed in, light and dark.

import { mkdirSync, mkdtempSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BrowserContext, Cookie, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse } from '../../src/index.js'
import { jar, startBrowser, whyNoChromium } from '../helpers/browser/browser.js'
import { startDemoProcess } from '../helpers/demo-process.js'
import type { DemoProcess } from '../helpers/demo-process.js'

const NAME = '<b onclick="alert(1)">ann</b>'
const PASSWORD = 'walnut staple'
/** Tokens, and that one. */
const secrets = /eyJ[\w-]{9}|walnut/

/**
 * A page, and what its console has said. Answers that are no success are errors there too: these
 * are known by their status.
 */
async function openPage (
  t: Test,
  browser: BrowserContext,
  url: string
): Promise<{ page: Page, complaints: string[] }> {
  const page = await browser.newPage()
  const complaints: string[] = []
  t.teardown(() => page.close())
  watch(page, complaints)
  await page.goto(url)
  return { page, complaints }
}

function watch (page: Page, complaints: string[]): void {
  page.on('console', message => {
    if (!/^Failed to load resource: .* status of (401|502) /.test(message.text())) {
      complaints.push(message.text())
    }
  })
  page.on('pageerror', error => {
    complaints.push(error.message)
  })
}

/** Goes to what is called so, by Tab alone. */
async function tabTo (page: Page, id: string): Promise<void> {
  const visited: string[] = []

  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab')
    const here = await page.evaluate<string>(
      'document.activeElement.id || document.activeElement.ariaLabel || \'\''
    )

    if (here === id) {
      return
    }

    visited.push(here)
  }

  throw new Error(`Tab does not come to ${id}, but to ${visited.join(', ')}`)
}

async function press (page: Page, id: string, key = 'Enter'): Promise<void> {
  await tabTo(page, id)
  await page.keyboard.press(key)
}

async function fill (page: Page, id: string, text: string): Promise<void> {
  await tabTo(page, id)
  await page.keyboard.type(text)
}

async function sees (page: Page, selector: string, text: string | RegExp): Promise<void> {
  await page.locator(selector).filter({ hasText: text, visible: true }).first().waitFor({
    timeout: 20_000
  })
}

const logOf = (page: Page): Promise<string> =>
  page.evaluate<string>('document.querySelector(\'#entries\').textContent')

/** A login elsewhere, as a phone does it. Returns the access token. */
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
  await sees(page, '#state', `Signed in as ${name}`)
}

t.test('in Chromium', { skip: whyNoChromium() }, async t => {
  const browser = await startBrowser(t)
  const demo = await startDemoProcess(t)
  t.afterEach(() => browser.clearCookies())
  const refreshCookie = async (): Promise<Cookie | undefined> =>
    (await jar(browser, { origin: demo.url }))['__Host-auth-refresh']

  await t.test('a visitor without a mouse', async t => {
    const { page, complaints } = await openPage(t, browser, demo.url)
    await sees(page, '#state', 'Signed out')
    t.match(await logOf(page), /POST \/auth\/refresh → 401 AUTH_REFRESH_MISSING/)

    await fill(page, 'username', NAME)
    await fill(page, 'password', 'wrong horse')
    await page.keyboard.press('Enter')
    await sees(page, '#notice', 'Name or password is wrong.')
    await page.reload()

    await signUp(page, NAME, 'Kitchen <i>laptop</i>')
    t.equal(
      await page.evaluate('document.activeElement.id'),
      'token-title',
      'the focus is where it goes on'
    )
    t.equal(await page.locator('main b[onclick], main i').count(), 0, 'names are no markup')
    await sees(page, '#generation', 'generation 0')
    await sees(page, '#remaining', /^(60|5\d) s$/)

    await press(page, 'call')
    await sees(page, '#call-result', /^200: hello /)
    await press(page, 'call-admin', 'Space')
    await sees(page, '#call-result', '200: only for admins')

    await press(page, 'invalid-token')
    await sees(
      page,
      '#fault-result',
      'The server rejected the call. The client refreshed the token and repeated the call: 200.'
    )
    await sees(page, '#generation', 'generation 1')
    await press(page, 'overload')
    await sees(page, '#fault-result', 'The client waited for Retry-After.')
    await press(page, 'concurrent-calls')
    await sees(page, '#fault-result', 'Five calls, one refresh, five responses with 200.')

    await signInElsewhere(demo, NAME, 'Old phone')
    await signInElsewhere(demo, NAME, 'Older phone')
    await signInElsewhere(demo, NAME, 'Lost phone')
    await press(page, 'reload')
    await sees(page, '#devices li', /Kitchen <i>laptop<\/i>.*this device/)
    await press(page, 'Sign out Lost phone')
    await sees(page, '#notice', 'Lost phone is signed out.')
    t.equal(await page.locator('#devices li').count(), 3)
    await press(page, 'sign-out-others')
    await sees(page, '#notice', 'All other devices are signed out.')
    t.equal(await page.locator('#devices li').count(), 1)

    const opened = browser.waitForEvent('page')
    await press(page, 'tab')
    const second = await opened
    watch(second, complaints)
    await sees(second, '#state', `Signed in as ${NAME}`)
    await sees(second, '#generation', /generation \d/)
    await page.bringToFront()
    await press(page, 'sign-out')
    await sees(page, '#notice', 'You have signed out.')
    await sees(second, '#notice', 'You have signed out in another tab.')
    await sees(page, '#entries', 'POST /auth/logout → 204')
    t.notOk(await refreshCookie(), 'the server has cleared the cookie')
    t.match(await logOf(second), /message from another tab: signed out reason: logout/)
    t.equal(await page.evaluate('document.activeElement.id'), 'username')

    await fill(page, 'username', NAME)
    await fill(page, 'password', PASSWORD)
    await tabTo(page, 'remember')
    await page.keyboard.press('Space')
    await page.keyboard.press('Enter')
    await sees(page, '#state', `Signed in as ${NAME}`)
    await sees(second, '#state', `Signed in as ${NAME}`)
    const cookie = await refreshCookie()
    t.match(cookie, { httpOnly: true, secure: true, sameSite: 'Strict' })
    t.ok((cookie?.expires ?? 0) > 0, 'it is remembered')

    await press(page, 'sign-out-everywhere')
    await sees(page, '#notice', 'You have signed out.')
    await sees(second, '#notice', 'You have signed out in another tab.')
    t.notOk(await refreshCookie())

    for (const tab of [page, second]) {
      t.notMatch(await tab.content(), secrets)
      t.notMatch(
        await tab.evaluate<string>('JSON.stringify({ ...localStorage, ...sessionStorage })'),
        secrets
      )
    }

    t.notMatch(demo.printed(), secrets)
    t.strictSame(complaints, [])
  })

  await t.test('a token that ends is refreshed, also when the answer is lost', async t => {
    // Without a grace, only the server's memory of what nobody has used helps.
    const demo = await startDemoProcess(t, { ACCESS_LIFETIME: '3s', REFRESH_GRACE: '0s' })
    const { page, complaints } = await openPage(t, browser, demo.url)
    await signUp(page, 'ann')
    await sees(page, '#lifetime', 'The token has expired. The next call refreshes it first.')
    await press(page, 'call')
    await sees(page, '#call-result', /^200: hello /)
    await sees(page, '#generation', 'generation 1')
    await press(page, 'repeat', 'Space')
    await sees(page, '#generation', 'generation 2')
    await page.keyboard.press('Space')
    await press(page, 'lost-response')
    await sees(page, '#fault-result', 'The client refreshed again and got the same successor.')
    t.match(await logOf(page), /POST \/auth\/refresh → 502 refreshed, but the response is lost/)
    await sees(page, '#generation', 'generation 3')
    t.match(demo.printed(), 'recovery: returned the successor again')
    t.notMatch(await page.content(), secrets)
    t.strictSame(complaints, [])
  })

  await t.test('a session that is ended from elsewhere', async t => {
    const { page, complaints } = await openPage(t, browser, demo.url)
    await signUp(page, 'bob')
    const token = await signInElsewhere(demo, 'bob', 'Phone')
    await fetch(`${demo.url}/auth/sessions`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${token}` }
    })
    await press(page, 'reload')
    await sees(page, '#notice', 'This session was revoked, by another device or by the server.')
    await sees(page, '#signed-out', 'Sign in')
    t.strictSame(complaints, [])
  })

  await t.test('how it looks', async t => {
    const { page, complaints } = await openPage(t, browser, demo.url)
    const folder = process.env.SCREENSHOTS ?? mkdtempSync(join(tmpdir(), 'token-auth-shots-'))
    mkdirSync(folder, { recursive: true })

    if (process.env.SCREENSHOTS === undefined) {
      t.comment(`pictures: ${folder}`)
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
          `${state}, ${size}: nothing is cut off`
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

    await sees(page, '#state', 'Signed out')
    await checkAll('signed-out')
    await page.setViewportSize({ width: 1280, height: 800 })
    await signUp(page, 'ann', 'Kitchen laptop')
    await signInElsewhere(demo, 'ann', 'Old phone')
    await press(page, 'reload')
    await sees(page, '#devices', 'Old phone')
    await press(page, 'call')
    await press(page, 'lost-response')
    await sees(page, '#fault-result', 'The client refreshed again')
    await page.evaluate('scrollTo(0, 0)')
    await checkAll('signed-in')
    t.strictSame(complaints, [])
  })

  await t.test('nothing but its own files', async t => {
    const answer = await fetch(demo.url)
    const policy = answer.headers.get('content-security-policy') ?? ''
    t.match(policy, /default-src 'none'.*script-src 'self' 'sha256-[\w+/]{43}='/)
    t.notMatch(policy, /unsafe|http|\*/)
    t.equal(
      (await fetch(`${demo.url}/fastify-token-auth/index.js`)).status,
      404,
      'the server\'s modules are not served'
    )
    t.equal(
      (await fetch(`${demo.url}/fastify-token-auth/client/..%2f..%2fpackage.json`)).status,
      404
    )
  })
})
