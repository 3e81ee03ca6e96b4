import type { BrowserContext, Page } from 'playwright-core'
import type { Test } from 'tap'
import type { TokenResponse } from '../../../src/index.js'
import type { DemoProcess } from '../demo-process.js'

/** Password of all users. */
export const PASSWORD = 'walnut staple'
/** Tokens and the password. They must not appear on the page or in the output of the server. */
export const secrets = /eyJ[\w-]{9}|walnut/

/** Opens a page and collects its console messages, except expected errors of the network. */
export async function openDemoPage (
  t: Test,
  browser: BrowserContext,
  url: string
): Promise<{ page: Page, consoleMessages: string[] }> {
  const page = await browser.newPage()
  const consoleMessages: string[] = []
  t.teardown(() => page.close())
  watchConsole(page, consoleMessages)
  await page.goto(url)
  return { page, consoleMessages }
}

/** Collects the console messages of a page, except expected errors of the network. */
export function watchConsole (page: Page, consoleMessages: string[]): void {
  page.on('console', message => {
    if (!/^Failed to load resource: .* status of (401|502) /.test(message.text())) {
      consoleMessages.push(message.text())
    }
  })
  page.on('pageerror', error => {
    consoleMessages.push(error.message)
  })
}

/** Presses Tab until the element with an id or a label has the focus. */
export async function focusByTab (page: Page, id: string): Promise<void> {
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

  throw new Error(`Tab does not reach ${id}, but ${visited.join(', ')}`)
}

/** Presses a key on the element with an id or a label. */
export async function press (page: Page, id: string, key = 'Enter'): Promise<void> {
  await focusByTab(page, id)
  await page.keyboard.press(key)
}

/** Types text into the field with an id. */
export async function fill (page: Page, id: string, text: string): Promise<void> {
  await focusByTab(page, id)
  await page.keyboard.type(text)
}

/** Waits until a visible element contains a text. */
export async function waitForText (
  page: Page,
  selector: string,
  text: string | RegExp
): Promise<void> {
  await page.locator(selector).filter({ hasText: text, visible: true }).first().waitFor({
    timeout: 20_000
  })
}

/** Returns the text of the log of the page. */
export function getLog (page: Page): Promise<string> {
  return page.evaluate<string>('document.querySelector(\'#entries\').textContent')
}

/** Logs in on another device. Returns the access token. */
export async function loginOnDevice (
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

/** Creates an account and waits until the page has signed in. */
export async function signUp (page: Page, name: string, device = ''): Promise<void> {
  await fill(page, 'username', name)
  await fill(page, 'password', PASSWORD)
  await fill(page, 'device', device)
  await press(page, 'sign-up')
  await waitForText(page, '#state', `Signed in as ${name}`)
}
