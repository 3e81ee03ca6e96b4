import t from 'tap'
import { createTestApp, REALM } from '../../helpers/app.js'
import { DAY, MINUTE, SECOND } from '../../helpers/clock.js'
import { localStores } from '../../helpers/stores.js'
import { assertRejected, createSignIn, GRACE } from './signed-in.js'

for (const [name, open] of Object.entries(localStores)) {
  t.test(name, async t => {
    const signIn = createSignIn(open)

    t.test('refresh detects reuse after the successor\'s access token was accepted', async t => {
      const { clock, get, refresh, first, row, sessionId, events } = await signIn(t)
      const { access_token: access, refresh_token: second } = (await refresh(first)).json()
      t.equal((await get('/protected', access)).statusCode, 200)
      clock.advance(GRACE)
      assertRejected(t, await refresh(first), 'AUTH_REFRESH_REUSED')
      t.equal((await row()).revokedFor, 'reuse')
      assertRejected(t, await refresh(second), 'AUTH_REFRESH_REVOKED')
      t.equal(
        (await get('/protected', access)).statusCode,
        401,
        'its access tokens are rejected immediately'
      )
      t.match(events.at(-1), { name: 'reuse', sessionId })
    })

    t.test('refresh detects reuse after the successor was presented', async t => {
      const { clock, refresh, next, first } = await signIn(t)
      const second = await next(first)
      await next(second)
      clock.advance(GRACE)
      assertRejected(t, await refresh(first), 'AUTH_REFRESH_REUSED')
    })

    t.test('confirmBy "refresh" ignores access tokens as confirmation', async t => {
      const { clock, get, refresh, next, first } = await signIn(t, {
        options: { refreshToken: { confirmBy: 'refresh' } }
      })
      const { access_token: access, refresh_token: second } = (await refresh(first)).json()
      t.equal((await get('/protected', access)).statusCode, 200)
      clock.advance(GRACE)
      t.equal(await next(first), second)
      clock.advance(GRACE)
      t.not(await next(second), second)
    })

    t.test('refresh with a token two generations old revokes its session only', async t => {
      const { app, login, clock, refresh, next, first, row, sessionId, events } = await signIn(t)
      const { refresh_token: elsewhere } = await login()
      const second = await next(first)
      clock.advance(MINUTE)
      const third = await next(second)
      const rotatedAt = clock()
      clock.advance(1)
      const response = await app.inject({
        method: 'POST',
        url: '/auth/refresh',
        payload: { refresh_token: first },
        headers: { 'user-agent': 'thief/1.0' },
        remoteAddress: '203.0.113.9'
      })
      assertRejected(t, response, 'AUTH_REFRESH_REUSED')
      t.match(events.at(-1), {
        name: 'reuse',
        at: clock(),
        sessionId,
        userId: 'u-ann',
        presented: { at: clock(), generation: 0, address: '203.0.113.9', userAgent: 'thief/1.0' },
        rotated: { at: rotatedAt, generation: 2, address: '127.0.0.1', userAgent: 'lightMyRequest' }
      })
      t.match(await row(), { revokedAt: clock(), revokedFor: 'reuse' })
      assertRejected(t, await refresh(third), 'AUTH_REFRESH_REVOKED')
      assertRejected(t, await refresh(first), 'AUTH_REFRESH_REVOKED')
      t.equal(events.filter(event => event.name === 'reuse').length, 1)
      t.equal((await refresh(elsewhere)).statusCode, 200)
    })

    t.test('refresh within the grace period rejects a token two generations old', async t => {
      const { clock, refresh, next, first } = await signIn(t, {
        options: { refreshToken: { grace: 0 } }
      })
      const second = await next(first)
      await next(second)
      clock.advance(1)
      assertRejected(t, await refresh(first), 'AUTH_REFRESH_REUSED')
    })

    t.test('concurrent reuses emit one event', async t => {
      const { clock, refresh, next, first, names } = await signIn(t)
      clock.advance(MINUTE)
      const second = await next(first)
      clock.advance(MINUTE)
      await next(second)
      clock.advance(1)
      const responses = await Promise.all(Array.from({ length: 20 }, () => refresh(first)))

      for (const response of responses) {
        t.equal(response.statusCode, 401)
      }

      t.equal(names().filter(name => name === 'reuse').length, 1)
    })

    t.test('refresh repairs a store that is one generation behind', async t => {
      const { clock, next, first, row } = await signIn(t)
      const second = await next(first)
      const backup = await row()
      clock.advance(MINUTE)
      const third = await next(second)
      const restored = await createTestApp({ clock })
      t.teardown(() => restored.app.close())
      await restored.store.create(backup)
      const answer = (await restored.refresh(third)).json()
      t.match(answer, { token_type: 'bearer' })
      t.match(await restored.store.find(REALM, backup.id), { generation: 2, revokedAt: null })
      t.match(restored.events[0], {
        name: 'store-rolled-back',
        sessionId: backup.id,
        userId: 'u-ann',
        presented: 2,
        stored: 1
      })
      t.match(restored.events[1], { name: 'refresh', rotated: false, generation: 2 })
      clock.advance(MINUTE)
      t.equal((await restored.refresh(answer.refresh_token)).statusCode, 200)
    })

    t.test('concurrent refreshes repair a store once', async t => {
      const { clock, next, first, row } = await signIn(t)
      const backup = await row()
      const second = await next(first)
      const restored = await createTestApp({ clock })
      t.teardown(() => restored.app.close())
      await restored.store.create(backup)
      const responses = await Promise.all(
        Array.from({ length: 20 }, () => restored.refresh(second))
      )
      t.strictSame(new Set(responses.map(response => response.statusCode)), new Set([200]))
      t.equal(new Set(responses.map(response => response.json().refresh_token)).size, 1)
      t.equal((await restored.store.find(REALM, backup.id))?.generation, 1)
    })

    t.test('refresh repairs a store that is several generations behind', async t => {
      const { clock, next, first, row } = await signIn(t)
      const backup = await row()
      clock.advance(MINUTE)
      const second = await next(first)
      clock.advance(MINUTE)
      const third = await next(second)
      const restored = await createTestApp({ clock })
      t.teardown(() => restored.app.close())
      await restored.store.create(backup)
      t.equal((await restored.refresh(third)).json().refresh_token, third)
      t.match(await restored.store.find(REALM, backup.id), {
        generation: 2,
        confirmedGeneration: 2,
        revokedAt: null
      })
      t.match(restored.events, [
        { name: 'store-rolled-back', presented: 2, stored: 0 },
        { name: 'refresh', rotated: false, generation: 2 }
      ])
    })

    t.test('grace 0 rotates at each refresh and still recovers a lost response', async t => {
      const { clock, next, get, refresh, first } = await signIn(t, {
        options: { refreshToken: { grace: 0 } }
      })
      const second = await next(first)
      t.equal(await next(first), second)
      const { access_token: access, refresh_token: third } = (await refresh(second)).json()
      t.not(third, second)
      t.equal((await get('/protected', access)).statusCode, 200)
      clock.advance(1)
      assertRejected(t, await refresh(second), 'AUTH_REFRESH_REUSED')
    })

    t.test('a rotation up to a grace period in the future counts as now', async t => {
      const { clock, next, first } = await signIn(t)
      const second = await next(first)

      for (const step of [SECOND, GRACE - SECOND]) {
        clock.advance(-step)
        t.equal(await next(second), second)
        t.equal(await next(first), second)
      }
    })

    t.test('a rotation more than a grace period in the future may rotate again', async t => {
      const { clock, get, refresh, next, first, row } = await signIn(t)
      clock.advance(2 * DAY)
      const { access_token: access, refresh_token: second } = (await refresh(first)).json()
      t.equal((await get('/protected', access)).statusCode, 200)
      clock.advance(-2 * DAY)
      const third = await next(second)
      t.not(third, second)
      t.match(await row(), { rotatedAt: clock(), graceFrom: clock() + 2 * DAY })
      t.equal(await next(second), third, 'another tab gets the same token')
      clock.advance(1)
      assertRejected(t, await refresh(first), 'AUTH_REFRESH_REUSED')
    })

    t.test('every instance signs the successor with the same key', async t => {
      const { clock, store, refresh, next, first } = await signIn(t)
      const other = await createTestApp({ store, clock })
      t.teardown(() => other.app.close())
      const second = await next(first)
      t.equal((await other.refresh(first)).json().refresh_token, second)
      clock.advance(MINUTE)
      const [here, there] = await Promise.all([refresh(second), other.refresh(second)])
      t.equal(here.json().refresh_token, there.json().refresh_token)
    })

    t.test('app.close() saves the confirmation for other instances', async t => {
      const { clock, store, first } = await signIn(t)
      const other = await createTestApp({ store, clock })
      const { access_token: access } = (await other.refresh(first)).json()
      t.equal((await other.get('/protected', access)).statusCode, 200)
      await other.app.close()
      clock.advance(GRACE)
      const third = await createTestApp({ store, clock })
      t.teardown(() => third.app.close())
      assertRejected(t, await third.refresh(first), 'AUTH_REFRESH_REUSED')
    })

    t.test('an access token expires with its session', async t => {
      const { clock, next, first, refresh } = await signIn(t, {
        options: { refreshToken: { lifetime: '1h', maxLifetime: '2h' } }
      })
      clock.advance(50 * MINUTE)
      const second = await next(first)
      clock.advance(55 * MINUTE)
      const third = await next(second)
      clock.advance(10 * MINUTE)
      t.equal((await refresh(third)).json().expires_in, 5 * 60)
    })

    t.test('without rotation the refresh token is not sent again', async t => {
      const { clock, get, refresh, first, row, events } = await signIn(t, {
        options: { rotation: false }
      })

      for (let day = 0; day < 6; day++) {
        clock.advance(DAY)
        const answer = (await refresh(first)).json()
        t.notOk('refresh_token' in answer)
        t.equal((await get('/protected', answer.access_token)).statusCode, 200)
        t.match(events.at(-1), { name: 'refresh', rotated: false, generation: 0 })
      }

      t.equal((await row()).generation, 0)
      clock.advance(DAY)
      assertRejected(t, await refresh(first), 'AUTH_REFRESH_EXPIRED')
    })
  })
}
