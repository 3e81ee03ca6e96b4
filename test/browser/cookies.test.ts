// Only Chromium shows which cookies it saves, sends and deletes.

import type { Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthOptions, TokenResponse } from '../../src/index.js'
import { PASSWORD } from '../helpers/app.js'
import {
  act,
  createProfile,
  getChromiumSkipReason,
  getRefreshCookies,
  hosts,
  servePages,
  startApp,
  startBrowser
} from '../helpers/browser/browser.js'
import type { BrowserApp, PageResponse } from '../helpers/browser/browser.js'
import { DAY, MINUTE, SECOND } from '../helpers/clock.js'

const ann = { username: 'ann', password: PASSWORD }
const REFRESH = '__Host-auth-refresh'
const ACCESS = '__Host-auth-access'
const REFRESH_WITH_PATH = '__Secure-auth-refresh'

const options = (
  cookie: TokenAuthOptions['cookie'] = {}
): Pick<TokenAuthOptions, 'refreshToken' | 'cookie'> => ({
  refreshToken: { transport: 'cookie' },
  cookie
})
const post = (
  page: Page,
  path: string,
  body: object = {}
): Promise<Exclude<PageResponse, string>> => act(page, 'json', path, body)
const describeSessions = async ({ store, clock }: BrowserApp, userId: string): Promise<string> =>
  (await store.list('auth', userId, { now: clock(), limit: 9 })).map(({ generation }) =>
    `generation ${generation}`
  ).join(', ')

const skip = getChromiumSkipReason()

t.test('in Chromium', { skip }, async t => {
  const browser = await startBrowser(t)
  const getOrigin = await servePages(t)
  t.afterEach(() => browser.clearCookies())

  async function openPage (t: Test, url: string): Promise<Page> {
    const page = await browser.newPage()
    t.teardown(() => page.close())
    await page.goto(url)
    return page
  }

  await t.test('scripts cannot read the cookies, and a logout deletes them', async t => {
    const app = await startApp(t, { options: options({ accessToken: true }) })
    const page = await openPage(t, app.origin)
    const login = await post(page, '/auth/login', ann)
    t.equal(login.status, 200)
    t.notMatch(login.body, /access_token|refresh_token|eyJ/)
    t.equal(await page.evaluate('document.cookie'), '')
    const first = await getRefreshCookies(browser, app)
    const attributes = { domain: hosts.app, path: '/', expires: -1, httpOnly: true, secure: true }
    t.match(first, {
      [REFRESH]: { ...attributes, sameSite: 'Strict' },
      [ACCESS]: { ...attributes, sameSite: 'Lax' }
    })

    await page.reload()
    t.match(await act(page, 'get', '/auth/me'), { status: 200, body: /"username":"ann"/ })
    t.equal((await post(page, '/auth/refresh')).status, 200)
    const second = await getRefreshCookies(browser, app)
    t.not(second[REFRESH]?.value, first[REFRESH]?.value)
    t.equal(await describeSessions(app, 'u-ann'), 'generation 1')

    t.equal((await post(page, '/auth/login', { ...ann, username: 'bob' })).status, 200)
    t.strictSame([await describeSessions(app, 'u-ann'), await describeSessions(app, 'u-bob')], [
      '',
      'generation 0'
    ], 'another login replaces the session')
    t.equal((await post(page, '/auth/logout')).status, 204)
    t.strictSame(await getRefreshCookies(browser, app), {})
    t.equal(await describeSessions(app, 'u-bob'), '')
    t.match(await act(page, 'get', '/auth/me'), { status: 401 })
    t.equal((await post(page, '/auth/refresh')).status, 401)
  })

  await t.test('clearSiteData deletes cookies and storage of the whole site at logout', async t => {
    const app = await startApp(t, { options: options({ clearSiteData: true }) })
    const sibling = await openPage(
      t,
      `${getOrigin(hosts.sibling)}/?set-cookie=other=1;Domain=site.test`
    )
    const page = await openPage(t, app.origin)
    await post(page, '/auth/login', ann)
    await page.evaluate('localStorage.setItem(\'draft\', \'x\')')
    t.strictSame(Object.keys(await getRefreshCookies(browser, app)).sort(), [REFRESH, 'other'])
    t.equal((await post(page, '/auth/logout')).status, 204)
    t.strictSame([
      await getRefreshCookies(browser, app),
      await page.evaluate('localStorage.length')
    ], [{}, 0])
    t.equal(await sibling.evaluate('document.cookie'), '')
  })

  await t.test('two tabs that refresh concurrently share one rotation', async t => {
    const waiting: Array<() => void> = []
    const app = await startApp(t, {
      options: options({ accessToken: true }),
      before: app => {
        app.addHook('onRequest', (request, _reply, done) => {
          if (request.url !== '/auth/refresh') {
            return done()
          }

          if (waiting.push(done) === 2) {
            waiting.splice(0).forEach(proceed => {
              proceed()
            })
          }
        })
      }
    })
    const tabs = [await openPage(t, app.origin), await openPage(t, app.origin)] as const
    await post(tabs[0], '/auth/login', ann)

    for (const generation of [1, 2]) {
      const responses = await Promise.all(tabs.map(tab => post(tab, '/auth/refresh')))
      t.strictSame(responses.map(({ status }) => status), [200, 200])
      t.equal(await describeSessions(app, 'u-ann'), `generation ${generation}`)
      app.clock.advance(MINUTE)
    }

    t.strictSame(app.events.map(({ name }) => name), [
      'login',
      'refresh',
      'replay',
      'refresh',
      'replay'
    ])

    for (const tab of tabs) {
      t.match(await act(tab, 'get', '/auth/me'), { status: 200 })
    }
  })

  await t.test('a link from another site sends the access cookie and renews it', async t => {
    const app = await startApp(t, {
      options: {
        ...options({ accessToken: true }),
        accessToken: { lifetime: '15m', renewWithin: '5m' }
      },
      after: app => {
        app.get(
          '/page',
          { onRequest: app.authenticate },
          (request, reply) =>
            reply.type('text/html').send(
              `<link rel="icon" href="data:,"><h1>${request.auth?.userId}</h1>`
            )
        )
      }
    })
    const follow = (page: Page): Promise<unknown> =>
      Promise.all([page.waitForURL(`${app.origin}/page`), act(page, 'link', `${app.origin}/page`)])
    const page = await openPage(t, app.origin)
    await post(page, '/auth/login', ann)
    const first = await getRefreshCookies(browser, app)

    for (
      const [host, site, cookies] of [
        [hosts.foreign, 'cross-site', [ACCESS]],
        [hosts.sibling, 'same-site', [REFRESH, ACCESS]]
      ] as const
    ) {
      await page.goto(getOrigin(host))
      const [seen] = await app.recordRequests(() => follow(page))
      t.match(seen, { site, origin: undefined, cookies, result: '200' })
      t.equal(await page.textContent('h1'), 'u-ann')
    }

    t.strictSame(await getRefreshCookies(browser, app), first)

    await page.goto(getOrigin(hosts.foreign))
    const [image] = await app.recordRequests(() => act(page, 'image', `${app.origin}/page`))
    t.match(image, { site: 'cross-site', cookies: [], result: '401 AUTH_ACCESS_MISSING' })
    app.clock.advance(11 * MINUTE)
    await follow(page)
    const renewed = await getRefreshCookies(browser, app)
    t.equal(renewed[REFRESH]?.value, first[REFRESH]?.value)
    t.not(renewed[ACCESS]?.value, first[ACCESS]?.value)
    t.match(renewed[ACCESS], { ...first[ACCESS], value: /^eyJ/ })
    app.clock.advance(5 * MINUTE)
    t.match((await app.recordRequests(() => page.reload()))[0], { result: '200' })
  })

  await t.test('cookies that another host of the site sets', async t => {
    // Bob is the attacker. He sets cookies of his own session, so that Ann would act as Bob.
    const setSiteCookie = async (page: Page, cookie: string): Promise<void> => {
      await page.goto(`${getOrigin(hosts.sibling)}/?set-cookie=${encodeURIComponent(cookie)}`)
    }

    interface Attack {
      readonly app: BrowserApp
      readonly token: string
      readonly evil: Page
      readonly page: Page
    }

    async function startAttack (t: Test, cookie: TokenAuthOptions['cookie']): Promise<Attack> {
      const app = await startApp(t, { options: options(cookie) })
      const evil = await openPage(t, app.origin)
      await post(evil, '/auth/login', { ...ann, username: 'bob' })
      const token = Object.values(await getRefreshCookies(browser, app))[0]?.value as string
      await browser.clearCookies()
      return { app, token, evil, page: await openPage(t, app.origin) }
    }

    await t.test('never replace a cookie with the __Host- prefix', async t => {
      const { app, token, evil, page } = await startAttack(t, {})
      const site = 'Domain=site.test; Secure'
      const cookies = [
        [`${REFRESH}=${token}; Path=/; Secure`],
        [`${REFRESH}=${token}; Path=/; ${site}`],
        [`${REFRESH}=${token}; Path=/auth/refresh; ${site}`],
        [`${REFRESH.toLowerCase()}=${token}; Path=/; ${site}`],
        [`=${REFRESH}=${token}; Path=/; ${site}`],
        // The byte is part of the name in Chromium, but whitespace in JavaScript.
        [`\xA0${REFRESH}=${token}; Path=/; ${site}`, `\xA0${REFRESH}`],
        [`\xA0${REFRESH}=${token}; Path=/auth/refresh; ${site}`, `\xA0${REFRESH}`]
      ] as const

      for (const [cookie, sent] of cookies) {
        const others = sent === undefined ? [] : [sent]
        const name = cookie.replace(token, '..')
        await setSiteCookie(evil, cookie)

        if (sent === undefined) {
          await evil.evaluate(`document.cookie = ${JSON.stringify(cookie)}`)
        }

        const [alone] = await app.recordRequests(() => post(page, '/auth/refresh'))
        t.match(alone, {
          cookies: sent === undefined ? [] : [sent],
          result: '401 AUTH_REFRESH_MISSING'
        }, `${name}, without a session`)

        t.match(
          await app.recordRequests(() => post(page, '/auth/login', ann)),
          [{ result: '200' }],
          `${name}, login`
        )
        const [refresh] = await app.recordRequests(() => post(page, '/auth/refresh'))
        t.match(refresh, { result: '200' }, `${name}, session of Ann`)
        t.strictSame(refresh?.cookies.filter(name => name !== REFRESH), others, name)
        t.equal(await describeSessions(app, 'u-ann'), 'generation 1')
        t.match(
          await app.recordRequests(() => post(page, '/auth/logout')),
          [{ result: '204' }],
          `${name}, logout`
        )
        t.equal(await describeSessions(app, 'u-ann'), '')
        await browser.clearCookies()
      }

      t.equal(await describeSessions(app, 'u-bob'), 'generation 0')
    })

    await t.test('are rejected by a refresh next to a cookie with its own path', async t => {
      const { app, token, evil, page } = await startAttack(t, { path: '/auth' })
      await post(page, '/auth/login', ann)
      t.match(await getRefreshCookies(browser, app), {
        [REFRESH_WITH_PATH]: { domain: hosts.app, path: '/auth', httpOnly: true, secure: true }
      })
      t.equal((await post(page, '/auth/refresh')).status, 200)

      for (const path of ['/auth/refresh', '/']) {
        await setSiteCookie(
          evil,
          `${REFRESH_WITH_PATH}=${token}; Domain=site.test; Path=${path}; Secure`
        )
        const [seen] = await app.recordRequests(() => post(page, '/auth/refresh'))
        t.match(seen, {
          cookies: [REFRESH_WITH_PATH, REFRESH_WITH_PATH],
          result: '400 AUTH_REQUEST_INVALID'
        })
      }

      // One of them is the user's, and nobody can tell which.
      t.equal((await post(page, '/auth/logout')).status, 204)
      t.equal(await describeSessions(app, 'u-ann'), '', 'the logout ends the session of each')
      t.equal(await describeSessions(app, 'u-bob'), '')
      t.equal((await post(page, '/auth/login', ann)).status, 200)
      t.equal(await describeSessions(app, 'u-ann'), 'generation 0')

      await browser.clearCookies({ domain: '.site.test' })
      t.equal((await post(page, '/auth/logout')).status, 204)
      t.strictSame(
        await getRefreshCookies(browser, app),
        {},
        'the logout deletes the cookie with its path'
      )
    })

    // Only the __Host- prefix prevents this. It requires the path `/`, which is the default.
    await t.test('replace a missing cookie that has its own path', async t => {
      const { app, token, evil, page } = await startAttack(t, { path: '/auth' })
      await setSiteCookie(
        evil,
        `${REFRESH_WITH_PATH}=${token}; Domain=site.test; Path=/auth; Secure`
      )
      const tokens = JSON.parse((await post(page, '/auth/refresh')).body) as TokenResponse
      t.match(tokens.user, { username: 'bob' })
      t.equal(await describeSessions(app, 'u-bob'), 'generation 1')
    })
  })
})

t.test('only remember_me keeps a user signed in after the browser closes', { skip }, async t => {
  const profile = createProfile(t)
  const before = await startBrowser(t, profile)
  const app = await startApp(t, { options: options({ accessToken: true }) })
  const other = { origin: app.origin.replace(hosts.app, 'second.site.test') }
  const day = DAY / SECOND
  const page = await before.newPage()
  await page.goto(app.origin)
  await post(page, '/auth/login', ann)
  await page.goto(other.origin)
  await post(page, '/auth/login', { ...ann, remember_me: true })
  t.match(await getRefreshCookies(before, app), {
    [REFRESH]: { expires: -1 },
    [ACCESS]: { expires: -1 }
  })
  const { [REFRESH]: refresh, [ACCESS]: access } = await getRefreshCookies(before, other)
  const inSeconds = (expires = 0): number => Math.round((expires - Date.now() / 1000) / 60) * 60
  t.strictSame([inSeconds(refresh?.expires), inSeconds(access?.expires)], [7 * day, 900])

  await before.close()
  const after = await startBrowser(t, profile)
  t.strictSame(await getRefreshCookies(after, app), {})
  const again = await after.newPage()
  await again.goto(app.origin)
  t.equal((await post(again, '/auth/refresh')).status, 401)
  await again.goto(other.origin)
  t.equal((await post(again, '/auth/refresh')).status, 200)
  t.equal((await getRefreshCookies(after, other))[REFRESH]?.httpOnly, true)
  t.equal(
    inSeconds((await getRefreshCookies(after, other))[REFRESH]?.expires),
    7 * day,
    'a refresh keeps remember_me'
  )
  t.equal((await post(again, '/auth/logout')).status, 204)
  t.strictSame(await getRefreshCookies(after, other), {})
})
