import type { Page } from 'playwright-core'
import t from 'tap'
import { PASSWORD } from '../helpers/app.js'
import {
  getChromiumSkipReason,
  getRefreshCookies,
  startApp,
  startBrowser
} from '../helpers/browser/browser.js'
import type { BrowserApp } from '../helpers/browser/browser.js'
import { bundle, waitForClient } from '../helpers/browser/client-page.js'
import { MINUTE } from '../helpers/clock.js'

const skip = getChromiumSkipReason()
const [client, dpop] = [bundle('src/client/index.ts'), bundle('src/client/dpop.ts')]
// The wall clock is one year off, because the client should use the time in the server's nonce.
const page = `<!doctype html><link rel="icon" href="data:,"><title>dpop</title><body><script>
  const now = Date.now
  Date.now = () => now() + 31_536_000_000
</script><script type="module">
import { createAuthClient } from '/client.js'
import { createDpopFetch } from '/dpop.js'
globalThis.auth = createAuthClient({ fetch: createDpopFetch() })
</script>`

// Returns all saved keys, and whether a script can export their private part.
const listKeys = `new Promise((resolve, reject) => {
  const opening = indexedDB.open('token-auth')
  opening.onerror = reject
  opening.onsuccess = () => {
    const all = opening.result.transaction('keys').objectStore('keys').getAll()
    all.onsuccess = () => resolve(all.result)
  }
}).then(pairs => Promise.all(pairs.map(async ({ privateKey, publicKey }) => ({
  jwk: await crypto.subtle.exportKey('jwk', publicKey),
  readable: await crypto.subtle.exportKey('jwk', privateKey).then(() => true, () => false)
}))))`

t.test('in Chromium', { skip }, async t => {
  const browser = await startBrowser(t)

  async function serve (): Promise<BrowserApp> {
    return startApp(t, {
      options: { dpop: { required: true }, refreshToken: { transport: 'cookie' } },
      async before (app) {
        app.get(
          '/client.js',
          async (_request, reply) => reply.type('text/javascript').send(await client)
        )
        app.get(
          '/dpop.js',
          async (_request, reply) => reply.type('text/javascript').send(await dpop)
        )
        app.get('/tab', (_request, reply) => reply.type('text/html').send(page))
      }
    })
  }

  async function openTab (
    { origin }: BrowserApp,
    init = '',
    warnings: string[] = []
  ): Promise<Page> {
    const page = await browser.newPage()
    page.on('console', message => {
      if (message.type() === 'warning') {
        warnings.push(message.text())
      }
    })
    await page.addInitScript(init)
    await page.goto(`${origin}/tab`)
    await waitForClient(page)
    return page
  }

  const status = (page: Page): Promise<unknown> =>
    page.evaluate('auth.fetch(\'/protected\').then(({ status }) => status)')

  await t.test('five tabs share one key, and a copied cookie is rejected', async t => {
    const app = await serve()
    const pages = await Promise.all(Array.from({ length: 5 }, () => openTab(app)))
    const credentials = JSON.stringify({ username: 'ann', password: PASSWORD })
    await (pages[0] as Page).evaluate(`auth.login(${credentials}).then(() => {})`)
    t.strictSame(await Promise.all(pages.map(status)), [200, 200, 200, 200, 200])
    const [key, ...others] = await (pages[0] as Page).evaluate<
      Array<{ jwk: object, readable: boolean }>
    >(listKeys)
    t.match(key, { jwk: { kty: 'EC', crv: 'P-256' }, readable: false })
    t.strictSame(others, [])

    app.clock.advance(20 * MINUTE)
    await Promise.all(pages.map(page => page.close()))
    const next = await openTab(app)
    t.equal(await next.evaluate('auth.state.status'), 'signed-in')
    t.equal(await status(next), 200)
    t.strictSame(await next.evaluate(listKeys), [key])

    const { '__Host-auth-refresh': cookie } = await getRefreshCookies(browser, app)
    const stolen = await app.app.inject({
      method: 'POST',
      url: '/auth/refresh',
      headers: { cookie: `__Host-auth-refresh=${cookie?.value}`, 'sec-fetch-site': 'same-origin' }
    })
    t.match([stolen.statusCode, stolen.json().code], [401, 'AUTH_DPOP_INVALID'])
    t.equal(await status(next), 200)
    t.notOk(app.events.some(({ name }) => name === 'reuse' || name === 'session-ended'))

    await next.evaluate('auth.logout()')
    t.equal(await next.evaluate('auth.state.status'), 'signed-out')
    t.strictSame(app.events.filter(({ name }) => name === 'session-ended').length, 1)
  })

  await t.test('a key lives as long as its page if IndexedDB never answers', async t => {
    const app = await serve()
    const warnings: string[] = []
    const page = await openTab(app, 'IDBFactory.prototype.open = () => new EventTarget()', warnings)
    const credentials = JSON.stringify({ username: 'ann', password: PASSWORD })
    await page.evaluate(`auth.login(${credentials}).then(() => {})`)
    t.equal(await status(page), 200)
    app.clock.advance(20 * MINUTE)
    t.equal(await status(page), 200, 'a refresh uses the same key')
    t.match(warnings, [/the key of this page is lost on reload.+within 2000 ms/s])
    await page.reload()
    await waitForClient(page)
    t.equal(await status(page), 401)
  })
})
