// The verdict table of design 3, row by row, over HTTP and on a clock that stands still.

import t from 'tap'
import type { Test } from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import type { Session } from '../../../src/index.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { DAY, MINUTE, SECOND } from '../../helpers/clock.js'
import { localStores } from '../../helpers/stores.js'

const GRACE = 10 * SECOND

interface Signed extends TestApp {
  /** The refresh token of generation 0. */
  readonly first: string
  readonly sessionId: string
  row(): Promise<Session>
  names(): string[]
  /** Refreshes, expects it to work, and gives the refresh token of the answer. */
  next(token: string): Promise<string>
}

for (const [name, open] of Object.entries(localStores)) {
  t.test(name, async t => {
    const signIn = async (t: Test, given: TestAppOptions = {}): Promise<Signed> => {
      const { store, close } = await open()
      const test = await createTestApp({ store, ...given })
      t.teardown(async () => {
        await test.app.close()
        close()
      })
      const { refresh_token: first = '' } = await test.login()
      const [session] = await test.app.tokenAuth.listSessions('u-ann')
      const sessionId = session?.id ?? ''

      return {
        ...test,
        first,
        sessionId,
        row: async () => await store.find(sessionId) as Session,
        names: () => test.events.map(event => event.name),
        async next (token) {
          const response = await test.refresh(token)
          t.equal(response.statusCode, 200, response.body)
          return response.json().refresh_token
        }
      }
    }

    t.test('unknown: a session that is not in the store', async t => {
      const one = await signIn(t)
      const other = await createTestApp({ clock: one.clock })
      t.teardown(() => other.app.close())
      refused(t, await other.refresh(one.first), 'AUTH_REFRESH_INVALID')
      t.equal((await one.refresh(one.first)).statusCode, 200)
    })

    t.test('unknown: a row with another secret; nothing is revoked', async t => {
      const { refresh, row, sessionId, first, store, clock } = await signIn(t)
      const session = await row()
      const others = await createTestApp({ clock })
      t.teardown(() => others.app.close())
      await others.store.create({ ...session, secretHash: 'of another secret' })
      refused(t, await others.refresh(first), 'AUTH_REFRESH_INVALID')
      t.equal((await others.store.find(sessionId))?.revokedAt, null)
      others.users.delete('u-ann')
      refused(t, await others.refresh(first), 'AUTH_REFRESH_INVALID')
      t.equal((await others.store.find(sessionId))?.revokedAt, null)
      t.equal((await store.find(sessionId))?.revokedAt, null)
      t.equal((await refresh(first)).statusCode, 200)
    })

    t.test('revoked: after a logout, for every generation, and without a reuse event', async t => {
      const { post, refresh, next, first, clock, names } = await signIn(t)
      const second = await next(first)
      clock.advance(MINUTE)
      const third = await next(second)
      t.equal((await post('/auth/logout', { refresh_token: third })).statusCode, 204)

      for (const token of [first, second, third]) {
        refused(t, await refresh(token), 'AUTH_REFRESH_REVOKED')
      }

      t.notOk(names().includes('reuse'))
    })

    t.test('revoked: the user is disabled, or gone; the session is ended for good', async t => {
      const { users, refresh, row, first, events } = await signIn(t)
      const ann = users.get('u-ann')
      t.ok(ann)

      if (ann) {
        ann.disabled = true
      }

      refused(t, await refresh(first), 'AUTH_REFRESH_REVOKED')
      t.equal((await row()).revokedFor, 'user-gone')
      t.match(events.at(-1), { name: 'revoke', reason: 'user-gone', count: 1 })

      if (ann) {
        ann.disabled = false
      }

      refused(t, await refresh(first), 'AUTH_REFRESH_REVOKED')
      users.delete('u-ann')
      refused(t, await refresh(first), 'AUTH_REFRESH_REVOKED')
    })

    t.test('expired: past the idle end, whatever generation is presented', async t => {
      const { clock, refresh, next, first } = await signIn(t)
      const second = await next(first)
      clock.advance(7 * DAY - 1)
      const third = await next(second)
      clock.advance(7 * DAY)

      for (const token of [first, second, third]) {
        refused(t, await refresh(token), 'AUTH_REFRESH_EXPIRED')
      }
    })

    t.test('expired: past the absolute end, however often it was refreshed', async t => {
      const { clock, refresh, next, first, row } = await signIn(t)
      let token = first

      for (let day = 6; day <= 24; day += 6) {
        clock.advance(6 * DAY)
        token = await next(token)
      }

      const { expiresAt, endsAt } = await row()
      t.equal(expiresAt, endsAt, 'the idle end stops at the absolute one')
      clock.advance(6 * DAY - 1)
      token = await next(token)
      clock.advance(1)
      refused(t, await refresh(token), 'AUTH_REFRESH_EXPIRED')
    })

    t.test('rotated: the current token gives its successor, one generation further', async t => {
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

    t.test('rotated: once the grace is over, and not a moment before', async t => {
      const { clock, next, first, row } = await signIn(t)
      const second = await next(first)
      clock.advance(GRACE - 1)
      t.equal(await next(second), second)
      clock.advance(1)
      t.not(await next(second), second)
      t.equal((await row()).generation, 2)
    })

    t.test('kept: within the grace the same token and a new access token, and no rotation', async t => {
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

    t.test('replayed: the token before, within the grace, gives the same successor byte for byte', async t => {
      const { clock, refresh, next, first, row, events } = await signIn(t)
      const second = await next(first)
      const before = await row()

      for (const step of [0, 4 * SECOND, 6 * SECOND - 1]) {
        clock.advance(step)
        const answer = (await refresh(first)).json()
        t.equal(answer.refresh_token, second)
        t.ok(answer.access_token)
        t.match(events.at(-1), { name: 'replay', generation: 1 })
      }

      t.strictSame(await row(), before, 'the window does not slide, and nothing is written')
    })

    t.test('replayed: within the grace also when the successor was used', async t => {
      const { get, refresh, next, first } = await signIn(t)
      const { access_token: access, refresh_token: second } = (await refresh(first)).json()
      t.equal((await get('/protected', access)).statusCode, 200)
      t.equal(await next(second), second)
      t.equal(await next(first), second)
    })

    t.test('recovered: the token before, after the grace, while nobody has used its successor', async t => {
      const { clock, next, first, row, events } = await signIn(t)
      const second = await next(first)
      const before = await row()

      for (const step of [GRACE, DAY]) {
        clock.advance(step)
        t.equal(await next(first), second)
        t.match(events.at(-1), { name: 'recovery', generation: 1 })
      }

      t.strictSame(await row(), before)
      clock.advance(GRACE)
      t.not(await next(second), second, 'and the successor works')
    })

    t.test('recovered: the tabs that come right after the one that was answered are answered alike', async t => {
      const { clock, get, refresh, next, first, row } = await signIn(t)
      const second = await next(first)
      clock.advance(2 * GRACE)
      const { access_token: access } = (await refresh(first)).json()
      t.equal((await get('/protected', access)).statusCode, 200)
      clock.advance(GRACE - 1)
      t.equal(await next(second), second, 'kept: a recovery opens a grace of its own')
      t.equal(await next(first), second, 'so a slow tab is one behind, and not two')
      t.equal((await row()).generation, 1)
      clock.advance(1)
      t.not(await next(second), second)
      refused(t, await refresh(first), 'AUTH_REFRESH_REUSED')
    })

    t.test('reused: the token before, once its successor\'s access token was accepted', async t => {
      const { clock, get, refresh, first, row, sessionId, events } = await signIn(t)
      const { access_token: access, refresh_token: second } = (await refresh(first)).json()
      t.equal((await get('/protected', access)).statusCode, 200)
      clock.advance(GRACE)
      refused(t, await refresh(first), 'AUTH_REFRESH_REUSED')
      t.equal((await row()).revokedFor, 'reuse')
      refused(t, await refresh(second), 'AUTH_REFRESH_REVOKED')
      t.equal((await get('/protected', access)).statusCode, 401, 'its access tokens end at once')
      t.match(events.at(-1), { name: 'reuse', sessionId })
    })

    t.test('reused: the token before, once its successor was presented', async t => {
      const { clock, refresh, next, first } = await signIn(t)
      const second = await next(first)
      await next(second)
      clock.advance(GRACE)
      refused(t, await refresh(first), 'AUTH_REFRESH_REUSED')
    })

    t.test('recovered: with confirmBy "refresh" an access token proves nothing of the refresh token', async t => {
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

    t.test('reused: a token two generations old ends its session, and no other; both sides are told', async t => {
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
      refused(t, response, 'AUTH_REFRESH_REUSED')
      t.match(events.at(-1), {
        name: 'reuse',
        at: clock(),
        sessionId,
        userId: 'u-ann',
        presented: { at: clock(), generation: 0, address: '203.0.113.9', userAgent: 'thief/1.0' },
        rotated: { at: rotatedAt, generation: 2, address: '127.0.0.1', userAgent: 'lightMyRequest' }
      })
      t.match(await row(), { revokedAt: clock(), revokedFor: 'reuse' })
      refused(t, await refresh(third), 'AUTH_REFRESH_REVOKED')
      refused(t, await refresh(first), 'AUTH_REFRESH_REVOKED')
      t.equal(events.filter(event => event.name === 'reuse').length, 1)
      t.equal((await refresh(elsewhere)).statusCode, 200)
    })

    t.test('reused: within the grace too, where the token is two generations old', async t => {
      const { refresh, next, first } = await signIn(t, { options: { refreshToken: { grace: 0 } } })
      const second = await next(first)
      await next(second)
      refused(t, await refresh(first), 'AUTH_REFRESH_REUSED')
    })

    t.test('reused: of many old tokens at once, one event', async t => {
      const { clock, refresh, next, first, names } = await signIn(t)
      clock.advance(MINUTE)
      const second = await next(first)
      clock.advance(MINUTE)
      await next(second)
      const responses = await Promise.all(Array.from({ length: 20 }, () => refresh(first)))

      for (const response of responses) {
        t.equal(response.statusCode, 401)
      }

      t.equal(names().filter(name => name === 'reuse').length, 1)
    })

    t.test('one ahead of the row: the store is healed, and the session lives on', async t => {
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
      t.match(await restored.store.find(backup.id), { generation: 2, revokedAt: null })
      t.match(restored.events[0], {
        name: 'store-rolled-back',
        sessionId: backup.id,
        userId: 'u-ann',
        presented: 2,
        stored: 1,
        healed: true
      })
      t.match(restored.events[1], { name: 'refresh', rotated: false, generation: 2 })
      clock.advance(MINUTE)
      t.equal((await restored.refresh(answer.refresh_token)).statusCode, 200)
    })

    t.test('one ahead, presented many times at once, is healed once and answered every time', async t => {
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
      t.equal((await restored.store.find(backup.id))?.generation, 1)
    })

    t.test('further ahead of the row: refused, nothing is revoked, and the event tells', async t => {
      const { clock, next, first, row } = await signIn(t)
      const backup = await row()
      clock.advance(MINUTE)
      const second = await next(first)
      clock.advance(MINUTE)
      const third = await next(second)
      const restored = await createTestApp({ clock })
      t.teardown(() => restored.app.close())
      await restored.store.create(backup)
      refused(t, await restored.refresh(third), 'AUTH_REFRESH_INVALID')
      t.strictSame(await restored.store.find(backup.id), backup)
      t.match(restored.events, [{
        name: 'store-rolled-back',
        presented: 2,
        stored: 0,
        healed: false
      }])
    })

    t.test('grace 0: each presentation of the current token rotates, and a lost answer is still recovered', async t => {
      const { next, get, refresh, first } = await signIn(t, {
        options: { refreshToken: { grace: 0 } }
      })
      const second = await next(first)
      t.equal(await next(first), second)
      const { access_token: access, refresh_token: third } = (await refresh(second)).json()
      t.not(third, second)
      t.equal((await get('/protected', access)).statusCode, 200)
      refused(t, await refresh(second), 'AUTH_REFRESH_REUSED')
    })

    t.test('clocks: a row of up to 60 s in the future is within the grace, and the skew is told', async t => {
      const { clock, next, first, events } = await signIn(t)
      const second = await next(first)
      clock.advance(-SECOND)
      t.equal(await next(second), second)
      t.notOk(events.some(event => event.name === 'clock-skew'), 'a second is nothing')
      clock.advance(-59 * SECOND)
      t.equal(await next(second), second)
      t.equal(await next(first), second)
      t.match(events.filter(event => event.name === 'clock-skew').at(-1), { ahead: 60 * SECOND })
    })

    t.test('clocks: a row of more than 60 s in the future may rotate, and is not replayed', async t => {
      const { clock, get, refresh, first, row } = await signIn(t)
      clock.advance(2 * DAY)
      const { access_token: access, refresh_token: second } = (await refresh(first)).json()
      t.equal((await get('/protected', access)).statusCode, 200)
      clock.advance(-2 * DAY)
      t.not((await refresh(second)).json().refresh_token, second)
      t.equal((await row()).rotatedAt, clock())
      refused(t, await refresh(first), 'AUTH_REFRESH_REUSED')
    })

    t.test('the successor is written by the same key for all who ask, also by another instance', async t => {
      const { clock, store, refresh, next, first } = await signIn(t)
      const other = await createTestApp({ store, clock })
      t.teardown(() => other.app.close())
      const second = await next(first)
      t.equal((await other.refresh(first)).json().refresh_token, second)
      clock.advance(MINUTE)
      const [here, there] = await Promise.all([refresh(second), other.refresh(second)])
      t.equal(here.json().refresh_token, there.json().refresh_token)
    })

    t.test('a note of use reaches other instances when the app is closed', async t => {
      const { clock, store, first } = await signIn(t)
      const other = await createTestApp({ store, clock })
      const { access_token: access } = (await other.refresh(first)).json()
      t.equal((await other.get('/protected', access)).statusCode, 200)
      await other.app.close()
      clock.advance(GRACE)
      const third = await createTestApp({ store, clock })
      t.teardown(() => third.app.close())
      refused(t, await third.refresh(first), 'AUTH_REFRESH_REUSED')
    })

    t.test('an access token ends with its session', async t => {
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

    t.test('rotation off: the refresh token stays as it is, and is not sent again', async t => {
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
      refused(t, await refresh(first), 'AUTH_REFRESH_EXPIRED')
    })
  })
}

t.test('a refresh token as bearer, as form field and as JSON is the same', async t => {
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

t.test('no refresh token, or an empty one, is missing', async t => {
  const { app, post, refresh } = await createTestApp()
  t.teardown(() => app.close())

  for (
    const response of [
      await post('/auth/refresh'),
      await post('/auth/refresh', {}),
      await refresh('')
    ]
  ) {
    refused(t, response, 'AUTH_REFRESH_MISSING')
    t.equal(response.headers['www-authenticate'], 'Bearer realm="auth"')
  }
})

function refused (t: Test, response: LightMyRequestResponse, code: string): void {
  t.equal(response.statusCode, 401)
  t.equal(response.json().code, code)
  t.equal(response.headers['cache-control'], 'no-store')
  t.match(response.headers['www-authenticate'], /^Bearer realm="auth"/)
}
