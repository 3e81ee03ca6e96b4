import { setTimeout as sleep } from 'node:timers/promises'
import type { BrowserContext, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { getChromiumSkipReason, startBrowser } from '../helpers/browser/browser.js'
import { openDemoPage, signUp, waitForText } from '../helpers/browser/demo-page.js'
import { startDemoProcess } from '../helpers/demo-process.js'

const TABS = 5

interface Tab {
  readonly page: Page
  /** Successful refreshes that this tab has sent since the last reset. */
  refreshes: number
}

/** Opens tabs that share a session. */
async function openTabs (t: Test, browser: BrowserContext, url: string): Promise<Tab[]> {
  const tabs: Tab[] = []

  for (let count = 0; count < TABS; count++) {
    const { page } = await openDemoPage(t, browser, url)
    const tab = { page, refreshes: 0 }
    page.on('response', response => {
      if (response.url().endsWith('/auth/refresh') && response.ok()) {
        tab.refreshes++
      }
    })

    if (count === 0) {
      await signUp(page, 'ann')
    }

    await waitForText(page, '#state', 'Signed in as ann')
    tabs.push(tab)
  }

  return tabs
}

/** Presses a button in some tabs at nearly the same time. Returns the results that they show. */
async function pressInTabs (tabs: readonly Tab[], id: string): Promise<string[]> {
  return Promise.all(tabs.map(async tab => {
    tab.refreshes = 0
    await tab.page.evaluate(`document.getElementById('${id}').click()`)
    const result = tab.page.locator('#fault-result:is(.success, .error)')
    await result.waitFor({ timeout: 20_000 })
    const text = await result.textContent() ?? ''
    // Empty unless a call failed.
    return text + (await tab.page.locator('#notice').textContent() ?? '')
  }))
}

t.test('with five tabs in Chromium', { skip: getChromiumSkipReason() }, async t => {
  const browser = await startBrowser(t)
  const demo = await startDemoProcess(t)
  const tabs = await openTabs(t, browser, demo.url)

  await t.test('a fault in one tab affects no other tab', async t => {
    const [first, ...others] = tabs as [Tab, ...Tab[]]
    const pressed = pressInTabs([first], 'overload')
    await sleep(100)

    for (const { page } of others) {
      await page.evaluate('document.getElementById(\'call\').click()')
      await waitForText(page, '#call-result', /^200: /)
    }

    t.match(await pressed, [/^The server rejected the call\. .*200\.$/])
  })

  for (const id of ['invalid-token', 'lost-response', 'overload', 'concurrent-calls']) {
    await t.test(`${id} in all tabs shows in each tab what this tab did`, async t => {
      const results = await pressInTabs(tabs, id)

      for (const [index, { refreshes }] of tabs.entries()) {
        const result = results[index] ?? ''
        t.match(result, /repeated (the call: 200|the calls: 5 × 200)\.$/)
        t.equal(
          /The client refreshed the token( again)?\./.test(result),
          refreshes > 0,
          `after ${refreshes} refreshes: ${result}`
        )
        t.equal(/Another tab refreshed the token/.test(result), refreshes === 0, result)
      }
    })
  }

  await t.test('all tabs show the token of the last refresh', async t => {
    await pressInTabs(tabs.slice(0, 1), 'invalid-token')
    await sleep(500)
    const generations = await Promise.all(
      tabs.map(({ page }) => page.locator('#generation').textContent())
    )
    t.strictSame(new Set(generations).size, 1, generations.join(', '))
  })
})
