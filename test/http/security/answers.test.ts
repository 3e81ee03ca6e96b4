// What the server says and what it lets happen: every status that it has, every challenge, and sessions that must end or must
// not. Numbers are those of the security requirements; README.md says where each of them is tested.

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import cors from '@fastify/cors'
import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { DAY, HOUR, MINUTE } from '../../helpers/clock.js'
import { openSqliteStore } from '../../helpers/databases/sqlite.js'

type Headers = Record<string, string>

const REFRESH = '__Host-auth-refresh'
const ACCESS = '__Host-auth-access'
const own = { 'sec-fetch-site': 'same-origin' }
const foreign = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.com' }
const asCookie = { ...own, 'x-token-transport': 'cookie' }
const credentials = { username: 'ann', password: PASSWORD }
const withCookies = {
  refreshToken: { transport: 'both' },
  cookie: { accessToken: true },
  revocations: false
} as const satisfies Partial<TokenAuthOptions>

async function open (t: Test, given: TestAppOptions = {}): Promise<TestApp> {
  const test = await createTestApp(given)
  t.teardown(() => test.app.close())
  return test
}

/** Signs in with cookies; tokens by their kind. */
async function cookiesOf (
  test: TestApp,
  headers: Headers = asCookie
): Promise<Record<'refresh' | 'access' | 'cookie', string>> {
  const { cookies } = await test.post('/auth/login', credentials, headers)
  const [refresh = '', access = ''] = cookies.map(({ value }) => value)
  return { refresh, access, cookie: `${REFRESH}=${refresh}; ${ACCESS}=${access}` }
}

function claimsOf (token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}

t.test('3: a success is 200, JSON in UTF-8, a token type, and a number of seconds that is that of the token', async t => {
  const kinds: ReadonlyArray<
    readonly [Partial<TokenAuthOptions>, Headers, login: string, refresh: string]
  > = [
    [{}, {}, 'access_token refresh_token', 'access_token refresh_token'],
    [{ rotation: false }, {}, 'access_token refresh_token', 'access_token'],
    [
      { accessToken: { lifetime: '1h' }, refreshToken: { lifetime: '90s' } },
      {},
      'access_token refresh_token',
      'access_token refresh_token'
    ],
    [{ refreshToken: { transport: 'cookie' } }, own, 'access_token', 'access_token'],
    [withCookies, asCookie, '', '']
  ]

  for (const [options, headers, ...expected] of kinds) {
    const test = await open(t, { options })
    const login = await test.post('/auth/login', credentials, headers)
    const cookie = login.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
    const body = cookie === '' ? { refresh_token: login.json().refresh_token } : undefined
    const refresh = await test.post('/auth/refresh', body, { ...headers, cookie })

    for (const [i, response] of [login, refresh].entries()) {
      t.equal(response.statusCode, 200)
      t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
      const answer = response.json()
      const names = `${expected[i]} token_type expires_in user`.trim().split(' ')
      t.strictSame(Object.keys(answer).sort(), names.sort(), JSON.stringify(options))
      t.equal(answer.token_type, 'bearer')
      const access = answer.access_token ??
        response.cookies.find(({ name }) => name === ACCESS)?.value
      const { iat, exp } = claimsOf(access) as { iat: number, exp: number }
      t.strictSame(answer.expires_in, exp - iat)
      t.ok(answer.expires_in > 0)
    }
  }
})

type Answers = Array<readonly [about: string, LightMyRequestResponse]>

/** An answer of every status that our routes have, some from each route. */
async function everyAnswer (t: Test, given: TestAppOptions = {}): Promise<Answers> {
  const breakable = createBreakableStore(new MemoryStore())
  const test = await open(t, {
    ...given,
    store: breakable.store,
    options: { ...withCookies, ...given.options },
    async before (app) {
      await given.before?.(app)
      app.addHook('onRequest', async (request, reply) => {
        if (request.headers['x-flood'] !== undefined) {
          return reply.code(429).header('retry-after', '7').send({ error: 'too many' })
        }
      })
      app.addHook('preHandler', async ({ headers }) => {
        if (headers['x-crash'] !== undefined) {
          throw new Error('a bug of the app')
        }
      })
    }
  })
  const answers: Answers = []
  const { cookie } = await cookiesOf(test)
  const { access_token: access, refresh_token: token } = await test.login('bob')
  const authorization = `Bearer ${access}`

  const ask = async (
    about: string,
    method: 'GET' | 'HEAD' | 'POST' | 'DELETE',
    url: string,
    headers: Headers = {},
    payload?: object | string
  ): Promise<void> => {
    answers.push([
      about,
      await test.app.inject({ method, url, headers, ...(payload !== undefined && { payload }) })
    ])
  }

  for (const url of ['/auth/login', '/auth/refresh', '/auth/logout']) {
    await ask('broken JSON', 'POST', url, { 'content-type': 'application/json' }, '{"a')
    await ask(
      'a megabyte',
      'POST',
      url,
      { 'content-type': 'application/json' },
      ' '.repeat(2 ** 20)
    )
    await ask('text', 'POST', url, { 'content-type': 'text/plain' }, 'x')
    await ask('from elsewhere', 'POST', url, { ...asCookie, ...foreign, cookie }, credentials)
    await ask('a flood', 'POST', url, { 'x-flood': '1' }, credentials)
    await ask('a crash', 'POST', url, { 'x-crash': '1' }, credentials)
  }

  for (const url of ['/auth/me', '/auth/sessions']) {
    for (const method of ['GET', 'HEAD'] as const) {
      await ask('read', method, url, { authorization })
      await ask('without a token', method, url)
      await ask('a wrong token', method, url, { authorization: 'Bearer x' })
    }

    await ask('a flood', 'GET', url, { 'x-flood': '1' })
  }

  await ask('a wrong password', 'POST', '/auth/login', {}, { ...credentials, password: 'x' })
  await ask('a login', 'POST', '/auth/login', asCookie, credentials)
  await ask('a refresh', 'POST', '/auth/refresh', { ...own, cookie })
  await ask('no refresh token', 'POST', '/auth/refresh')
  breakable.break('throws')

  for (const url of ['/auth/login', '/auth/refresh', '/auth/logout', '/auth/logout/all']) {
    await ask(
      'the store is down',
      'POST',
      url,
      { authorization },
      url === '/auth/login' ? credentials : { refresh_token: token }
    )
  }

  breakable.break(null)
  await ask('end one', 'DELETE', '/auth/sessions/x', { authorization })
  await ask('a logout', 'POST', '/auth/logout', { ...own, cookie })
  await ask('a logout of all', 'POST', '/auth/logout/all', { authorization })
  const statuses = new Set(answers.map(([, { statusCode }]) => statusCode))
  t.strictSame([...statuses].sort(), [200, 204, 400, 401, 403, 413, 415, 429, 500, 503])
  return answers.map(([about, response]) => [`${about}: ${response.statusCode}`, response])
}

t.test('4: no answer of any status may be kept by a cache, whatever the app says of caches', async t => {
  const apps: TestAppOptions[] = [
    {},
    {
      before (app) {
        app.addHook('onRequest', async (_request, reply) => {
          reply.header('cache-control', 'public, max-age=60').header('pragma', 'x')
        })
        app.addHook('onSend', async (_request, reply) => {
          reply.header('Cache-Control', 'public, max-age=3600, immutable')
        })
      }
    },
    {
      before (app) {
        app.setErrorHandler((error: { statusCode?: number }, _request, reply) =>
          reply.code(error.statusCode ?? 500).header('cache-control', 'max-age=60').type(
            'text/plain'
          ).send('our own words')
        )
      }
    }
  ]

  for (const given of apps) {
    for (const [about, { headers }] of await everyAnswer(t, given)) {
      t.strictSame([headers['cache-control'], headers.pragma], ['no-store', 'no-cache'], about)
    }
  }
})

t.test('68, 69: every answer is data of this origin for one client; none lets another origin in, or leads elsewhere', async t => {
  for (const [about, { headers, body }] of await everyAnswer(t)) {
    t.match(headers, {
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
      'content-security-policy': 'default-src \'none\'; frame-ancestors \'none\'',
      vary: 'Origin, Sec-Fetch-Site'
    }, about)

    if (body !== '') {
      t.equal(headers['content-type'], 'application/json; charset=utf-8', about)
    }

    const unwanted = Object.keys(headers).filter(name =>
      /^access-control-allow-|^location$|^x-powered-by$|^server$/.test(name)
    )
    t.strictSame(unwanted, [], about)
  }
})

t.test('68: with a list of origins in @fastify/cors, each is echoed exactly or not at all, and Vary says so once', async t => {
  const ALLOWED = 'https://app.example.org'
  const test = await open(t, {
    options: { ...withCookies, cookie: { origins: [ALLOWED] } },
    before: app => {
      app.register(cors, { origin: [ALLOWED], credentials: true })
    }
  })
  const { cookie } = await cookiesOf(test)
  const others = [
    'null',
    'https://app.example.org.evil.com',
    'https://app.example.org.',
    'https://app.example.org:8443',
    'http://app.example.org',
    'https://APP.example.org',
    'https://evil-app.example.org'
  ]

  for (const origin of [ALLOWED, ...others]) {
    const response = await test.post('/auth/refresh', undefined, {
      origin,
      'sec-fetch-site': 'cross-site',
      cookie
    })
    t.equal(response.statusCode, origin === ALLOWED ? 200 : 403, origin)
    t.equal(
      response.headers['access-control-allow-origin'],
      origin === ALLOWED ? ALLOWED : undefined
    )
    t.equal(response.headers.vary, 'Origin, Sec-Fetch-Site')
  }
})

t.test('10: in cookies, too, neither kind of token passes for the other', async t => {
  const test = await open(t, { options: withCookies })
  const { refresh, access } = await cookiesOf(test)
  const swapped = { ...own, cookie: `${REFRESH}=${access}; ${ACCESS}=${refresh}` }
  t.equal(
    (await test.post('/auth/refresh', undefined, swapped)).json().code,
    'AUTH_REFRESH_INVALID'
  )

  for (const url of ['/protected', '/auth/me', '/auth/sessions']) {
    const response = await test.app.inject({ url, headers: swapped })
    t.strictSame([response.statusCode, response.json().code], [401, 'AUTH_ACCESS_INVALID'], url)
  }

  t.equal((await test.post('/auth/logout', undefined, swapped)).statusCode, 204)
  t.equal((await test.app.tokenAuth.listSessions('u-ann')).length, 1, 'nothing was ended by it')
})

t.test('11: what was issued is in no byte of the database: no token, no part of one, and no secret', async t => {
  const { store, file } = await openSqliteStore()
  t.teardown(() => {
    file.remove()
  })
  const test = await open(t, { store, options: withCookies })
  const issued = new Set<string>()
  const secrets = new Set<string>()

  const collect = (
    { access_token: access = '', refresh_token: refresh = '' }: {
      access_token?: string
      refresh_token?: string
    }
  ): string => {
    for (const token of [access, refresh]) {
      issued.add(token)
    }

    secrets.add(claimsOf(refresh).secret as string)
    return refresh
  }

  for (let i = 0; i < 20; i++) {
    let token = collect(await test.login())

    for (let turn = 0; turn < 3; turn++) {
      test.clock.advance(MINUTE)
      token = collect((await test.refresh(token)).json())
    }

    if (i % 3 === 0) {
      await test.post('/auth/logout', { refresh_token: token })
    }
  }

  const { access, refresh } = await cookiesOf(test)
  collect({ access_token: access, refresh_token: refresh })
  await test.app.close()
  const folder = dirname(file.path)
  const bytes = Buffer.concat(readdirSync(folder).map(name => readFileSync(join(folder, name))))
  t.equal(secrets.size, 21)
  t.ok(issued.size > 120)

  for (const token of issued) {
    t.match(token, /^[\x20-\x7e]{128,}$/)
    const [, payload = '', signature = ''] = token.split('.')
    const parts = [
      token,
      payload,
      signature,
      Buffer.from(payload, 'base64url'),
      Buffer.from(signature, 'base64url')
    ]
    t.notOk(parts.some(part => bytes.includes(part)))
  }

  for (const secret of secrets) {
    const raw = Buffer.from(secret, 'base64url')
    t.equal(raw.length * 8, 256)
    t.notOk(
      [secret, raw, raw.toString('hex'), raw.toString('base64')].some(form => bytes.includes(form))
    )
    t.ok(
      bytes.includes(createHash('sha256').update(secret).digest('base64url')),
      'its hash is there, so the search finds what is'
    )
  }
})

/** `Bearer a="b", c="d"` and nothing else (RFC 9110 section 11.6.1, RFC 6750 section 3). */
function parametersOf (challenge: string): Map<string, string> {
  const match = /^Bearer ((?:[a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"(?:, |$))+)$/.exec(challenge)
  const pairs = [...(match?.[1] ?? '').matchAll(/([a-z_]+)="([^"]*)"/g)].map((
    [, name = '', value = '']
  ) => [name, value] as const)
  const parameters = new Map(pairs)

  if (parameters.size !== pairs.length) {
    throw new Error(`twice in ${challenge}`)
  }

  return parameters
}

t.test('15: every 401 has one challenge, with each parameter once, and an error where something was presented', async t => {
  const test = await open(t, { options: { name: 'staff' } })
  const codes = new Map<string, boolean>()

  const see = (response: LightMyRequestResponse, presented: boolean): void => {
    const { statusCode, headers } = response
    const { code, message } = response.json()
    t.strictSame([statusCode, typeof headers['www-authenticate']], [401, 'string'], code)
    const parameters = parametersOf(headers['www-authenticate'] as string)
    t.equal(parameters.get('realm'), 'staff', code)
    t.equal(parameters.get('error'), presented ? 'invalid_token' : undefined, code)
    t.equal(parameters.get('error_description'), presented ? message : undefined, code)
    t.equal(parameters.size, presented ? 3 : 1)
    codes.set(code, presented)
  }

  see(await test.get('/protected'), false)
  see(await test.refresh(undefined), false)
  see(await test.post('/auth/login', { ...credentials, password: 'x' }), false)
  see(await test.get('/protected', 'x"\\\u00fc'), true)
  see(await test.refresh('x"\\\u00fc'), true)
  const { access_token: access, refresh_token: first = '' } = await test.login()
  const second = (await test.refresh(first)).json().refresh_token
  test.clock.advance(MINUTE)
  await test.refresh(second)
  see(await test.refresh(first), true)
  see(await test.refresh(second), true)
  see(await test.get('/protected', access), true)
  const late = await test.login()
  test.clock.advance(HOUR)
  see(await test.get('/protected', late.access_token), true)
  test.clock.advance(30 * DAY)
  see(await test.refresh(late.refresh_token), true)
  t.strictSame([...codes.keys()].sort(), [
    'AUTH_ACCESS_EXPIRED',
    'AUTH_ACCESS_INVALID',
    'AUTH_ACCESS_MISSING',
    'AUTH_CREDENTIALS_REJECTED',
    'AUTH_REFRESH_EXPIRED',
    'AUTH_REFRESH_INVALID',
    'AUTH_REFRESH_MISSING',
    'AUTH_REFRESH_REUSED',
    'AUTH_REFRESH_REVOKED',
    'AUTH_SESSION_REVOKED'
  ], 'each code that is 401')
})

for (const fault of ['throws', 'hangs'] as const) {
  t.test(`17, 23: while a store ${fault}, cookies sign nobody in, and none is set, taken back or used up`, async t => {
    const breakable = createBreakableStore(new MemoryStore())
    const test = await open(t, {
      store: breakable.store,
      options: { ...withCookies, storeTimeout: '30ms' }
    })
    const { cookie } = await cookiesOf(test)
    breakable.break(fault)
    const requests = [
      ['POST', '/auth/login'],
      ['POST', '/auth/refresh'],
      ['POST', '/auth/logout'],
      ['POST', '/auth/logout/all'],
      ['GET', '/auth/sessions'],
      ['DELETE', '/auth/sessions/x']
    ] as const

    for (const [method, url] of requests) {
      const payload = url === '/auth/login' ? { payload: credentials } : {}
      const { statusCode, headers } = await test.app.inject({
        method,
        url,
        headers: { ...asCookie, cookie },
        ...payload
      })
      t.equal(statusCode, 503, url)
      t.match(headers, {
        'retry-after': /^\d+$/,
        'set-cookie': undefined,
        'clear-site-data': undefined
      }, url)
    }

    breakable.break(null)
    t.equal((await test.post('/auth/refresh', undefined, { ...own, cookie })).statusCode, 200)
  })
}

t.test('16: a page of another origin may read the challenge, beside what the app lets it read', async t => {
  const { app, get } = await createTestApp({
    before: app =>
      app.addHook('onRequest', async (_request, reply) => {
        reply.header('access-control-expose-headers', 'x-own')
      })
  })
  t.teardown(() => app.close())
  const refused = await get('/protected')
  t.match(refused.headers, {
    'www-authenticate': /^Bearer/,
    'access-control-expose-headers': 'x-own, www-authenticate'
  })
})

t.test('17: an app whose callback fails after the password was right signs nobody in', async t => {
  for (const callback of ['claims', 'present'] as const) {
    const test = await open(t, {
      options: {
        ...withCookies,
        users: {
          findByLogin: async () => test.users.get('u-ann'),
          findById: async id => test.users.get(id),
          [callback]: async () => {
            throw new Error('the directory is down')
          }
        }
      }
    })

    for (const headers of [{}, asCookie]) {
      const response = await test.post('/auth/login', credentials, headers)
      t.strictSame(
        [response.statusCode, response.headers['set-cookie']],
        [503, undefined],
        callback
      )
      t.notMatch(response.body, 'directory')
    }

    t.equal((await test.app.tokenAuth.listSessions('u-ann')).length, 0)
  }
})

t.test('25: a logout that another page sends, to which a strict cookie does not come, ends nothing and takes no cookie back', async t => {
  for (const transport of ['cookie', 'both'] as const) {
    const test = await open(t, {
      options: { refreshToken: { transport }, cookie: { accessToken: true, clearSiteData: true } }
    })
    const { cookie } = await cookiesOf(test)
    const [session] = await test.app.tokenAuth.listSessions('u-ann')
    const form = 'application/x-www-form-urlencoded'

    for (
      const payload of [
        '',
        'refresh_token=',
        `refresh_token=${session?.id}`,
        'refresh_token=a.b.c',
        `sid=${session?.id}`,
        'username=ann'
      ]
    ) {
      for (
        const headers of [foreign, { ...foreign, 'sec-fetch-site': 'same-site' }, {
          origin: 'null'
        }, {}]
      ) {
        const response = await test.post('/auth/logout', payload as unknown as object, {
          ...headers,
          'content-type': form
        })
        const { 'set-cookie': set, 'clear-site-data': clear } = response.headers
        t.strictSame(
          [set, clear],
          [undefined, undefined],
          `${transport} ${payload} ${response.statusCode}`
        )
      }
    }

    for (const forged of [session?.id, `${session?.id}.${session?.id}.x`]) {
      await test.post('/auth/logout', undefined, { ...own, cookie: `${REFRESH}=${forged}` })
    }

    t.equal((await test.post('/auth/refresh', undefined, { ...own, cookie })).statusCode, 200)
  }
})

t.test('26: Clear-Site-Data comes with a logout where the option says so, and with no other answer', async t => {
  for (const clearSiteData of [false, true]) {
    const cleared =
      (await everyAnswer(t, { options: { cookie: { accessToken: true, clearSiteData } } }))
        .filter(([, { headers }]) => headers['clear-site-data'] !== undefined)
    t.strictSame(
      cleared.map(([about]) => about),
      clearSiteData ? ['a logout: 204', 'a logout of all: 204'] : []
    )

    for (const [, { headers }] of cleared) {
      t.equal(headers['clear-site-data'], '"cache", "cookies", "storage"')
    }
  }
})

t.test('27: an administrator ends one session, or a user, by any transport at once, and nothing renews what was ended', async t => {
  const test = await open(t, {
    options: { ...withCookies, accessToken: { lifetime: '10m', renewWithin: '5m' } }
  })
  const { tokenAuth } = test.app
  const one = await test.login()
  const { cookie } = await cookiesOf(test)
  const bob = await test.login('bob')
  const { sessionId } = (await test.get('/protected', one.access_token)).json()
  t.equal(await tokenAuth.revokeSession(sessionId), true)
  t.equal(await tokenAuth.revokeSession(sessionId), false, 'it was over')
  t.equal((await test.get('/protected', one.access_token)).json().code, 'AUTH_SESSION_REVOKED')
  t.equal((await test.refresh(one.refresh_token)).json().code, 'AUTH_REFRESH_REVOKED')
  t.equal(
    (await test.app.inject({ url: '/protected', headers: { cookie } })).statusCode,
    200,
    'the other lives'
  )

  test.clock.advance(7 * MINUTE)
  const ann = test.users.get('u-ann')

  if (ann) {
    ann.disabled = true
  }

  t.equal(await tokenAuth.revokeUser('u-ann'), 1)
  const response = await test.app.inject({ url: '/protected', headers: { cookie } })
  t.strictSame([response.json().code, response.headers['set-cookie']], [
    'AUTH_SESSION_REVOKED',
    undefined
  ])
  t.equal(
    (await test.post('/auth/refresh', undefined, { ...own, cookie })).json().code,
    'AUTH_REFRESH_REVOKED'
  )
  t.equal((await test.post('/auth/login', credentials)).json().code, 'AUTH_CREDENTIALS_REJECTED')
  t.equal((await test.get('/protected', bob.access_token)).statusCode, 200)
})

t.test('64: what a token says of its user is an id, and the end of a cookie is not left to the browser', async t => {
  const email = 'ann@example.org'
  const test = await open(t, { options: withCookies })
  const ann = test.users.get('u-ann')

  if (ann) {
    ann.email = email
  }

  const { refresh, access, cookie } = await cookiesOf(test, {
    ...asCookie,
    'user-agent': 'a browser of mine'
  })
  t.strictSame(Object.keys(claimsOf(refresh)).sort(), [
    'amr',
    'exp',
    'gen',
    'iat',
    'secret',
    'sid',
    'sub',
    'type'
  ])
  t.strictSame(Object.keys(claimsOf(access)).sort(), [
    'amr',
    'auth_time',
    'exp',
    'gen',
    'iat',
    'sid',
    'sub',
    'type'
  ])
  test.clock.advance(15 * MINUTE)
  t.equal(
    (await test.app.inject({ url: '/protected', headers: { cookie } })).json().code,
    'AUTH_ACCESS_EXPIRED'
  )
  test.clock.advance(7 * DAY)
  t.equal(
    (await test.post('/auth/refresh', undefined, { ...own, cookie })).json().code,
    'AUTH_REFRESH_EXPIRED'
  )
})
