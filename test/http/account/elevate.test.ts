import t from 'tap'
import { createTestApp, PASSWORD, REALM } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { MINUTE, SECOND } from '../../helpers/clock.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { decode, open } from './elevate-setup.js'

t.test('elevate returns a fresh access token of the same session and generation', async t => {
  const { clock, login, get, elevate, calls } = await open(t, {
    issuer: 'https://auth.test',
    audience: 'api',
    keys: [{ key: (await import('node:crypto')).generateKeyPairSync('ed25519').privateKey }],
    users: {
      findByLogin: login => test.users.get(`u-${login}`),
      findById: id => test.users.get(id),
      claims: () => ({ scope: 'read pay', role: 'admin' })
    }
  })
  const test = await createTestApp()
  t.teardown(() => test.app.close())
  const first = await login()
  clock.advance(10 * MINUTE)
  t.equal((await get('/pay', first.access_token)).json().code, 'AUTH_REAUTHENTICATION_REQUIRED')
  calls.length = 0
  const response = await elevate(first.access_token)
  t.equal(response.statusCode, 200)
  t.strictSame(calls.filter(verb => verb !== 'find'), [], 'writes nothing')
  t.equal(response.headers['cache-control'], 'no-store')
  const { access_token: token, ...rest } = response.json()
  t.strictSame(rest, {
    token_type: 'bearer',
    expires_in: 900,
    user: { id: 'u-ann', username: 'ann' }
  })
  const [before, after] = [decode(first.access_token), decode(token)]
  const { iat, exp, auth_time: at, jti, login_amr: loginAmr, ...same } = after
  const { iat: _iat, exp: _exp, auth_time: loginAt, jti: loginJti, ...old } = before
  t.strictSame(same, old, 'with what the login had')
  t.strictSame(loginAmr, ['pwd'])
  t.equal(at, Math.floor(clock() / 1000))
  t.equal(loginAt, Math.floor(clock() / 1000) - 600)
  t.equal(iat, at)
  t.not(jti, loginJti)
  t.equal((await get('/pay', token)).statusCode, 200)
  const again = (await elevate(token)).json().access_token
  t.not(decode(again)['jti'], jti, 'another ID in the same second')
})

t.test('a step-up lists no new session and is gone after a refresh', async t => {
  const { app, clock, login, get, elevate, refresh, events } = await open(t)
  const { access_token: token, refresh_token: refreshToken } = await login()
  const listed = await app.tokenAuth.listSessions('u-ann')
  clock.advance(10 * MINUTE)
  const elevated = (await elevate(token)).json().access_token
  t.equal((await get('/pay', elevated)).statusCode, 200)
  t.strictSame(await app.tokenAuth.listSessions('u-ann'), listed)
  t.strictSame(events.map(({ name }) => name), ['login'])
  const next = (await refresh(refreshToken)).json().access_token
  t.equal((await get('/pay', next)).statusCode, 403)
  t.strictSame(decode(next)['amr'], ['pwd'])
  t.notOk('login_amr' in decode(next))
})

t.test('silent renewal of the token of a step-up restores the login', async t => {
  const { app, clock, get } = await open(t, {
    accessToken: { lifetime: '15m', renewWithin: '5m' }
  })
  const issued = await app.tokenAuth.openSession('u-ann', { headers: {} }, { amr: ['face', 'pin'] })
  const loginAt = decode(issued.access_token)['auth_time']
  clock.advance(6 * MINUTE)
  const elevated = (await app.inject({
    method: 'POST',
    url: '/passkey',
    headers: { authorization: `Bearer ${issued.access_token}` }
  })).json().access_token
  t.equal((await get('/sign', elevated)).statusCode, 200)
  clock.advance(11 * MINUTE)
  const renewed = (await get('/protected', elevated)).headers['x-new-token'] as string
  t.match(decode(renewed), { amr: ['face', 'pin'], auth_time: loginAt })
  t.notOk('login_amr' in decode(renewed))
})

t.test('the response to a step-up has no renewed token of the login', async t => {
  const { clock, login, elevate, get } = await open(t, {
    accessToken: { lifetime: '15m', renewWithin: '5m' }
  })
  const { access_token: token } = await login()
  clock.advance(11 * MINUTE)
  t.ok((await get('/protected', token)).headers['x-new-token'])
  const response = await elevate(token)
  t.equal(response.statusCode, 200)
  t.notOk(response.headers['x-new-token'])
})

t.test('an outdated access token cannot be elevated', async t => {
  const { clock, login, get, elevate, refresh, app } = await open(t)
  const first = await login()
  const second = (await refresh(first.refresh_token)).json()
  t.equal((await elevate(first.access_token)).statusCode, 200, 'previous, within the grace period')
  clock.advance(MINUTE)
  t.equal((await elevate(first.access_token)).statusCode, 200, 'previous, successor not used')
  await get('/protected', second.access_token)
  const previous = await elevate(first.access_token)
  t.match(previous.json(), { statusCode: 401, code: 'AUTH_ACCESS_EXPIRED' }, 'successor used')
  t.match(previous.headers['www-authenticate'], /error="invalid_token"/)
  const third = (await refresh(second.refresh_token)).json()
  t.equal((await elevate(first.access_token)).json().code, 'AUTH_ACCESS_EXPIRED', 'two behind')
  const byApp = await app.inject({
    method: 'POST',
    url: '/passkey',
    headers: { authorization: `Bearer ${first.access_token}` }
  })
  t.equal(byApp.json().code, 'AUTH_ACCESS_EXPIRED', 'for the method too')
  t.equal((await elevate(third.access_token)).statusCode, 200)
})

t.test('a wrong password of an outdated token is not checked', async t => {
  const { clock, login, get, elevate, refresh, events } = await open(t)
  const first = await login()
  const second = (await refresh(first.refresh_token)).json()
  clock.advance(MINUTE)
  await get('/protected', second.access_token)
  t.equal((await elevate(first.access_token, { password: 'x' })).json().code, 'AUTH_ACCESS_EXPIRED')
  t.notOk(events.some(({ name }) => name === 'login-rejected'))
})

t.test('a session that another instance revoked cannot be elevated', async t => {
  const store = new MemoryStore()
  const { clock, login, elevate, app } = await open(t, {}, { store })
  const { access_token: token } = await login()
  const [session] = await app.tokenAuth.listSessions('u-ann')
  const target = { realm: REALM, sessionId: session?.id ?? '' }
  await store.revoke(target, { at: clock(), reason: 'revoked' })
  t.equal((await elevate(token)).json().code, 'AUTH_SESSION_REVOKED')
  t.equal(
    (await app.inject({ url: '/protected', headers: { authorization: `Bearer ${token}` } }))
      .json().code,
    'AUTH_SESSION_REVOKED',
    'and this instance knows it now'
  )
})

t.test('a user whose sessions were revoked, or who is disabled, cannot be elevated', async t => {
  const store = new MemoryStore()
  const { clock, login, elevate, users } = await open(t, {}, { store })
  const { access_token: ann } = await login()
  await store.revoke({ realm: REALM, userId: 'u-ann' }, { at: clock(), reason: 'revoked' })
  t.equal((await elevate(ann)).json().code, 'AUTH_SESSION_REVOKED')
  const { access_token: bob } = await login('bob')
  Object.assign(users.get('u-bob') ?? {}, { disabled: true })
  t.equal((await elevate(bob)).json().code, 'AUTH_SESSION_REVOKED')
})

t.test('a session that is revoked while the password is checked is not elevated', async t => {
  const store = new MemoryStore()

  let during = async (): Promise<void> => {}

  const test = await open(t, {
    users: {
      findByLogin: login => test.users.get(`u-${login}`),
      findById: async id => {
        await during()
        return test.users.get(id)
      }
    }
  }, { store })
  const { access_token: token } = await test.login()

  during = async () => {
    await store.revoke({ realm: REALM, userId: 'u-ann' }, { at: test.clock(), reason: 'revoked' })
  }

  t.equal((await test.elevate(token)).json().code, 'AUTH_SESSION_REVOKED')
})

t.test('elevate responds with 503 if the store fails', async t => {
  const breakable = createBreakableStore(new MemoryStore())
  const { login, elevate } = await open(t, {}, { store: breakable.store })
  const { access_token: token } = await login()
  breakable.break('throws', ['find'])
  const response = await elevate(token)
  t.match(response.json(), { statusCode: 503, code: 'AUTH_STORE_UNAVAILABLE' })
  breakable.break(null)
  t.equal((await elevate(token)).statusCode, 200)
})

t.test('elevate requires a token and a string as password', async t => {
  const { login, elevate, post } = await open(t)
  const { access_token: token } = await login()
  t.equal((await elevate()).json().code, 'AUTH_ACCESS_MISSING')
  t.equal((await elevate(token, {})).statusCode, 400)
  t.equal((await elevate(token, { password: '' })).statusCode, 400)
  t.equal((await elevate(token, { password: ['x'] })).statusCode, 400)
  const form = await post(
    '/auth/elevate',
    `password=${encodeURIComponent(PASSWORD)}` as unknown as object,
    {
      authorization: `Bearer ${token}`,
      'content-type': 'application/x-www-form-urlencoded'
    }
  )
  t.equal(form.statusCode, 200)
})

t.test('a wrong password is rejected like that of a login', async t => {
  const { login, elevate, post, events } = await open(t)
  const { access_token: token } = await login()
  const wrong = await elevate(token, { password: 'wrong' })
  const atLogin = await post('/auth/login', { username: 'ann', password: 'wrong' })
  t.equal(wrong.body, atLogin.body)
  t.match(events.at(-1), { name: 'login-rejected', userId: 'u-ann', reason: 'wrong-password' })
})

t.test('failed step-ups and failed logins share one limit', async t => {
  const { login, elevate, post, clock } = await open(t, { throttle: {} })
  const { access_token: token } = await login()

  for (let i = 0; i < 5; i++) {
    t.equal((await elevate(token, { password: 'wrong' })).statusCode, 401)
    const credentials = { username: 'ann', password: 'wrong' }
    t.equal((await post('/auth/login', credentials)).statusCode, 401)
  }

  const blocked = await elevate(token)
  t.match(blocked.json(), { statusCode: 429, code: 'AUTH_TOO_MANY_ATTEMPTS' })
  t.equal(blocked.headers['retry-after'], '1')
  const atLogin = await post('/auth/login', { username: 'ann', password: PASSWORD })
  t.equal(atLogin.statusCode, 429)
  clock.advance(SECOND)
  t.equal((await elevate(token)).statusCode, 200)
  t.equal((await post('/auth/login', { username: 'ann', password: PASSWORD })).statusCode, 200)
})

t.test('a step-up responds with 429 if another name blocks the user', async t => {
  const test = await open(t, {
    throttle: {},
    users: {
      findByLogin: login => test.users.get(login === '555' ? 'u-ann' : `u-${login}`),
      findById: id => test.users.get(id)
    }
  })
  const { access_token: token } = await test.login()

  for (let i = 0; i < 10; i++) {
    await test.post('/auth/login', { username: '555', password: 'wrong' })
  }

  t.equal((await test.elevate(token)).json().code, 'AUTH_TOO_MANY_ATTEMPTS')
})

t.test('a known device can be elevated while the account is blocked', async t => {
  const { login, elevate, post } = await open(t, { throttle: {} })
  const { access_token: token, device_token: device } = await login()

  for (let i = 0; i < 10; i++) {
    await post('/auth/login', { username: 'ann', password: 'wrong' })
  }

  t.equal((await elevate(token)).statusCode, 429)
  t.equal((await elevate(token, { password: PASSWORD, device_token: device })).statusCode, 200)
})

t.test('elevate works without rotation and without refresh tokens', async t => {
  for (const options of [{ rotation: false }, { refreshToken: false }] as const) {
    const { clock, login, elevate, get } = await open(t, {
      ...options,
      accessToken: { lifetime: '1h' }
    })
    const { access_token: token } = await login()
    clock.advance(10 * MINUTE)
    const response = await elevate(token)
    t.equal(response.statusCode, 200)
    t.notOk(response.json().refresh_token)
    t.equal((await get('/pay', response.json().access_token)).statusCode, 200)
  }
})

t.test('the route is off without the login route, unless it has a path', async t => {
  const off = await open(t, { routes: { login: false } })
  t.equal((await off.elevate('x')).statusCode, 404)
  const on = await open(t, { routes: { login: false, elevate: '/step-up' } })
  t.equal((await on.post('/auth/step-up', { password: 'x' })).statusCode, 401)
  const moved = await open(t, { routes: { elevate: false } })
  t.equal((await moved.elevate('x')).statusCode, 404)
})
