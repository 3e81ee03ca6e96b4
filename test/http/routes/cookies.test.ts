import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { PASSWORD, PASSWORD_HASH } from '../../helpers/app.js'
import { DAY, MINUTE, SECOND } from '../../helpers/clock.js'
import { sortCookieAttributes } from '../../helpers/set-cookie.js'
import {
  ACCESS,
  asCookie,
  assertRejected,
  countSessions,
  credentials,
  magic,
  open,
  REFRESH,
  sameOrigin,
  setCookies,
  withAccess
} from './browser.js'
import type { Browser, Headers } from './browser.js'

/** Returns the cookies of a response, with `~` instead of tokens and sorted attributes. */
function getCookieShapes (response: LightMyRequestResponse): string[] {
  return setCookies(response).map(header =>
    sortCookieAttributes(header.replace(/=[\w-]+\.[\w-]+\.[\w-]+;/, '=~;'))
  )
}

function getMaxAge (response: LightMyRequestResponse, name = REFRESH): number | undefined {
  return (response.cookies as Array<{ name: string, maxAge?: number }>).find(cookie =>
    cookie.name === name
  )?.maxAge
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

t.test('login, refresh and logout set exactly the documented cookie attributes', async t => {
  for (const [given, ...cookies] of attributes) {
    const browser = await open(t, given)
    const about = JSON.stringify(given)
    const expected = cookies.map(sortCookieAttributes)
    t.strictSame(getCookieShapes(await browser.logIn()), expected, about)
    t.equal(browser.jar.size, cookies.length)
    t.strictSame(getCookieShapes(await browser.refresh()), expected, about)
    const logout = await browser.send('POST', '/auth/logout')
    t.strictSame([logout.statusCode, logout.headers['clear-site-data']], [204, undefined])
    t.strictSame(
      getCookieShapes(logout),
      cookies.map(cookie => sortCookieAttributes(`${cookie.replace('~', '')}; Max-Age=0`)),
      about
    )
    t.equal(browser.jar.size, 0)
  }
})

t.test('cookies survive a restart of the browser only with remember_me', async t => {
  const browser = await open(t, withAccess)
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const asForm = (more: string) =>
    browser.send('POST', '/auth/login', `username=ann&password=${PASSWORD}${more}`, form)

  for (const yes of [true, 1, 'true', 'on', 'yes', '1']) {
    const response = await browser.logIn({ remember_me: yes })
    t.strictSame(
      [getMaxAge(response), getMaxAge(response, ACCESS)],
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

  t.equal(getMaxAge(await asForm('&remember_me=on')), 7 * DAY / SECOND)
  t.equal(getMaxAge(await asForm('')), undefined)

  for (const neither of [['on'], {}, 'x'.repeat(17)]) {
    const response = await browser.send('POST', '/auth/login', {
      ...credentials,
      remember_me: neither
    })
    assertRejected(t, response, 400, 'AUTH_REQUEST_INVALID')
  }
})

t.test('every refresh updates Max-Age up to the end of the session', async t => {
  const browser = await open(t, withAccess)
  const { clock } = browser.test
  const first = browser.jar
  await browser.logIn({ remember_me: true })

  for (const [day, left] of [[6, 7], [12, 7], [18, 7], [24, 6], [29, 1]] as const) {
    clock.set(Date.UTC(2026, 0, 1) + day * DAY)
    const response = await browser.refresh()
    t.equal(getMaxAge(response), left * DAY / SECOND, `day ${day}`)
    t.equal(getMaxAge(response, ACCESS), 900)
  }

  clock.advance(5 * SECOND)
  t.equal(getMaxAge(await browser.refresh()), DAY / SECOND - 5, 'kept within the grace')
  clock.advance(DAY - 10 * SECOND)
  const last = await browser.refresh()
  t.strictSame([getMaxAge(last), getMaxAge(last, ACCESS), last.json().expires_in], [5, 5, 5])
  clock.advance(5 * SECOND)
  assertRejected(t, await browser.refresh(), 401, 'AUTH_REFRESH_EXPIRED')
  t.equal(first.size, 2)
})

t.test('tokens in cookies are not in the response body', async t => {
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

t.test('a cookie that is sent twice is rejected', async t => {
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
      assertRejected(
        t,
        await browser.test.post('/auth/refresh', undefined, { ...sameOrigin, cookie }),
        400,
        'AUTH_REQUEST_INVALID'
      )
    }
  }

  const twice = await browser.test.app.inject({
    url: '/protected',
    headers: { cookie: `${access}; ${ACCESS}=x` }
  })
  assertRejected(t, twice, 400, 'AUTH_REQUEST_INVALID')
  t.equal(await countSessions(browser), 1)
  t.match(await browser.test.app.tokenAuth.listSessions('u-ann'), [{ generation: 0 }])
})

t.test('a cookie with a similar name is ignored', async t => {
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
    assertRejected(t, response, 401, 'AUTH_REFRESH_MISSING')
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
    assertRejected(t, response, 401, 'AUTH_ACCESS_MISSING')
  }

  for (const value of ['', 'x', `"${refresh}"`, `${refresh}.`, access]) {
    const code = value === '' ? 'AUTH_REFRESH_MISSING' : 'AUTH_REFRESH_INVALID'
    assertRejected(t, await browser.present(value), 401, code)
  }
})

t.test('openSession sets cookies on its reply', async t => {
  const browser = await open(t, withAccess, magic)
  const response = await browser.send('POST', '/magic', {})
  t.strictSame(
    getCookieShapes(response),
    attributes[5]?.slice(1).map(cookie => sortCookieAttributes(String(cookie)))
  )
  t.strictSame(Object.keys(response.json()).sort(), ['expires_in', 'token_type', 'user'])
  t.equal((await browser.send('GET', '/protected')).json().userId, 'u-ann')
  t.equal(getMaxAge(await browser.send('POST', '/magic', { persistent: true })), 7 * DAY / SECOND)
  t.equal(getMaxAge(await browser.refresh()), 7 * DAY / SECOND)
  const without = await browser.send('POST', '/magic', { reply: false })
  t.match([without.statusCode, without.json().message, setCookies(without)], [
    500,
    /openSession requires \{ reply \}/,
    []
  ])
  await t.rejects(
    async () =>
      browser.test.app.tokenAuth.openSession('u-ann', { headers: {}, raw: { rawHeaders: [] } }),
    TypeError
  )
})

t.test('openSession uses the transport that the request or the app asks for', async t => {
  const both = await open(t, { refreshToken: { transport: 'both' } }, magic)
  const body = await open(t, { refreshToken: { transport: 'body' } }, magic)
  const cookie = await open(t, {}, magic)

  const openBy = async (browser: Browser, payload: object, headers: Headers = {}) => {
    browser.jar.clear()
    const response = await browser.send('POST', '/magic', payload, headers)

    return response.statusCode === 200
      ? [setCookies(response).length, 'refresh_token' in response.json()]
      : response.json().message
  }

  const [json, inCookie] = [[0, true], [1, false]]
  t.strictSame(await openBy(both, {}), json)
  t.strictSame(await openBy(both, {}, asCookie), inCookie)
  t.strictSame(await openBy(both, { reply: false }, asCookie), json)
  t.strictSame(await openBy(both, { transport: 'cookie' }), inCookie)
  t.strictSame(await openBy(both, { transport: 'body' }, asCookie), json)
  t.strictSame(await openBy(both, {}, { 'x-token-transport': 'body' }), json)
  t.match(await openBy(both, { transport: 'cookies' }), /must be "body" or "cookie"/)
  t.match(await openBy(both, { transport: 'cookie', reply: false }), /requires \{ reply \}/)
  t.strictSame(await openBy(body, {}, asCookie), json)
  t.match(
    await openBy(body, { transport: 'cookie' }),
    /\{ transport: 'cookie' \}, because "refreshToken\.transport" is "body"; set it to "both"/
  )
  t.strictSame(await openBy(cookie, {}), inCookie)
  t.strictSame(await openBy(cookie, { transport: 'cookie' }), inCookie)
  t.match(await openBy(cookie, { transport: 'body' }), /"refreshToken\.transport" is "cookie"/)
})

t.test('a response with cookies of openSession is not cached', async t => {
  const browser = await open(t, {}, magic)
  t.equal((await browser.send('POST', '/magic', {})).headers['cache-control'], 'no-store')
})

t.test('a cookie of more than 4096 bytes is not set', async t => {
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
