// Tokens in cookies, as a browser keeps them: the attributes, what is set when, and that the rules of rotation are the same as
// for tokens in a body. From which pages such requests are taken is said in test/plugin/origins.test.ts.

import Fastify from 'fastify'
import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD, PASSWORD_HASH, SECRET } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { DAY, MINUTE, SECOND } from '../../helpers/clock.js'

type Headers = Record<string, string>

const REFRESH = '__Host-auth-refresh'
const ACCESS = '__Host-auth-access'
const sameOrigin = { 'sec-fetch-site': 'same-origin' }
const asCookie = { 'x-token-transport': 'cookie' }
const credentials = { username: 'ann', password: PASSWORD }
const withAccess = { cookie: { accessToken: true } } as const

/** A browser with one page of the app open: it keeps cookies and sends them back. */
class Browser {
  readonly jar = new Map<string, string>()
  readonly test: TestApp

  constructor (test: TestApp) {
    this.test = test
  }

  get cookie (): string {
    return Array.from(this.jar, ([name, value]) => `${name}=${value}`).join('; ')
  }

  async send (
    method: 'GET' | 'POST' | 'DELETE',
    url: string,
    payload?: object | string,
    headers: Headers = {}
  ) {
    const response = await this.test.app.inject({
      method,
      url,
      headers: { ...sameOrigin, ...(this.jar.size > 0 && { cookie: this.cookie }), ...headers },
      ...(payload !== undefined && { payload })
    })

    for (
      const { name, value, maxAge } of response.cookies as Array<
        { name: string, value: string, maxAge?: number }
      >
    ) {
      if (maxAge === 0) {
        this.jar.delete(name)
      } else {
        this.jar.set(name, value)
      }
    }

    return response
  }

  async logIn (more: object = {}): Promise<LightMyRequestResponse> {
    const response = await this.send('POST', '/auth/login', { ...credentials, ...more })

    if (response.statusCode !== 200) {
      throw new Error(`login failed: ${response.body}`)
    }

    return response
  }

  async refresh (): Promise<LightMyRequestResponse> {
    return this.send('POST', '/auth/refresh')
  }

  /** Presents a refresh token that the jar may not hold any more. */
  async present (
    token: string | undefined,
    url = '/auth/refresh'
  ): Promise<LightMyRequestResponse> {
    return this.test.post(url, undefined, { ...sameOrigin, cookie: `${REFRESH}=${token}` })
  }
}

async function open (
  t: Test,
  { refreshToken, ...options }: Partial<TokenAuthOptions> = {},
  given: TestAppOptions = {}
): Promise<Browser> {
  const test = await createTestApp({
    ...given,
    options: { refreshToken: { transport: 'cookie', ...refreshToken }, ...options }
  })
  t.teardown(() => test.app.close())
  return new Browser(test)
}

function setCookies ({ headers }: LightMyRequestResponse): string[] {
  return [headers['set-cookie'] ?? []].flat()
}

/** What is set, with `~` for tokens. */
function shapesOf (response: LightMyRequestResponse): string[] {
  return setCookies(response).map(text => text.replace(/=[\w-]+\.[\w-]+\.[\w-]+;/, '=~;'))
}

function maxAgeOf (response: LightMyRequestResponse, name = REFRESH): number | undefined {
  return (response.cookies as Array<{ name: string, maxAge?: number }>).find(cookie =>
    cookie.name === name
  )?.maxAge
}

function refused (
  t: Test,
  response: LightMyRequestResponse,
  statusCode: number,
  code: string
): void {
  t.match({ statusCode: response.statusCode, ...response.json() }, { statusCode, code })
  t.strictSame(
    setCookies(response),
    [],
    'an error takes no cookie back: it may come after a newer login'
  )
}

async function sessionsOf (browser: Browser, userId = 'u-ann'): Promise<number> {
  return (await browser.test.app.tokenAuth.listSessions(userId)).length
}

const attributes: ReadonlyArray<readonly [given: Partial<TokenAuthOptions>, ...cookies: string[]]> =
  [
    [{}, '__Host-auth-refresh=~; Path=/; HttpOnly; Secure; SameSite=Strict'],
    [{ name: 'staff' }, '__Host-staff-refresh=~; Path=/; HttpOnly; Secure; SameSite=Strict'],
    [
      { cookie: { sameSite: 'lax' } },
      '__Host-auth-refresh=~; Path=/; HttpOnly; Secure; SameSite=Lax'
    ],
    [
      { cookie: { path: '/auth' } },
      '__Secure-auth-refresh=~; Path=/auth; HttpOnly; Secure; SameSite=Strict'
    ],
    [
      { cookie: { secure: false, path: '/auth' } },
      'auth-refresh=~; Path=/auth; HttpOnly; SameSite=Strict'
    ],
    [
      withAccess,
      '__Host-auth-refresh=~; Path=/; HttpOnly; Secure; SameSite=Strict',
      '__Host-auth-access=~; Path=/; HttpOnly; Secure; SameSite=Lax'
    ],
    [
      { cookie: { accessToken: true, sameSite: 'none', path: '/auth' } },
      '__Secure-auth-refresh=~; Path=/auth; HttpOnly; Secure; SameSite=None',
      '__Host-auth-access=~; Path=/; HttpOnly; Secure; SameSite=None'
    ],
    [
      { cookie: { accessToken: true, secure: false } },
      'auth-refresh=~; Path=/; HttpOnly; SameSite=Strict',
      'auth-access=~; Path=/; HttpOnly; SameSite=Lax'
    ]
  ]

t.test('login, refresh and logout set and clear cookies with exactly these attributes, and no Domain', async t => {
  for (const [given, ...cookies] of attributes) {
    const browser = await open(t, given)
    const about = JSON.stringify(given)
    t.strictSame(shapesOf(await browser.logIn()), cookies, about)
    t.equal(browser.jar.size, cookies.length)
    t.strictSame(shapesOf(await browser.refresh()), cookies, about)
    const logout = await browser.send('POST', '/auth/logout')
    t.strictSame([logout.statusCode, logout.headers['clear-site-data']], [204, undefined])
    t.strictSame(
      setCookies(logout),
      cookies.map(text => `${text.replace('~', '')}; Max-Age=0`),
      about
    )
    t.equal(browser.jar.size, 0)
  }
})

t.test('cookies outlive the browser only where the login says so', async t => {
  const browser = await open(t, withAccess)
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const asForm = (more: string) =>
    browser.send('POST', '/auth/login', `username=ann&password=${PASSWORD}${more}`, form)

  for (const yes of [true, 1, 'true', 'on', 'yes', '1']) {
    const response = await browser.logIn({ remember_me: yes })
    t.strictSame(
      [maxAgeOf(response), maxAgeOf(response, ACCESS)],
      [7 * DAY / SECOND, 900],
      `JSON ${yes}`
    )
  }

  for (const no of [false, 0, null, 'false', 'off', 'perhaps', '', undefined]) {
    const response = await browser.logIn({ remember_me: no })
    t.notMatch(setCookies(response).join(), /max-age|expires/i, `JSON ${no}`)
    t.notMatch(
      setCookies(await browser.refresh()).join(),
      /max-age|expires/i,
      `JSON ${no}, refreshed`
    )
  }

  t.equal(maxAgeOf(await asForm('&remember_me=on')), 7 * DAY / SECOND)
  t.equal(maxAgeOf(await asForm('')), undefined)

  for (const neither of [['on'], {}, 'x'.repeat(17)]) {
    const response = await browser.send('POST', '/auth/login', {
      ...credentials,
      remember_me: neither
    })
    refused(t, response, 400, 'AUTH_REQUEST_INVALID')
  }
})

t.test('Max-Age is carried on by every refresh, and shrinks towards the end of the session', async t => {
  const browser = await open(t, withAccess)
  const { clock } = browser.test
  const first = browser.jar
  await browser.logIn({ remember_me: true })

  for (const [day, left] of [[6, 7], [12, 7], [18, 7], [24, 6], [29, 1]] as const) {
    clock.set(Date.UTC(2026, 0, 1) + day * DAY)
    const response = await browser.refresh()
    t.equal(maxAgeOf(response), left * DAY / SECOND, `day ${day}`)
    t.equal(maxAgeOf(response, ACCESS), 900)
  }

  clock.advance(5 * SECOND)
  t.equal(maxAgeOf(await browser.refresh()), DAY / SECOND - 5, 'kept within the grace')
  clock.advance(DAY - 10 * SECOND)
  const last = await browser.refresh()
  t.strictSame([maxAgeOf(last), maxAgeOf(last, ACCESS), last.json().expires_in], [5, 5, 5])
  clock.advance(5 * SECOND)
  refused(t, await browser.refresh(), 401, 'AUTH_REFRESH_EXPIRED')
  t.equal(first.size, 2)
})

t.test('no answer holds the refresh token anywhere but in its cookie, nor the access token where that has one', async t => {
  for (const options of [{}, withAccess]) {
    const browser = await open(t, options)
    const answers = [await browser.logIn({ remember_me: true })]
    const first = browser.jar.get(REFRESH)
    const bearer = answers[0]?.json().access_token
    t.equal(typeof bearer, options === withAccess ? 'undefined' : 'string')
    const own = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }
    browser.test.clock.advance(MINUTE)
    answers.push(await browser.refresh(), await browser.present(first), await browser.refresh())

    for (const url of ['/auth/me', '/auth/sessions', '/protected']) {
      answers.push(await browser.send('GET', url, undefined, own))
    }

    const tokens = answers.flatMap(({ cookies }) => cookies.map(cookie => String(cookie.value)))
    t.equal(new Set(tokens).size, tokens.length === 4 ? 2 : 4)

    for (const { body, headers, statusCode } of answers) {
      t.equal(statusCode, 200)
      t.equal(headers['cache-control']?.includes('no-store') ?? false, !body.includes('"claims"'))
      const { 'set-cookie': _cookies, ...others } = headers

      for (const token of tokens) {
        t.notOk(`${body} ${JSON.stringify(others)}`.includes(token))
      }

      t.notMatch(body, /refresh_token/)
    }

    t.match(answers[1]?.json(), { token_type: 'bearer', expires_in: 900, user: { id: 'u-ann' } })
  }
})

t.test('login, refresh, logout by cookie; afterwards the cookie is worth nothing', async t => {
  const browser = await open(t, withAccess)
  await browser.logIn()
  const first = browser.jar.get(REFRESH)
  browser.test.clock.advance(MINUTE)
  await browser.refresh()
  t.not(browser.jar.get(REFRESH), first)
  t.equal((await browser.send('GET', '/protected')).json().userId, 'u-ann')
  const stolen = browser.cookie
  const logout = await browser.send('POST', '/auth/logout')
  t.strictSame([logout.statusCode, logout.body, logout.headers['cache-control']], [
    204,
    '',
    'no-store'
  ])
  refused(
    t,
    await browser.test.post('/auth/refresh', undefined, { ...sameOrigin, cookie: stolen }),
    401,
    'AUTH_REFRESH_REVOKED'
  )
  const reply = await browser.test.app.inject({ url: '/protected', headers: { cookie: stolen } })
  t.equal(reply.json().code, 'AUTH_SESSION_REVOKED')
  refused(t, await browser.refresh(), 401, 'AUTH_REFRESH_MISSING')
  refused(t, await browser.send('POST', '/auth/logout'), 401, 'AUTH_REFRESH_MISSING')
  t.match(browser.test.events.at(-1), { name: 'revoke', reason: 'logout', count: 1 })
})

t.test('with "cookie" a token in a body or as bearer is none', async t => {
  const browser = await open(t)
  const { test } = browser
  await browser.logIn()
  const token = browser.jar.get(REFRESH)
  const authorization = `Bearer ${token}`

  for (const url of ['/auth/refresh', '/auth/logout']) {
    refused(
      t,
      await test.post(url, { refresh_token: token }, sameOrigin),
      401,
      'AUTH_REFRESH_MISSING'
    )
    refused(
      t,
      await test.post(url, undefined, { ...sameOrigin, authorization }),
      401,
      'AUTH_REFRESH_MISSING'
    )
    refused(
      t,
      await browser.send('POST', url, { refresh_token: token }),
      400,
      'AUTH_REQUEST_INVALID'
    )
    refused(
      t,
      await browser.send('POST', url, undefined, { authorization }),
      400,
      'AUTH_REQUEST_INVALID'
    )
  }

  t.equal((await browser.refresh()).statusCode, 200)
})

t.test('with "body" a cookie is none', async t => {
  const browser = await open(t, { refreshToken: { transport: 'body' } })
  const response = await browser.send('POST', '/auth/login', credentials, asCookie)
  t.strictSame(setCookies(response), [])
  const cookie =
    `${REFRESH}=${response.json().refresh_token}; auth-refresh=${response.json().refresh_token}`
  refused(
    t,
    await browser.send('POST', '/auth/refresh', undefined, { cookie }),
    401,
    'AUTH_REFRESH_MISSING'
  )
  t.equal(response.headers.vary, undefined)
})

t.test('with "both" the client chooses at login, and is answered the way its token came', async t => {
  const browser = await open(t, { refreshToken: { transport: 'both' }, ...withAccess })
  const { test, jar } = browser

  for (const headers of [{}, { 'x-token-transport': 'body' }, { 'x-token-transport': 'Cookie' }]) {
    const response = await browser.send('POST', '/auth/login', credentials, headers)
    t.match(response.json(), { access_token: /./, refresh_token: /./ })
    t.strictSame(setCookies(response), [])
  }

  const pair = await test.login()
  const response = await browser.send('POST', '/auth/login', credentials, asCookie)
  t.strictSame(Object.keys(response.json()).sort(), ['expires_in', 'token_type', 'user'])
  t.strictSame([...jar.keys()], [REFRESH, ACCESS])

  const inBody = await test.refresh(pair.refresh_token)
  t.match(inBody.json(), { access_token: /./, refresh_token: /./ })
  t.strictSame(setCookies(inBody), [])
  const asBearer = await test.post('/auth/refresh', undefined, {
    ...asCookie,
    authorization: `Bearer ${pair.refresh_token}`
  })
  t.match(asBearer.json(), { refresh_token: /./ }, 'the header chooses at login alone')
  const inCookie = await browser.refresh()
  t.strictSame(Object.keys(inCookie.json()).sort(), ['expires_in', 'token_type', 'user'])
  t.equal(setCookies(inCookie).length, 2)

  refused(
    t,
    await browser.send('POST', '/auth/refresh', { refresh_token: pair.refresh_token }),
    400,
    'AUTH_REQUEST_INVALID'
  )
  const beside = await browser.send('POST', '/auth/refresh', undefined, {
    authorization: `Bearer ${pair.access_token}`
  })
  t.equal(beside.statusCode, 200, 'an access token beside a cookie is an interceptor\'s')
  t.equal(
    (await browser.send('POST', '/auth/refresh', undefined, { authorization: 'Bearer null' }))
      .statusCode,
    200
  )

  const logout = await test.post('/auth/logout', { refresh_token: pair.refresh_token })
  t.strictSame(
    [logout.statusCode, setCookies(logout)],
    [204, []],
    'who has no cookies is told of none'
  )
  t.equal((await browser.refresh()).statusCode, 200)
  t.equal(setCookies(await browser.send('POST', '/auth/logout')).length, 2)
})

t.test('a cookie that comes twice is refused, whatever the two hold, and nothing happens', async t => {
  const browser = await open(t, withAccess)
  await browser.logIn()
  const other = await open(t)
  await other.logIn()
  const [refresh, access] = [REFRESH, ACCESS].map(name => `${name}=${browser.jar.get(name)}`)
  const tossed = [refresh, `${REFRESH}=${other.jar.get(REFRESH)}`, `${REFRESH}=x`, `${REFRESH}=`]

  for (const second of tossed) {
    for (
      const cookie of [
        `${refresh}; ${second}`,
        `${second};${refresh}`,
        `a=b; ${second} ;c=d;  ${refresh}`
      ]
    ) {
      for (const url of ['/auth/login', '/auth/refresh', '/auth/logout']) {
        const body = url === '/auth/login' ? credentials : undefined
        refused(
          t,
          await browser.test.post(url, body, { ...sameOrigin, cookie }),
          400,
          'AUTH_REQUEST_INVALID'
        )
      }
    }
  }

  const twice = await browser.test.app.inject({
    url: '/protected',
    headers: { cookie: `${access}; ${ACCESS}=x` }
  })
  refused(t, twice, 400, 'AUTH_REQUEST_INVALID')
  t.equal(await sessionsOf(browser), 1)
  t.match(await browser.test.app.tokenAuth.listSessions('u-ann'), [{ generation: 0 }])
})

t.test('a cookie of another name is none: another prefix, another case, spaces, what a sibling host can set', async t => {
  const browser = await open(t, withAccess)
  await browser.logIn()
  const [refresh, access] = [...browser.jar.values()]
  const disguises = (name: string): string[] => [
    name.slice(7),
    `__Secure-${name.slice(7)}`,
    `__host-${name.slice(7)}`,
    name.toUpperCase(),
    name.toLowerCase(),
    `x${name}`,
    `${name}x`,
    `${name} `,
    `"${name}"`,
    name.replace('auth', '%61uth'),
    `\u00a0${name}`,
    `\u0085${name}`
  ]

  for (const name of disguises(REFRESH)) {
    const response = await browser.test.post('/auth/refresh', undefined, {
      ...sameOrigin,
      cookie: `${name}=${refresh}`
    })
    refused(t, response, 401, 'AUTH_REFRESH_MISSING')
    const beside = {
      ...sameOrigin,
      cookie: `${name}=tossed; ${REFRESH}=${refresh}; ${name}=tossed`
    }
    t.equal(
      (await browser.test.post('/auth/refresh', undefined, beside)).statusCode,
      200,
      JSON.stringify(name)
    )
  }

  for (const name of disguises(ACCESS)) {
    const response = await browser.test.app.inject({
      url: '/protected',
      headers: { cookie: `${name}=${access}` }
    })
    refused(t, response, 401, 'AUTH_ACCESS_MISSING')
  }

  for (const value of ['', 'x', `"${refresh}"`, `${refresh}.`, access]) {
    const code = value === '' ? 'AUTH_REFRESH_MISSING' : 'AUTH_REFRESH_INVALID'
    refused(t, await browser.present(value), 401, code)
  }
})

t.test('an access cookie lets in; a bearer beside it wins, good or bad', async t => {
  const browser = await open(t, { refreshToken: { transport: 'both' }, ...withAccess })
  await browser.send('POST', '/auth/login', credentials, asCookie)
  const { access_token: bobs } = await browser.test.login('bob')

  const who = async (headers: Headers = {}) => {
    const { auth, ...error } = (await browser.send('GET', '/protected', undefined, headers)).json()
    return error.userId ?? error.code
  }

  t.equal(await who(), 'u-ann')
  t.equal(await who({ authorization: `Bearer ${bobs}` }), 'u-bob')
  t.equal(await who({ authorization: 'Bearer nonsense' }), 'AUTH_ACCESS_INVALID')
  t.equal(
    await who({ authorization: `Bearer ${bobs}`, cookie: `${ACCESS}=nonsense; ${ACCESS}=x` }),
    'u-bob'
  )
  t.equal(await who({ authorization: 'Basic YTpi' }), 'u-ann')
  t.equal(await who({ cookie: `${ACCESS}=${browser.jar.get(REFRESH)}` }), 'AUTH_ACCESS_INVALID')
  t.equal((await browser.send('GET', '/auth/me')).json().username, 'ann')
  t.equal((await browser.send('GET', '/auth/sessions')).json().sessions[0].current, true)
  browser.test.clock.advance(15 * MINUTE)
  t.equal(await who(), 'AUTH_ACCESS_EXPIRED')
  await browser.refresh()
  t.equal(await who(), 'u-ann')
})

t.test('without cookie.accessToken a cookie lets nobody in', async t => {
  const browser = await open(t)
  const { access_token: token } = (await browser.logIn()).json()
  const cookie = `${ACCESS}=${token}; auth-access=${token}; ${browser.cookie}`
  refused(
    t,
    await browser.send('GET', '/protected', undefined, { cookie }),
    401,
    'AUTH_ACCESS_MISSING'
  )
})

t.test('rotation: kept, replayed, recovered and reused are what they are with bodies', async t => {
  const browser = await open(t)
  const { clock, events } = browser.test
  const tokenOf = (response: LightMyRequestResponse): unknown => response.cookies[0]?.value
  await browser.logIn()
  const first = browser.jar.get(REFRESH)
  const tabs = await Promise.all(Array.from({ length: 10 }, () => browser.present(first)))
  t.equal(new Set(tabs.map(tokenOf)).size, 1, 'tabs at once converge')
  const second = tokenOf(tabs[0] as LightMyRequestResponse) as string
  t.not(second, first)
  clock.advance(10 * SECOND)
  t.equal(tokenOf(await browser.present(first)), second, 'recovered: the answer was lost')
  t.match(events.at(-1), { name: 'recovery' })
  t.equal(tokenOf(await browser.present(second)), second, 'kept')
  clock.advance(10 * SECOND)
  const third = tokenOf(await browser.present(second)) as string
  t.not(third, second)
  t.equal(tokenOf(await browser.present(second)), third, 'replayed')
  refused(t, await browser.present(first), 401, 'AUTH_REFRESH_REUSED')
  refused(t, await browser.present(third), 401, 'AUTH_REFRESH_REVOKED')
})

t.test('a login over a valid cookie ends that session, whoever it belonged to', async t => {
  const browser = await open(t, withAccess)
  await browser.logIn()
  const before = browser.cookie
  await browser.logIn({ username: 'bob' })
  t.match(browser.test.events.at(-1), { name: 'revoke', reason: 'replaced', count: 1 })
  t.strictSame([await sessionsOf(browser), await sessionsOf(browser, 'u-bob')], [0, 1])
  refused(
    t,
    await browser.test.post('/auth/refresh', undefined, { ...sameOrigin, cookie: before }),
    401,
    'AUTH_REFRESH_REVOKED'
  )
  const old = await browser.test.app.inject({ url: '/protected', headers: { cookie: before } })
  t.equal(old.json().code, 'AUTH_SESSION_REVOKED')
  t.equal((await browser.send('GET', '/protected')).json().userId, 'u-bob')
})

t.test('a login that fails leaves the session of before alive, and its cookie', async t => {
  const { store, break: breakStore } = createBreakableStore(new MemoryStore())
  const browser = await open(t, {}, { store })
  await browser.logIn()
  const before = browser.cookie
  const wrong: ReadonlyArray<readonly [object, number]> = [
    [{ ...credentials, password: 'wrong' }, 401],
    [{ username: 'nobody', password: PASSWORD }, 401],
    [{ password: PASSWORD }, 400]
  ]

  for (const [body, statusCode] of wrong) {
    const response = await browser.send('POST', '/auth/login', body)
    t.strictSame([response.statusCode, setCookies(response)], [statusCode, []])
  }

  for (const verb of ['create', 'revoke'] as const) {
    breakStore('throws', [verb])
    refused(
      t,
      await browser.send('POST', '/auth/login', credentials),
      503,
      'AUTH_STORE_UNAVAILABLE'
    )
    breakStore(null)
  }

  t.equal(browser.cookie, before)
  t.notOk(browser.test.events.some(event => event.name === 'revoke'))
  t.equal((await browser.refresh()).statusCode, 200)
})

t.test('a login over a cookie that is foreign, garbage, ended or of any age is a login', async t => {
  const browser = await open(t)
  const foreign = await open(t, { secret: 'another secret that is long enough!' })
  await browser.logIn()
  const bystander = browser.jar.get(REFRESH)
  await foreign.logIn()

  for (
    const value of ['x', '%00', 'a.b.c', '', `${bystander}x`, String(foreign.jar.get(REFRESH))]
  ) {
    const headers = { cookie: `${REFRESH}=${value}` }
    t.equal(
      (await browser.send('POST', '/auth/login', credentials, headers)).statusCode,
      200,
      value
    )
  }

  t.notOk(browser.test.events.some(event => event.name === 'revoke'))
  browser.test.clock.advance(60 * DAY)
  const late = await browser.send('POST', '/auth/login', credentials, {
    cookie: `${REFRESH}=${bystander}`
  })
  t.equal(late.statusCode, 200, 'ended long ago')
  t.equal(await sessionsOf(browser), 1)
})

t.test('with "both" a login into a body leaves the session of the cookie alone', async t => {
  const browser = await open(t, { refreshToken: { transport: 'both' } })
  await browser.send('POST', '/auth/login', credentials, asCookie)
  await browser.logIn()
  t.equal(await sessionsOf(browser), 2)
  await browser.send('POST', '/auth/login', credentials, asCookie)
  t.equal(await sessionsOf(browser), 2, 'and one into cookies replaces it')
})

t.test('logout: 503 and no Set-Cookie while the store is down; works by old, ended and garbage cookies', async t => {
  const { store, break: breakStore } = createBreakableStore(new MemoryStore())
  const browser = await open(t, { cookie: { accessToken: true, clearSiteData: true } }, { store })
  const cleared = [REFRESH, ACCESS].map(name => new RegExp(`^${name}=; .*; Max-Age=0$`))
  await browser.logIn()
  const before = browser.cookie

  for (const url of ['/auth/logout', '/auth/logout/all']) {
    breakStore('throws')
    const response = await browser.send('POST', url)
    refused(t, response, 503, 'AUTH_STORE_UNAVAILABLE')
    t.equal(response.headers['clear-site-data'], undefined)
    breakStore(null)
  }

  t.equal(browser.cookie, before)
  t.equal((await browser.refresh()).statusCode, 200, 'the session lives')
  browser.test.clock.advance(60 * DAY)

  for (const value of [browser.jar.get(REFRESH), browser.jar.get(REFRESH), 'garbage']) {
    const response = await browser.present(value, '/auth/logout')
    t.strictSame([response.statusCode, response.headers['clear-site-data']], [
      204,
      '"cache", "cookies", "storage"'
    ])
    t.match(setCookies(response), cleared)
  }
})

t.test('logout by an access token alone ends its session and clears the cookies; logout/all ends all', async t => {
  const browser = await open(t)
  const { access_token: access } = (await browser.logIn()).json()
  const authorization = `Bearer ${access}`
  const response = await browser.test.post('/auth/logout', undefined, { authorization })
  t.strictSame([response.statusCode, setCookies(response).length, await sessionsOf(browser)], [
    204,
    1,
    0
  ])

  const wide = await open(t, { cookie: { accessToken: true, clearSiteData: true } })
  const elsewhere = new Browser(wide.test)

  for (const each of [wide, elsewhere]) {
    await each.logIn()
  }

  const all = await wide.send('POST', '/auth/logout/all')
  t.strictSame([all.statusCode, setCookies(all).length, wide.jar.size, await sessionsOf(wide)], [
    204,
    2,
    0,
    0
  ])
  t.ok(all.headers['clear-site-data'])
  refused(t, await elsewhere.refresh(), 401, 'AUTH_REFRESH_REVOKED')
  refused(t, await elsewhere.send('POST', '/auth/logout/all'), 401, 'AUTH_SESSION_REVOKED')
})

t.test('logout by an access cookie alone, where the refresh cookie is gone', async t => {
  const browser = await open(t, withAccess)
  await browser.logIn()
  browser.jar.delete(REFRESH)
  const foreign = await browser.send('POST', '/auth/logout', undefined, {
    'sec-fetch-site': 'same-site'
  })
  refused(t, foreign, 403, 'AUTH_ORIGIN_REJECTED')
  const response = await browser.send('POST', '/auth/logout')
  t.equal(response.statusCode, 204)
  t.equal(await sessionsOf(browser), 0)
  t.equal(browser.jar.size, 0)
})

t.test('without rotation the cookie stays as it is', async t => {
  for (const options of [{}, withAccess]) {
    const browser = await open(t, { rotation: false, ...options })
    await browser.logIn({ remember_me: true })
    const token = browser.jar.get(REFRESH)

    for (let day = 1; day < 7; day++) {
      browser.test.clock.advance(DAY)
      const response = await browser.refresh()
      t.equal(response.statusCode, 200)
      t.strictSame(
        response.cookies.map(cookie => cookie.name),
        options === withAccess ? [ACCESS] : []
      )
      t.notOk('refresh_token' in response.json())
    }

    t.equal(browser.jar.get(REFRESH), token)
    browser.test.clock.advance(DAY)
    refused(t, await browser.refresh(), 401, 'AUTH_REFRESH_EXPIRED')
  }
})

t.test('refreshToken: false: an access token and nothing else, and the session ends with it', async t => {
  const test = await createTestApp({ options: { refreshToken: false } })
  t.teardown(() => test.app.close())
  const response = await test.post('/auth/login', credentials, { ...sameOrigin, ...asCookie })
  t.strictSame(Object.keys(response.json()).sort(), [
    'access_token',
    'expires_in',
    'token_type',
    'user'
  ])
  t.strictSame(setCookies(response), [])
  t.equal((await test.post('/auth/refresh')).statusCode, 404)
  const { access_token: token } = response.json()
  const [session] = await test.app.tokenAuth.listSessions('u-ann')
  t.strictSame([session?.expiresAt, session?.endsAt], [
    test.clock() + 15 * MINUTE,
    test.clock() + 15 * MINUTE
  ])
  t.equal(
    (await test.post('/auth/logout', undefined, { authorization: `Bearer ${token}` })).statusCode,
    204
  )
  t.equal((await test.get('/protected', token)).json().code, 'AUTH_SESSION_REVOKED')
  await test.login()
  test.clock.advance(15 * MINUTE)
  t.strictSame(await test.app.tokenAuth.listSessions('u-ann'), [])
})

/** `POST /magic`: a login of the app's own, into cookies if the request says so. */
const magic: TestAppOptions = {
  after: app => {
    app.post<{ Body: { persistent?: boolean, reply?: boolean } }>(
      '/magic',
      async (request, reply) => {
        const { persistent = false, reply: hasReply = true } = request.body
        const { openSession } = app.tokenAuth

        return hasReply
          ? openSession('u-ann', request, { reply, persistent })
          : openSession('u-ann', request)
      }
    )
  }
}

t.test('openSession sets the cookies on the reply that it is given, and only where there are cookies', async t => {
  const browser = await open(t, withAccess, magic)
  const response = await browser.send('POST', '/magic', {})
  t.strictSame(shapesOf(response), attributes[5]?.slice(1))
  t.strictSame(Object.keys(response.json()).sort(), ['expires_in', 'token_type', 'user'])
  t.equal((await browser.send('GET', '/protected')).json().userId, 'u-ann')
  t.equal(maxAgeOf(await browser.send('POST', '/magic', { persistent: true })), 7 * DAY / SECOND)
  t.equal(maxAgeOf(await browser.refresh()), 7 * DAY / SECOND)
  const without = await browser.send('POST', '/magic', { reply: false })
  t.match([without.statusCode, without.json().message, setCookies(without)], [
    500,
    /openSession needs \{ reply \}/,
    []
  ])
  await t.rejects(
    async () =>
      browser.test.app.tokenAuth.openSession('u-ann', { headers: {}, raw: { rawHeaders: [] } }),
    TypeError
  )

  for (const transport of ['body', 'both'] as const) {
    const other = await open(t, { refreshToken: { transport } }, magic)
    const inBody = await other.send('POST', '/magic', { reply: false })
    t.match([inBody.json(), setCookies(inBody)], [{ refresh_token: /./, access_token: /./ }, []])
    t.equal(setCookies(await other.send('POST', '/magic', {})).length, transport === 'both' ? 1 : 0)
  }
})

t.test('an answer that sets a cookie by openSession is kept by no cache', async t => {
  const browser = await open(t, {}, magic)
  t.equal((await browser.send('POST', '/magic', {})).headers['cache-control'], 'no-store')
})

t.test('openSession over a valid cookie ends that session, as a login does', async t => {
  const browser = await open(t, {}, magic)
  await browser.logIn()
  const before = browser.jar.get(REFRESH)
  await browser.send('POST', '/magic', {})
  refused(t, await browser.present(before), 401, 'AUTH_REFRESH_REVOKED')
  t.equal(await sessionsOf(browser), 1)
})

t.test('two registrations with two names share a jar, and no cookie', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const ann = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }

  for (const name of ['staff', 'guests']) {
    await app.register(async scope => {
      await scope.register(tokenAuth, {
        secret: SECRET,
        name,
        store: new MemoryStore(),
        sweep: false,
        users: { findByLogin: () => ann, findById: () => ann },
        refreshToken: { transport: 'cookie' },
        cookie: { accessToken: true, path: `/${name}/auth` }
      })
      scope.get('/', { onRequest: scope.authenticate }, request => request.auth)
    }, { prefix: `/${name}` })
  }

  const browser = new Browser({ app } as unknown as TestApp)

  for (const name of ['staff', 'guests']) {
    await browser.send('POST', `/${name}/auth/login`, credentials)
  }

  t.strictSame([...browser.jar.keys()], [
    '__Secure-staff-device',
    '__Secure-staff-refresh',
    '__Host-staff-access',
    '__Secure-guests-device',
    '__Secure-guests-refresh',
    '__Host-guests-access'
  ])

  for (const name of ['staff', 'guests']) {
    t.equal((await browser.send('GET', `/${name}`)).statusCode, 200)
    t.equal((await browser.send('POST', `/${name}/auth/refresh`)).statusCode, 200)
  }

  t.equal((await browser.send('POST', '/staff/auth/logout')).statusCode, 204)
  t.strictSame([...browser.jar.keys()].filter(name => !name.endsWith('-device')), [
    '__Secure-guests-refresh',
    '__Host-guests-access'
  ])
  t.equal((await browser.send('GET', '/staff')).statusCode, 401)
  t.equal((await browser.send('GET', '/guests')).statusCode, 200)

  for (const [there, here] of [['guests', 'staff'], ['staff', 'guests']]) {
    const cookie = `__Host-${here}-access=${browser.jar.get(`__Host-${there}-access`)}`
    t.equal(
      (await browser.send('GET', `/${here}`, undefined, { cookie })).statusCode,
      401,
      'renamed, it is refused'
    )
  }
})

t.test('what no browser would keep is not set: a name and a value are 4096 bytes at most', async t => {
  const long = 'x'.repeat(3500)
  const ann = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }
  const users = { findByLogin: () => ann, findById: () => ann, claims: () => ({ long }) }
  const browser = await open(t, { ...withAccess, users })
  const response = await browser.send('POST', '/auth/login', credentials)

  for (const text of setCookies(response)) {
    t.ok((text.split(';')[0] ?? '').length <= 4096, 'a browser drops it silently')
  }

  t.equal(response.statusCode, 500)
})
