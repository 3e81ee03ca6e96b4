import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createLog } from '../../helpers/log.js'
import type { TestLog } from '../../helpers/log.js'
import { credentials } from './browser.js'

const host = 'auth.example.org'
const inCookies = { refreshToken: { transport: 'cookie' } } as const

interface LoggedApp extends TestApp {
  readonly log: TestLog
}

async function open (
  t: Test,
  options: Partial<TokenAuthOptions> = inCookies,
  trustProxy = false
): Promise<LoggedApp> {
  const log = createLog()
  const test = await createTestApp({ fastify: { ...log.fastify, trustProxy }, options })
  t.teardown(() => test.app.close())
  log.takeWarnings()
  return { ...test, log }
}

const mismatches = [
  {
    reason: 'unknown-origin',
    headers: { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
    facts: { origin: 'https://evil.example', fetchSite: 'cross-site', protocol: 'http' },
    fix: /add its origin to "cookie\.origins"/
  },
  {
    reason: 'untrusted-proxy',
    headers: { origin: `https://${host}` },
    facts: { origin: `https://${host}`, fetchSite: null, protocol: 'http', host },
    fix: /set "trustProxy" of Fastify and let the proxy send X-Forwarded-Proto/
  },
  {
    reason: 'missing-origin',
    headers: { 'sec-fetch-site': 'none' },
    facts: { origin: null, fetchSite: 'none' },
    fix: /send the request with fetch or a form from a page of this origin/
  },
  {
    reason: 'not-a-browser',
    headers: {},
    facts: { origin: null, fetchSite: null },
    fix: /curl or inject; let it send the header "X-Token-Transport: cookie"/
  }
] as const

for (const { reason, headers, facts, fix } of mismatches) {
  t.test(`a rejected origin is logged with its reason "${reason}" and the fix`, async t => {
    const { post, log } = await open(t)
    const response = await post('/auth/login', credentials, { host, ...headers })
    t.match(response.json(), { statusCode: 403, code: 'AUTH_ORIGIN_REJECTED' })
    const warnings = log.takeWarnings()
    t.equal(warnings.length, 1)
    t.match(warnings[0], { level: 40, registration: 'auth', reason, msg: fix, ...facts })
    t.notMatch(response.body, /proxy|cookie\.origins|evil|unknown|missing/)
    t.equal(
      response.json().message,
      reason === 'not-a-browser'
        ? 'Request origin is not allowed: ' +
          'clients that are not browsers must send the header X-Token-Transport: cookie'
        : 'Request origin is not allowed'
    )
  })
}

t.test('the fix of each rejected origin works', async t => {
  const logIn = async (
    { post, log }: LoggedApp,
    headers: Record<string, string>
  ): Promise<unknown[]> => {
    const { statusCode } = await post('/auth/login', credentials, { host, ...headers })
    return [statusCode, log.takeWarnings()]
  }

  const cookie = { origins: ['https://evil.example'], sameSite: 'none' } as const
  t.strictSame(
    await logIn(await open(t, { ...inCookies, cookie }, true), {
      ...mismatches[0].headers,
      'x-forwarded-proto': 'https'
    }),
    [200, []]
  )
  const proxied = { ...mismatches[1].headers, 'x-forwarded-proto': 'https' }
  t.strictSame(await logIn(await open(t, inCookies, true), proxied), [200, []])
  const curl = { 'x-token-transport': 'cookie', host: 'localhost:3000' }
  t.strictSame(await logIn(await open(t), curl), [200, []])
})

t.test('rejected origins do not fill the log', async t => {
  const { post, log } = await open(t)

  for (let i = 0; i < 30; i++) {
    await post('/auth/login', credentials, { host, origin: `https://${'x'.repeat(5000)}` })
  }

  const warnings = log.takeWarnings()
  t.equal(warnings.length, 10)
  t.ok(warnings.every(({ origin }) => String(origin).length <= 200))
})

t.test('a Secure cookie over plain http is logged once with the fix', async t => {
  const { post, log } = await open(t)
  const page = { host, origin: `http://${host}` }

  for (let i = 0; i < 2; i++) {
    t.equal((await post('/auth/login', credentials, page)).statusCode, 200)
  }

  const [warning, ...others] = log.takeWarnings()
  t.match(warning, {
    level: 40,
    registration: 'auth',
    host,
    msg:
      /over plain http.*"trustProxy" of Fastify.*X-Forwarded-Proto.*"cookie: \{ secure: false \}"/
  })
  t.strictSame(others, [])
})

t.test('a cookie that browsers accept causes no warning', async t => {
  const accepted = ['localhost', 'localhost:3000', 'app.localhost', '127.0.0.1:3000', '[::1]:3000']

  for (const host of accepted) {
    const { post, log } = await open(t)
    await post('/auth/login', credentials, { host, origin: `http://${host}` })
    t.strictSame(log.takeWarnings(), [], host)
  }

  const cases = [
    await open(t, { ...inCookies, cookie: { secure: false } }),
    await open(t, { refreshToken: { transport: 'body' } }),
    await open(t, { refreshToken: { transport: 'both' } })
  ]

  for (const { post, log } of cases) {
    await post('/auth/login', credentials, { host, origin: `http://${host}` })
    t.strictSame(log.takeWarnings(), [])
  }

  const { post, log } = await open(t)
  const failed = { ...credentials, password: 'wrong' }
  await post('/auth/login', failed, { host, origin: `http://${host}` })
  t.strictSame(log.takeWarnings(), [], 'a failed login sets no cookie')
})

t.test('similar hosts are not localhost', async t => {
  for (const host of ['localhost.evil.example', 'notlocalhost', '127.0.0.1.nip.io', '10.0.0.1']) {
    const { post, log } = await open(t)
    await post('/auth/login', credentials, { host, origin: `http://${host}` })
    t.equal(log.takeWarnings().length, 1, host)
  }
})

const otherSite = 'https://shop.example.com'
const fromOtherSite = { host, origin: otherSite, 'sec-fetch-site': 'cross-site' }
const both = { refreshToken: { transport: 'both' } } as const
const asksForCookies = { 'x-token-transport': 'cookie' }

function openForOtherSite (
  t: Test,
  options: Partial<TokenAuthOptions> = inCookies,
  sameSite: 'strict' | 'lax' | 'none' = 'strict'
): Promise<LoggedApp> {
  const cookie = { origins: [otherSite], sameSite }
  return open(t, { ...options, cookie }, true)
}

t.test('a page of another site that cannot use its cookie is logged with the fix', async t => {
  const overHttps = { ...fromOtherSite, 'x-forwarded-proto': 'https' }
  const cases = [
    ['/auth/login', credentials, inCookies, {}],
    ['/auth/login', credentials, both, asksForCookies],
    ['/auth/refresh', {}, inCookies, {}],
    ['/auth/refresh', {}, both, {}]
  ] as const

  for (const sameSite of ['strict', 'lax'] as const) {
    for (const [url, body, options, headers] of cases) {
      const { post, log } = await openForOtherSite(t, options, sameSite)
      const { statusCode } = await post(url, body, { ...overHttps, ...headers })
      t.equal(statusCode, url === '/auth/login' ? 200 : 401)
      const [warning, ...others] = log.takeWarnings()
      t.match(warning, {
        level: 40,
        registration: 'auth',
        reason: 'cross-site',
        origin: otherSite,
        sameSite,
        msg:
          /SameSite attribute.*"cookie: \{ sameSite: 'none', secure: true, origins: \[\.\.\.\] \}"/
      })
      t.strictSame(others, [])
    }
  }
})

t.test('the cookie of a page of another site is logged once in a minute', async t => {
  const { post, log } = await openForOtherSite(t)

  for (let i = 0; i < 3; i++) {
    await post('/auth/refresh', {}, fromOtherSite)
  }

  t.equal(log.takeWarnings().length, 1)
})

t.test('a page whose browser sends the cookies causes no warning of another site', async t => {
  const overHttps = { 'x-forwarded-proto': 'https' }
  const accepted = [
    ['sameSite none', 'none', inCookies, fromOtherSite],
    ['same site', 'strict', inCookies, { ...fromOtherSite, 'sec-fetch-site': 'same-site' }],
    ['older browser', 'strict', inCookies, { host, origin: otherSite }],
    ['form', 'strict', inCookies, { ...fromOtherSite, 'sec-fetch-dest': 'document' }],
    ['tokens in JSON', 'strict', both, fromOtherSite]
  ] as const

  for (const [name, sameSite, options, headers] of accepted) {
    const { post, log } = await openForOtherSite(t, options, sameSite)
    const response = await post('/auth/login', credentials, { ...headers, ...overHttps })
    t.equal(response.statusCode, 200, name)
    t.strictSame(log.takeWarnings(), [], name)
  }

  const { post, log } = await openForOtherSite(t)
  const stranger = { ...fromOtherSite, origin: 'https://evil.example' }
  await post('/auth/refresh', {}, { ...stranger, ...overHttps })
  t.strictSame(log.takeWarnings(), [], 'an unknown origin')
})
