import t from 'tap'
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

const cleared = (name: string): RegExp => new RegExp(`^${name}=; .*Max-Age=0`)

t.test('a login ignores a cookie that came twice, and sets a fresh one', async t => {
  const browser = await open(t, { throttle: {} }, magic)
  await browser.logIn()
  const own = browser.jar.get(REFRESH)

  for (const second of ['x', '', own]) {
    const device = '__Host-auth-device'
    const cookie = `${REFRESH}=${own}; ${REFRESH}=${second}; ${device}=a; ${device}=b`

    for (const [url, body] of [['/auth/login', credentials], ['/magic', {}]] as const) {
      const response = await browser.test.post(url, body, { ...sameOrigin, ...asCookie, cookie })
      t.equal(response.statusCode, 200, url)
      t.ok(setCookies(response).some(header => header.startsWith(`${REFRESH}=ey`)))
    }
  }

  t.equal(await countSessions(browser), 7, 'it revokes no session, because either may be foreign')
})

t.test('a logout with two cookies revokes both sessions and clears the cookie', async t => {
  for (const name of [REFRESH, ACCESS]) {
    const browser = await open(t, withAccess)
    const other = new Browser(browser.test)
    await browser.logIn()
    await other.logIn()
    const cookie = `${name}=${browser.jar.get(name)}; ${name}=${other.jar.get(name)}; ${name}=x`
    const foreign = { 'sec-fetch-site': 'same-site', cookie }
    const rejected = await browser.test.post('/auth/logout', undefined, foreign)
    assertRejected(t, rejected, 403, 'AUTH_ORIGIN_REJECTED')
    t.equal(await countSessions(browser), 2)
    const response = await browser.test.post('/auth/logout', undefined, { ...sameOrigin, cookie })
    t.equal(response.statusCode, 204)
    t.match(setCookies(response), [cleared(REFRESH), cleared(ACCESS)])
    t.equal(await countSessions(browser), 0)
  }
})

// Any host of the site can set such a cookie, and a page of another site can then send this form.
t.test('a logout clears no cookies because of a name that ends with theirs', async t => {
  const { test } = await open(t, { ...withAccess, refreshToken: { transport: 'both' } })
  const headers = {
    origin: 'https://evil.example',
    'sec-fetch-site': 'cross-site',
    'content-type': 'application/x-www-form-urlencoded'
  }

  for (const cookie of [`x${REFRESH}=1`, `a=1; x-${ACCESS}=1`, `\v${REFRESH}=1`, `a=${REFRESH}=`]) {
    const response = await test.app.inject({
      method: 'POST',
      url: '/auth/logout',
      headers: { ...headers, cookie },
      payload: 'refresh_token=x'
    })
    t.equal(response.statusCode, 204)
    t.strictSame(setCookies(response), [], cookie)
  }
})

t.test('login and logout remove the cookies of earlier settings', async t => {
  const previous = [
    { name: '__Secure-auth-refresh', path: '/auth' },
    { name: 'token', domain: 'example.org' }
  ]
  const removed = [
    /^__Secure-auth-refresh=; (?=.*Max-Age=0)(?=.*Path=\/auth)(?=.*Secure)(?!.*Domain)/,
    /^token=; (?=.*Max-Age=0)(?=.*Path=\/;)(?=.*Domain=example\.org)/
  ]
  const browser = await open(t, { cookie: { previous } }, magic)

  for (const [url, body] of [['/auth/login', credentials], ['/magic', {}]] as const) {
    const headers = setCookies(await browser.send('POST', url, body))
    t.match(headers, [...removed, /^__Host-auth-refresh=ey/])
    t.equal(headers.length, 3)
  }

  t.equal(setCookies(await browser.refresh()).length, 1)
  const left = setCookies(await browser.send('POST', '/auth/logout'))
  t.match(left, [...removed, cleared(REFRESH)])

  const both = await open(t, { refreshToken: { transport: 'both' }, cookie: { previous } })
  t.strictSame(setCookies(await both.logIn()), [], 'a login in JSON touches no cookie')
})
