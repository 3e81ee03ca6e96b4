import type { BrowserContext, Page } from 'playwright-core'
import type { Test } from 'tap'
import { PASSWORD } from '../app.js'
import { MINUTE } from '../clock.js'
import type { BrowserApp } from './browser.js'
import type { ClientApp } from './client-page.js'

export const NO_WEB_LOCKS = 'delete Navigator.prototype.locks'
export const NO_CHANNELS = 'delete globalThis.BroadcastChannel'

/** Restores the network and deletes the cookies after each test of `t`. */
export function resetAfterEach (t: Test, browser: BrowserContext): void {
  t.afterEach(async () => {
    await browser.setOffline(false)
    await browser.unrouteAll()
    await browser.clearCookies()
  })
}

/** Opens tabs and logs in with the first one. */
export async function openTabs (
  t: Test,
  app: ClientApp,
  count: number,
  initScript?: string
): Promise<Page[]> {
  const pages = await Promise.all(Array.from({ length: count }, () => app.openTab(t, initScript)))
  await login(pages[0] as Page)
  return pages
}

/** Opens two tabs and waits until both are signed in. */
export async function openTwoTabs (t: Test, app: ClientApp): Promise<[Page, Page]> {
  const [one, other] = await openTabs(t, app, 2) as [Page, Page]
  await waitForState(other, 'signed-in', 'ann')
  return [one, other]
}

export function login (page: Page, username = 'ann'): Promise<unknown> {
  const credentials = JSON.stringify({ username, password: PASSWORD })
  return page.evaluate(`auth.login(${credentials}).then(() => {})`)
}

/**
 * Sends concurrent requests with the client of a page.
 *
 * @returns The status of each response, or the code or name of each error.
 */
export function fetchStatuses (
  page: Page,
  times = 1,
  path = '/protected',
  init: object = {}
): Promise<unknown[]> {
  return page.evaluate(`
    Promise.all(Array.from({ length: ${times} }, () =>
      auth.fetch(${JSON.stringify(path)}, ${JSON.stringify(init)})
        .then(response => response.status, error => error.code ?? error.name)))`)
}

export function getState (page: Page): Promise<unknown> {
  return page.evaluate('auth.state')
}

export function waitForState (page: Page, status: string, username?: string): Promise<unknown> {
  const user = JSON.stringify(username)

  return page.waitForFunction(
    `auth.state.status === '${status}' && auth.state.user?.username === ${user}`
  )
}

export function mapPages<Result> (
  pages: readonly Page[],
  action: (page: Page) => Promise<Result>
): Promise<Result[]> {
  return Promise.all(pages.map(page => action(page)))
}

/** Advances the monotonic clock of a tab. */
export function advanceTabClock (page: Page, ms: number): Promise<unknown> {
  return page.evaluate(`pass(${ms})`)
}

/** Advances the clocks of the server and all pages past the lifetime of the access token. */
export async function expireAccessToken (app: ClientApp, pages: readonly Page[]): Promise<void> {
  app.clock.advance(20 * MINUTE)
  await mapPages(pages, page => advanceTabClock(page, 20 * MINUTE))
}

/** The generation of each rotation so far. */
export function getRotations ({ events }: ClientApp): number[] {
  return events.flatMap(event =>
    event.name === 'refresh' && event.rotated ? [event.generation] : []
  )
}

export async function countSessions (
  { store, clock }: BrowserApp,
  userId = 'u-ann'
): Promise<number> {
  const sessions = await store.list('auth', userId, { now: clock(), limit: 9 })
  return sessions.length
}

/**
 * The last 24 characters of each token.
 *
 * Shorter strings could match by chance. Longer strings would miss a truncated token.
 */
export function getTails (tokens: Iterable<string>): string[] {
  return [...tokens].map(token => token.slice(-24))
}
