import t from 'tap'
import type { Test } from 'tap'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { DAY, HOUR, MINUTE } from '../../helpers/clock.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'

const URL = '/auth/logout/all'

async function open (t: Test, options: TestAppOptions = {}): Promise<TestApp> {
  const test = await createTestApp(options)
  t.teardown(() => test.app.close())
  return test
}

async function rotate (test: TestApp, token: string | undefined): Promise<string> {
  test.clock.advance(MINUTE)
  return (await test.refresh(token)).json().refresh_token
}

const bearer = (token = ''): Record<string, string> => ({ authorization: `Bearer ${token}` })

t.test('logout/all accepts the current and the previous refresh token', async t => {
  const test = await open(t)
  const ways: Record<
    string,
    (previous: string, current: string, access: string) => ReturnType<TestApp['post']>
  > = {
    'in the body': (_previous, current) => test.post(URL, { refresh_token: current }),
    'the previous one': previous => test.post(URL, { refresh_token: previous }),
    'as bearer token': (_previous, current) => test.post(URL, undefined, bearer(current)),
    'beside an expired access token': (_previous, current, access) => {
      test.clock.advance(HOUR)
      return test.post(URL, { refresh_token: current }, bearer(access))
    },
    'beside an access token of another server': (_previous, current) =>
      test.post(URL, { refresh_token: current }, bearer('a.b.c')),
    'a useless one beside an access token': (_previous, _current, access) =>
      test.post(URL, { refresh_token: 'unknown' }, bearer(access))
  }

  for (const [way, signOut] of Object.entries(ways)) {
    const [one, other, bob] = [await test.login(), await test.login(), await test.login('bob')]
    const current = await rotate(test, one.refresh_token)
    const response = await signOut(one.refresh_token ?? '', current, one.access_token)
    t.equal(response.statusCode, 204, way)
    t.equal((await test.refresh(current)).json().code, 'AUTH_REFRESH_REVOKED', way)
    t.equal((await test.refresh(other.refresh_token)).json().code, 'AUTH_REFRESH_REVOKED', way)
    t.equal((await test.refresh(bob.refresh_token)).statusCode, 200, way)
    test.clock.advance(1)
  }
})

t.test('logout/all rejects a refresh token that is older than the previous one', async t => {
  const test = await open(t)
  const { refresh_token: oldest } = await test.login()
  const current = await rotate(test, await rotate(test, oldest))
  const response = await test.post(URL, { refresh_token: oldest })
  t.equal(response.statusCode, 401)
  t.equal(response.json().code, 'AUTH_REFRESH_INVALID')
  t.equal((await test.refresh(current)).statusCode, 200, 'and it revokes nothing')
})

t.test('logout/all rejects tokens without a live session', async t => {
  const test = await open(t)
  const foreign = await open(t, { options: { secret: 'another secret that is long enough!' } })
  const { refresh_token: theirs } = await foreign.login()
  const [revoked, expired] = [await test.login(), await test.login('bob')]

  const code = async (token: string | undefined): Promise<string> => {
    const response = await test.post(URL, { refresh_token: token })
    t.equal(response.statusCode, 401)
    return response.json().code
  }

  t.equal(await code(theirs), 'AUTH_REFRESH_INVALID')
  t.equal(await code(undefined), 'AUTH_ACCESS_MISSING')
  t.equal(await code(revoked.access_token), 'AUTH_REFRESH_INVALID')
  await test.post('/auth/logout', { refresh_token: revoked.refresh_token })
  t.equal(await code(revoked.refresh_token), 'AUTH_REFRESH_REVOKED')
  const byAccess = await test.post(
    URL,
    { refresh_token: expired.refresh_token },
    bearer(revoked.access_token)
  )
  t.equal(byAccess.json().code, 'AUTH_SESSION_REVOKED', 'a revoked access token decides')
  test.clock.advance(8 * DAY)
  t.equal(await code(expired.refresh_token), 'AUTH_REFRESH_EXPIRED')
  t.equal(
    (await test.post(URL, undefined, bearer(expired.access_token))).json().code,
    'AUTH_ACCESS_EXPIRED',
    'without a refresh token, the client refreshes'
  )
})

t.test('logout/all rejects a bearer token by the kind that it claims', async t => {
  const test = await open(t)
  const { access_token: access, refresh_token: refresh = '' } = await test.login()
  const code = async (token: string, body?: object): Promise<string> =>
    (await test.post(URL, body, bearer(token))).json().code

  for (const token of [`${access}A`, access.slice(1), 'garbage']) {
    t.equal(await code(token), 'AUTH_ACCESS_INVALID', 'the client refreshes')
    t.equal(await code(token, { refresh_token: 'garbage' }), 'AUTH_REFRESH_INVALID')
  }

  t.equal(await code(`${refresh}A`), 'AUTH_REFRESH_INVALID', 'the client signs out')
  t.equal((await test.refresh(refresh)).statusCode, 200, 'nothing is revoked')
})

t.test('logout/all rejects the session secret of another session with 401', async t => {
  const store = new MemoryStore()
  const test = await open(t, { store })
  const { refresh_token: token } = await test.login()
  const find = store.find.bind(store)

  store.find = async (realm, id) => {
    const session = await find(realm, id)
    return session && { ...session, secretHash: 'x'.repeat(43) }
  }

  t.equal((await test.post(URL, { refresh_token: token })).json().code, 'AUTH_REFRESH_INVALID')

  store.find = async () => {
    throw new Error('down')
  }

  t.equal((await test.post(URL, { refresh_token: token })).statusCode, 503)
  store.find = find
  t.equal((await test.refresh(token)).statusCode, 200)
})

t.test('logout/all accepts the refresh cookie of its own page only', async t => {
  const test = await open(t, { options: { refreshToken: { transport: 'cookie' } } })
  const own = { 'sec-fetch-site': 'same-origin' }
  const login = await test.post('/auth/login', {
    username: 'ann',
    password: 'correct horse battery staple'
  }, own)
  const cookie = login.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  const foreign = await test.post(URL, undefined, { cookie, 'sec-fetch-site': 'cross-site' })
  t.equal(foreign.json().code, 'AUTH_ORIGIN_REJECTED')
  const response = await test.post(URL, undefined, { cookie, ...own })
  t.equal(response.statusCode, 204)
  t.match(response.headers['set-cookie'], /__Host-auth-refresh=;/)
  t.equal((await test.app.tokenAuth.listSessions('u-ann')).length, 0)
})

t.test('logout/all reads the body also if every route of the scope is protected', async t => {
  const test = await open(t, { options: { protect: 'all' } })
  const { refresh_token: token } = await test.login()
  t.equal((await test.post(URL)).json().code, 'AUTH_ACCESS_MISSING')
  t.equal((await test.post(URL, { refresh_token: token })).statusCode, 204)
})
