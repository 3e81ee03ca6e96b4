// Chromium opens the page of examples/live, at one of two instances.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BrowserContext, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { getChromiumSkipReason, startBrowser } from '../helpers/browser/browser.js'
import { startCuttableProxy } from '../helpers/browser/cuttable-proxy.js'
import { ann, startExample } from '../helpers/example-process.js'

/** Page with the sockets that it has opened. */
interface LivePage {
  readonly page: Page
  /** URLs of all sockets, in order. */
  readonly sockets: string[]
  /** Times at which sockets were closed. */
  readonly closedAt: number[]
  /** Messages that the page has sent. */
  readonly sent: string[]
  shows(selector: string, text: string | RegExp): Promise<void>
}

/** Starts two instances on one database. Returns their URLs. */
async function startInstances (t: Test, lifetime = '15m'): Promise<[string, string]> {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-live-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  const env = { DATABASE_FILE: join(folder, 'live.db'), ACCESS_LIFETIME: lifetime }
  const first = await startExample(t, 'live/server.ts', env)
  const second = await startExample(t, 'live/server.ts', env)
  return [first.url, second.url]
}

async function open (t: Test, browser: BrowserContext, url: string): Promise<LivePage> {
  const page = await browser.newPage()
  t.teardown(() => page.close())
  page.on('pageerror', error => {
    t.fail(error.message)
  })
  const sockets: string[] = []
  const closedAt: number[] = []
  const sent: string[] = []
  page.on('websocket', socket => {
    sockets.push(socket.url())
    socket.on('close', () => closedAt.push(Date.now()))
    socket.on('framesent', ({ payload }) => sent.push(String(payload)))
  })
  await page.goto(url)

  return {
    page,
    sockets,
    closedAt,
    sent,
    shows: (selector, text) => page.locator(selector).filter({ hasText: text }).waitFor()
  }
}

async function logIn ({ page, shows }: LivePage): Promise<void> {
  await shows('[role=status]', 'signed-out')
  await page.fill('[name=username]', ann.username)
  await page.fill('[name=password]', ann.password)
  await page.click('form button')
  await shows('#socket', 'open')
}

t.test('in Chromium', { skip: getChromiumSkipReason() }, async t => {
  const browser = await startBrowser(t)
  t.afterEach(() => browser.clearCookies())

  await t.test('a logout at another instance closes all connections within 1 s', async t => {
    const [url, otherUrl] = await startInstances(t)
    const tabs = [await open(t, browser, url), await open(t, browser, url)] as const
    let token = ''
    tabs[0].page.on('request', request => {
      token = request.headers()['authorization'] ?? token
    })
    await logIn(tabs[0])

    for (const { shows } of tabs) {
      await shows('#socket', 'open')
      await shows('#event', 'from process')
    }

    await tabs[0].page.fill('#text', 'hello')
    await tabs[0].page.click('#say')
    await tabs[1].shows('#message', 'hello')
    t.match(token, /^Bearer /)

    const { status } = await fetch(`${otherUrl}/auth/logout`, {
      method: 'POST',
      headers: { authorization: token }
    })
    const loggedOutAt = Date.now()
    t.equal(status, 204)

    for (const { shows, sockets, closedAt, page } of tabs) {
      await shows('#socket', /^closed: (revoked|signed-out)$/)
      t.equal(closedAt.length, 1)
      const duration = (closedAt[0] ?? Infinity) - loggedOutAt
      t.ok(duration < 1000, `${duration} ms`)
      await shows('[role=status]', /^signed-out /)
      await shows('#event', 'closed')
      await sleep(2000)
      t.equal(sockets.length, 1, 'it does not connect again')
      t.notMatch(sockets[0], 'eyJ', 'the URL has no token')
      t.equal(await page.isVisible('form'), true)
    }
  })

  await t.test('a page connects again after the network was interrupted', async t => {
    const [target] = await startInstances(t)
    const proxy = await startCuttableProxy(t, target)
    const tab = await open(t, browser, proxy.url)
    await logIn(tab)
    proxy.cut()
    await tab.shows('#socket', 'connecting')
    await sleep(3000)
    t.equal(await tab.page.textContent('#socket'), 'connecting')
    proxy.restore()
    await tab.shows('#socket', 'open')
    await tab.shows('[role=status]', 'Signed in as ann')
    await tab.page.fill('#text', 'back')
    await tab.page.click('#say')
    await tab.shows('#message', 'back')
    await tab.page.click('#logout')
    await tab.shows('#socket', 'closed: signed-out')
  })

  await t.test('a socket lives longer than its access token of 20 s', async t => {
    const [url] = await startInstances(t, '20s')
    const tab = await open(t, browser, url)
    await logIn(tab)

    for (let second = 0; second < 65; second++) {
      await sleep(1000)
      t.equal(await tab.page.textContent('#socket'), 'open')
    }

    t.equal(tab.sockets.length, 1)
    const renewals = tab.sent.filter(message => message.startsWith('{"type":"renew"'))
    t.ok(renewals.length >= 3, `${renewals.length} renewals`)
    await tab.page.fill('#text', 'still here')
    await tab.page.click('#say')
    await tab.shows('#message', 'still here')
  })
})
