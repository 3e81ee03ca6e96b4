import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { getChromiumSkipReason, startBrowser } from '../helpers/browser/browser.js'
import {
  openDemoPage,
  press,
  secrets,
  signUp,
  waitForText
} from '../helpers/browser/demo-page.js'
import { startDemoProcess } from '../helpers/demo-process.js'

t.test('the attacker of the demo in Chromium', { skip: getChromiumSkipReason() }, async t => {
  const browser = await startBrowser(t)
  t.afterEach(() => browser.clearCookies())

  await t.test('the refresh of the browser reveals the theft in all tabs', async t => {
    const demo = await startDemoProcess(t, { REFRESH_GRACE: '1s' })
    const { page, consoleMessages } = await openDemoPage(t, browser, demo.url)
    await signUp(page, 'ann')
    const { page: otherTab } = await openDemoPage(t, browser, demo.url)
    await waitForText(otherTab, '#state', 'Signed in as ann')
    await press(page, 'attack')
    t.equal(await page.evaluate('document.activeElement.id'), 'attack-report-title')
    await waitForText(page, '#attack-steps li', 'a call with them succeeded')
    await waitForText(
      page,
      '#attack-steps li',
      'outdated by now: 401 AUTH_REFRESH_REUSED.'
    )
    await waitForText(page, '#attack-steps li', 'its new refresh token: 401 AUTH_REFRESH_REVOKED.')
    await waitForText(page, '#attack-result', 'so it revoked the session')
    await waitForText(page, '#state', 'Signed out')
    await waitForText(otherTab, '#state', 'Signed out')

    for (const tab of [page, otherTab]) {
      await waitForText(tab, '#notice', 'two sides used the refresh token of this session')
      t.notMatch(await tab.content(), secrets)
    }

    const event = JSON.parse(await page.locator('#attack-event-json').textContent() ?? '')
    t.match(event, {
      presented: { address: '127.0.0.1', userAgent: /Chrome/ },
      rotated: { address: '203.0.113.7', userAgent: 'attacker/1.0' }
    }, 'the event names both sides')
    t.match(demo.getOutput(), 'reuse: revoked the session')
    t.notMatch(demo.getOutput(), secrets)

    const folder = process.env.SCREENSHOTS

    if (folder !== undefined) {
      mkdirSync(folder, { recursive: true })

      for (const width of [1280, 390]) {
        await page.setViewportSize({ width, height: 844 })
        await page.screenshot({ path: join(folder, `attack-${width}.png`), fullPage: true })
      }
    }

    t.strictSame(consoleMessages, [])
  })

  await t.test('a refresh of another tab delays the detection only', async t => {
    const demo = await startDemoProcess(t, { REFRESH_GRACE: '2s' })
    const { page } = await openDemoPage(t, browser, demo.url)
    await signUp(page, 'ann')
    const { page: otherTab } = await openDemoPage(t, browser, demo.url)
    await waitForText(otherTab, '#state', 'Signed in as ann')
    await press(page, 'attack')
    await waitForText(page, '#attack-steps li', 'a call with them succeeded')
    await press(otherTab, 'invalid-token')
    await waitForText(otherTab, '#fault-result', 'The client refreshed the token.')
    await waitForText(
      page,
      '#attack-steps li',
      'So the copy was outdated: 401 AUTH_REFRESH_REUSED.'
    )
    await waitForText(page, '#attack-result', 'so it revoked the session')
    await waitForText(page, '#state', 'Signed out')
  })

  await t.test('the attacker finds nothing without a session', async t => {
    const demo = await startDemoProcess(t)
    const steal = await fetch(`${demo.url}/attacker`, { method: 'POST' })
    t.equal(steal.status, 409)
    const refresh = await fetch(`${demo.url}/attacker/unknown/refresh`, { method: 'POST' })
    t.equal(refresh.status, 404)
    t.equal((await fetch(`${demo.url}/attacker/unknown`)).status, 404)
  })
})
