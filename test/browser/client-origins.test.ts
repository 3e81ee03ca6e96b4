import cors from '@fastify/cors'
import t from 'tap'
import type { Test } from 'tap'
import { PASSWORD } from '../helpers/app.js'
import {
  getChromiumSkipReason,
  getRefreshCookies,
  hosts,
  startApp,
  startBrowser
} from '../helpers/browser/browser.js'
import {
  expireAccessToken,
  fetchStatuses,
  getState,
  getTails,
  login,
  resetAfterEach
} from '../helpers/browser/client-actions.js'
import { startClientApp, waitUntil } from '../helpers/browser/client-page.js'
import type { ClientApp } from '../helpers/browser/client-page.js'

const skip = getChromiumSkipReason()

t.test('in Chromium', { skip }, async t => {
  const browser = await startBrowser(t)
  resetAfterEach(t, browser)

  interface ForeignApp {
    readonly port: string
    readonly received: Array<
      { readonly request: string, readonly headers: Record<string, unknown> }
    >
    readonly bodies: unknown[]
  }

  /** Starts an app on another origin that allows everything that CORS can allow. */
  async function startForeignApp (t: Test): Promise<ForeignApp> {
    const received: ForeignApp['received'] = []
    const bodies: unknown[] = []
    const app = await startApp(t, {
      async before (app) {
        app.addHook('onRequest', async ({ method, url, headers }, reply) => {
          received.push({ request: `${method} ${url}`, headers })
          reply.header('x-new-token', `e30.${btoa(JSON.stringify({ iat: 1, exp: 1e6 }))}.x`)
        })
        app.addHook('preHandler', async ({ body }) => {
          bodies.push(body)
        })
        app.addContentTypeParser(
          '*',
          { parseAs: 'string' },
          async (_request: unknown, body: unknown) => body
        )
        await app.register(cors, {
          origin: true,
          credentials: true,
          methods: ['GET', 'POST', 'PUT'],
          exposedHeaders: ['x-new-token'],
          allowedHeaders: ['authorization', 'content-type', 'x-custom', 'x-token-transport']
        })
        app.route({
          method: ['GET', 'POST', 'PUT'],
          url: '/elsewhere',
          handler: async () => 'elsewhere'
        })
      }
    }, hosts.foreign)
    return { port: new URL(app.origin).port, received, bodies }
  }

  /** Asserts that no request contained a token, a cookie or the password. */
  function checkReceived (
    t: Test,
    { received, bodies }: ForeignApp,
    app: ClientApp,
    minRequests: number
  ): void {
    t.ok(
      received.filter(({ request }) => !request.startsWith('OPTIONS')).length >= minRequests,
      `at least ${minRequests} requests`
    )

    for (const { request, headers } of received) {
      t.notOk('authorization' in headers || 'cookie' in headers, request)
      t.notMatch(headers['access-control-request-headers'] ?? '', /authorization/, request)
      t.notOk(
        getTails(app.issued).some(token => (request + JSON.stringify(headers)).includes(token)),
        request
      )
    }

    for (const body of bodies) {
      t.notOk(
        [PASSWORD, ...getTails(app.issued)].some(text => JSON.stringify(body ?? '').includes(text))
      )
    }
  }

  await t.test('no URL of another origin receives a token [87]', async t => {
    const app = await startClientApp(t, browser)
    const foreignApp = await startForeignApp(t)
    const page = await app.openTab(t)
    await login(page)
    const token = await page.evaluate('auth.getAccessToken()')
    const { port: ownPort, host } = new URL(app.origin)
    const { port } = foreignApp
    const otherHosts = [
      hosts.app,
      hosts.sibling,
      hosts.foreign,
      '127.0.0.1',
      'localhost',
      `${hosts.app}.`,
      `${host}@${hosts.foreign}`
    ]
    const otherUrls = [
      ...otherHosts.map(other => `https://${other}:${port}/elsewhere`),
      `//${hosts.foreign}:${port}/elsewhere`,
      `\\\\\\\\${hosts.app}:${port}/elsewhere`,
      `https:\\\\\\\\${hosts.foreign}:${port}/elsewhere`,
      ` HTTPS://${hosts.foreign.toUpperCase()}:${port}/elsewhere#${host}`
    ]

    for (const url of otherUrls) {
      const results = await page.evaluate(`(async () => {
        const url = '${url}'
        const post = { method: 'POST', headers: { 'x-custom': '1' }, body: 'x' }
        const results = []
        for (const [input, init = {}] of [[url], [new URL(url, location)], [url, post]]) {
          results.push(
            await auth.fetch(input, init).then(response => response.text(), error => error.name)
          )
        }
        if (!url.includes('@')) {
          const request = new Request(url, { method: 'PUT', body: 'x' })
          results.push(await auth.fetch(request).then(response => response.text()))
        }
        return [...new Set(results)]
      })()`)
      // `fetch` rejects URLs with credentials.
      t.strictSame(results, url.includes('@') ? ['TypeError'] : ['elsewhere'], url)
    }

    checkReceived(t, foreignApp, app, 4 * (otherUrls.length - 1))
    t.equal(await page.evaluate('auth.getAccessToken()'), token, 'the foreign token is ignored')

    foreignApp.received.length = app.seen.length = 0
    const similarOrigins = [
      `https://${hosts.app}.:${ownPort}`,
      `https://${hosts.sibling}:${ownPort}`,
      `https://localhost:${ownPort}`,
      `http://${hosts.app}:${ownPort}`
    ]

    for (const origin of similarOrigins) {
      t.strictSame(await fetchStatuses(page, 1, `${origin}/protected`), ['TypeError'], origin)
    }

    t.equal(app.countRequests('OPTIONS /protected'), 0, 'no header requires a preflight')
    t.notOk(app.seen.some(({ result }) => result === '200'))
    t.strictSame(await fetchStatuses(page, 1, `${app.origin}/protected`), [200])
    t.strictSame(await fetchStatuses(page, 1, `//${host}/protected`), [200])
  })

  await t.test('no redirect to another origin carries a token [87]', async t => {
    const app = await startClientApp(t, browser, {
      after (app) {
        app.route<{ Querystring: { to: string, status: string } }>({
          method: ['GET', 'POST', 'PUT'],
          url: '/go',
          handler: ({ query: { to, status } }, reply) => reply.redirect(to, Number(status))
        })
      }
    })
    const foreignApp = await startForeignApp(t)
    const page = await app.openTab(t)
    await login(page)
    const token = await page.evaluate('auth.getAccessToken()')
    let requests = 0

    for (const host of [hosts.app, hosts.sibling, hosts.foreign, '127.0.0.1']) {
      for (const status of [301, 302, 303, 307, 308]) {
        const target = `https://${host}:${foreignApp.port}/elsewhere`
        const path = `/go?status=${status}&to=${encodeURIComponent(target)}`
        const init = { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } }
        t.strictSame(await fetchStatuses(page, 1, path), [200], path)
        t.strictSame(await fetchStatuses(page, 1, path, init), [200], path)
        requests += 2
      }
    }

    checkReceived(t, foreignApp, app, requests)
    t.equal(await page.evaluate('auth.getAccessToken()'), token, 'the foreign token is ignored')

    for (const { request, result } of app.seen.filter(({ request }) => request.includes('/go'))) {
      t.match(result, /^30/, request)
    }

    const ownUrl = `${app.origin}/protected`
    const path = `/go?status=307&to=${encodeURIComponent(ownUrl)}`
    t.strictSame(await fetchStatuses(page, 1, path), [200], 'redirects to the own origin work')
  })

  await t.test('login, refresh and logout do not follow foreign redirects [87]', async t => {
    let to = ''
    const app = await startClientApp(t, browser, {
      before (app) {
        app.addHook('onRequest', async ({ url }, reply) => {
          if (to !== '' && url.startsWith('/auth/')) {
            return reply.redirect(to, 307)
          }
        })
      }
    })
    const foreignApp = await startForeignApp(t)
    const page = await app.openTab(t)

    for (const host of [hosts.app, hosts.foreign]) {
      const target = `https://${host}:${foreignApp.port}/elsewhere`
      to = target
      const code = await page.evaluate(
        `auth.login({ username: 'ann', password: '${PASSWORD}' }).catch(error => error.code)`
      )
      t.equal(code, 'network')
      to = ''
      await login(page)
      await expireAccessToken(app, [page])
      to = target
      t.equal(
        await page.evaluate(`
          auth.fetch('/protected', { signal: AbortSignal.timeout(300) })
            .catch(error => error.name)`),
        'TimeoutError'
      )
      t.match(await getState(page), { status: 'signed-in' })
      await page.evaluate('auth.logout()')
      to = ''
      await waitUntil(async () => Object.keys(await getRefreshCookies(browser, app)).length === 0)
    }

    t.strictSame(foreignApp.received, [])
  })
})
