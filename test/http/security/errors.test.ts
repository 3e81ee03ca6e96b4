import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import type { TestApp } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { DAY, HOUR, MINUTE } from '../../helpers/clock.js'
import { ACCESS, asCookie, credentials, open, own, REFRESH, withCookies } from './cookie-app.js'
import type { Headers } from './cookie-app.js'
import { FORM_TYPE, getCode, guarded, JSON_TYPE, routes, takers } from './routes.js'
import type { Route } from './routes.js'

async function logInWithCookies (
  test: TestApp
): Promise<Record<'refresh' | 'access' | 'cookie', string>> {
  const { cookies } = await test.post('/auth/login', credentials, asCookie)
  const getValue = (wanted: string): string =>
    cookies.find(({ name }) => name === wanted)?.value ?? ''
  const [refresh, access] = [getValue(REFRESH), getValue(ACCESS)]
  return { refresh, access, cookie: `${REFRESH}=${refresh}; ${ACCESS}=${access}` }
}

// Characters of an error description (RFC 6749, section 5.2). They are valid in a header too.
const words = /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/

// Several challenges would be separated by commas, or be an array.
const challenges =
  /^Bearer realm="[\w-]+"(?:, error="[a-z_]+", error_description="[\x20\x21\x23-\x5b\x5d-\x7e]+")?$/

/** Checks that an error has the common format and only allowed characters. */
function assertErrorFormat (t: Test, response: LightMyRequestResponse, about: string): void {
  const { statusCode, headers } = response
  t.equal(headers['content-type'], 'application/json; charset=utf-8', about)
  const body = response.json()
  t.strictSame(Object.keys(body).sort(), ['code', 'error', 'message', 'statusCode'], about)
  t.equal(body.statusCode, statusCode, about)

  for (const member of ['code', 'error', 'message']) {
    t.match(body[member], words, `${about}: ${member} ${body[member]}`)
  }

  t.match(body.code, /^[A-Z_]+$/, about)
  const challenge = headers['www-authenticate']

  if (statusCode === 401) {
    t.match(challenge, challenges, about)
  } else if (challenge !== undefined) {
    t.match(challenge, /^Bearer .*error="insufficient_/, about)
  }
}

t.test('every error has four members with characters allowed in a header [5]', async t => {
  const breakable = createBreakableStore(new MemoryStore())
  const test = await open(t, {
    store: breakable.store,
    options: withCookies,
    after (app) {
      app.get('/fresh', { onRequest: [app.authenticate, app.requireFresh('5m')] }, () => 'fresh')
      app.get('/admin', {
        onRequest: [app.authenticate, app.requireClaims({ role: 'admin' } as object)]
      }, () => 'admin')
    }
  })
  const codes = new Set<string>()

  const ask = async (
    about: string,
    [method, url]: Route,
    headers: Headers = {},
    payload?: object | string
  ): Promise<void> => {
    const response = await test.app.inject({
      method,
      url,
      headers,
      ...(payload !== undefined && { payload })
    })
    t.ok(response.statusCode >= 400, `${about} ${url}`)
    assertErrorFormat(t, response, `${about} ${method} ${url}`)
    codes.add(getCode(response) as string)
  }

  const { cookie } = await logInWithCookies(test)
  const { access_token: access, refresh_token: first = '' } = await test.login()
  const authorization = `Bearer ${access}`

  for (const url of takers) {
    const post: Route = ['POST', url]
    await ask('broken JSON', post, { 'content-type': JSON_TYPE }, '{"a')
    await ask('a list', post, {}, [])
    await ask('a megabyte', post, { 'content-type': JSON_TYPE }, ' '.repeat(2 ** 20))
    await ask('text', post, { 'content-type': 'text/plain' }, 'x')
    await ask('no type', post, { 'content-type': '"\\' }, 'x')
    await ask('a repeated parameter', post, { 'content-type': FORM_TYPE }, 'a=1&a=2')
    await ask(
      'from elsewhere',
      post,
      { ...asCookie, 'sec-fetch-site': 'cross-site', cookie },
      credentials
    )

    for (
      const field of ['username', 'email', 'password', 'device', 'remember_me', 'refresh_token']
    ) {
      for (const value of [1, [], {}, true, 'x'.repeat(9000), '']) {
        const body = { ...credentials, [field]: value }
        const response = await test.post(url, body)

        if (response.statusCode >= 400) {
          assertErrorFormat(t, response, `${field} ${JSON.stringify(value).slice(0, 20)} ${url}`)
        }
      }
    }
  }

  for (const route of guarded) {
    await ask('nothing', route)
    await ask('garbage', route, { authorization: 'Bearer "\\\u00fc' })
    await ask('a cookie twice', route, { cookie: `${ACCESS}=x; ${ACCESS}=y` })
  }

  for (const url of ['/auth/refresh', '/auth/logout']) {
    await ask('nothing', ['POST', url])
  }

  await ask('a wrong password', ['POST', '/auth/login'], {}, { ...credentials, password: 'x' })
  await ask('garbage', ['POST', '/auth/refresh'], {}, { refresh_token: 'x' })
  await ask('not enough', ['GET', '/admin'], { authorization })
  breakable.break('throws')

  for (const url of takers) {
    await ask(
      'the store is down',
      ['POST', url],
      {},
      url === '/auth/login' ? credentials : { refresh_token: first }
    )
  }

  await ask('the store is down', ['POST', '/auth/logout/all'], { authorization })
  breakable.break(null)
  test.clock.advance(10 * MINUTE)
  await ask('not fresh', ['GET', '/fresh'], { authorization })
  const second = (await test.refresh(first)).json().refresh_token
  test.clock.advance(MINUTE)
  await test.refresh(second)
  test.clock.advance(1)
  await ask('reused', ['POST', '/auth/refresh'], {}, { refresh_token: first })
  await ask('revoked', ['POST', '/auth/refresh'], {}, { refresh_token: second })
  await ask('revoked', ['GET', '/auth/me'], { authorization })
  const late = await test.login()
  test.clock.advance(HOUR)
  await ask('expired', ['GET', '/auth/me'], { authorization: `Bearer ${late.access_token}` })
  test.clock.advance(30 * DAY)
  await ask('expired', ['POST', '/auth/refresh'], {}, { refresh_token: late.refresh_token })
  t.strictSame([...codes].sort(), [
    'AUTH_ACCESS_EXPIRED',
    'AUTH_ACCESS_INVALID',
    'AUTH_ACCESS_MISSING',
    'AUTH_CLAIMS_INSUFFICIENT',
    'AUTH_CREDENTIALS_REJECTED',
    'AUTH_ORIGIN_REJECTED',
    'AUTH_REAUTHENTICATION_REQUIRED',
    'AUTH_REFRESH_EXPIRED',
    'AUTH_REFRESH_INVALID',
    'AUTH_REFRESH_MISSING',
    'AUTH_REFRESH_REUSED',
    'AUTH_REFRESH_REVOKED',
    'AUTH_REQUEST_INVALID',
    'AUTH_SESSION_REVOKED',
    'AUTH_STORE_UNAVAILABLE',
    'FST_ERR_CTP_BODY_TOO_LARGE',
    'FST_ERR_CTP_INVALID_MEDIA_TYPE'
  ])
})

const MARK = 'mArKeR7Qx'

// Each string is found by its surrounding marks.
const naughty = [
  '',
  '"',
  '\\',
  '\'',
  '`',
  '"}',
  '\\"',
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  '<!--',
  ']]>',
  '&lt;',
  '%00',
  '%0d%0a',
  '\r\nSet-Cookie: a=b',
  '\r\n\r\nHTTP/1.1 200 OK',
  '\n',
  '\0',
  '\u001b[31mred',
  '\u001b]0;title\u0007',
  '\u007f',
  '\u0085',
  '\u00a0',
  '\u00e9',
  '\u202egnp.exe',
  '\u2028',
  '\ufeff',
  '\ufffd',
  '\u{1f511}',
  '\u0130',
  '\ud800',
  '{{7*7}}',
  // eslint-disable-next-line no-template-curly-in-string
  '${7*7}',
  '#{7*7}',
  '<%= 7*7 %>',
  // eslint-disable-next-line no-template-curly-in-string
  '${jndi:ldap://127.0.0.1:9/a}',
  '{"$ne":null}',
  '[]',
  '__proto__',
  'constructor',
  '\' OR 1=1--',
  '; DROP TABLE users',
  '| id',
  '$(id)',
  '../../etc/passwd',
  'null',
  'undefined',
  'NaN',
  '1e309',
  'x'.repeat(2000),
  'x'.repeat(20_000),
  '%s%s%n',
  '; Max-Age=1',
  ', Basic realm=x'
].map(text => `${MARK}${text}${MARK}`)

t.test('no error contains a part of the request [5]', async t => {
  const test = await open(t, { options: withCookies })
  const access = (await test.login('bob')).access_token
  let errors = 0
  const strays: string[] = []

  const send = async (
    about: string,
    [method, url]: Route,
    headers: Headers,
    payload?: object | string
  ): Promise<void> => {
    const response = await test.app.inject({
      method,
      url,
      headers,
      ...(payload !== undefined && { payload })
    })
    const { statusCode, statusMessage, body } = response

    if (statusCode < 400) {
      return
    }

    errors++

    if ([statusMessage, JSON.stringify(response.headers), body].join().includes(MARK)) {
      strays.push(`${about} ${method} ${url}`)
    }

    const { code, error, message } = JSON.parse(body)
    const challenge = String(response.headers['www-authenticate'] ?? 'Bearer realm="auth"')

    if (![code, error, message].every(text => words.test(text)) || !challenges.test(challenge)) {
      strays.push(`${about} ${method} ${url}: ${body}`)
    }
  }

  const fields: Record<typeof takers[number], string[]> = {
    '/auth/login': [
      'username',
      'email',
      'password',
      'device',
      'device_token',
      'remember_me',
      'grant_type'
    ],
    '/auth/refresh': ['refresh_token', 'scope'],
    '/auth/logout': ['refresh_token', 'token_type_hint']
  }
  const read = [
    'authorization',
    'cookie',
    'origin',
    'sec-fetch-site',
    'x-token-transport',
    'content-type',
    'content-length',
    'host'
  ]
  const unread = [
    'referer',
    'user-agent',
    'accept',
    'accept-language',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-request-id',
    'dpop',
    'secure-session-response'
  ]

  for (const text of naughty) {
    const about = JSON.stringify(text.slice(MARK.length, 40))
    const header = Buffer.from(text).toString('latin1')
    const sound = text.toWellFormed()
    const asForm = { 'content-type': FORM_TYPE }
    const asJson = { 'content-type': JSON_TYPE }

    for (const url of takers) {
      const post: Route = ['POST', url]
      const all = Object.fromEntries(fields[url].map(field => [field, text]))

      // Only some logins reach the password check, because hashing is slow.
      for (const body of [all, { ...all, email: undefined, remember_me: 1 }, { [text]: text }]) {
        await send(`fields ${about}`, post, {}, body)
      }

      const form = Object.fromEntries(
        fields[url].filter(field => field !== 'email').map(field => [field, sound])
      )
      await send(`a form ${about}`, post, asForm, new URLSearchParams(form).toString())

      for (const field of fields[url]) {
        for (const value of [[text], { [text]: text }]) {
          await send(`${field} ${about}`, post, {}, { ...credentials, [field]: value })
        }
      }

      await send(`names ${about}`, post, asJson, `{"${text}":1,"${text}":2}`)
      await send(`a body ${about}`, post, asJson, text)
      await send(`a form ${about}`, post, asForm, `${text}&${text}`)
    }

    for (const [method, url] of routes) {
      const values: Headers[] = read.map(name => ({ [name]: header }))
      values.push(Object.fromEntries(unread.map(name => [name, header])))

      for (const value of [`Bearer ${header}`, `Basic ${header}`]) {
        values.push({ authorization: value })
      }

      for (
        const cookie of [
          `${REFRESH}=${text}`,
          `${ACCESS}=${text}`,
          `${text}=x`,
          `${REFRESH}=${text}; ${REFRESH}=${text}`
        ]
      ) {
        values.push({ ...own, cookie })
      }

      for (const headers of values) {
        await send(`${Object.keys(headers).join()} ${about}`, [method, url], headers)
      }

      await send(`the query ${about}`, [
        method,
        `${url}?${encodeURIComponent(sound)}=${encodeURIComponent(sound)}`
      ], {})
    }

    const id = encodeURIComponent(text.slice(0, 90).toWellFormed())

    for (const headers of [{}, { authorization: `Bearer ${access}` }]) {
      await send(`an id ${about}`, ['DELETE', `/auth/sessions/${id}`], headers)
    }
  }

  t.ok(errors > 5000, `${errors} errors`)
  t.strictSame(strays.slice(0, 20), [])
})
