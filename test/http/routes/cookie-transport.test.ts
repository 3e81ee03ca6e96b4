import Fastify from 'fastify'
import t from 'tap'
import { tokenAuth } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD_HASH, SECRET } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { DAY, MINUTE } from '../../helpers/clock.js'
import {
  ACCESS,
  asCookie,
  assertRejected,
  Browser,
  credentials,
  open,
  REFRESH,
  sameOrigin,
  setCookies,
  withAccess
} from './browser.js'

t.test('transport "cookie" ignores tokens in the body or header', async t => {
  const browser = await open(t)
  const { test } = browser
  await browser.logIn()
  const token = browser.jar.get(REFRESH)
  const authorization = `Bearer ${token}`

  for (const url of ['/auth/refresh', '/auth/logout']) {
    assertRejected(
      t,
      await test.post(url, { refresh_token: token }, sameOrigin),
      401,
      'AUTH_REFRESH_MISSING'
    )
    assertRejected(
      t,
      await test.post(url, undefined, { ...sameOrigin, authorization }),
      401,
      'AUTH_REFRESH_MISSING'
    )
    assertRejected(
      t,
      await browser.send('POST', url, { refresh_token: token }),
      400,
      'AUTH_REQUEST_INVALID'
    )
    assertRejected(
      t,
      await browser.send('POST', url, undefined, { authorization }),
      400,
      'AUTH_REQUEST_INVALID'
    )
  }

  t.equal((await browser.refresh()).statusCode, 200)
})

t.test('transport "body" ignores cookies', async t => {
  const browser = await open(t, { refreshToken: { transport: 'body' } })
  const response = await browser.send('POST', '/auth/login', credentials, asCookie)
  t.strictSame(setCookies(response), [])
  const cookie =
    `${REFRESH}=${response.json().refresh_token}; auth-refresh=${response.json().refresh_token}`
  assertRejected(
    t,
    await browser.send('POST', '/auth/refresh', undefined, { cookie }),
    401,
    'AUTH_REFRESH_MISSING'
  )
  t.equal(response.headers.vary, undefined)
})

t.test('transport "both" responds the way the token was sent', async t => {
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
  t.match(asBearer.json(), { refresh_token: /./ }, 'a bearer token stays one')
  const inCookie = await browser.refresh()
  t.strictSame(Object.keys(inCookie.json()).sort(), ['expires_in', 'token_type', 'user'])
  t.equal(setCookies(inCookie).length, 2)

  assertRejected(
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

t.test('without rotation the cookie is unchanged', async t => {
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
    assertRejected(t, await browser.refresh(), 401, 'AUTH_REFRESH_EXPIRED')
  }
})

t.test('refreshToken: false issues only an access token', async t => {
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

t.test('two registrations in one cookie jar share no cookie', async t => {
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
