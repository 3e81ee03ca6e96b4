import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, REALM } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createClock, DAY, MINUTE, SECOND } from '../../helpers/clock.js'
import { DpopClient } from '../../helpers/dpop.js'
import { oauth } from '../dpop/dpop-app.js'

interface Pair {
  readonly one: TestApp
  readonly other: TestApp
  readonly token: string
  readonly sessionId: string
}

/** Two instances on one store, and a session that was opened at `one`. */
async function startPair (t: Test, options: Partial<TokenAuthOptions> = {}): Promise<Pair> {
  const shared = { store: new MemoryStore(), clock: createClock(), options }
  const one = await createTestApp(shared)
  const other = await createTestApp(shared)
  t.teardown(() => Promise.all([one.app.close(), other.app.close()]))
  const { refresh_token: token = '' } = await one.login()
  const [session] = await one.app.tokenAuth.listSessions('u-ann')
  return { one, other, token, sessionId: session?.id ?? '' }
}

/** Event that the instance emits for one rejected refresh token. */
function rejection ({ one, sessionId }: Pair, reason: string, members: object = {}): object {
  return {
    realm: REALM,
    actor: 'client',
    at: one.clock(),
    sessionId,
    userId: 'u-ann',
    address: '127.0.0.1',
    userAgent: 'lightMyRequest',
    reason,
    revokedFor: null,
    count: 1,
    ...members
  }
}

t.test('an expired token is reported', async t => {
  const pair = await startPair(t)
  pair.one.clock.advance(7 * DAY)
  t.equal((await pair.other.refresh(pair.token)).statusCode, 401)
  t.strictSame(pair.other.rejections, [rejection(pair, 'expired')])
})

t.test('a token of a session that the store does not have is reported', async t => {
  const pair = await startPair(t)
  const elsewhere = await createTestApp({ clock: pair.one.clock })
  t.teardown(() => elsewhere.app.close())
  t.equal((await elsewhere.refresh(pair.token)).statusCode, 401)
  t.strictSame(elsewhere.rejections, [rejection(pair, 'unknown')])
  t.match(elsewhere.events, [{ name: 'session-missing' }])
})

t.test('a token of a revoked session is reported with the reason of the revocation', async t => {
  const pair = await startPair(t)
  const { one, other, token } = pair
  await one.app.tokenAuth.passwordChanged('u-ann')
  t.equal((await other.refresh(token)).statusCode, 401)
  t.strictSame(other.rejections, [
    rejection(pair, 'revoked', { revokedFor: 'password-changed' })
  ])
  t.strictSame(one.rejections, [])
})

t.test('a token of a disabled user is reported as revoked', async t => {
  const pair = await startPair(t)
  const { other, token } = pair
  Object.assign(other.users.get('u-ann') ?? {}, { disabled: true })
  t.equal((await other.refresh(token)).statusCode, 401)
  t.strictSame(other.rejections, [rejection(pair, 'revoked', { revokedFor: 'user-gone' })])
})

t.test('the session of a disabled user keeps the reason of an earlier revocation', async t => {
  const pair = await startPair(t)
  const { one, other, token } = pair
  await one.post('/auth/logout', { refresh_token: token })
  other.users.delete('u-ann')
  t.equal((await other.refresh(token)).statusCode, 401)
  t.strictSame(other.rejections, [rejection(pair, 'revoked', { revokedFor: 'logout' })])
})

t.test('a reused token is reported by each instance that gets it', async t => {
  const pair = await startPair(t)
  const { one, other, token, sessionId } = pair
  const next = (await one.refresh(token)).json().refresh_token
  one.clock.advance(MINUTE)
  t.equal((await one.refresh(next)).statusCode, 200)
  one.clock.advance(1)
  t.equal((await other.refresh(token)).json().code, 'AUTH_REFRESH_REUSED')
  t.strictSame(other.rejections, [rejection(pair, 'reused')])
  t.match(other.events.at(-1), { name: 'reuse', sessionId })
  t.equal((await one.refresh(next)).json().code, 'AUTH_REFRESH_REVOKED')
  t.strictSame(one.rejections, [rejection(pair, 'revoked', { revokedFor: 'reuse' })])
})

t.test('a suspicious replay that revokes the session is reported as reused', async t => {
  const pair = await startPair(t, {
    refreshToken: { replayDetection: 'revoke', isSameClient: () => false }
  })
  const { one, other, token } = pair
  t.equal((await one.refresh(token)).statusCode, 200)
  one.clock.advance(MINUTE)
  t.equal((await other.refresh(token)).json().code, 'AUTH_REFRESH_REUSED')
  t.strictSame(other.rejections, [rejection(pair, 'reused')])
  t.match(other.events.at(-1), { name: 'suspicious-replay', revoked: true })
})

t.test('a token of the app is reported at the token endpoint of OAuth clients', async t => {
  const pair = await startPair(t, oauth)
  const { one, token } = pair
  const response = await one.app.inject({
    method: 'POST',
    url: '/auth/token',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: 'phone',
      refresh_token: token
    }).toString()
  })
  t.equal(response.statusCode, 400)
  t.strictSame(one.rejections, [rejection(pair, 'wrong-client')])
})

t.test('a DPoP proof of another key is reported, and a missing one is not', async t => {
  const test = await createTestApp({ options: { dpop: true } })
  t.teardown(() => test.app.close())
  const body = { username: 'ann', password: 'correct horse battery staple' }
  const [owner, other] = [new DpopClient(test.app), new DpopClient(test.app)]
  const { refresh_token: token } = (await owner.send('POST', '/auth/login', { body })).json()
  t.equal((await test.refresh(token)).json().code, 'AUTH_DPOP_INVALID')
  t.strictSame(test.rejections, [], 'the client may try again with a proof')
  const response = await other.send('POST', '/auth/refresh', { body: { refresh_token: token } })
  t.equal(response.json().code, 'AUTH_REFRESH_INVALID')
  t.match(test.rejections, [{ reason: 'wrong-key', userId: 'u-ann' }])
})

t.test('a flood of forged tokens causes one event per second, with their number', async t => {
  const { one, token } = await startPair(t)
  const forged = `${token.slice(0, -5)}AAAAA`

  for (let i = 0; i < 50; i++) {
    t.equal((await one.refresh(forged)).json().code, 'AUTH_REFRESH_INVALID')
  }

  one.clock.advance(SECOND)
  await one.refresh('not a token')
  await one.refresh('not a token')
  t.match(one.rejections, [
    { reason: 'invalid', sessionId: null, userId: null, revokedFor: null, count: 1 },
    { reason: 'invalid', sessionId: null, userId: null, revokedFor: null, count: 50 }
  ])
  t.notOk(JSON.stringify(one.rejections).includes(forged.slice(0, 20)), 'without the token')
})

t.test('a token that another secret has signed is reported as invalid', async t => {
  const { one, token } = await startPair(t)
  const other = await createTestApp({
    clock: one.clock,
    store: one.store,
    options: { secret: 'Pa4q7Yk2mVx0TzRb5Wn8Ls3Jd6Hf9Gc1' }
  })
  t.teardown(() => other.app.close())
  t.equal((await other.refresh(token)).statusCode, 401)
  t.match(other.rejections, [{ reason: 'invalid', count: 1, address: '127.0.0.1' }])
})

t.test('a refresh that a failing store interrupts is not reported', async t => {
  const { one, token } = await startPair(t)
  one.store.rotate = () => Promise.reject(new Error('connection lost'))
  t.equal((await one.refresh(token)).statusCode, 503)
  t.equal((await one.post('/auth/refresh')).statusCode, 401, 'a request without a token')
  t.strictSame(one.rejections, [])
})
