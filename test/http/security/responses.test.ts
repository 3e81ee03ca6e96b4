import cors from '@fastify/cors'
import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestAppOptions } from '../../helpers/app.js'
import { DAY, HOUR, MINUTE } from '../../helpers/clock.js'
import {
  ACCESS,
  asCookie,
  collectResponses,
  credentials,
  decodeClaims,
  logInWithCookies,
  open,
  own,
  withCookies
} from './cookie-app.js'
import type { Headers } from './cookie-app.js'

t.test('token responses are UTF-8 JSON with the lifetime of the token [3]', async t => {
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
      const { iat, exp } = decodeClaims(access) as { iat: number, exp: number }
      t.strictSame(answer.expires_in, exp - iat)
      t.ok(answer.expires_in > 0)
    }
  }
})

t.test('no response may be cached, whatever headers the app sets [4]', async t => {
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
    for (const [about, { headers }] of await collectResponses(t, given)) {
      t.strictSame([headers['cache-control'], headers.pragma], ['no-store', 'no-cache'], about)
    }
  }
})

t.test('every response has security headers and no CORS header [68, 69]', async t => {
  for (const [about, { headers, body }] of await collectResponses(t)) {
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

t.test('@fastify/cors returns an allowed origin exactly, with one Vary [68]', async t => {
  const ALLOWED = 'https://app.example.org'
  const test = await open(t, {
    options: { ...withCookies, cookie: { origins: [ALLOWED] } },
    before: app => {
      app.register(cors, { origin: [ALLOWED], credentials: true })
    }
  })
  const { cookie } = await logInWithCookies(test)
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

/** Parses `Bearer a="b", c="d"` (RFC 9110, section 11.6.1; RFC 6750, section 3). */
function parseParameters (challenge: string): Map<string, string> {
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

t.test('every 401 has one challenge with each parameter once [15]', async t => {
  const test = await open(t, { options: { name: 'staff' } })
  const codes = new Map<string, boolean>()

  const see = (response: LightMyRequestResponse, presented: boolean): void => {
    const { statusCode, headers } = response
    const { code, message } = response.json()
    t.strictSame([statusCode, typeof headers['www-authenticate']], [401, 'string'], code)
    const parameters = parseParameters(headers['www-authenticate'] as string)
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
  test.clock.advance(1)
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

t.test('the challenge is exposed to pages of other origins [16]', async t => {
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
