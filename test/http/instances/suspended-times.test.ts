import t from 'tap'
import type { AttemptStore } from '../../../src/index.js'
import { MemoryAttempts } from '../../../src/stores/memory/index.js'
import { PASSWORD, REALM } from '../../helpers/app.js'
import { HOUR, MINUTE, SECOND } from '../../helpers/clock.js'
import { DpopClient } from '../../helpers/dpop.js'
import { basic, CLIENT_SECRET, clients, ISSUER } from '../oauth/demo.js'
import { startPair } from './suspended-setup.js'
import type { Pair } from './suspended-setup.js'

const credentials = { username: 'ann', password: PASSWORD }

// A `MemoryAttempts` is not accepted, because every instance would have one of its own.
function createSharedAttempts (): AttemptStore {
  const attempts = new MemoryAttempts()

  return new Proxy<AttemptStore>(attempts, {
    get: (target, name) => Reflect.get(target, name).bind(target),
    getPrototypeOf: () => Object.prototype
  })
}

/** Polls the feed of the second instance. */
async function poll ({ second }: Pair): Promise<void> {
  await second.app.tokenAuth.revokeUser('u-cyd')
}

t.test('a login after a suspension returns an access token that has not expired', async t => {
  const { first, second, suspend } = await startPair(t)
  suspend(HOUR)
  const { access_token: token } = await first.login()
  t.equal((await second.get('/protected', token)).statusCode, 200)
})

t.test('openSession after a suspension records the time of the authentication', async t => {
  const { first, clock, suspend } = await startPair(t)
  suspend(HOUR)
  await first.app.tokenAuth.openSession('u-ann', { headers: {} })
  const [session] = await first.app.tokenAuth.listSessions('u-ann')
  t.equal(session?.authenticatedAt, clock())
  t.equal(session?.createdAt, clock())
})

t.test('an access token that expired during a suspension is not active', async t => {
  const { first, suspend } = await startPair(t, {
    issuer: ISSUER,
    audience: 'api',
    oauth: { clients }
  })
  const { access_token: token } = await first.login()
  suspend(16 * MINUTE)
  const response = await first.app.inject({
    method: 'POST',
    url: '/auth/introspect',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...basic('orders', CLIENT_SECRET)
    },
    payload: new URLSearchParams({ token }).toString()
  })
  t.strictSame(response.json(), { active: false })
})

t.test('a refresh token that expired during a suspension cannot end all sessions', async t => {
  const { first, suspend } = await startPair(t, {
    refreshToken: { confirmWrites: 'immediate', lifetime: '1h' }
  })
  const { refresh_token: token } = await first.login()
  suspend(2 * HOUR)
  const response = await first.post('/auth/logout/all', { refresh_token: token })
  t.match(response.json(), { statusCode: 401, code: 'AUTH_REFRESH_EXPIRED' })
})

t.test('a logout after a suspension is known to the other instances', async t => {
  const pair = await startPair(t)
  const { first, second, suspend } = pair
  suspend(4 * HOUR)
  const { access_token: access, refresh_token: refresh } = await second.login()
  t.equal((await first.post('/auth/logout', { refresh_token: refresh })).statusCode, 204)
  await poll(pair)
  t.match((await second.get('/protected', access)).json(), { code: 'AUTH_SESSION_REVOKED' })
  const ended = second.events.find(event =>
    event.name === 'session-ended' && event.userId === 'u-ann'
  )
  t.equal(ended?.at, pair.clock())
})

for (const method of ['revokeAll', 'revokeUser'] as const) {
  t.test(`${method} after a suspension ends the sessions from during it`, async t => {
    const pair = await startPair(t)
    const { first, second, suspend } = pair
    suspend(HOUR)
    const { access_token: access, refresh_token: refresh } = await second.login()
    await first.app.tokenAuth[method]('u-ann')
    await poll(pair)
    t.match((await second.get('/protected', access)).json(), { code: 'AUTH_SESSION_REVOKED' })
    t.match((await second.refresh(refresh)).json(), { code: 'AUTH_REFRESH_REVOKED' })
    const entries = await second.store.revocations({ within: HOUR }, 10)
    t.match(entries.entries.find(entry => entry.realm === REALM), { at: pair.clock() })
  })
}

t.test('sessions that expired during a suspension are not listed', async t => {
  const { first, suspend } = await startPair(t, {
    refreshToken: { confirmWrites: 'immediate', lifetime: '1h' }
  })
  await first.login()
  suspend(2 * HOUR)
  t.strictSame(await first.app.tokenAuth.listSessions('u-ann'), [])
})

t.test('a one-time token that expired during a suspension is rejected', async t => {
  const { first, suspend } = await startPair(t, {
    throttle: { attempts: createSharedAttempts() }
  })
  const { oneTimeTokens } = first.app.tokenAuth
  const expected = { purpose: 'invite' }
  const { token } = await oneTimeTokens.create({ ...expected, subject: 'u-ann', lifetime: '1h' })
  suspend(2 * HOUR)
  await t.rejects(oneTimeTokens.redeem(token, expected), { code: 'AUTH_ONE_TIME_EXPIRED' })
})

t.test('a one-time token from after a suspension has its whole lifetime', async t => {
  const { first, clock, suspend } = await startPair(t, {
    throttle: { attempts: createSharedAttempts() }
  })
  suspend(2 * HOUR)
  const { expiresAt } = await first.app.tokenAuth.oneTimeTokens.create({
    purpose: 'invite',
    subject: 'u-ann',
    lifetime: '1h'
  })
  t.ok(expiresAt > clock() + HOUR - 2 * SECOND)
})

t.test('an account that was blocked before a suspension can log in after it', async t => {
  const { first, suspend } = await startPair(t, {
    throttle: { attempts: createSharedAttempts(), account: { freeAttempts: 1 } }
  })

  for (const expected of [401, 429]) {
    const response = await first.post('/auth/login', { ...credentials, password: 'wrong' })
    t.equal(response.statusCode, expected)
  }

  suspend(HOUR)
  t.equal((await first.post('/auth/login', credentials)).statusCode, 200)
})

t.test('verifyLogin counts attempts by the time after a suspension', async t => {
  const { first, suspend } = await startPair(t, {
    throttle: { attempts: createSharedAttempts(), account: { freeAttempts: 1 } }
  })
  await first.post('/auth/login', { ...credentials, password: 'wrong' })
  suspend(HOUR)
  const user = await first.app.tokenAuth.verifyLogin(
    { login: 'ann', password: PASSWORD },
    { headers: {} }
  )
  t.equal(user.id, 'u-ann')
})

for (const path of ['/auth/login', '/auth/refresh']) {
  t.test(`${path} accepts a DPoP proof from after a suspension`, async t => {
    const { first, clock, suspend } = await startPair(t, { dpop: { nonces: false } })
    const holder = new DpopClient(first.app)
    const send = (url: string, body: object): ReturnType<typeof holder.sendOnce> =>
      holder.sendOnce('POST', url, { body, claims: { iat: Math.floor(clock() / SECOND) } })
    const login = (await send('/auth/login', credentials)).json()
    suspend(HOUR)
    const { refresh_token: token } = login
    const body = path === '/auth/login' ? credentials : { refresh_token: token }
    t.equal((await send(path, body)).statusCode, 200)
  })
}
