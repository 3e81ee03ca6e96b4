// Pages of the app, of its site and of another site send every request that needs no permission.
// Only Chromium shows which cookies it adds.

import { createHash } from 'node:crypto'
import cors from '@fastify/cors'
import formbody from '@fastify/formbody'
import type { Frame, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthOptions, TokenResponse } from '../../src/index.js'
import { PASSWORD } from '../helpers/app.js'
import {
  act,
  getChromiumSkipReason,
  getRefreshCookies,
  hosts,
  servePages,
  startApp,
  startBrowser,
  submit
} from '../helpers/browser/browser.js'
import type { BrowserApp, PageResponse } from '../helpers/browser/browser.js'
import { MINUTE } from '../helpers/clock.js'

const ann = { username: 'ann', password: PASSWORD }
const bodies: Record<string, object> = {
  '/auth/login': ann,
  '/auth/refresh': {},
  '/auth/logout': {},
  '/auth/logout/all': {},
  '/change': {}
}
const bothCookies = ['__Host-auth-refresh', '__Host-auth-access']

const rejected = '403 AUTH_ORIGIN_REJECTED'
const noRefresh = '401 AUTH_REFRESH_MISSING'
const noAccess = '401 AUTH_ACCESS_MISSING'
const noPlainText = '415 FST_ERR_CTP_INVALID_MEDIA_TYPE'

type Method = 'form' | 'simple' | 'text' | 'beacon' | 'image' | 'json'
type Results = Partial<Record<Method, string[]>>

const repeat = (result: string): string[] => Array<string>(5).fill(result)
const forSimpleRequests = (results: string[]): Results => ({
  form: results,
  simple: results,
  beacon: results
})
// The routes do not accept GET. Chromium sends only the preflight if CORS rejects the page.
const unsent: Results = { image: repeat('404'), json: repeat('preflight') }
const withCookies: Results = {
  ...forSimpleRequests(repeat(rejected)),
  text: [noPlainText, noPlainText, noPlainText, noPlainText, rejected],
  ...unsent
}
const withoutCookies: Results = {
  ...forSimpleRequests([rejected, noRefresh, noRefresh, noAccess, noAccess]),
  text: [noPlainText, noPlainText, noPlainText, noPlainText, noAccess],
  ...unsent
}

t.test('in Chromium', { skip: getChromiumSkipReason() }, async t => {
  const browser = await startBrowser(t)
  const getOrigin = await servePages(t)
  t.afterEach(() => browser.clearCookies())
  // CORS allows this origin to read responses, but the plugin does not let it use cookies.
  const partners = [getOrigin('partner.site.test'), getOrigin('partner.test')]
  const readOnlyOrigin = getOrigin('careless.site.test')
  let changes = 0

  async function startCorsApp (t: Test, options: Partial<TokenAuthOptions>): Promise<BrowserApp> {
    return startApp(t, {
      options,
      async before (app) {
        await app.register(cors, { origin: [...partners, readOnlyOrigin], credentials: true })
        await app.register(formbody)
      },
      after (app) {
        app.post('/change', { onRequest: app.authenticate }, () => ({ changes: ++changes }))
        app.get('/socket', { onRequest: app.authenticate }, (request, reply) => {
          const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
          const message = Buffer.from(request.auth?.userId ?? '')
          reply.hijack()
          reply.raw.socket?.write(
            'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
              `Sec-WebSocket-Accept: ${createHash('sha1').update(key).digest('base64')}\r\n\r\n`
          )
          reply.raw.socket?.end(Buffer.concat([Buffer.from([0x81, message.length]), message]))
        })
      }
    })
  }

  const cookieApp = (t: Test, sameSite: 'strict' | 'none' = 'strict'): Promise<BrowserApp> =>
    startCorsApp(t, {
      refreshToken: { transport: 'cookie' },
      cookie: { accessToken: true, sameSite, origins: partners }
    })

  async function openPage (t: Test, origin: string): Promise<Page> {
    const page = await browser.newPage()
    t.teardown(() => page.close())
    await page.goto(origin)
    return page
  }

  async function signIn (t: Test, app: BrowserApp): Promise<Page> {
    const page = await openPage(t, app.origin)
    await act(page, 'json', '/auth/login', ann)
    return page
  }

  // Everything that a request may change.
  async function getState (app: BrowserApp): Promise<object> {
    const sessions = await app.store.list('auth', 'u-ann', { now: app.clock(), limit: 9 })

    return {
      sessions: sessions.map(({ id, generation }) => `${id} ${generation}`),
      changes,
      cookies: await getRefreshCookies(browser, app)
    }
  }

  /**
   * Sends a request to each route with each method that has an expected result.
   *
   * @param hook Called before and after each request.
   * @returns The results by method, and the sites and cookies of the requests.
   */
  async function sendAll (
    page: Page | Frame,
    app: BrowserApp,
    expected: Results,
    hook: (step: string) => Promise<unknown>
  ): Promise<object> {
    const results: Results = {}
    const sent = new Set<string>()
    const { origin } = new URL(page.url())

    for (const method of Object.keys(expected) as Method[]) {
      const methodResults: string[] = results[method] = []

      for (const [path, body] of Object.entries(bodies)) {
        await hook(`before ${method} ${path}`)
        const seen = await app.recordRequests(() =>
          method === 'form'
            ? submit(page as Page, app.origin + path, body)
            : act(page, method, app.origin + path, body)
        )
        await hook(`${method} ${path}`)

        if (method === 'form') {
          await page.goto(origin)
        }

        const outcomes = seen.map(({ request, result }) =>
          request.startsWith('OPTIONS') ? 'preflight' : result
        )
        methodResults.push(outcomes.join(', '))

        for (const { request, site, cookies } of seen) {
          if (!request.startsWith('OPTIONS')) {
            sent.add(`${site}: ${cookies.join(', ')}`)
          }
        }
      }
    }

    return { results, sent: [...sent] }
  }

  const otherPages = [
    [
      'another host of the site',
      getOrigin(hosts.sibling),
      'strict',
      withCookies,
      `same-site: ${bothCookies.join(', ')}`
    ],
    [
      'another host that only CORS allows',
      readOnlyOrigin,
      'strict',
      { json: repeat(`preflight, ${rejected}`) },
      `same-site: ${bothCookies.join(', ')}`
    ],
    ['another site', getOrigin(hosts.foreign), 'strict', withoutCookies, 'cross-site: '],
    [
      'another site, with SameSite=None',
      getOrigin(hosts.foreign),
      'none',
      withCookies,
      `cross-site: ${bothCookies.join(', ')}`
    ]
  ] as const

  for (const [name, origin, sameSite, results, sent] of otherPages) {
    await t.test(`${name} changes nothing`, async t => {
      const app = await cookieApp(t, sameSite)
      await signIn(t, app)
      const otherPage = await openPage(t, origin)
      const before = await getState(app)
      const found = await sendAll(otherPage, app, results, async step => {
        t.strictSame(await getState(app), before, step)
      })
      t.strictSame(found, { results, sent: [sent] })
    })
  }

  await t.test('a sandboxed frame of the app has no origin and changes nothing', async t => {
    const app = await cookieApp(t, 'none')
    const page = await signIn(t, app)
    await page.evaluate(`
      new Promise(onload => {
        const frame = document.createElement('iframe')
        Object.assign(frame, { sandbox: 'allow-scripts', src: '/', onload })
        document.body.append(frame)
      }).then(() => {})`)
    const frame = page.frames()[1] as Frame
    const before = await getState(app)
    const { form, ...results } = withCookies
    const found = await sendAll(frame, app, results, async step => {
      t.strictSame(await getState(app), before, step)
    })
    t.strictSame(found, { results, sent: [`cross-site: ${bothCookies.join(', ')}`] })
    t.strictSame(
      new Set(app.seen.slice(3).map(({ origin }) => origin)),
      new Set(['null', undefined])
    )
  })

  await t.test('the app\'s own pages can use every route', async t => {
    const app = await cookieApp(t)
    const page = await signIn(t, app)
    const changed: string[] = []
    let before = {}
    const successes = ['200', '200', '204', '204', '200']
    const results = {
      ...forSimpleRequests(successes),
      json: successes,
      text: [noPlainText, noPlainText, noPlainText, noPlainText, '200'],
      image: repeat('404')
    }
    const ownPage = await openPage(t, app.origin)
    const found = await sendAll(ownPage, app, results, async step => {
      if (step.startsWith('before')) {
        await act(page, 'json', '/auth/login', ann)
        before = await getState(app)
      } else if (JSON.stringify(await getState(app)) !== JSON.stringify(before)) {
        changed.push(step)
      }
    })
    t.strictSame(found, { results, sent: [`same-origin: ${bothCookies.join(', ')}`] })
    t.strictSame(changed, [
      ...['form', 'simple', 'beacon', 'json'].flatMap(method =>
        Object.keys(bodies).map(path => `${method} ${path}`)
      ),
      'text /change'
    ])
  })

  const allowed = [
    ['of the same site', 0, 'strict'],
    ['of another site, with SameSite=None', 1, 'none']
  ] as const

  for (const [name, partner, sameSite] of allowed) {
    await t.test(`only an allowed page ${name} controls the session`, async t => {
      const app = await cookieApp(t, sameSite)
      const origins = [
        partners[partner] as string,
        readOnlyOrigin,
        getOrigin(hosts.sibling),
        getOrigin(hosts.foreign)
      ]
      const [page, ...others] = await Promise.all(origins.map(origin => openPage(t, origin)))
      const post = (page: Page, path: string, body: object = {}): Promise<PageResponse> =>
        act(page, 'json', app.origin + path, body)
      const getStatus = (response: PageResponse): unknown =>
        typeof response === 'string' ? response : response.status

      for (const other of others) {
        t.equal(
          getStatus(await post(other, '/auth/login', ann)),
          other === others[0] ? 403 : 'TypeError'
        )
      }

      t.strictSame([await getRefreshCookies(browser, app), app.events], [{}, []])

      t.match(await post(page as Page, '/auth/login', ann), {
        status: 200,
        body: /"username":"ann"/
      })
      const first = await getRefreshCookies(browser, app)
      t.strictSame(Object.keys(first), bothCookies)
      t.match(await post(page as Page, '/auth/refresh'), { status: 200 })
      const second = await getRefreshCookies(browser, app)
      t.not(second[bothCookies[0] as string]?.value, first[bothCookies[0] as string]?.value)
      t.match(await post(page as Page, '/change'), { status: 200 })
      t.match(await act(page as Page, 'get', `${app.origin}/auth/me`), {
        status: 200,
        body: /"username":"ann"/
      })

      for (const other of others) {
        const status = await act(other, 'get', `${app.origin}/auth/me`).then(getStatus)
        t.equal(status, other === others[0] ? 200 : 'TypeError', 'CORS decides who may read')

        for (const path of ['/auth/refresh', '/auth/logout', '/auth/logout/all', '/change']) {
          t.equal(getStatus(await post(other, path)), other === others[0] ? 403 : 'TypeError', path)
        }
      }

      t.strictSame(await getRefreshCookies(browser, app), second)
      t.match(await post(page as Page, '/auth/logout'), { status: 204 })
      t.strictSame(await getRefreshCookies(browser, app), {})
      t.strictSame(app.events.map(({ name }) => name), ['login', 'refresh', 'session-ended'])
    })
  }

  await t.test('one app serves pages with cookies and pages with X-New-Token', async t => {
    const app = await startCorsApp(t, {
      refreshToken: { transport: 'both' },
      accessToken: { lifetime: '15m', renewWithin: '5m' },
      cookie: { origins: partners }
    })
    await browser.clearCookies()
    const [page, otherPage] = await Promise.all([
      openPage(t, partners[1] as string),
      openPage(t, getOrigin(hosts.sibling))
    ])
    const login = await act<{ body: string }>(page, 'json', `${app.origin}/auth/login`, ann)
    t.strictSame(await getRefreshCookies(browser, app), {})
    const { access_token: token } = JSON.parse(login.body) as TokenResponse
    const fetchProtected = (page: Page, token: string): Promise<PageResponse> =>
      act(page, 'get', `${app.origin}/protected`, { authorization: `Bearer ${token}` })
    t.match(await fetchProtected(page, token), { status: 200, newToken: null })
    app.clock.advance(11 * MINUTE)
    const renewed = await fetchProtected(page, token) as Exclude<PageResponse, string>
    t.type(renewed.newToken, 'string')
    t.match(await fetchProtected(page, renewed.newToken ?? ''), { status: 200, newToken: null })
    t.equal(await fetchProtected(otherPage, token), 'TypeError')

    const ownPage = await openPage(t, app.origin)
    const inCookie = await act(ownPage, 'json', '/auth/login', ann, {
      'x-token-transport': 'cookie'
    })
    t.notMatch(inCookie, /refresh_token/)
    t.strictSame(Object.keys(await getRefreshCookies(browser, app)), ['__Host-auth-refresh'])
    t.strictSame(
      (await app.recordRequests(() => act(ownPage, 'json', '/auth/refresh', {}))).map((
        { result }
      ) => result),
      ['200']
    )
    const header = { 'x-token-transport': 'cookie' }
    t.equal(await act(otherPage, 'json', `${app.origin}/auth/login`, ann, header), 'TypeError')
    const [seen] = await app.recordRequests(() =>
      act(otherPage, 'simple', `${app.origin}/auth/refresh`)
    )
    t.match(seen, { site: 'same-site', cookies: ['__Host-auth-refresh'], result: rejected })
  })

  await t.test('WebSockets open only for allowed pages', async t => {
    const cases = [
      ['strict', null, 'u-ann'],
      ['strict', partners[0], 'u-ann'],
      ['strict', readOnlyOrigin, rejected],
      ['strict', getOrigin(hosts.sibling), rejected],
      ['strict', getOrigin(hosts.foreign), noAccess],
      ['none', partners[1], 'u-ann'],
      ['none', getOrigin(hosts.foreign), rejected]
    ] as const

    for (const mode of ['strict', 'none'] as const) {
      const app = await cookieApp(t, mode)
      const page = await signIn(t, app)

      for (const [, origin, result] of cases.filter(([sameSite]) => sameSite === mode)) {
        await page.goto(origin ?? app.origin)
        const before = app.seen.length
        const message = await act<string>(
          page,
          'socket',
          `${app.origin.replace('https', 'wss')}/socket`
        )
        t.equal(message, result === 'u-ann' ? result : 'refused', `${mode} ${origin}`)
        // Chromium sends only `Origin` here. Fastify has no response for an open socket.
        const rejection = { request: 'GET /socket', site: undefined, origin, result }
        t.match(app.seen.slice(before), result === 'u-ann' ? { length: 0 } : [rejection])
      }
    }
  })
})
