import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { PASSWORD } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { DAY, MINUTE, SECOND } from '../../helpers/clock.js'
import {
  ACCESS,
  asCookie,
  assertRejected,
  Browser,
  countSessions,
  credentials,
  magic,
  open,
  REFRESH,
  sameOrigin,
  setCookies,
  withAccess
} from './browser.js'
import type { Headers } from './browser.js'

t.test('a cookie is rejected after the logout', async t => {
  const browser = await open(t, withAccess)
  await browser.logIn()
  const first = browser.jar.get(REFRESH)
  browser.test.clock.advance(MINUTE)
  await browser.refresh()
  t.not(browser.jar.get(REFRESH), first)
  t.equal((await browser.send('GET', '/protected')).json().userId, 'u-ann')
  const stolen = browser.cookie
  const logout = await browser.send('POST', '/auth/logout')
  t.strictSame([logout.statusCode, logout.body, logout.headers['cache-control']], [
    204,
    '',
    'no-store'
  ])
  assertRejected(
    t,
    await browser.test.post('/auth/refresh', undefined, { ...sameOrigin, cookie: stolen }),
    401,
    'AUTH_REFRESH_REVOKED'
  )
  const reply = await browser.test.app.inject({ url: '/protected', headers: { cookie: stolen } })
  t.equal(reply.json().code, 'AUTH_SESSION_REVOKED')
  assertRejected(t, await browser.refresh(), 401, 'AUTH_REFRESH_MISSING')
  assertRejected(t, await browser.send('POST', '/auth/logout'), 401, 'AUTH_REFRESH_MISSING')
  t.match(browser.test.events.at(-1), { name: 'session-ended', reason: 'logout', local: true })
})

t.test('a bearer token takes precedence over the access cookie', async t => {
  const browser = await open(t, { refreshToken: { transport: 'both' }, ...withAccess })
  await browser.send('POST', '/auth/login', credentials, asCookie)
  const { access_token: bobs } = await browser.test.login('bob')

  const who = async (headers: Headers = {}) => {
    const { auth, ...error } = (await browser.send('GET', '/protected', undefined, headers)).json()
    return error.userId ?? error.code
  }

  t.equal(await who(), 'u-ann')
  t.equal(await who({ authorization: `Bearer ${bobs}` }), 'u-bob')
  t.equal(await who({ authorization: 'Bearer nonsense' }), 'AUTH_ACCESS_INVALID')
  t.equal(
    await who({ authorization: `Bearer ${bobs}`, cookie: `${ACCESS}=nonsense; ${ACCESS}=x` }),
    'u-bob'
  )
  t.equal(await who({ authorization: 'Basic YTpi' }), 'u-ann')
  t.equal(await who({ cookie: `${ACCESS}=${browser.jar.get(REFRESH)}` }), 'AUTH_ACCESS_INVALID')
  t.equal((await browser.send('GET', '/auth/me')).json().username, 'ann')
  t.equal((await browser.send('GET', '/auth/sessions')).json().sessions[0].current, true)
  browser.test.clock.advance(15 * MINUTE)
  t.equal(await who(), 'AUTH_ACCESS_EXPIRED')
  await browser.refresh()
  t.equal(await who(), 'u-ann')
})

t.test('without cookie.accessToken the access cookie is ignored', async t => {
  const browser = await open(t)
  const { access_token: token } = (await browser.logIn()).json()
  const cookie = `${ACCESS}=${token}; auth-access=${token}; ${browser.cookie}`
  assertRejected(
    t,
    await browser.send('GET', '/protected', undefined, { cookie }),
    401,
    'AUTH_ACCESS_MISSING'
  )
})

t.test('rotation rules are the same for cookies and bodies', async t => {
  const browser = await open(t)
  const { clock, events } = browser.test
  const getToken = (response: LightMyRequestResponse): unknown => response.cookies[0]?.value
  await browser.logIn()
  const first = browser.jar.get(REFRESH)
  const tabs = await Promise.all(Array.from({ length: 10 }, () => browser.present(first)))
  t.equal(new Set(tabs.map(getToken)).size, 1, 'concurrent tabs get the same token')
  const second = getToken(tabs[0] as LightMyRequestResponse) as string
  t.not(second, first)
  clock.advance(10 * SECOND)
  t.equal(getToken(await browser.present(first)), second, 'recovered after a lost response')
  t.match(events.at(-1), { name: 'recovery' })
  t.equal(getToken(await browser.present(second)), second, 'kept')
  clock.advance(10 * SECOND)
  const third = getToken(await browser.present(second)) as string
  t.not(third, second)
  t.equal(getToken(await browser.present(second)), third, 'replayed')
  clock.advance(1)
  assertRejected(t, await browser.present(first), 401, 'AUTH_REFRESH_REUSED')
  assertRejected(t, await browser.present(third), 401, 'AUTH_REFRESH_REVOKED')
})

t.test('a login revokes the session of the existing cookie', async t => {
  const browser = await open(t, withAccess)
  await browser.logIn()
  const before = browser.cookie
  await browser.logIn({ username: 'bob' })
  t.match(browser.test.events.at(-1), { name: 'session-ended', reason: 'replaced', local: true })
  t.strictSame([await countSessions(browser), await countSessions(browser, 'u-bob')], [0, 1])
  assertRejected(
    t,
    await browser.test.post('/auth/refresh', undefined, { ...sameOrigin, cookie: before }),
    401,
    'AUTH_REFRESH_REVOKED'
  )
  const old = await browser.test.app.inject({ url: '/protected', headers: { cookie: before } })
  t.equal(old.json().code, 'AUTH_SESSION_REVOKED')
  t.equal((await browser.send('GET', '/protected')).json().userId, 'u-bob')
})

t.test('a failed login keeps the session of the existing cookie', async t => {
  const { store, break: breakStore } = createBreakableStore(new MemoryStore())
  const browser = await open(t, {}, { store })
  await browser.logIn()
  const before = browser.cookie
  const wrong: ReadonlyArray<readonly [object, number]> = [
    [{ ...credentials, password: 'wrong' }, 401],
    [{ username: 'nobody', password: PASSWORD }, 401],
    [{ password: PASSWORD }, 400]
  ]

  for (const [body, statusCode] of wrong) {
    const response = await browser.send('POST', '/auth/login', body)
    t.strictSame([response.statusCode, setCookies(response)], [statusCode, []])
  }

  for (const verb of ['create', 'revoke'] as const) {
    breakStore('throws', [verb])
    assertRejected(
      t,
      await browser.send('POST', '/auth/login', credentials),
      503,
      'AUTH_STORE_UNAVAILABLE'
    )
    breakStore(null)
  }

  t.equal(browser.cookie, before)
  t.notOk(browser.test.events.some(event => event.name === 'session-ended'))
  t.equal((await browser.refresh()).statusCode, 200)
})

t.test('a login succeeds with any existing cookie', async t => {
  const browser = await open(t)
  const foreign = await open(t, { secret: 'another secret that is long enough!' })
  await browser.logIn()
  const bystander = browser.jar.get(REFRESH)
  await foreign.logIn()

  for (
    const value of ['x', '%00', 'a.b.c', '', `${bystander}x`, String(foreign.jar.get(REFRESH))]
  ) {
    const headers = { cookie: `${REFRESH}=${value}` }
    t.equal(
      (await browser.send('POST', '/auth/login', credentials, headers)).statusCode,
      200,
      value
    )
  }

  t.notOk(browser.test.events.some(event => event.name === 'session-ended'))
  browser.test.clock.advance(60 * DAY)
  const late = await browser.send('POST', '/auth/login', credentials, {
    cookie: `${REFRESH}=${bystander}`
  })
  t.equal(late.statusCode, 200, 'expired long ago')
  t.equal(await countSessions(browser), 1)
})

t.test('a login without cookies keeps the session of the existing cookie', async t => {
  const browser = await open(t, { refreshToken: { transport: 'both' } })
  await browser.send('POST', '/auth/login', credentials, asCookie)
  await browser.logIn()
  t.equal(await countSessions(browser), 2)
  await browser.send('POST', '/auth/login', credentials, asCookie)
  t.equal(await countSessions(browser), 2, 'a login with cookies replaces the session')
})

t.test('logout sets no cookie while the store is unavailable', async t => {
  const { store, break: breakStore } = createBreakableStore(new MemoryStore())
  const browser = await open(t, { cookie: { accessToken: true, clearSiteData: true } }, { store })
  const cleared = [REFRESH, ACCESS].map(name => new RegExp(`^${name}=; (?:.*; )?Max-Age=0(?:;|$)`))
  await browser.logIn()
  const before = browser.cookie

  for (const url of ['/auth/logout', '/auth/logout/all']) {
    breakStore('throws')
    const response = await browser.send('POST', url)
    assertRejected(t, response, 503, 'AUTH_STORE_UNAVAILABLE')
    t.equal(response.headers['clear-site-data'], undefined)
    breakStore(null)
  }

  t.equal(browser.cookie, before)
  t.equal((await browser.refresh()).statusCode, 200, 'the session is still valid')
  browser.test.clock.advance(60 * DAY)

  for (const value of [browser.jar.get(REFRESH), browser.jar.get(REFRESH), 'garbage']) {
    const response = await browser.present(value, '/auth/logout')
    t.strictSame([response.statusCode, response.headers['clear-site-data']], [
      204,
      '"cache", "cookies", "storage"'
    ])
    t.match(setCookies(response), cleared)
  }
})

t.test('logout with an access token revokes its session and clears the cookies', async t => {
  const browser = await open(t)
  const { access_token: access } = (await browser.logIn()).json()
  const authorization = `Bearer ${access}`
  const response = await browser.test.post('/auth/logout', undefined, { authorization })
  t.strictSame([response.statusCode, setCookies(response).length, await countSessions(browser)], [
    204,
    1,
    0
  ])

  const wide = await open(t, { cookie: { accessToken: true, clearSiteData: true } })
  const elsewhere = new Browser(wide.test)

  for (const each of [wide, elsewhere]) {
    await each.logIn()
  }

  const all = await wide.send('POST', '/auth/logout/all')
  t.strictSame([all.statusCode, setCookies(all).length, wide.jar.size, await countSessions(wide)], [
    204,
    2,
    0,
    0
  ])
  t.ok(all.headers['clear-site-data'])
  assertRejected(t, await elsewhere.refresh(), 401, 'AUTH_REFRESH_REVOKED')
  assertRejected(t, await elsewhere.send('POST', '/auth/logout/all'), 401, 'AUTH_SESSION_REVOKED')
})

t.test('logout works with the access cookie alone', async t => {
  const browser = await open(t, withAccess)
  await browser.logIn()
  browser.jar.delete(REFRESH)
  const foreign = await browser.send('POST', '/auth/logout', undefined, {
    'sec-fetch-site': 'same-site'
  })
  assertRejected(t, foreign, 403, 'AUTH_ORIGIN_REJECTED')
  const response = await browser.send('POST', '/auth/logout')
  t.equal(response.statusCode, 204)
  t.equal(await countSessions(browser), 0)
  t.equal(browser.jar.size, 0)
})

t.test('openSession revokes the session of the existing cookie', async t => {
  const browser = await open(t, {}, magic)
  await browser.logIn()
  const before = browser.jar.get(REFRESH)
  await browser.send('POST', '/magic', {})
  assertRejected(t, await browser.present(before), 401, 'AUTH_REFRESH_REVOKED')
  t.equal(await countSessions(browser), 1)
})
