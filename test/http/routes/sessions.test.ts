import t from 'tap'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import { MINUTE } from '../../helpers/clock.js'

t.test('the list contains the live sessions of the user, newest first', async t => {
  const { app, clock, login, get, post, refresh } = await createTestApp()
  t.teardown(() => app.close())
  const old = await login()
  clock.advance(MINUTE)
  const over = await login()
  await login('bob')
  await post('/auth/logout', { refresh_token: over.refresh_token })
  const createdAt = new Date(clock()).toISOString()
  const now = await login()
  clock.advance(MINUTE)
  await refresh(now.refresh_token)
  const response = await get('/auth/sessions', now.access_token)
  t.equal(response.headers['cache-control'], 'no-store')
  const { sessions } = response.json()
  t.equal(sessions.length, 2)
  const [current, other] = sessions
  t.strictSame(current, {
    id: current.id,
    current: true,
    device: null,
    ip: '127.0.0.1',
    user_agent: 'lightMyRequest',
    created_at: createdAt,
    last_used_at: new Date(clock()).toISOString(),
    expires_at: new Date(clock() + 7 * 24 * 60 * MINUTE).toISOString()
  })
  t.equal(other.current, false)
  t.equal((await get('/auth/sessions', old.access_token)).json().sessions[1].current, true)
})

t.test('one session can be revoked', async t => {
  const { app, login, get, refresh } = await createTestApp()
  t.teardown(() => app.close())
  const [here, there] = [await login(), await login()]
  const { sessionId: id } = (await get('/protected', there.access_token)).json()
  const response = await app.inject({
    method: 'DELETE',
    url: `/auth/sessions/${id}`,
    headers: { authorization: `Bearer ${here.access_token}` }
  })
  t.equal(response.statusCode, 204)
  t.equal((await refresh(there.refresh_token)).json().code, 'AUTH_REFRESH_REVOKED')
  t.equal((await get('/protected', there.access_token)).json().code, 'AUTH_SESSION_REVOKED')
  t.equal((await get('/protected', here.access_token)).statusCode, 200)
})

t.test('the session of another user is not revoked', async t => {
  const { app, login, get, refresh } = await createTestApp()
  t.teardown(() => app.close())
  const [ann, bob] = [await login(), await login('bob')]
  const { sessionId: id } = (await get('/protected', bob.access_token)).json()
  const end = async (id: string, body?: object): Promise<{ statusCode: number }> =>
    app.inject({
      method: 'DELETE',
      url: `/auth/sessions/${id}`,
      headers: {
        authorization: `Bearer ${ann.access_token}`,
        ...(body && { 'content-type': 'application/json' })
      }
    })
  t.equal((await end(id)).statusCode, 204)
  t.equal(
    (await end('unknown', {})).statusCode,
    204,
    'also with a content type and no body, as axios sends it'
  )
  t.equal((await refresh(bob.refresh_token)).statusCode, 200)
  t.equal((await get('/protected', bob.access_token)).statusCode, 200)
})

t.test('me returns the current user', async t => {
  const { app, clock, login, get, users, refresh } = await createTestApp()
  t.teardown(() => app.close())
  const { access_token: access, refresh_token: token } = await login()
  const ann = users.get('u-ann')

  if (ann) {
    ann.email = 'ann@example.org'
  }

  t.strictSame((await get('/auth/me', access)).json(), {
    id: 'u-ann',
    username: 'ann',
    email: 'ann@example.org'
  })
  users.delete('u-ann')
  t.equal((await get('/auth/me', access)).json().code, 'AUTH_SESSION_REVOKED')
  t.equal((await app.tokenAuth.listSessions('u-ann')).length, 1, 'a GET request revokes no session')
  clock.advance(MINUTE)
  t.equal((await refresh(token)).json().code, 'AUTH_REFRESH_REVOKED')
  t.equal((await get('/protected', access)).json().code, 'AUTH_SESSION_REVOKED')
})

t.test('DELETE sessions revokes all sessions except the current one', async t => {
  const { app, login, get, refresh } = await createTestApp()
  t.teardown(() => app.close())
  const [one, two, here] = [await login(), await login(), await login()]
  const bob = await login('bob')
  const headers = { authorization: `Bearer ${here.access_token}` }
  t.equal((await app.inject({ method: 'DELETE', url: '/auth/sessions', headers })).statusCode, 204)

  for (const { access_token: token } of [one, two]) {
    t.equal((await get('/protected', token)).json().code, 'AUTH_SESSION_REVOKED')
  }

  for (const { refresh_token: token } of [one, two]) {
    t.equal((await refresh(token)).json().code, 'AUTH_REFRESH_REVOKED')
  }

  for (const { refresh_token: token } of [here, bob]) {
    t.equal((await refresh(token)).statusCode, 200)
  }
})

t.test('maxSessions revokes the oldest session', async t => {
  const { app, clock, login, get, refresh, events } = await createTestApp({
    options: { maxSessions: 2 }
  })
  t.teardown(() => app.close())
  const first = await login()
  clock.advance(MINUTE)
  const second = await login()
  clock.advance(MINUTE)
  const bob = await login('bob')
  const used = (await refresh(first.refresh_token)).json()
  events.length = 0
  const third = await login()
  t.match(events.filter(({ name }) => name === 'session-ended'), [{
    reason: 'too-many',
    local: true
  }])
  t.equal((await get('/protected', used.access_token)).json().code, 'AUTH_SESSION_REVOKED')

  for (const { access_token: token } of [second, third, bob]) {
    t.equal((await get('/protected', token)).statusCode, 200)
  }
})

t.test('maxSessions does not count the session that a login replaces', async t => {
  const { app, clock, login, get } = await createTestApp({
    options: { maxSessions: 2, refreshToken: { transport: 'both' } }
  })
  t.teardown(() => app.close())

  const loginInBrowser = async (cookie?: string): Promise<string> => {
    clock.advance(MINUTE)
    const response = await app.inject({
      method: 'POST',
      url: '/auth/login',
      headers: {
        'x-token-transport': 'cookie',
        'sec-fetch-site': 'same-origin',
        ...(cookie !== undefined && { cookie })
      },
      payload: { username: 'ann', password: PASSWORD }
    })
    t.equal(response.statusCode, 200)
    return response.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  }

  const { access_token: phone } = await login()
  const first = await loginInBrowser()
  const second = await loginInBrowser(first)
  t.equal((await get('/protected', phone)).statusCode, 200)
  await loginInBrowser()
  t.equal((await get('/protected', phone)).statusCode, 401, 'without a cookie, nothing is replaced')
  t.not(second, first)
})

t.test('maxSessions keeps logins of the same millisecond until the next login', async t => {
  const { app, clock, login, get } = await createTestApp({ options: { maxSessions: 1 } })
  t.teardown(() => app.close())

  for (let round = 0; round < 5; round++) {
    const tokens = await Promise.all(Array.from({ length: 4 }, () => login()))

    const live = async (): Promise<number> => {
      const answers = await Promise.all(
        tokens.map(({ access_token: token }) => get('/protected', token))
      )
      return answers.filter(({ statusCode }) => statusCode === 200).length
    }

    t.ok(await live() >= 1)
    clock.advance(1)
    const { access_token: next } = await login()
    t.equal(await live(), 0)
    t.equal((await get('/protected', next)).statusCode, 200)
    clock.advance(MINUTE)
  }
})

t.test('passwordChanged revokes all sessions except one', async t => {
  const { app, login, get, events } = await createTestApp()
  t.teardown(() => app.close())
  const [elsewhere, here] = [await login(), await login()]
  const { sessionId } = (await get('/protected', here.access_token)).json()
  t.equal(await app.tokenAuth.passwordChanged('u-ann', { keep: sessionId }), 1)
  t.match(events.at(-1), { name: 'session-ended', reason: 'password-changed', userId: 'u-ann' })
  t.equal((await get('/protected', elsewhere.access_token)).statusCode, 401)
  t.equal((await get('/protected', here.access_token)).statusCode, 200)
})

t.test('events name who opened and who revoked a session', async t => {
  const { app, login, refresh, events } = await createTestApp({
    options: { maxSessions: 2 },
    after: app => {
      app.post('/open', request => app.tokenAuth.openSession('u-ann', request))
    }
  })
  t.teardown(() => app.close())
  const { access_token: token } = await login()
  const { refresh_token: opened } = (await app.inject({ method: 'POST', url: '/open' })).json()
  const revoke = (): Promise<unknown> =>
    app.inject({
      method: 'DELETE',
      url: '/auth/sessions',
      headers: { authorization: `Bearer ${token}` }
    })
  await revoke()
  t.equal((await refresh(opened)).statusCode, 401)
  await app.tokenAuth.revokeUser('u-ann')
  await app.tokenAuth.revokeAll()
  await login('bob')
  await login('bob')
  await login('bob')
  const actors = events
    .filter(({ name }) => name === 'login' || name === 'session-ended')
    .map(({ name, actor }) => `${name} ${actor}`)
  t.strictSame([...new Set(actors)], [
    'login client',
    'login app',
    'session-ended client',
    'session-ended app',
    'session-ended plugin'
  ])
  t.equal(actors.at(-1), 'session-ended plugin')
})
