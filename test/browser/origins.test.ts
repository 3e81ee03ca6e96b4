// Which pages can make a browser use its cookies (security.md 63, 66 to 68): everything that pages
// can send without asking, from the app's own origin, from another host of its site and from
// another site. Only Chromium knows which cookies go along.

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
  hosts,
  jar,
  servePages,
  startApp,
  startBrowser,
  submit,
  whyNoChromium
} from '../helpers/browser/browser.js'
import type { BrowserApp, Told } from '../helpers/browser/browser.js'
import { MINUTE } from '../helpers/clock.js'

const ann = { username: 'ann', password: PASSWORD }
const bodies: Record<string, object> = {
  '/auth/login': ann,
  '/auth/refresh': {},
  '/auth/logout': {},
  '/auth/logout/all': {},
  '/change': {}
}
const both = ['__Host-auth-refresh', '__Host-auth-access']

const rejected = '403 AUTH_ORIGIN_REJECTED'
const noRefresh = '401 AUTH_REFRESH_MISSING'
const noAccess = '401 AUTH_ACCESS_MISSING'
const noText = '415 FST_ERR_CTP_INVALID_MEDIA_TYPE'

type Means = 'form' | 'simple' | 'text' | 'beacon' | 'image' | 'json'
type Answers = Partial<Record<Means, string[]>>

const everywhere = (answer: string): string[] => Array<string>(5).fill(answer)
const alike = (answers: string[]): Answers => ({ form: answers, simple: answers, beacon: answers })
// Nothing answers a GET there, and a page that CORS does not allow is not let past its preflight.
const unsent: Answers = { image: everywhere('404'), json: everywhere('preflight') }
const withCookies: Answers = {
  ...alike(everywhere(rejected)),
  text: [noText, noText, noText, rejected, rejected],
  ...unsent
}
const withoutCookies: Answers = {
  ...alike([rejected, noRefresh, noRefresh, noAccess, noAccess]),
  text: [noText, noText, noText, noAccess, noAccess],
  ...unsent
}

t.test('in Chromium', { skip: whyNoChromium() }, async t => {
  const browser = await startBrowser(t)
  const at = await servePages(t)
  t.afterEach(() => browser.clearCookies())
  // The careless app lets one more page read its answers than it lets use its cookies.
  const partners = [at('partner.site.test'), at('partner.test')]
  const careless = at('careless.site.test')
  let changes = 0

  async function open (t: Test, options: Partial<TokenAuthOptions>): Promise<BrowserApp> {
    return startApp(t, {
      options,
      async before (app) {
        await app.register(cors, { origin: [...partners, careless], credentials: true })
        await app.register(formbody)
      },
      after (app) {
        app.post('/change', { onRequest: app.authenticate }, () => ({ changes: ++changes }))
        app.get('/socket', { onRequest: app.authenticate }, (request, reply) => {
          const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
          const text = Buffer.from(request.auth?.userId ?? '')
          reply.hijack()
          reply.raw.socket?.write(
            'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
              `Sec-WebSocket-Accept: ${createHash('sha1').update(key).digest('base64')}\r\n\r\n`
          )
          reply.raw.socket?.end(Buffer.concat([Buffer.from([0x81, text.length]), text]))
        })
      }
    })
  }

  const cookieApp = (t: Test, sameSite: 'strict' | 'none' = 'strict'): Promise<BrowserApp> =>
    open(t, {
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

  // All that may change: sessions, what the app does itself, and the browser's cookies.
  async function state (app: BrowserApp): Promise<object> {
    const sessions = await app.store.list('u-ann', { now: app.clock(), limit: 9 })

    return {
      sessions: sessions.map(({ id, generation }) => `${id} ${generation}`),
      changes,
      cookies: await jar(browser, app)
    }
  }

  /** @returns The answers to each means, and whence and with which cookies they were asked for. */
  async function tryAll (
    page: Page | Frame,
    app: BrowserApp,
    all: Answers,
    around: (doing: string) => Promise<unknown>
  ): Promise<object> {
    const answers: Answers = {}
    const sent = new Set<string>()
    const { origin } = new URL(page.url())

    for (const means of Object.keys(all) as Means[]) {
      answers[means] = []

      for (const [path, body] of Object.entries(bodies)) {
        await around(`before ${means} ${path}`)
        const seen = await app.during(() =>
          means === 'form'
            ? submit(page as Page, app.origin + path, body)
            : act(page, means, app.origin + path, body)
        )
        await around(`${means} ${path}`)

        if (means === 'form') {
          await page.goto(origin)
        }

        answers[means].push(
          seen.map(({ request, answer }) => request.startsWith('OPTIONS') ? 'preflight' : answer)
            .join(', ')
        )

        for (const { request, site, cookies } of seen) {
          if (!request.startsWith('OPTIONS')) {
            sent.add(`${site}: ${cookies.join(', ')}`)
          }
        }
      }
    }

    return { answers, sent: [...sent] }
  }

  const strangers = [
    [
      'another host of the site',
      at(hosts.sibling),
      'strict',
      withCookies,
      `same-site: ${both.join(', ')}`
    ],
    ['another host that CORS alone allows', careless, 'strict', {
      json: everywhere(`preflight, ${rejected}`)
    }, `same-site: ${both.join(', ')}`],
    ['another site', at(hosts.foreign), 'strict', withoutCookies, 'cross-site: '],
    [
      'another site, with SameSite=None',
      at(hosts.foreign),
      'none',
      withCookies,
      `cross-site: ${both.join(', ')}`
    ]
  ] as const

  for (const [name, origin, sameSite, answers, sent] of strangers) {
    await t.test(`${name} changes nothing`, async t => {
      const app = await cookieApp(t, sameSite)
      await signIn(t, app)
      const stranger = await openPage(t, origin)
      const before = await state(app)
      const found = await tryAll(stranger, app, answers, async doing => {
        t.strictSame(await state(app), before, doing)
      })
      t.strictSame(found, { answers, sent: [sent] })
    })
  }

  await t.test('a sandboxed frame of the app itself has no origin, and changes nothing', async t => {
    const app = await cookieApp(t, 'none')
    const page = await signIn(t, app)
    await page.evaluate(
      'new Promise(onload => { document.body.append(Object.assign(document.createElement(\'iframe\'), { sandbox: \'allow-scripts\', src: \'/\', onload })) }).then(() => {})'
    )
    const frame = page.frames()[1] as Frame
    const before = await state(app)
    const { form, ...answers } = withCookies
    const found = await tryAll(frame, app, answers, async doing => {
      t.strictSame(await state(app), before, doing)
    })
    t.strictSame(found, { answers, sent: [`cross-site: ${both.join(', ')}`] })
    t.strictSame(
      new Set(app.seen.slice(3).map(({ origin }) => origin)),
      new Set(['null', undefined])
    )
  })

  await t.test('the app\'s own pages can do all of it', async t => {
    const app = await cookieApp(t)
    const page = await signIn(t, app)
    const changed: string[] = []
    let before = {}
    const done = ['200', '200', '204', '204', '200']
    const answers = {
      ...alike(done),
      json: done,
      text: [noText, noText, noText, noText, '200'],
      image: everywhere('404')
    }
    const own = await openPage(t, app.origin)
    const found = await tryAll(own, app, answers, async doing => {
      if (doing.startsWith('before')) {
        await act(page, 'json', '/auth/login', ann)
        before = await state(app)
      } else if (JSON.stringify(await state(app)) !== JSON.stringify(before)) {
        changed.push(doing)
      }
    })
    t.strictSame(found, { answers, sent: [`same-origin: ${both.join(', ')}`] })
    t.strictSame(changed, [
      ...['form', 'simple', 'beacon', 'json'].flatMap(means =>
        Object.keys(bodies).map(path => `${means} ${path}`)
      ),
      'text /change'
    ])
  })

  const allowed = [
    ['of the same site', 0, 'strict'],
    ['of another site, with SameSite=None', 1, 'none']
  ] as const

  for (const [name, partner, sameSite] of allowed) {
    await t.test(`an allowed page ${name} signs in, refreshes, uses and ends the session; no other page does`, async t => {
      const app = await cookieApp(t, sameSite)
      const [page, ...others] = await Promise.all(
        [partners[partner] as string, careless, at(hosts.sibling), at(hosts.foreign)].map(origin =>
          openPage(t, origin)
        )
      )
      const told = (page: Page, path: string, body: object = {}): Promise<Told> =>
        act(page, 'json', app.origin + path, body)
      const statusOf = (told: Told): unknown => typeof told === 'string' ? told : told.status

      for (const other of others) {
        t.equal(
          statusOf(await told(other, '/auth/login', ann)),
          other === others[0] ? 403 : 'TypeError'
        )
      }

      t.strictSame([await jar(browser, app), app.events], [{}, []])

      t.match(await told(page as Page, '/auth/login', ann), {
        status: 200,
        body: /"username":"ann"/
      })
      const first = await jar(browser, app)
      t.strictSame(Object.keys(first), both)
      t.match(await told(page as Page, '/auth/refresh'), { status: 200 })
      const second = await jar(browser, app)
      t.not(second[both[0] as string]?.value, first[both[0] as string]?.value)
      t.match(await told(page as Page, '/change'), { status: 200 })
      t.match(await act(page as Page, 'get', `${app.origin}/auth/me`), {
        status: 200,
        body: /"username":"ann"/
      })

      for (const other of others) {
        const status = await act(other, 'get', `${app.origin}/auth/me`).then(statusOf)
        t.equal(status, other === others[0] ? 200 : 'TypeError', 'to read is for CORS to allow')

        for (const path of ['/auth/refresh', '/auth/logout', '/auth/logout/all', '/change']) {
          t.equal(statusOf(await told(other, path)), other === others[0] ? 403 : 'TypeError', path)
        }
      }

      t.strictSame(await jar(browser, app), second)
      t.match(await told(page as Page, '/auth/logout'), { status: 204 })
      t.strictSame(await jar(browser, app), {})
      t.strictSame(app.events.map(({ name }) => name), ['login', 'refresh', 'revoke'])
    })
  }

  await t.test('both ways at one app: cookies for a page that asks for them, and X-New-Token for one that CORS allows', async t => {
    const app = await open(t, {
      refreshToken: { transport: 'both' },
      accessToken: { lifetime: '15m', renewWithin: '5m' },
      cookie: { origins: partners }
    })
    await browser.clearCookies()
    const [page, stranger] = await Promise.all([
      openPage(t, partners[1] as string),
      openPage(t, at(hosts.sibling))
    ])
    const login = await act<{ body: string }>(page, 'json', `${app.origin}/auth/login`, ann)
    t.strictSame(await jar(browser, app), {})
    const { access_token: token } = JSON.parse(login.body) as TokenResponse
    const ask = (page: Page, token: string): Promise<Told> =>
      act(page, 'get', `${app.origin}/protected`, { authorization: `Bearer ${token}` })
    t.match(await ask(page, token), { status: 200, newToken: null })
    app.clock.advance(11 * MINUTE)
    const renewed = await ask(page, token) as Exclude<Told, string>
    t.type(renewed.newToken, 'string')
    t.match(await ask(page, renewed.newToken ?? ''), { status: 200, newToken: null })
    t.equal(await ask(stranger, token), 'TypeError')

    const own = await openPage(t, app.origin)
    const inCookie = await act(own, 'json', '/auth/login', ann, { 'x-token-transport': 'cookie' })
    t.notMatch(inCookie, /refresh_token/)
    t.strictSame(Object.keys(await jar(browser, app)), ['__Host-auth-refresh'])
    t.strictSame(
      (await app.during(() => act(own, 'json', '/auth/refresh', {}))).map(({ answer }) => answer),
      ['200']
    )
    const header = { 'x-token-transport': 'cookie' }
    t.equal(await act(stranger, 'json', `${app.origin}/auth/login`, ann, header), 'TypeError')
    const [seen] = await app.during(() => act(stranger, 'simple', `${app.origin}/auth/refresh`))
    t.match(seen, { site: 'same-site', cookies: ['__Host-auth-refresh'], answer: rejected })
  })

  await t.test('WebSockets carry cookies from any page, and open for those that are allowed', async t => {
    const cases = [
      ['strict', null, 'u-ann'],
      ['strict', partners[0], 'u-ann'],
      ['strict', careless, rejected],
      ['strict', at(hosts.sibling), rejected],
      ['strict', at(hosts.foreign), noAccess],
      ['none', partners[1], 'u-ann'],
      ['none', at(hosts.foreign), rejected]
    ] as const

    for (const mode of ['strict', 'none'] as const) {
      const app = await cookieApp(t, mode)
      const page = await signIn(t, app)

      for (const [, origin, answer] of cases.filter(([sameSite]) => sameSite === mode)) {
        await page.goto(origin ?? app.origin)
        const begun = app.seen.length
        const told = await act<string>(
          page,
          'socket',
          `${app.origin.replace('https', 'wss')}/socket`
        )
        t.equal(told, answer === 'u-ann' ? answer : 'refused', `${mode} ${origin}`)
        // Chromium tells these by Origin alone. What has become a socket is no answer.
        const refusal = { request: 'GET /socket', site: undefined, origin, answer }
        t.match(app.seen.slice(begun), answer === 'u-ann' ? { length: 0 } : [refusal])
      }
    }
  })
})
