import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { createTestApp } from '../../helpers/app.js'
import { asCookie, credentials, setCookies } from '../routes/browser.js'
import type { Headers } from '../routes/browser.js'

const page = { 'sec-fetch-site': 'same-origin' }

t.test('by default, only a client that asks for cookies gets them', async t => {
  const { app, post, refresh } = await createTestApp()
  t.teardown(() => app.close())
  const logIn = (headers: Headers = {}) => post('/auth/login', credentials, headers)

  for (const headers of [{}, page, { origin: 'https://evil.example' }]) {
    const response = await logIn(headers)
    t.match(response.json(), { access_token: /./, refresh_token: /./ })
    t.strictSame(setCookies(response), [])
  }

  const refreshed = await refresh((await logIn()).json().refresh_token)
  t.strictSame([refreshed.statusCode, setCookies(refreshed)], [200, []])

  for (const path of ['/auth/logout', '/auth/logout/all']) {
    const { access_token: token } = (await logIn()).json()
    const left = await post(path, undefined, { authorization: `Bearer ${token}` })
    t.strictSame([left.statusCode, setCookies(left)], [204, []], path)
  }

  const inCookie = await logIn({ ...page, ...asCookie })
  t.notOk('refresh_token' in inCookie.json())
  t.match(setCookies(inCookie), [/^__Host-auth-refresh=.*HttpOnly.*Secure.*SameSite=Strict/])
})

t.test('by default, a page of another origin can neither set nor use cookies', async t => {
  const { app, post } = await createTestApp()
  t.teardown(() => app.close())
  const own = await post('/auth/login', credentials, { ...page, ...asCookie })
  const cookie = setCookies(own)[0]?.split(';')[0] ?? ''
  const foreign = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }
  const requests = [
    ['/auth/login', credentials, { ...foreign, ...asCookie }],
    ['/auth/refresh', {}, { ...foreign, cookie }],
    ['/auth/refresh', {}, { ...foreign, ...asCookie, cookie }],
    ['/auth/logout', {}, { ...foreign, cookie }]
  ] as const

  for (const [url, body, headers] of requests) {
    const response = await post(url, body, headers)
    t.match(response.json(), { statusCode: 403, code: 'AUTH_ORIGIN_REJECTED' }, url)
    t.strictSame(setCookies(response), [])
  }

  // A form needs no preflight, and cannot send the header.
  const form = await app.inject({
    method: 'POST',
    url: '/auth/login',
    headers: { ...foreign, 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams(credentials).toString()
  })
  t.strictSame([form.statusCode, setCookies(form)], [200, []])
  const refreshed = await post('/auth/refresh', {}, { ...page, cookie })
  t.equal(refreshed.statusCode, 200)
})

t.test('a host app does not see @fastify/cookie of the plugin', async t => {
  const { app, get, login } = await createTestApp({
    after: async app => {
      t.notOk(app.hasPlugin('@fastify/cookie'))
      t.notOk(app.hasDecorator('serializeCookie') || app.hasDecorator('parseCookie'))
      t.notOk(app.hasRequestDecorator('cookies') || app.hasReplyDecorator('setCookie'))
      app.decorateReply('cookie', (() => 'own') as never)
      app.get('/own', async (request, reply) => ({
        cookies: 'cookies' in request,
        cookie: (reply as unknown as { cookie(): string }).cookie()
      }))
    }
  })
  t.teardown(() => app.close())
  t.strictSame((await get('/own')).json(), { cookies: false, cookie: 'own' })
  t.ok((await login()).refresh_token)
})

t.test('a host app can register @fastify/cookie before or after the plugin', async t => {
  const register = async (app: FastifyInstance): Promise<void> => {
    await app.register(fastifyCookie)
  }

  for (const order of ['before', 'after'] as const) {
    const { app, post } = await createTestApp({ [order]: register })
    t.teardown(() => app.close())
    t.ok(app.hasPlugin('@fastify/cookie'))
    const response = await post('/auth/login', credentials, { ...page, ...asCookie })
    t.strictSame([response.statusCode, setCookies(response).length], [200, 1], order)
  }
})
