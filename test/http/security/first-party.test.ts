// What the requirements for token endpoints, OAuth clients, DPoP and DBSC mean for routes that are none of these: errors say
// nothing that was sent, tokens serve where they were issued, and what other protocols send along changes nothing. Numbers are
// those of the security requirements; README.md says where each of them is tested.

import { createHmac } from 'node:crypto'
import Fastify from 'fastify'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { deriveKey } from '../../../src/tokens/key-derivation.js'
import { tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD, PASSWORD_HASH, SECRET } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { DAY, HOUR, MINUTE } from '../../helpers/clock.js'

type Headers = Record<string, string>
type Method = 'GET' | 'HEAD' | 'POST' | 'DELETE'
type Route = readonly [method: Method, url: string]

const REFRESH = '__Host-auth-refresh'
const ACCESS = '__Host-auth-access'
const JSON_TYPE = 'application/json'
const FORM_TYPE = 'application/x-www-form-urlencoded'
const own = { 'sec-fetch-site': 'same-origin' }
const asCookie = { ...own, 'x-token-transport': 'cookie' }
const credentials = { username: 'ann', password: PASSWORD }
const withCookies = {
  refreshToken: { transport: 'both' },
  cookie: { accessToken: true },
  revocations: false
} as const satisfies Partial<TokenAuthOptions>

const guarded: readonly Route[] = [
  ['GET', '/protected'],
  ['GET', '/auth/me'],
  ['GET', '/auth/sessions'],
  ['DELETE', '/auth/sessions'],
  ['DELETE', '/auth/sessions/x'],
  ['POST', '/auth/logout/all']
]
const takers = ['/auth/login', '/auth/refresh', '/auth/logout'] as const
const routes: readonly Route[] = [...guarded, ...takers.map((url): Route => ['POST', url])]

async function open (t: Test, given: TestAppOptions = {}): Promise<TestApp> {
  const test = await createTestApp(given)
  t.teardown(() => test.app.close())
  return test
}

async function cookiesOf (test: TestApp): Promise<Record<'refresh' | 'access' | 'cookie', string>> {
  const { cookies } = await test.post('/auth/login', credentials, asCookie)
  const valueOf = (wanted: string): string =>
    cookies.find(({ name }) => name === wanted)?.value ?? ''
  const [refresh, access] = [valueOf(REFRESH), valueOf(ACCESS)]
  return { refresh, access, cookie: `${REFRESH}=${refresh}; ${ACCESS}=${access}` }
}

function claimsOf (token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}

/** Everything that a client can compare. */
function seen ({ statusCode, headers, body }: LightMyRequestResponse): object {
  const { date, ...rest } = headers
  return { statusCode, headers: rest, body }
}

const codeOf = (response: LightMyRequestResponse): unknown =>
  response.body === '' ? undefined : response.json().code

// RFC 6749 section 5.2: what an error may be told in, so that it stands in a header, too.
const words = /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/
// Several challenges would be joined by commas, or be a list.
const challenges =
  /^Bearer realm="[\w-]+"(?:, error="[a-z_]+", error_description="[\x20\x21\x23-\x5b\x5d-\x7e]+")?$/

/** Whether an error is one of ours, or of the framework in our shape, and in words that may stand anywhere. */
function looksRight (t: Test, response: LightMyRequestResponse, about: string): void {
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

t.test('5: every error is four members of JSON, in words that may stand in a header', async t => {
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
    looksRight(t, response, `${about} ${method} ${url}`)
    codes.add(codeOf(response) as string)
  }

  const { cookie } = await cookiesOf(test)
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
          looksRight(t, response, `${field} ${JSON.stringify(value).slice(0, 20)} ${url}`)
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

// Each is looked for by what stands around it.
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
  '${7*7}',
  '#{7*7}',
  '<%= 7*7 %>',
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

t.test('5: nothing that is sent comes back in an error, wherever it stood', async t => {
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

      // A login that gets as far as the password takes its time, so only some do.
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

interface Forged {
  readonly secret?: string
  readonly name?: string
  readonly header?: object
  readonly claims?: object
}

/** A refresh token as its own server would write it, but for what is given. */
function forge (
  token: string,
  { secret = SECRET, name = 'auth', header = {}, claims = {} }: Forged
): string {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const { id, key } = deriveKey(secret, name, 'refresh')
  const input = `${encode({ alg: 'HS256', typ: 'rt+jwt', kid: id, ...header })}.${
    encode({ ...claimsOf(token), ...claims })
  }`
  return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
}

t.test('6: without an authentic token nothing is told, whatever is presented and whatever has become of the session', async t => {
  const test = await open(t, { options: withCookies })
  const elsewhere = await open(t, { options: withCookies })
  const sign = async (): Promise<string> => (await test.login()).refresh_token ?? ''
  const [live, ended, used, expired] = [await sign(), await sign(), await sign(), await sign()]
  const ofGone = (await test.login('bob')).refresh_token ?? ''
  const ofDisabled = (await test.login('cyd')).refresh_token ?? ''
  test.users.delete('u-bob')
  const cyd = test.users.get('u-cyd')

  if (cyd) {
    cyd.disabled = true
  }

  await test.post('/auth/logout', { refresh_token: ended })
  const rotated = (await test.refresh(used)).json().refresh_token
  test.clock.advance(MINUTE)
  await test.refresh(rotated)
  t.equal(codeOf(await test.refresh(used)), 'AUTH_REFRESH_REUSED')

  const otherSecret = { secret: 'Z'.repeat(7) + 'another, as long as it has to be' }
  const guess = Buffer.alloc(32, 1).toString('base64url')
  const tokens: string[] = [
    'x',
    'null',
    '..',
    'a.b.c',
    'x'.repeat(8192),
    (await elsewhere.login()).refresh_token ?? ''
  ]

  for (const token of [live, ended, used, expired, ofGone, ofDisabled]) {
    const [head = '', payload = '', signature = ''] = token.split('.')
    tokens.push(
      `${head}.${payload}.`,
      `${head}.${payload}.${signature.slice(0, -4)}AAAA`,
      `${token}A`,
      token.slice(1),
      forge(token, otherSecret),
      forge(token, { name: 'shop' }),
      forge(token, { header: { alg: 'none' } }),
      forge(token, { header: { typ: 'at+jwt' } }),
      forge(token, { claims: { secret: guess } }),
      forge(token, { claims: { sid: 'none' } }),
      forge(token, { claims: { type: 'access' } }),
      forge(token, { claims: { sid: 'none', sub: 'nobody' } }),
      forge(token, { claims: { gen: -1 } }),
      forge(token, { claims: { exp: 'x' } })
    )
  }

  t.equal(
    codeOf(await test.refresh(forge(ofDisabled, {}))),
    'AUTH_REFRESH_REVOKED',
    'what is forged is right but for what is wrong'
  )

  for (const late of [false, true]) {
    if (late) {
      test.clock.advance(40 * DAY)
    }

    const answers = new Set<string>()

    for (const token of tokens) {
      const ways: Array<readonly [object | undefined, Headers]> = [
        [{ refresh_token: token }, {}],
        [undefined, { authorization: `Bearer ${token}` }],
        [undefined, { ...own, cookie: `${REFRESH}=${token}` }]
      ]

      for (const [body, headers] of ways) {
        answers.add(JSON.stringify(seen(await test.post('/auth/refresh', body, headers))))
      }
    }

    t.equal(answers.size, 1, `${tokens.length} tokens, three ways, one answer`)
    t.match(JSON.parse([...answers][0] ?? ''), {
      statusCode: 401,
      body: /"code":"AUTH_REFRESH_INVALID"/,
      headers: { 'www-authenticate': /error="invalid_token"/, 'set-cookie': undefined }
    })

    if (!late) {
      t.equal(
        (await test.refresh(live)).statusCode,
        200,
        'and none of them has ended the session that it names'
      )
    }
  }
})

t.test('6: one cause of a refusal is one answer, whosever token it is and whatever is in it', async t => {
  const test = await open(t)
  const loginOf = async (username: string): Promise<string> =>
    (await test.login(username)).refresh_token ?? ''
  const causes: Record<string, Array<() => Promise<string>>> = {
    AUTH_REFRESH_REVOKED: [
      async () => {
        const token = await loginOf('ann')
        await test.post('/auth/logout', { refresh_token: token })
        return token
      },
      async () => {
        const token = await loginOf('bob')
        await test.refresh(token)
        await test.app.tokenAuth.revokeUser('u-bob')
        return token
      },
      async () => {
        const token = await loginOf('ann')
        await test.app.tokenAuth.passwordChanged('u-ann')
        return token
      },
      async () => {
        const token = await loginOf('bob')
        test.users.delete('u-bob')
        return token
      },
      async () => {
        const token = await loginOf('cyd')
        const cyd = test.users.get('u-cyd')

        if (cyd) {
          cyd.disabled = true
        }

        return token
      }
    ],
    AUTH_REFRESH_REUSED: [1, 2, 5].map(turns => async () => {
      const first = await loginOf('ann')
      let token = first

      for (let turn = 0; turn <= turns; turn++) {
        token = (await test.refresh(token)).json().refresh_token
        test.clock.advance(MINUTE)
      }

      return first
    }),
    AUTH_REFRESH_EXPIRED: [8, 100].map(days => async () => {
      const token = await loginOf('ann')
      test.clock.advance(days * DAY)
      return token
    })
  }

  for (const [code, makers] of Object.entries(causes)) {
    const answers = new Set<string>()

    for (const make of makers) {
      const response = await test.refresh(await make())
      t.equal(codeOf(response), code)
      answers.add(JSON.stringify(seen(response)))
    }

    t.equal(answers.size, 1, code)
  }
})

t.test('7: a 401 has one challenge, of Bearer, and no user name and password in a header opens anything', async t => {
  const test = await open(t, { options: withCookies })
  const pair = Buffer.from(`ann:${PASSWORD}`).toString('base64')
  const session = (await test.login()).refresh_token

  for (
    const authorization of [
      `Basic ${pair}`,
      `basic ${pair}`,
      `Basic ${pair}, Bearer x`,
      `Digest username="ann", response="${PASSWORD}"`
    ]
  ) {
    for (const [method, url] of routes) {
      const response = await test.app.inject({ method, url, headers: { authorization } })
      const isLogin = url === '/auth/login'
      const expected = isLogin
        ? [400, 'AUTH_REQUEST_INVALID']
        : [
          401,
          guarded.some(route => route[1] === url)
            ? 'AUTH_ACCESS_MISSING'
            : 'AUTH_REFRESH_MISSING'
        ]
      t.strictSame(
        [response.statusCode, codeOf(response)],
        expected,
        `${method} ${url} ${authorization.slice(0, 8)}`
      )
      t.equal(
        response.headers['www-authenticate'],
        isLogin ? undefined : 'Bearer realm="auth"',
        url
      )
    }

    // Beside what is good by itself it is nobody's business.
    t.equal((await test.post('/auth/login', credentials, { authorization })).statusCode, 200)
    t.equal(
      (await test.post('/auth/login', { ...credentials, password: 'x' }, { authorization }))
        .statusCode,
      401
    )
  }

  t.equal((await test.refresh(session)).statusCode, 200)
})

t.test('7: there is no password grant: a grant_type says nothing, and a refresh takes no password', async t => {
  const test = await open(t)
  const client = { client_id: 'ann', client_secret: PASSWORD }
  const membersOf = (response: LightMyRequestResponse): string[] =>
    Object.keys(response.json()).sort()
  const plain = await test.post('/auth/login', credentials)

  for (
    const grant of ['password', 'refresh_token', 'client_credentials', 'authorization_code', '']
  ) {
    for (const type of [JSON_TYPE, FORM_TYPE]) {
      const send = (url: string, body: Record<string, string>): Promise<LightMyRequestResponse> => {
        const members = { grant_type: grant, ...client, ...body }
        const payload = type === JSON_TYPE
          ? JSON.stringify(members)
          : new URLSearchParams(members).toString()
        return test.post(url, payload as unknown as object, { 'content-type': type })
      }

      for (const url of ['/auth/refresh', '/auth/logout']) {
        const response = await send(url, credentials)
        t.strictSame(
          [response.statusCode, codeOf(response)],
          [401, 'AUTH_REFRESH_MISSING'],
          `${grant} ${url}`
        )
      }

      t.equal(codeOf(await send('/auth/login', {})), 'AUTH_REQUEST_INVALID')
      t.equal(
        codeOf(await send('/auth/login', { ...credentials, password: 'x' })),
        'AUTH_CREDENTIALS_REJECTED'
      )
      const login = await send('/auth/login', credentials)
      t.strictSame(membersOf(login), membersOf(plain), `a login as any: ${grant}`)
      t.strictSame(Object.keys(login.headers), Object.keys(plain.headers))
      const { refresh_token: token } = login.json<TokenResponse>()
      t.equal(
        (await send('/auth/refresh', { refresh_token: token ?? '' })).statusCode,
        200,
        `a refresh as any: ${grant}`
      )
    }
  }

  for (const url of ['/token', '/oauth/token', '/oauth2/token', '/auth/token', '/connect/token']) {
    t.equal((await test.post(url, { grant_type: 'password', ...credentials })).statusCode, 404, url)
  }
})

/** Two registrations in one app that have all in common but their names. */
async function openTwo (
  t: Test
): Promise<
  { app: FastifyInstance, post: TestApp['post'], login(name: string): Promise<TokenResponse> }
> {
  const ann = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }
  const users = { findByLogin: () => ann, findById: () => ann }
  const options = {
    secret: SECRET,
    store: new MemoryStore(),
    users,
    sweep: false,
    ...withCookies
  } as const
  const app = Fastify()
  t.teardown(() => app.close())

  for (const name of ['staff', 'shop']) {
    await app.register(async scope => {
      await scope.register(tokenAuth, { ...options, name, prefix: `/${name}` })
    })
  }

  const post: TestApp['post'] = async (url, payload, headers = {}) =>
    app.inject({ method: 'POST', url, headers, ...(payload !== undefined && { payload }) })
  return { app, post, login: async name => (await post(`/${name}/login`, credentials)).json() }
}

function waysOf (token: string, name: string): Array<readonly [object | undefined, Headers]> {
  return [
    [{ refresh_token: token }, {}],
    [undefined, { authorization: `Bearer ${token}` }],
    [undefined, { ...own, cookie: `__Host-${name}-refresh=${token}` }]
  ]
}

t.test('8: a refresh token serves the registration that issued it; another refuses it, and does it no harm', async t => {
  const { app, post, login } = await openTwo(t)

  for (const [home, other] of [['staff', 'shop'], ['shop', 'staff']] as const) {
    const { refresh_token: token = '', access_token: access } = await login(home)

    for (const [body, headers] of waysOf(token, other)) {
      const response = await post(`/${other}/refresh`, body, headers)
      t.strictSame([response.statusCode, codeOf(response)], [401, 'AUTH_REFRESH_INVALID'])
    }

    t.equal(
      codeOf(
        await app.inject({ url: `/${other}/me`, headers: { authorization: `Bearer ${access}` } })
      ),
      'AUTH_ACCESS_INVALID'
    )
    t.equal(
      (await app.inject({ url: `/${home}/me`, headers: { authorization: `Bearer ${access}` } }))
        .statusCode,
      200
    )
    const [body, headers] = waysOf(token, home)[2] ?? []
    t.equal(
      (await post(`/${home}/refresh`, body, headers)).statusCode,
      200,
      'it works where it belongs'
    )
  }
})

t.test('8: what a client asks for beside a refresh token widens nothing, and neither does what it asked for at login', async t => {
  const test = await open(t, {
    users: [{ id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH, role: 'reader' }],
    options: {
      audience: 'api',
      users: {
        findByLogin: async () => test.users.get('u-ann'),
        findById: async id => test.users.get(id),
        claims: user => ({ role: (user as { role?: string }).role ?? 'none' })
      }
    }
  })
  const wishes = {
    scope: 'admin',
    client_id: 'another',
    resource: 'https://else.example',
    audience: 'else',
    aud: 'else',
    role: 'admin',
    claims: '{"role":"admin"}',
    sub: 'u-bob',
    sid: 'x',
    gen: '7',
    exp: '9999999999',
    lifetime: '10y',
    amr: 'otp',
    persistent: 'true',
    requested_token_type: 'admin'
  }
  const rest = ({ gen, iat, exp, ...others }: Record<string, unknown>): object => others

  for (const type of [JSON_TYPE, FORM_TYPE]) {
    const ask = async (url: string, members: Record<string, string>): Promise<TokenResponse> => {
      const payload = type === JSON_TYPE
        ? JSON.stringify(members)
        : new URLSearchParams(members).toString()
      const response = await test.post(url, payload as unknown as object, { 'content-type': type })
      t.equal(response.statusCode, 200, url)
      return response.json()
    }

    const wished = await ask('/auth/login', { ...wishes, ...credentials })
    const plain = await ask('/auth/login', credentials)
    const { sid: wishedSid, ...wishedClaims } = rest(claimsOf(wished.access_token)) as Record<
      string,
      unknown
    >
    const { sid: plainSid, ...plainClaims } = rest(claimsOf(plain.access_token)) as Record<
      string,
      unknown
    >
    t.strictSame(wishedClaims, plainClaims)
    t.not(wishedSid, plainSid)
    const { refresh_token: token = '' } = plain
    const next = await ask('/auth/refresh', { ...wishes, refresh_token: token })
    t.match(claimsOf(next.access_token), { role: 'reader', sub: 'u-ann', aud: 'api', gen: 1 })
    t.strictSame(rest(claimsOf(next.access_token)), rest(claimsOf(plain.access_token)))
    t.strictSame(rest(claimsOf(next.refresh_token ?? '')), rest(claimsOf(token)))
    t.strictSame(Object.keys(next).sort(), [
      'access_token',
      'expires_in',
      'refresh_token',
      'token_type',
      'user'
    ])
    t.equal(next.expires_in, plain.expires_in)
  }
})

t.test('22: a logout by a token of another registration ends nothing, and does not tell', async t => {
  const { app, post, login } = await openTwo(t)
  const { refresh_token: token = '', access_token: access } = await login('staff')
  const { refresh_token: theirs = '' } = await login('shop')
  const unknown = await post('/shop/logout', { refresh_token: 'x' })

  for (
    const [body, headers] of [
      ...waysOf(token, 'shop'),
      [undefined, { authorization: `Bearer ${access}` }] as const
    ]
  ) {
    const response = await post('/shop/logout', body, headers)
    t.strictSame([response.statusCode, response.body], [204, ''])

    if (headers.cookie === undefined) {
      t.strictSame(seen(response), seen(unknown), 'as after garbage')
    }
  }

  for (
    const [method, url] of [['POST', '/shop/logout/all'], ['DELETE', '/shop/sessions'], [
      'DELETE',
      '/shop/sessions/x'
    ]] as const
  ) {
    const response = await app.inject({
      method,
      url,
      headers: { authorization: `Bearer ${access}` }
    })
    t.equal(codeOf(response), 'AUTH_ACCESS_INVALID', url)
  }

  t.equal(
    (await app.inject({ url: '/staff/me', headers: { authorization: `Bearer ${access}` } }))
      .statusCode,
    200
  )
  t.equal((await post('/staff/refresh', { refresh_token: token })).statusCode, 200)
  t.equal((await post('/shop/refresh', { refresh_token: theirs })).statusCode, 200)
})

t.test('53: a token under the scheme DPoP is no bearer token, with a proof or without', async t => {
  const test = await open(t, { options: withCookies })
  const { access_token: access, refresh_token: token = '', token_type: type } = await test.login()
  t.equal(type, 'bearer')

  for (const scheme of ['DPoP', 'dpop', 'DPOP', 'DPoP Bearer', 'PoP', 'MAC']) {
    for (const proof of [{}, { dpop: 'a.b.c' }, { dpop: access }]) {
      for (const [method, url] of guarded) {
        const response = await test.app.inject({
          method,
          url,
          headers: { ...proof, authorization: `${scheme} ${access}` }
        })
        t.strictSame(
          [response.statusCode, codeOf(response)],
          [401, 'AUTH_ACCESS_MISSING'],
          `${scheme} ${method} ${url}`
        )
        t.equal(response.headers['www-authenticate'], 'Bearer realm="auth"')
      }

      for (const url of ['/auth/refresh', '/auth/logout']) {
        const response = await test.post(url, undefined, {
          ...proof,
          authorization: `${scheme} ${token}`
        })
        t.strictSame(
          [response.statusCode, codeOf(response)],
          [401, 'AUTH_REFRESH_MISSING'],
          `${scheme} ${url}`
        )
      }
    }
  }

  t.equal((await test.get('/protected', access)).statusCode, 200)
  t.equal((await test.refresh(token)).statusCode, 200)
})

/** A session from its login to its end by reuse, with all that must be refused on the way: what each step is answered with. */
async function life (t: Test, along: Headers): Promise<unknown[]> {
  const test = await open(t, { options: withCookies })
  const steps: unknown[] = []

  const note = (response: LightMyRequestResponse): LightMyRequestResponse => {
    const members = response.body === '' ? [] : Object.keys(response.json()).sort()
    const { date, 'content-length': length, 'set-cookie': cookies, ...headers } = response.headers
    const attributes = [cookies ?? []].flat().map(cookie => cookie.replace(/=[^;]*/, '='))
    steps.push([response.statusCode, codeOf(response), members, headers, attributes])
    return response
  }

  const send = async (
    method: Method,
    url: string,
    headers: Headers = {},
    payload?: object
  ): Promise<LightMyRequestResponse> =>
    note(
      await test.app.inject({
        method,
        url,
        headers: { ...headers, ...along },
        ...(payload !== undefined && { payload })
      })
    )
  const login = (await send('POST', '/auth/login', {}, credentials)).json<TokenResponse>()
  const authorization = `Bearer ${login.access_token}`
  const { cookies } = await send('POST', '/auth/login', asCookie, credentials)
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ')

  for (const [method, url] of routes) {
    await send(method, url)
    await send(method, url, { authorization: 'Bearer x' })
    await send(method, url, { cookie: `${ACCESS}=x; ${REFRESH}=x`, ...own })

    if (method === 'POST') {
      await send(method, url, { cookie, 'sec-fetch-site': 'cross-site' })
    }
  }

  await send('GET', '/auth/me', { authorization })
  await send('GET', '/auth/me', { cookie })
  await send('POST', '/auth/refresh', { ...own, cookie })
  const { refresh_token: second } =
    (await send('POST', '/auth/refresh', {}, { refresh_token: login.refresh_token })).json<
      TokenResponse
    >()
  test.clock.advance(MINUTE)
  const { refresh_token: third } =
    (await send('POST', '/auth/refresh', {}, { refresh_token: second })).json<TokenResponse>()
  await send('POST', '/auth/refresh', {}, { refresh_token: login.refresh_token })
  await send('POST', '/auth/refresh', {}, { refresh_token: third })
  await send('GET', '/auth/me', { authorization })
  test.clock.advance(HOUR)
  await send('GET', '/auth/me', { cookie })
  await send('POST', '/auth/login', {}, { ...credentials, password: 'x' })
  return steps
}

t.test('61: who has no DBSC or DPoP, or sends its headers unasked, has an ordinary session, with every check of one', async t => {
  const ordinary = await life(t, {})
  t.match(
    JSON.stringify(ordinary),
    /AUTH_REFRESH_REUSED.*AUTH_REFRESH_REVOKED.*AUTH_SESSION_REVOKED.*AUTH_ACCESS_EXPIRED/
  )
  t.notMatch(JSON.stringify(ordinary), /secure-session|dpop/i, 'nothing of it is offered')
  const proof = `${Buffer.from('{"alg":"none","typ":"dbsc+jwt"}').toString('base64url')}.${
    Buffer.from('{"jti":"x"}').toString('base64url')
  }.`
  const unasked: Headers[] = [
    { 'secure-session-response': proof },
    { 'secure-session-response': `"${proof}"`, 'sec-secure-session-id': '"x"' },
    { 'sec-secure-session-id': 'x' },
    { 'secure-session-skipped': 'unreachable;session_identifier="x"' },
    { 'sec-session-response': proof, 'sec-session-id': 'x' },
    { dpop: proof },
    { dpop: `${proof}, ${proof}` },
    { dpop: '' },
    { dpop: proof, 'secure-session-response': proof, 'sec-secure-session-id': 'x' }
  ]

  for (const along of unasked) {
    t.strictSame(await life(t, along), ordinary, Object.keys(along).join())
  }
})
