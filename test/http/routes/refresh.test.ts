import t from 'tap'
import { createTestApp, REALM } from '../../helpers/app.js'
import type { TestUser } from '../../helpers/app.js'
import { DAY, MINUTE, SECOND } from '../../helpers/clock.js'
import { localStores } from '../../helpers/stores.js'
import { assertRejected, createSignIn, GRACE } from './signed-in.js'

for (const [name, open] of Object.entries(localStores)) {
  t.test(name, async t => {
    const signIn = createSignIn(open)

    t.test('refresh of an unknown session is rejected as invalid', async t => {
      const one = await signIn(t)
      const other = await createTestApp({ clock: one.clock })
      t.teardown(() => other.app.close())
      assertRejected(t, await other.refresh(one.first), 'AUTH_REFRESH_INVALID')
      t.match(other.events, [{
        name: 'session-missing',
        realm: REALM,
        at: one.clock(),
        sessionId: one.sessionId,
        userId: 'u-ann'
      }])
      t.equal((await one.refresh(one.first)).statusCode, 200)
    })

    t.test('a forged or expired token emits no session-missing', async t => {
      const one = await signIn(t)
      const other = await createTestApp({ clock: one.clock })
      t.teardown(() => other.app.close())
      const forged = `${one.first.slice(0, -5)}AAAAA`
      assertRejected(t, await other.refresh(forged), 'AUTH_REFRESH_INVALID')
      one.clock.advance(7 * DAY)
      assertRejected(t, await other.refresh(one.first), 'AUTH_REFRESH_INVALID')
      t.strictSame(other.events, [])
    })

    t.test('refresh with another secret is rejected without a revocation', async t => {
      const { refresh, row, sessionId, first, store, clock } = await signIn(t)
      const session = await row()
      const others = await createTestApp({ clock })
      t.teardown(() => others.app.close())
      await others.store.create({ ...session, secretHash: 'of another secret' })
      assertRejected(t, await others.refresh(first), 'AUTH_REFRESH_INVALID')
      t.equal((await others.store.find(REALM, sessionId))?.revokedAt, null)
      others.users.delete('u-ann')
      assertRejected(t, await others.refresh(first), 'AUTH_REFRESH_INVALID')
      t.equal((await others.store.find(REALM, sessionId))?.revokedAt, null)
      t.equal((await store.find(REALM, sessionId))?.revokedAt, null)
      t.equal((await refresh(first)).statusCode, 200)
    })

    t.test('refresh of a revoked session is rejected without a reuse event', async t => {
      const { post, refresh, next, first, clock, names } = await signIn(t)
      const second = await next(first)
      clock.advance(MINUTE)
      const third = await next(second)
      t.equal((await post('/auth/logout', { refresh_token: third })).statusCode, 204)

      for (const token of [first, second, third]) {
        assertRejected(t, await refresh(token), 'AUTH_REFRESH_REVOKED')
      }

      t.notOk(names().includes('reuse'))
    })

    t.test('refresh of a disabled or deleted user revokes the session', async t => {
      const { users, refresh, row, first, events } = await signIn(t)
      const ann = users.get('u-ann')
      t.ok(ann)

      if (ann) {
        ann.disabled = true
      }

      assertRejected(t, await refresh(first), 'AUTH_REFRESH_REVOKED')
      t.equal((await row()).revokedFor, 'user-gone')
      t.match(events.at(-1), { name: 'session-ended', reason: 'user-gone', local: true })

      if (ann) {
        ann.disabled = false
      }

      assertRejected(t, await refresh(first), 'AUTH_REFRESH_REVOKED')
      users.delete('u-ann')
      assertRejected(t, await refresh(first), 'AUTH_REFRESH_REVOKED')
    })

    t.test('a user who is not found ends a session after a minute only', async t => {
      const { clock, users, refresh, row, first, names, store } = await signIn(t)
      const replica = await createTestApp({ store, clock })
      t.teardown(() => replica.app.close())
      replica.users.delete('u-ann')
      clock.advance(MINUTE - 1)
      const early = await replica.refresh(first)
      t.match(early.json(), { statusCode: 503, code: 'AUTH_STORE_UNAVAILABLE' })
      t.match(await row(), { generation: 0, revokedAt: null })
      t.equal((await refresh(first)).statusCode, 200, 'an instance that knows the user')

      users.delete('u-ann')
      clock.advance(1)
      assertRejected(t, await refresh(first), 'AUTH_REFRESH_REVOKED')
      t.match(await row(), { revokedAt: clock(), revokedFor: 'user-gone' })
      t.strictSame(names(), ['login', 'refresh', 'session-ended'])
    })

    t.test('a disabled user ends a session within the first minute', async t => {
      const { users, refresh, row, first } = await signIn(t)
      Object.assign(users.get('u-ann') as TestUser, { disabled: true })
      assertRejected(t, await refresh(first), 'AUTH_REFRESH_REVOKED')
      t.equal((await row()).revokedFor, 'user-gone')
    })

    t.test('refresh is rejected after the idle lifetime', async t => {
      const { clock, refresh, next, first } = await signIn(t)
      const second = await next(first)
      clock.advance(7 * DAY - 1)
      const third = await next(second)
      clock.advance(7 * DAY)

      for (const token of [first, second, third]) {
        assertRejected(t, await refresh(token), 'AUTH_REFRESH_EXPIRED')
      }
    })

    t.test('refresh is rejected after the maximum lifetime', async t => {
      const { clock, refresh, next, first, row } = await signIn(t)
      let token = first

      for (let day = 6; day <= 24; day += 6) {
        clock.advance(6 * DAY)
        token = await next(token)
      }

      const { expiresAt, endsAt } = await row()
      t.equal(expiresAt, endsAt, 'the idle expiry is limited by the absolute expiry')
      clock.advance(6 * DAY - 1)
      token = await next(token)
      clock.advance(1)
      assertRejected(t, await refresh(token), 'AUTH_REFRESH_EXPIRED')
    })

    t.test('refresh rotates the current token by one generation', async t => {
      const { clock, refresh, first, row, events } = await signIn(t)
      clock.advance(SECOND)
      const answer = (await refresh(first)).json()
      t.not(answer.refresh_token, first)
      t.match(answer, { token_type: 'bearer', expires_in: 900, user: { id: 'u-ann' } })
      t.match(await row(), {
        generation: 1,
        rotatedAt: clock(),
        lastUsedAt: clock(),
        expiresAt: clock() + 7 * DAY
      })
      t.match(events.at(-1), {
        name: 'refresh',
        rotated: true,
        generation: 1,
        at: clock(),
        userId: 'u-ann'
      })
    })

    t.test('refresh rotates again exactly at the end of the grace period', async t => {
      const { clock, next, first, row } = await signIn(t)
      const second = await next(first)
      clock.advance(GRACE - 1)
      t.equal(await next(second), second)
      clock.advance(1)
      t.not(await next(second), second)
      t.equal((await row()).generation, 2)
    })

    t.test('refresh within the grace period keeps the current token', async t => {
      const { clock, get, refresh, next, first, row, events } = await signIn(t)
      const second = await next(first)
      const before = await row()
      clock.advance(GRACE - 1)
      const answer = (await refresh(second)).json()
      t.equal(answer.refresh_token, second)
      t.equal((await get('/protected', answer.access_token)).statusCode, 200)
      t.match(events.at(-1), { name: 'refresh', rotated: false, generation: 1 })
      const { generation, rotatedAt, expiresAt } = await row()
      t.strictSame([generation, rotatedAt, expiresAt], [
        before.generation,
        before.rotatedAt,
        before.expiresAt
      ])
    })

    t.test('refresh returns the same successor during the grace period', async t => {
      const { clock, refresh, next, first, row, events } = await signIn(t)
      const second = await next(first)
      const before = await row()

      for (const step of [0, 4 * SECOND, SECOND]) {
        clock.advance(step)
        const answer = (await refresh(first)).json()
        t.equal(answer.refresh_token, second)
        t.ok(answer.access_token)
        t.match(events.at(-1), { name: 'replay', generation: 1 })
      }

      t.strictSame(await row(), before, 'the row is unchanged')
    })

    t.test('a late replay by the same client starts the grace period again', async t => {
      const { clock, refresh, next, first, row } = await signIn(t)
      const second = await next(first)
      clock.advance(GRACE - 1)
      t.equal((await refresh(first)).json().refresh_token, second)
      t.equal((await row()).graceFrom, clock())
      clock.advance(GRACE - 1)
      t.equal(await next(second), second, 'the successor does not rotate before its end')
      clock.advance(1)
      t.not(await next(second), second)
    })

    t.test('a late replay by another client leaves the grace period unchanged', async t => {
      const { app, clock, next, first, row } = await signIn(t)
      const second = await next(first)
      const before = await row()
      clock.advance(GRACE - 1)
      const response = await app.inject({
        method: 'POST',
        url: '/auth/refresh',
        remoteAddress: '198.51.100.7',
        headers: { 'user-agent': 'another' },
        payload: { refresh_token: first }
      })
      t.equal(response.json().refresh_token, second)
      t.equal((await row()).graceFrom, before.graceFrom)
    })

    t.test('refresh accepts the previous token of a used successor', async t => {
      const { get, refresh, next, first } = await signIn(t)
      const { access_token: access, refresh_token: second } = (await refresh(first)).json()
      t.equal((await get('/protected', access)).statusCode, 200)
      t.equal(await next(second), second)
      t.equal(await next(first), second)
    })

    t.test('refresh after the grace period recovers an unused successor', async t => {
      const { clock, next, first, row, events } = await signIn(t)
      const second = await next(first)
      const before = await row()

      for (const step of [GRACE, DAY]) {
        clock.advance(step)
        t.equal(await next(first), second)
        t.match(events.at(-1), { name: 'recovery', generation: 1 })
      }

      t.strictSame(await row(), { ...before, graceFrom: clock() }, 'a grace period of its own')
      clock.advance(GRACE)
      t.not(await next(second), second, 'and the successor works')
    })

    t.test('refresh returns the same successor for tabs that follow a recovery', async t => {
      const { clock, get, refresh, next, first, row } = await signIn(t)
      const second = await next(first)
      clock.advance(2 * GRACE)
      const { access_token: access } = (await refresh(first)).json()
      t.equal((await get('/protected', access)).statusCode, 200)
      clock.advance(GRACE - 1)
      t.equal(await next(second), second, 'a recovery starts a new grace period')
      t.equal(await next(first), second, 'a slow tab is one generation behind')
      t.equal((await row()).generation, 1)
      clock.advance(GRACE)
      t.not(await next(second), second)
      clock.advance(1)
      assertRejected(t, await refresh(first), 'AUTH_REFRESH_REUSED')
    })
  })
}

t.test('refresh accepts a token as bearer, form field and JSON', async t => {
  const { app, login } = await createTestApp()
  t.teardown(() => app.close())
  const { refresh_token: token = '' } = await login()
  const url = '/auth/refresh'
  const responses = await Promise.all([
    app.inject({ method: 'POST', url, headers: { authorization: `Bearer ${token}` } }),
    app.inject({ method: 'POST', url, payload: { refresh_token: token } }),
    app.inject({
      method: 'POST',
      url,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: `refresh_token=${token}&grant_type=refresh_token`
    })
  ])
  t.strictSame(responses.map(response => response.statusCode), [200, 200, 200])
  t.equal(new Set(responses.map(response => response.json().refresh_token)).size, 1)
})

t.test('refresh without a token is rejected as missing', async t => {
  const { app, post, refresh } = await createTestApp()
  t.teardown(() => app.close())

  for (
    const response of [
      await post('/auth/refresh'),
      await post('/auth/refresh', {}),
      await refresh('')
    ]
  ) {
    assertRejected(t, response, 'AUTH_REFRESH_MISSING')
    t.equal(response.headers['www-authenticate'], 'Bearer realm="auth"')
  }
})
