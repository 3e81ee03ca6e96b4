// These tests open sessions with `signIn` and use them through the routes of an app.

import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { authenticate, tokenAuth } from '../../src/index.js'
import type { SessionListResponse, TokenAuthOptions, TokenResponse } from '../../src/index.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { signIn } from '../../src/testing/index.js'
import type { SignInApp } from '../../src/testing/index.js'
import { createTestApp, PASSWORD, SECRET } from '../helpers/app.js'
import type { TestApp, TestAppOptions } from '../helpers/app.js'
import { MINUTE } from '../helpers/clock.js'

const cookies: Partial<TokenAuthOptions> = {
  refreshToken: { transport: 'cookie' },
  cookie: { accessToken: true }
}

async function createApp (t: Test, options: TestAppOptions = {}): Promise<TestApp> {
  const testApp = await createTestApp(options)
  t.teardown(() => testApp.app.close())
  return testApp
}

t.test('opens a real session without a password', async t => {
  const { app, store, clock, events } = await createApp(t, {
    users: [{ id: 'u-ann', username: 'ann' }]
  })
  const session = await signIn(app, 'u-ann')
  t.match(session, { userId: 'u-ann', refreshToken: String, cookies: [] })
  t.strictSame(session.headers, { authorization: `Bearer ${session.accessToken}` })
  t.match(await store.find('auth', session.sessionId), { userId: 'u-ann', generation: 0 })
  t.match(events, [{ name: 'login', userId: 'u-ann', actor: 'app' }])

  const response = await app.inject({ url: '/protected', headers: session.headers })
  t.match(response.json(), {
    userId: 'u-ann',
    sessionId: session.sessionId,
    amr: ['pwd'],
    clientId: null,
    claims: {},
    authenticatedAt: Math.floor(clock() / 1000) * 1000
  })
  const list = await app.inject({ url: '/auth/sessions', headers: session.headers })
  t.match(list.json<SessionListResponse>().sessions, [{ id: session.sessionId, current: true }])
})

t.test('its refresh token refreshes the session like that of a login', async t => {
  const { app, clock, refresh } = await createApp(t)
  const session = await signIn(app, 'u-ann')
  clock.advance(20 * MINUTE)
  const refreshed = await refresh(session.refreshToken ?? '')
  t.equal(refreshed.statusCode, 200)
  const { access_token: token } = refreshed.json<TokenResponse>()
  t.match(await app.inject({ url: '/protected', headers: { authorization: `Bearer ${token}` } }), {
    statusCode: 200
  })
})

t.test('claims are added to those of users.claims until the next refresh', async t => {
  const { app, clock, refresh } = await createApp(t, {
    options: {
      users: {
        findByLogin: () => null,
        findById: id => ({ id }),
        claims: () => ({ role: 'member', team: 'a' })
      }
    }
  })
  const session = await signIn(app, 'u-ann', { claims: { role: 'admin' } })
  const getClaims = async (authorization: string): Promise<object> =>
    (await app.inject({ url: '/protected', headers: { authorization } })).json().claims
  t.strictSame(
    await getClaims(`Bearer ${session.accessToken}`),
    { role: 'admin', team: 'a' }
  )
  clock.advance(MINUTE)
  const { access_token: token } = (await refresh(session.refreshToken ?? '')).json()
  t.strictSame(await getClaims(`Bearer ${token}`), { role: 'member', team: 'a' })
})

t.test('the session has the ID in the spelling of the app', async t => {
  const { app, store } = await createApp(t, {
    options: { users: { findByLogin: () => null, findById: id => ({ id: id.toLowerCase() }) } }
  })
  const { userId, sessionId } = await signIn(app, 'U-ANN')
  t.equal(userId, 'u-ann')
  t.match(await store.find('auth', sessionId), { userId: 'u-ann' })
})

t.test('amr and authenticatedAt are those of the login', async t => {
  const { app, clock } = await createApp(t, {
    after (app) {
      app.get('/fresh', { onRequest: [app.authenticate, app.requireFresh('5m')] }, () => 'ok')
    }
  })
  const authenticatedAt = clock() - 6 * MINUTE
  const { headers } = await signIn(app, 'u-ann', { authenticatedAt, amr: ['pwd', 'otp'] })
  t.match((await app.inject({ url: '/protected', headers })).json(), {
    authenticatedAt: Math.floor(authenticatedAt / 1000) * 1000,
    amr: ['pwd', 'otp']
  })
  t.equal(
    (await app.inject({ url: '/fresh', headers })).json().code,
    'AUTH_REAUTHENTICATION_REQUIRED'
  )
  const recent = await signIn(app, 'u-ann')
  t.equal((await app.inject({ url: '/fresh', headers: recent.headers })).statusCode, 200)
})

t.test('expire replaces the access token in place, and a refresh succeeds', async t => {
  const { app, refresh } = await createApp(t)
  const session = await signIn(app, 'u-ann')
  const { headers, accessToken } = session
  session.expire()
  t.not(session.accessToken, accessToken)
  t.strictSame(headers, { authorization: `Bearer ${session.accessToken}` })
  const response = await app.inject({ url: '/protected', headers })
  t.equal(response.statusCode, 401)
  t.equal(response.json().code, 'AUTH_ACCESS_EXPIRED')
  t.equal((await refresh(session.refreshToken ?? '')).statusCode, 200)
})

t.test('revoke ends the session, and no other', async t => {
  const { app, refresh, events } = await createApp(t)
  const [session, other] = [await signIn(app, 'u-ann'), await signIn(app, 'u-ann')]
  await session.revoke()
  const response = await app.inject({ url: '/protected', headers: session.headers })
  t.equal(response.json().code, 'AUTH_SESSION_REVOKED')
  t.equal((await refresh(session.refreshToken ?? '')).json().code, 'AUTH_REFRESH_REVOKED')
  t.equal((await app.inject({ url: '/protected', headers: other.headers })).statusCode, 200)
  t.match(events.at(-1), { name: 'session-ended', reason: 'revoked', sessionId: session.sessionId })
})

t.test('a session opens right after all sessions of the user were revoked', async t => {
  const { app, clock } = await createApp(t)
  await app.tokenAuth.revokeUser('u-ann')
  const { headers } = await signIn(app, 'u-ann')
  t.equal((await app.inject({ url: '/protected', headers })).statusCode, 200)
  await t.rejects(
    signIn(app, 'u-ann', { authenticatedAt: clock() - MINUTE }),
    { message: /"signIn.authenticatedAt" must be after the last revocation/ }
  )
})

t.test('in cookie mode the headers are those of a client with cookies', async t => {
  const { app, clock } = await createApp(t, {
    options: cookies,
    after (app) {
      app.post('/orders', { onRequest: [app.authenticate] }, () => 'ordered')
    }
  })
  const session = await signIn(app, 'u-ann')
  const { headers } = session
  t.strictSame(headers, {
    cookie: `__Host-auth-refresh=${session.refreshToken ?? ''}; ` +
      `__Host-auth-access=${session.accessToken}`,
    'x-token-transport': 'cookie'
  })
  const order = { method: 'POST', url: '/orders' } as const
  t.equal((await app.inject({ ...order, headers })).statusCode, 200)
  const foreign = { ...headers, origin: 'https://evil.example' }
  t.equal((await app.inject({ ...order, headers: foreign })).json().code, 'AUTH_ORIGIN_REJECTED')

  session.expire()
  t.equal((await app.inject({ ...order, headers })).json().code, 'AUTH_ACCESS_EXPIRED')
  clock.advance(MINUTE)
  t.equal(
    (await app.inject({ method: 'POST', url: '/auth/refresh', headers })).statusCode,
    200
  )
})

t.test('without an access cookie, the access token is a bearer token', async t => {
  const { app } = await createApp(t, { options: { refreshToken: { transport: 'cookie' } } })
  const { headers, accessToken, refreshToken } = await signIn(app, 'u-ann')
  t.strictSame(headers, {
    authorization: `Bearer ${accessToken}`,
    cookie: `__Host-auth-refresh=${refreshToken ?? ''}`,
    'x-token-transport': 'cookie'
  })
  t.equal((await app.inject({ url: '/protected', headers })).statusCode, 200)
  t.equal(
    (await app.inject({ method: 'POST', url: '/auth/logout', headers })).statusCode,
    204
  )
  t.equal((await app.inject({ url: '/protected', headers })).json().code, 'AUTH_SESSION_REVOKED')
})

t.test('cookies have the form of Playwright, and are those of a login', async t => {
  const { app } = await createApp(t, { options: cookies })
  const session = await signIn(app, 'u-ann', { domain: 'app.test' })
  const common = { domain: 'app.test', path: '/', httpOnly: true, secure: true }
  t.strictSame(session.cookies, [
    {
      name: '__Host-auth-refresh',
      value: session.refreshToken,
      ...common,
      sameSite: 'Strict'
    },
    { name: '__Host-auth-access', value: session.accessToken, ...common, sameSite: 'Lax' }
  ])
  const login = await app.inject({
    method: 'POST',
    url: '/auth/login',
    headers: { 'sec-fetch-site': 'same-origin' },
    payload: { username: 'ann', password: PASSWORD }
  })
  t.strictSame(
    login.cookies.map(({ name, path, httpOnly, secure, sameSite, maxAge }) => (
      { name, path, httpOnly, secure, sameSite, maxAge }
    )),
    session.cookies.map(({ value, domain, ...cookie }) => ({ ...cookie, maxAge: undefined }))
  )
  const { cookies: browserCookies } = session
  session.expire()
  t.strictSame(
    browserCookies.map(({ value }) => value),
    [session.refreshToken, session.accessToken],
    'expire replaces the access token in the array that a test has'
  )
  t.equal((await signIn(app, 'u-ann')).cookies[0]?.domain, 'localhost')
})

t.test('with "both", the session uses JSON unless the test asks for cookies', async t => {
  const { app } = await createApp(t, { options: { refreshToken: { transport: 'both' } } })
  t.strictSame(Object.keys((await signIn(app, 'u-ann')).headers), ['authorization'])
  const inCookie = await signIn(app, 'u-ann', { transport: 'cookie' })
  t.match(inCookie.cookies, [{ name: '__Host-auth-refresh' }])
  t.equal(
    (await app.inject({ url: '/protected', headers: inCookie.headers })).statusCode,
    200
  )
})

t.test('without refresh tokens, the access token is all there is', async t => {
  const { app } = await createApp(t, { options: { refreshToken: false } })
  const session = await signIn(app, 'u-ann')
  t.match(session, { refreshToken: null, cookies: [] })
  t.equal(
    (await app.inject({ url: '/protected', headers: session.headers })).statusCode,
    200
  )
})

t.test('works with each of two registrations, by their scopes', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const scopes: Record<string, SignInApp> = {}
  const store = new MemoryStore()

  for (const name of ['staff', 'customers']) {
    void app.register(async scope => {
      scopes[name] = scope
      await scope.register(tokenAuth, {
        secret: SECRET,
        store,
        name,
        users: { findByLogin: () => null, findById: id => ({ id }) }
      })
      scope.get('/me', { onRequest: [authenticate] }, request => request.auth?.userId)
    }, { prefix: `/${name}` })
  }

  await app.ready()
  const { headers, sessionId } = await signIn(scopes['staff'] ?? app, 7)
  t.equal((await app.inject({ url: '/staff/me', headers })).body, '7')
  t.equal((await app.inject({ url: '/customers/me', headers })).statusCode, 401)
  t.match(await store.find('staff', sessionId), { userId: '7' })
  await t.rejects(signIn(app, 7), { message: /tokenAuth is not registered in this scope; pass/ })
})

t.test('waits until the app is ready, also for a registration without await', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  void app.register(tokenAuth, {
    secret: SECRET,
    store: new MemoryStore(),
    users: { findByLogin: () => null, findById: id => ({ id }) }
  })
  app.get('/me', { onRequest: [authenticate] }, request => request.auth?.userId)
  const { headers } = await signIn(app, 12n)
  t.equal((await app.inject({ url: '/me', headers })).body, '12')
})
