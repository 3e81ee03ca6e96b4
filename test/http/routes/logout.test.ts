import t from 'tap'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { DAY, HOUR, MINUTE } from '../../helpers/clock.js'

async function getCode (test: TestApp, token: string | undefined): Promise<string | undefined> {
  return (await test.refresh(token)).json().code
}

t.test('logout by refresh token revokes both tokens of its session immediately', async t => {
  const test = await createTestApp()
  t.teardown(() => test.app.close())
  const [one, other] = [await test.login(), await test.login()]
  const response = await test.post('/auth/logout', { refresh_token: one.refresh_token })
  t.equal(response.statusCode, 204)
  t.equal(response.headers['cache-control'], 'no-store')
  t.equal(response.body, '')
  t.equal(await getCode(test, one.refresh_token), 'AUTH_REFRESH_REVOKED')
  t.equal((await test.get('/protected', one.access_token)).json().code, 'AUTH_SESSION_REVOKED')
  t.equal((await test.get('/protected', other.access_token)).statusCode, 200)
  t.equal((await test.refresh(other.refresh_token)).statusCode, 200)
  t.match(test.events.find(event => event.name === 'session-ended'), {
    reason: 'logout',
    local: true
  })
})

t.test('logout accepts bearer tokens, forms, old generations and expired tokens', async t => {
  const test = await createTestApp()
  t.teardown(() => test.app.close())
  const url = '/auth/logout'
  const ways: Record<
    string,
    (pair: { access: string, refresh: string, next: string }) => Promise<{ statusCode: number }>
  > = {
    'refresh token as bearer': ({ refresh }) =>
      test.post(url, undefined, { authorization: `Bearer ${refresh}` }),
    'access token as bearer': ({ access }) =>
      test.post(url, undefined, { authorization: `Bearer ${access}` }),
    form: ({ next }) =>
      test.app.inject({
        method: 'POST',
        url,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        payload: `refresh_token=${next}`
      }),
    'an old generation': ({ refresh }) => test.post(url, { refresh_token: refresh }),
    'both, as interceptors send them': ({ access, next }) =>
      test.post(url, { refresh_token: next }, { authorization: `Bearer ${access}` }),
    'a broken refresh token beside an access token': ({ access }) =>
      test.post(url, { refresh_token: 'broken' }, { authorization: `Bearer ${access}` }),
    'an access token that has expired': ({ access }) => {
      test.clock.advance(HOUR)
      return test.post(url, undefined, { authorization: `Bearer ${access}` })
    }
  }

  for (const [way, logOut] of Object.entries(ways)) {
    const first = await test.login()
    const second = (await test.refresh(first.refresh_token)).json()
    const pair = {
      access: second.access_token,
      refresh: first.refresh_token ?? '',
      next: second.refresh_token
    }
    t.equal((await logOut(pair)).statusCode, 204, way)
    t.equal(await getCode(test, pair.next), 'AUTH_REFRESH_REVOKED', way)
  }
})

t.test('logout of an unknown session is no error', async t => {
  const test = await createTestApp()
  t.teardown(() => test.app.close())
  const foreign = await createTestApp({
    options: { secret: 'another secret that is long enough!' }
  })
  t.teardown(() => foreign.app.close())
  const mine = await test.login()
  const { refresh_token: theirs = '', access_token: access } = await foreign.login()

  for (const token of ['nonsense', theirs, access]) {
    t.equal((await test.post('/auth/logout', { refresh_token: token })).statusCode, 204)
  }

  const [session] = await test.app.tokenAuth.listSessions('u-ann')
  t.equal(
    (await test.post('/auth/logout', { refresh_token: session?.id })).statusCode,
    204,
    'a bare id proves nothing'
  )
  t.equal((await test.refresh(mine.refresh_token)).statusCode, 200)
  await test.post('/auth/logout', { refresh_token: mine.refresh_token })
  t.equal(
    (await test.post('/auth/logout', { refresh_token: mine.refresh_token })).statusCode,
    204,
    'over already'
  )
  test.clock.advance(90 * DAY)
  t.equal(
    (await test.post('/auth/logout', { refresh_token: mine.refresh_token })).statusCode,
    204,
    'long ended'
  )
  t.equal(test.events.filter(event => event.name === 'session-ended').length, 1)
})

t.test('logout without a token results in 401', async t => {
  const test = await createTestApp()
  t.teardown(() => test.app.close())
  const response = await test.post('/auth/logout')
  t.equal(response.statusCode, 401)
  t.equal(response.json().code, 'AUTH_REFRESH_MISSING')
  t.ok(response.headers['www-authenticate'])
})

t.test('logout/all revokes every session of the user only', async t => {
  const test = await createTestApp()
  t.teardown(() => test.app.close())
  const [one, two, bob] = [await test.login(), await test.login(), await test.login('bob')]
  test.clock.advance(MINUTE)
  const response = await test.post('/auth/logout/all', undefined, {
    authorization: `Bearer ${one.access_token}`
  })
  t.equal(response.statusCode, 204)

  for (const { refresh_token: token, access_token: access } of [one, two]) {
    t.equal(await getCode(test, token), 'AUTH_REFRESH_REVOKED')
    t.equal((await test.get('/protected', access)).json().code, 'AUTH_SESSION_REVOKED')
  }

  t.equal((await test.get('/protected', bob.access_token)).statusCode, 200)
  t.match(test.events.at(-1), {
    name: 'session-ended',
    userId: 'u-ann',
    local: true,
    reason: 'logout-all'
  })
  test.clock.advance(1)
  const again = await test.login()
  t.equal(
    (await test.get('/protected', again.access_token)).statusCode,
    200,
    'a new login is not concerned'
  )
})

t.test('revokeUser with `keep` keeps one session and rejects pending logins', async t => {
  const test = await createTestApp()
  t.teardown(() => test.app.close())
  const [one, two] = [await test.login(), await test.login()]
  const { sessionId: keep } = (await test.get('/protected', one.access_token)).json()
  test.clock.advance(1)
  t.equal(await test.app.tokenAuth.revokeUser('u-ann', { keep }), 1)
  t.equal((await test.get('/protected', one.access_token)).statusCode, 200)
  t.equal((await test.get('/protected', two.access_token)).statusCode, 401)
  t.equal((await test.refresh(one.refresh_token)).statusCode, 200)
})
