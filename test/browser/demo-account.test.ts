// The account flows of the demo in Chromium. The test saves screenshots in the folder $SCREENSHOTS,
// or in a temporary folder.

import { once } from 'node:events'
import { mkdirSync, mkdtempSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret, TOTP } from 'otpauth'
import type { BrowserContext, Locator, Page } from 'playwright-core'
import { SMTPServer } from 'smtp-server'
import t from 'tap'
import type { Test } from 'tap'
import {
  getChromiumSkipReason,
  getRefreshCookies,
  startBrowser
} from '../helpers/browser/browser.js'
import { watchConsole } from '../helpers/browser/demo-page.js'
import { startDemoProcess } from '../helpers/demo-process.js'
import type { DemoProcess } from '../helpers/demo-process.js'

const PASSWORD = 'walnut staple'
const NEXT_PASSWORD = 'another walnut staple'
const STEP = 30_000
/**
 * Rejected requests, and a hint of Chromium: it misses the user name of each form that gets its
 * password field by a script, although the field of the user name precedes it.
 */
const expectedMessage = /status of 40[03] |^\[DOM\] Password forms should have/
/** Screens by name: width and height. */
const screens = { desktop: [1280, 800], phone: [390, 844] } as const

/** Pages of one visitor, who has one size of screen. */
class Visitor {
  readonly consoleMessages: string[] = []
  readonly #t: Test
  readonly #browser: BrowserContext
  readonly #screen: keyof typeof screens
  readonly #folder: string

  constructor (t: Test, browser: BrowserContext, screen: keyof typeof screens) {
    this.#t = t
    this.#browser = browser
    this.#screen = screen
    this.#folder = process.env.SCREENSHOTS ?? mkdtempSync(join(tmpdir(), 'token-auth-shots-'))
    mkdirSync(this.#folder, { recursive: true })
    t.comment(`screenshots: ${this.#folder}`)
  }

  async open (url: string): Promise<Page> {
    const page = await this.#browser.newPage()
    await this.#prepare(page)
    await page.goto(url)
    return page
  }

  /** Follows the link of the newest mail to an address with a subject. */
  async openLink (mails: Page, email: string, subject: string): Promise<Page> {
    await mails.bringToFront()
    const opened = this.#browser.waitForEvent('page')
    await findMails(mails, email, subject).first().getByRole('link').click()
    const page = await opened
    await this.#prepare(page)
    return page
  }

  /** Saves a screenshot, and checks that the page is not wider than the screen. */
  async capture (page: Page, name: string): Promise<void> {
    const [width] = screens[this.#screen]
    const tooWide = await page.evaluate<string[]>(`
      [...document.querySelectorAll('body *')]
        .filter(element => element.getBoundingClientRect().right > ${width} + .5)
        .map(({ outerHTML }) => outerHTML.slice(0, 80))`)
    this.#t.strictSame(tooWide, [], `${name} fits the screen`)

    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      const path = join(this.#folder, `account-${name}-${this.#screen}-${colorScheme}.png`)
      await page.screenshot({ path })
    }
  }

  async #prepare (page: Page): Promise<void> {
    const [width, height] = screens[this.#screen]
    watchConsole(page, this.consoleMessages)
    await page.setViewportSize({ width, height })
  }
}

/** Finds the mails to an address, the newest first. */
function findMails (mails: Page, email: string, subject: string): Locator {
  return mails.locator('#mails li', { hasText: `To ${email}` })
    .filter({ has: mails.getByRole('heading', { name: subject, exact: true }) })
}

/** Waits until a visible element contains a text. */
async function waitFor (page: Page, selector: string, text: string | RegExp): Promise<void> {
  await page.locator(selector).filter({ hasText: text, visible: true }).first()
    .waitFor({ timeout: 20_000 })
}

/** Fills the fields of the dialog, and submits it. */
async function submit (page: Page, fields: Record<string, string> = {}): Promise<void> {
  for (const [name, value] of Object.entries(fields)) {
    await page.fill(`#dialog-${name}`, value)
  }

  await page.click('#dialog-submit')
}

async function signIn (page: Page, email: string, password: string): Promise<void> {
  await page.bringToFront()
  await page.fill('#email', email)
  await page.fill('#password', password)
  await page.click('#sign-in')
}

async function signOut (page: Page): Promise<void> {
  await page.bringToFront()
  await page.click('#sign-out')
  await waitFor(page, '#notice', 'You have signed out.')
}

/** Goes from the sign-up to the deletion of an account. */
async function testStory (t: Test, demo: DemoProcess, visitor: Visitor, email: string) {
  const page = await visitor.open(`${demo.url}/account`)
  const mails = await visitor.open(`${demo.url}/mails`)
  const dialog = '#dialog[open]'

  await page.bringToFront()
  await waitFor(page, '#state', 'Signed out')
  await visitor.capture(page, 'signed-out')
  await page.fill('#email', email)
  await page.fill('#password', PASSWORD)
  await page.click('#sign-up')
  await waitFor(page, '#notice', 'A mail is on its way.')
  await findMails(mails, email, 'Verify your address').waitFor()
  await visitor.capture(mails, 'mails')

  const verification = await visitor.openLink(mails, email, 'Verify your address')
  await waitFor(verification, dialog, 'Verify your address')
  t.equal(verification.url(), `${demo.url}/account`, 'the token leaves the address bar')
  await visitor.capture(verification, 'verify')
  await signIn(page, email, PASSWORD)
  await waitFor(page, '#verified', 'not verified')
  await visitor.capture(page, 'not-verified')
  await verification.bringToFront()
  await submit(verification)
  await waitFor(verification, '#notice', 'Your address is verified.')
  await waitFor(page, '#verified', /^verified$/)
  await verification.close()

  // Two-step sign-in.
  await page.bringToFront()
  await page.click('#turn-on')
  await waitFor(page, dialog, 'Set up your authenticator app')
  const [key = '', uri = ''] = await page.locator('#dialog-details dd').allTextContents()
  await visitor.capture(page, 'two-step')
  t.match(uri, /^otpauth:\/\/totp\/.*ann-/)
  const totp = new TOTP({ secret: Secret.fromBase32(key.replaceAll(' ', '')) })
  await submit(page, { code: '000000' })
  await waitFor(page, '#dialog-error', 'The code is wrong.')
  const setUpAt = Date.now()
  await submit(page, { code: totp.generate({ timestamp: setUpAt }) })
  await waitFor(page, dialog, 'Recovery codes')
  await visitor.capture(page, 'recovery-codes')
  const codes = (await page.locator('#dialog-details dd').innerText()).split('\n')
  t.equal(codes.length, 10)
  await submit(page)
  await waitFor(page, '#notice', 'Two-step sign-in is on.')
  await waitFor(page, '#two-step', /^on$/)
  t.notMatch(await page.content(), codes[0] ?? '', 'the codes do not stay in the page')
  await visitor.capture(page, 'signed-in')
  await signOut(page)

  // A forgotten password.
  await page.fill('#email', email)
  await page.click('#forgot-password')
  await waitFor(page, '#notice', 'If the address has an account, a mail is on its way.')
  const reset = await visitor.openLink(mails, email, 'Set a new password')
  await waitFor(reset, dialog, 'Set a new password')
  await visitor.capture(reset, 'reset')
  await submit(reset, { password: NEXT_PASSWORD })
  await waitFor(reset, '#notice', 'Your password is changed. Sign in with it.')
  await reset.close()

  // A login with the second factor.
  await signIn(page, email, PASSWORD)
  await waitFor(page, '#notice', 'The address or the password is wrong.')
  await signIn(page, email, NEXT_PASSWORD)
  await waitFor(page, dialog, 'Second step')
  await submit(page, { code: totp.generate({ timestamp: setUpAt }) })
  await waitFor(page, '#dialog-error', 'The code is wrong, or it was used before.')
  await visitor.capture(page, 'second-step')
  await submit(page, { code: totp.generate({ timestamp: setUpAt + STEP }) })
  await waitFor(page, '#state', `Signed in as ${email}`)
  await signOut(page)

  // A code by mail.
  await page.fill('#email', email)
  await page.click('#send-code')
  await waitFor(page, dialog, 'Enter the code')
  await visitor.capture(page, 'mail-code')
  const mail = await findMails(mails, email, 'Your code').first().innerText()
  const [code = ''] = /\d{6}/.exec(mail) ?? []
  await submit(page, { code })
  await waitFor(page, dialog, 'Second step')
  await submit(page, { code: codes[0] ?? '' })
  await waitFor(page, '#state', `Signed in as ${email}`)
  await signOut(page)

  // A link by mail signs in all tabs. It is not enough for a sensitive action.
  await page.fill('#email', email)
  await page.click('#send-link')
  const linked = await visitor.openLink(mails, email, 'Sign in')
  await waitFor(linked, dialog, 'Press the button to sign in on this device.')
  await submit(linked)
  await waitFor(linked, dialog, 'Second step')
  await submit(linked, { code: codes[1] ?? '' })
  await waitFor(linked, '#state', `Signed in as ${email}`)
  await linked.close()
  await waitFor(page, '#state', `Signed in as ${email}`)
  await page.bringToFront()
  await page.click('#delete')
  await waitFor(page, dialog, 'Delete your account?')
  await submit(page)
  await waitFor(page, dialog, 'Confirm that it is you')
  await submit(page, { password: PASSWORD, code: codes[2] ?? '' })
  await waitFor(page, '#dialog-error', 'The password is wrong.')
  await visitor.capture(page, 'step-up')
  await submit(page, { password: NEXT_PASSWORD, code: codes[2] ?? '' })
  await waitFor(page, '#notice', 'Your account is deleted.')
  await waitFor(page, '#state', 'Signed out')
  await visitor.capture(page, 'deleted')
  await signIn(page, email, NEXT_PASSWORD)
  await waitFor(page, '#notice', 'The address or the password is wrong.')

  const log = await page.locator('#entries').innerText()
  t.match(log, /POST \/auth\/elevate → 200/)
  t.notMatch(log, /eyJ|walnut/, 'the log of the page has no secrets')
  await Promise.all([page.close(), mails.close()])
}

t.test('in Chromium', { skip: getChromiumSkipReason() }, async t => {
  const browser = await startBrowser(t)
  const demo = await startDemoProcess(t, { RECENT_LOGIN: '5m' })

  for (const screen of ['desktop', 'phone'] as const) {
    await t.test(`a visitor uses all account flows on a ${screen}`, async t => {
      const visitor = new Visitor(t, browser, screen)
      await testStory(t, demo, visitor, `ann-${screen}@example.org`)
      const cookies = await getRefreshCookies(browser, { origin: demo.url })
      t.notOk(cookies['__Host-auth-refresh'], 'the server has cleared the cookie')
      t.strictSame(visitor.consoleMessages.filter(message => !expectedMessage.test(message)), [])
      t.notMatch(demo.getOutput(), /eyJ[\w-]{9}|walnut/, 'the server logs no secrets')
    })
  }
})

t.test('a mail server gets the mails of the demo if there is one', async t => {
  let text = ''
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData (stream, _session, done) {
      stream.setEncoding('utf8').on('data', chunk => {
        text += String(chunk)
      }).on('end', () => {
        done()
        server.emit('received')
      })
    }
  })
  t.teardown(() => new Promise<void>(resolve => server.close(resolve)))
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  const { port } = server.server.address() as AddressInfo
  const demo = await startDemoProcess(t, { SMTP_URL: `smtp://127.0.0.1:${port}` })
  const received = once(server, 'received')
  const { status } = await fetch(`${demo.url}/sign-up`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'ann@example.org', password: PASSWORD })
  })
  t.equal(status, 202)
  await received
  t.match(text, /^To: ann@example\.org\r$/m)
  t.match(text, /^Subject: Verify your address\r$/m)
  const mails = await fetch(`${demo.url}/mails.json`)
  t.strictSame(await mails.json(), { mails: null }, 'the page shows no mails')
})
