// Each route with cookies gets every Sec-Fetch-Site, Origin and custom header.

import type { FastifyServerOptions } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { SessionInfo, TokenAuthOptions, TokenStore } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'

type Headers = Record<string, string>

const ALLOWED = 'https://app.example.org'
const IN_A_WEB_VIEW = 'capacitor://localhost'
const own = 'http://auth.example.org'

const sites = [
  'same-origin',
  'same-site',
  'cross-site',
  'none',
  'same-origin, same-origin',
  'Same-Origin',
  'other',
  '',
  undefined
]
const origins = [
  own,
  ALLOWED,
  IN_A_WEB_VIEW,
  'https://evil.example.org',
  'null',
  '',
  '*',
  'undefined',
  'http://auth.example.org.evil.com',
  'https://app.example.org.evil.com',
  'https://evil-app.example.org',
  'https://evil.com/https://app.example.org',
  'http://auth.example.org:8080',
  'https://app.example.org:8443',
  'https://app.example.org:443',
  'http://auth.example.org:80',
  'https://auth.example.org',
  'http://app.example.org',
  'http://auth.example.org.',
  'https://app.example.org.',
  `${own}/`,
  `${ALLOWED}/`,
  'HTTP://AUTH.EXAMPLE.ORG',
  'https://APP.example.org',
  `${ALLOWED}, ${ALLOWED}`,
  `${own} ${own}`,
  ` ${ALLOWED}`,
  undefined
]
const customs = [undefined, 'cookie', 'body', '']

/** Independent implementation of the rule. Ignores values that browsers do not send. */
function isTaken (
  site: string | undefined,
  origin: string | undefined,
  custom: string | undefined
): boolean {
  if (site === 'same-origin' || origin === ALLOWED || origin === IN_A_WEB_VIEW) {
    return true
  }

  if (['same-site', 'cross-site', 'none'].includes(site ?? '')) {
    return false
  }

  return origin === undefined ? custom !== undefined : origin === own
}

interface Subject extends TestApp {
  readonly cookie: string
  /** Names of the store methods that were called. */
  readonly asked: string[]
  row(): Promise<SessionInfo | undefined>
}

async function open (
  t: Test,
  options: Partial<TokenAuthOptions> = {},
  fastify?: FastifyServerOptions
): Promise<Subject> {
  const asked: string[] = []
  const store = new Proxy<TokenStore>(new MemoryStore(), {
    get: (target, verb: keyof TokenStore) => (...args: unknown[]): unknown => {
      if (verb !== 'revocations' && verb !== 'touch') {
        asked.push(verb)
      }

      return Reflect.apply(Reflect.get(target, verb), target, args)
    }
  })
  const test = await createTestApp({
    store,
    ...(fastify && { fastify }),
    options: {
      refreshToken: { transport: 'cookie' },
      cookie: { accessToken: true, origins: [ALLOWED, IN_A_WEB_VIEW] },
      revocations: false,
      ...options
    },
    after: app => {
      for (const method of ['GET', 'OPTIONS', 'TRACE', 'POST', 'PUT', 'PATCH', 'DELETE'] as const) {
        app.route({
          method,
          url: '/own',
          onRequest: app.authenticate,
          handler: async request => request.auth
        })
      }
    }
  })
  t.teardown(() => test.app.close())
  const login = await test.post('/auth/login', { username: 'ann', password: PASSWORD }, {
    'sec-fetch-site': 'same-origin'
  })
  const cookie = login.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')

  return {
    ...test,
    cookie,
    asked,
    row: async () => (await test.app.tokenAuth.listSessions('u-ann'))[0]
  }
}

function headersFor (
  site: string | undefined,
  origin: string | undefined,
  custom: string | undefined
): Headers {
  return {
    host: 'auth.example.org',
    ...(site !== undefined && { 'sec-fetch-site': site }),
    ...(origin !== undefined && { origin }),
    ...(custom !== undefined && { 'x-token-transport': custom })
  }
}

function listRequests (): Array<{ headers: Headers, taken: boolean, about: string }> {
  return sites.flatMap(site =>
    origins.flatMap(origin =>
      customs.map(custom => ({
        headers: headersFor(site, origin, custom),
        taken: isTaken(site, origin, custom),
        about: JSON.stringify({ site, origin, custom })
      }))
    )
  )
}

interface Target {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS' | 'TRACE'
  readonly url: string
  readonly payload?: object
  readonly headers?: Headers
  readonly status: number
}

const refreshing: Target = { method: 'POST', url: '/auth/refresh', status: 200 }
const unsafe: readonly Target[] = [
  refreshing,
  { method: 'POST', url: '/own', status: 200 },
  { method: 'PUT', url: '/own', status: 200 },
  { method: 'PATCH', url: '/own', status: 200 },
  { method: 'DELETE', url: '/own', status: 200 },
  {
    method: 'GET',
    url: '/own',
    headers: { upgrade: 'websocket', connection: 'Upgrade' },
    status: 200
  },
  { method: 'HEAD', url: '/own', headers: { upgrade: 'WebSocket' }, status: 200 },
  { method: 'DELETE', url: '/auth/sessions/nobodys', status: 204 },
  { method: 'POST', url: '/auth/logout', status: 204 }
]
const safe: readonly Target[] = [
  ...['GET', 'HEAD', 'OPTIONS', 'TRACE'].map(method => ({
    method: method as 'GET',
    url: '/own',
    status: 200
  })),
  { method: 'GET', url: '/auth/me', status: 200 }
]

for (const { method, url, payload, headers: more, status } of unsafe) {
  const name = `${method} ${url}${more ? ' with upgrade' : ''}`
  t.test(`${name} accepts cookies from trusted pages only`, async t => {
    const subject = await open(t)
    const before = await subject.row()
    const { asked, cookie } = subject
    const wrong: string[] = []
    const requests = listRequests()

    // Accepted requests come last, because a logout revokes the session.
    for (
      const { headers, taken, about } of requests.sort((a, b) => Number(a.taken) - Number(b.taken))
    ) {
      asked.length = 0
      const response = await subject.app.inject({
        method,
        url,
        headers: { ...headers, ...more, cookie },
        ...(payload && { payload })
      })
      const isRight = taken
        ? response.statusCode === status
        : response.statusCode === 403 && asked.length === 0 &&
          response.headers['set-cookie'] === undefined &&
          (method === 'HEAD' || response.json().code === 'AUTH_ORIGIN_REJECTED')

      if (!isRight) {
        wrong.push(`${about} ${response.statusCode} ${asked.join()}`)
      }
    }

    t.strictSame(wrong.slice(0, 5), [])
    t.equal(requests.length, sites.length * origins.length * customs.length)
    t.match(before, { generation: 0 })
  })
}

t.test('login checks the origin if it sets cookies', async t => {
  for (const transport of ['cookie', 'both'] as const) {
    const { app, asked, cookie } = await open(t, { refreshToken: { transport } })
    const wrong: string[] = []

    for (const { headers, taken, about } of listRequests()) {
      asked.length = 0
      const inBody = transport === 'both' && headers['x-token-transport'] !== 'cookie'
      // The name is missing, so that an accepted request hashes nothing.
      const payload = { password: PASSWORD }
      const response = await app.inject({
        method: 'POST',
        url: '/auth/login',
        headers: { ...headers, cookie },
        payload
      })
      const expected = inBody || taken ? 'AUTH_REQUEST_INVALID' : 'AUTH_ORIGIN_REJECTED'

      if (response.json().code !== expected || asked.length > 0) {
        wrong.push(`${transport} ${about} ${response.body}`)
      }
    }

    t.strictSame(wrong.slice(0, 5), [])
  }
})

t.test('a login from another origin neither opens nor revokes a session', async t => {
  const { app, cookie, row, events } = await open(t)
  const { length } = events
  const form = {
    'content-type': 'application/x-www-form-urlencoded',
    'sec-fetch-site': 'cross-site',
    origin: 'https://evil.com'
  }
  const payload = `username=bob&password=${PASSWORD}`

  for (const headers of [form, { ...form, cookie }, { ...form, 'sec-fetch-site': 'same-site' }]) {
    const response = await app.inject({ method: 'POST', url: '/auth/login', headers, payload })
    t.strictSame([response.statusCode, response.headers['set-cookie']], [403, undefined])
  }

  t.equal(events.length, length)
  t.ok(await row())
})

for (const { method, url, status } of safe) {
  t.test(`${method} ${url} is accepted from every page`, async t => {
    const { app, cookie } = await open(t)

    for (const { headers, about } of listRequests()) {
      const response = await app.inject({ method, url, headers: { ...headers, cookie } })

      if (response.statusCode !== status) {
        t.fail(`${about} ${response.statusCode}`)
      }
    }

    t.pass()
  })
}

t.test('bearer tokens and tokens in bodies are accepted from every page', async t => {
  const test = await open(t, { refreshToken: { transport: 'both' } })
  const foreign = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.com' }
  const pair = await test.login()
  const authorization = `Bearer ${pair.access_token}`
  t.equal((await test.post('/own', undefined, { ...foreign, authorization })).statusCode, 200)
  t.equal(
    (await test.post('/auth/refresh', { refresh_token: pair.refresh_token }, foreign)).statusCode,
    200
  )
  t.equal(
    (await test.post('/auth/logout', { refresh_token: pair.refresh_token }, foreign)).statusCode,
    204
  )
  t.equal(
    (await test.post('/own', undefined, foreign)).json().code,
    'AUTH_ACCESS_MISSING',
    'nothing to forge: 401, not 403'
  )
  t.equal((await test.post('/auth/logout', undefined, foreign)).json().code, 'AUTH_REFRESH_MISSING')
})

t.test('a bearer token does not bypass the origin check of the refresh cookie', async t => {
  const { app, cookie, row, login } = await open(t, { refreshToken: { transport: 'both' } })
  const { access_token: access } = await login()
  const test = await app.inject({
    method: 'POST',
    url: '/auth/login',
    headers: { 'sec-fetch-site': 'same-origin', 'x-token-transport': 'cookie' },
    payload: { username: 'ann', password: PASSWORD }
  })
  t.equal(cookie, '')
  const held = test.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')

  for (const url of ['/auth/refresh', '/auth/logout']) {
    const headers = {
      cookie: held,
      authorization: `Bearer ${access}`,
      'sec-fetch-site': 'cross-site',
      origin: 'https://evil.com'
    }
    t.equal(
      (await app.inject({ method: 'POST', url, headers })).json().code,
      'AUTH_ORIGIN_REJECTED'
    )
  }

  t.match(await row(), { generation: 0 })
})

t.test('behind a proxy the own origin requires trustProxy', async t => {
  const proxied = {
    host: '10.0.0.7:3000',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'auth.example.org'
  }
  const cases: ReadonlyArray<
    readonly [trustProxy: boolean, host: Headers, origin: string, status: number]
  > = [
    [true, proxied, 'https://auth.example.org', 200],
    [true, proxied, 'http://auth.example.org', 403],
    [true, proxied, 'http://10.0.0.7:3000', 403],
    [false, proxied, 'https://auth.example.org', 403],
    [false, proxied, 'http://10.0.0.7:3000', 200],
    [false, { host: 'auth.example.org:8080' }, 'http://auth.example.org:8080', 200],
    [false, { host: 'auth.example.org:8080' }, 'http://auth.example.org', 403],
    [false, { host: '[::1]:3000' }, 'http://[::1]:3000', 200]
  ]

  for (const [trustProxy, host, origin, status] of cases) {
    const { app, cookie } = await open(t, {}, { trustProxy })

    for (const url of ['/auth/refresh', '/own']) {
      const response = await app.inject({
        method: 'POST',
        url,
        headers: { ...host, origin, cookie }
      })
      t.equal(
        response.statusCode,
        status,
        `${origin} at ${JSON.stringify(host)}, trustProxy ${trustProxy}`
      )
    }
  }
})

t.test('the own origin matches a host with the default port', async t => {
  const { app, cookie } = await open(t, {}, { trustProxy: true })
  const headers = {
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'auth.example.org:443',
    origin: 'https://auth.example.org',
    cookie
  }
  t.equal((await app.inject({ method: 'POST', url: '/auth/refresh', headers })).statusCode, 200)
})

t.test('responses of the routes vary by Origin and Sec-Fetch-Site', async t => {
  const { app, cookie } = await open(t)

  for (const site of ['same-origin', 'cross-site']) {
    const response = await app.inject({
      method: 'POST',
      url: '/auth/refresh',
      headers: { 'sec-fetch-site': site, cookie }
    })
    t.equal(response.headers.vary, 'Origin, Sec-Fetch-Site')
  }
})
