import t from 'tap'
import { createTestApp } from '../../helpers/app.js'
import { createClock, MINUTE } from '../../helpers/clock.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import {
  asCookie,
  assertRejected,
  Browser,
  credentials,
  open,
  REFRESH,
  sameOrigin,
  setCookies
} from './browser.js'

const both = { refreshToken: { transport: 'both' } } as const

t.test('a rolling deploy from body to cookie rejects no token', async t => {
  const [store, clock] = [new MemoryStore(), createClock()]

  const start = async (transport: 'body' | 'both' | 'cookie'): Promise<Browser> => {
    const test = await createTestApp({ store, clock, options: { refreshToken: { transport } } })
    t.teardown(() => test.app.close())
    return new Browser(test)
  }

  const [oldPage, middlePage] = [await start('body'), await start('both')]
  const { refresh_token: first } = (await oldPage.logIn()).json()
  clock.advance(MINUTE)
  const { refresh_token: second } = (await middlePage.test.refresh(first)).json()
  clock.advance(MINUTE)
  const { refresh_token: third } = (await oldPage.test.refresh(second)).json()
  t.ok(third, 'both instances serve clients with a token in the body')

  clock.advance(MINUTE)
  const moved = await middlePage.send('POST', '/auth/refresh', { refresh_token: third }, asCookie)
  t.equal(moved.statusCode, 200)
  t.strictSame(Object.keys(moved.json()).sort(), [
    'access_token',
    'expires_in',
    'token_type',
    'user'
  ])
  const newPage = await start('cookie')
  newPage.jar.set(REFRESH, middlePage.jar.get(REFRESH) as string)
  clock.advance(MINUTE)
  t.equal((await newPage.refresh()).statusCode, 200)
  middlePage.jar.set(REFRESH, newPage.jar.get(REFRESH) as string)
  clock.advance(MINUTE)
  t.equal((await middlePage.refresh()).statusCode, 200)
  t.equal((await newPage.test.app.tokenAuth.listSessions('u-ann')).length, 1)
})

t.test('a move whose response was lost can be repeated', async t => {
  const { test } = await open(t, both)
  const { refresh_token: token } = await test.login()
  const headers = { ...sameOrigin, ...asCookie }
  const lost = await test.post('/auth/refresh', { refresh_token: token }, headers)
  test.clock.advance(MINUTE)
  const repeated = await test.post('/auth/refresh', { refresh_token: token }, headers)
  t.equal(repeated.statusCode, 200)
  t.strictSame(setCookies(repeated), setCookies(lost))
})

t.test('a moved cookie outlives the browser with remember_me', async t => {
  const browser = await open(t, both)
  const { refresh_token: token } = await browser.test.login()
  const body = { refresh_token: token, remember_me: true }
  const moved = await browser.send('POST', '/auth/refresh', body, asCookie)
  t.match(setCookies(moved), [/Max-Age=\d+/])
  browser.test.clock.advance(MINUTE)
  t.match(setCookies(await browser.refresh()), [/Max-Age=\d+/], 'also after the next refresh')

  const { refresh_token: other } = await browser.test.login()
  browser.jar.clear()
  const short = await browser.send('POST', '/auth/refresh', { refresh_token: other }, asCookie)
  t.notMatch(setCookies(short), [/Max-Age/])
})

t.test('a session without rotation moves too', async t => {
  const browser = await open(t, { ...both, rotation: false })
  const { refresh_token: token } = await browser.test.login()
  const moved = await browser.send('POST', '/auth/refresh', { refresh_token: token }, asCookie)
  t.equal(setCookies(moved).length, 1)
  t.equal((await browser.refresh()).statusCode, 200)
})

t.test('a page of another origin cannot move a session into the browser', async t => {
  const { test } = await open(t, both)
  const { refresh_token: token } = await test.login()
  const headers = { ...asCookie, 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
  assertRejected(
    t,
    await test.post('/auth/refresh', { refresh_token: token }, headers),
    403,
    'AUTH_ORIGIN_REJECTED'
  )
})

t.test('transport "body" ignores the request for a cookie', async t => {
  const browser = await open(t, { refreshToken: { transport: 'body' } })
  const { refresh_token: token } = (await browser.send('POST', '/auth/login', credentials)).json()
  const response = await browser.send('POST', '/auth/refresh', { refresh_token: token }, asCookie)
  t.match(response.json(), { refresh_token: /./ })
  t.strictSame(setCookies(response), [])
})
