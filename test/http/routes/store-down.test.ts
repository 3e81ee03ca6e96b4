import { Writable } from 'node:stream'
import t from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD, PASSWORD_HASH } from '../../helpers/app.js'
import { createBreakableStore, DRIVER_MESSAGE } from '../../helpers/broken-store.js'
import type { Fault } from '../../helpers/broken-store.js'
import { MINUTE } from '../../helpers/clock.js'

const STORE_TIMEOUT = '40ms'

for (const fault of ['throws', 'hangs'] satisfies Fault[]) {
  t.test(`a store that ${fault} results in 503`, async t => {
    const log: string[] = []
    const breakable = createBreakableStore(new MemoryStore())
    const { app, login, post, get, refresh, clock } = await createTestApp({
      store: breakable.store,
      options: { storeTimeout: STORE_TIMEOUT },
      fastify: {
        logger: {
          level: 'trace',
          stream: new Writable({
            write (line, _encoding, done) {
              log.push(String(line))
              done()
            }
          })
        }
      }
    })
    t.teardown(() => app.close())

    const unavailable = (response: LightMyRequestResponse): void => {
      t.equal(response.statusCode, 503)
      t.equal(response.json().code, 'AUTH_STORE_UNAVAILABLE')
      t.equal(response.headers['retry-after'], '1')
      t.equal(response.headers['cache-control'], 'no-store')
    }

    const { access_token: access, refresh_token: first } = await login()
    const authorization = `Bearer ${access}`

    breakable.break(fault)
    unavailable(await post('/auth/login', { username: 'ann', password: PASSWORD }))
    unavailable(await refresh(first))
    unavailable(await post('/auth/logout', { refresh_token: first }))
    unavailable(await post('/auth/logout', undefined, { authorization }))
    unavailable(await post('/auth/logout/all', undefined, { authorization }))
    unavailable(await get('/auth/sessions', access))
    unavailable(
      await app.inject({ method: 'DELETE', url: '/auth/sessions/s1', headers: { authorization } })
    )
    t.equal((await get('/protected', access)).statusCode, 200, 'access tokens need no store')
    t.equal((await post('/auth/login', { username: 'ann', password: 'wrong' })).statusCode, 401)
    t.equal((await refresh('nonsense')).statusCode, 401, 'a forged token never reaches the store')
    await t.rejects(app.tokenAuth.revokeUser('u-ann'), { code: 'AUTH_STORE_UNAVAILABLE' })
    await t.rejects(app.tokenAuth.sweep(), { code: 'AUTH_STORE_UNAVAILABLE' })

    breakable.break(null)
    t.equal((await get('/protected', access)).statusCode, 200)
    const second = (await refresh(first)).json().refresh_token
    t.ok(second, 'the session is still valid')

    clock.advance(MINUTE)
    const third = (await refresh(second)).json()
    t.equal((await get('/protected', third.access_token)).statusCode, 200)
    clock.advance(MINUTE)
    breakable.break(fault, ['revoke'])
    unavailable(await refresh(first))
    t.equal((await get('/protected', third.access_token)).statusCode, 200)
    breakable.break(null)
    t.equal(
      (await refresh(first)).json().code,
      'AUTH_REFRESH_REUSED',
      'a reuse whose revocation failed is found again'
    )
    t.equal((await refresh(third.refresh_token)).json().code, 'AUTH_REFRESH_REVOKED')

    t.ok(
      log.some(line => line.includes('"operation":"rotate"')),
      'the log contains the method that failed'
    )
    t.notOk(
      log.some(line =>
        line.includes('value-in-a-statement') || line.includes(DRIVER_MESSAGE.slice(0, 12))
      )
    )
  })

  t.test(`user callbacks that ${fault === 'throws' ? 'throw' : 'hang'} result in 503`, async t => {
    const ann = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }
    let broken = false

    const find = async (): Promise<typeof ann> => {
      if (!broken) {
        return ann
      }

      if (fault === 'throws') {
        throw new Error(DRIVER_MESSAGE)
      }

      return new Promise(() => {})
    }

    const { app, login, post, get, refresh } = await createTestApp({
      options: { storeTimeout: STORE_TIMEOUT, users: { findByLogin: find, findById: find } }
    })
    t.teardown(() => app.close())
    const { refresh_token: token, access_token: access } = await login()
    broken = true
    const responses = [
      await post('/auth/login', { username: 'ann', password: PASSWORD }),
      await refresh(token),
      await get('/auth/me', access)
    ]

    for (const response of responses) {
      t.equal(response.statusCode, 503)
      t.equal(response.json().code, 'AUTH_STORE_UNAVAILABLE')
      t.notMatch(response.body, 'value-in-a-statement')
    }

    broken = false
    t.equal((await refresh(token)).statusCode, 200)
    t.equal((await app.tokenAuth.listSessions('u-ann'))[0]?.generation, 1)
  })
}

t.test('a late result of the store is ignored', async t => {
  const store = new MemoryStore()
  const late: Array<() => void> = []
  const slow = new Proxy(store, {
    get: (target, verb) => (...args: unknown[]): unknown => {
      if (verb !== 'rotate') {
        return Reflect.apply(Reflect.get(target, verb), target, args)
      }

      const outcome = Reflect.apply(target.rotate, target, args)

      return late.length === 0
        ? new Promise(resolve => {
          late.push(() => {
            resolve(outcome)
          })
        })
        : outcome
    }
  })
  const { app, login, refresh } = await createTestApp({
    store: slow,
    options: { storeTimeout: STORE_TIMEOUT }
  })
  t.teardown(() => app.close())
  const { refresh_token: token } = await login()
  t.equal((await refresh(token)).statusCode, 503)

  for (const answer of late) {
    answer()
  }

  t.equal(
    (await refresh(token)).statusCode,
    200,
    'it had rotated: the retry is answered with the successor'
  )
  t.equal((await app.tokenAuth.listSessions('u-ann'))[0]?.generation, 1)
})

t.test('invalid data of a user callback results in 503 with a log line', async t => {
  const lines: string[] = []
  const stream = {
    write: (line: string) => {
      lines.push(line)
    }
  }
  const { app, post } = await createTestApp({
    fastify: { logger: { level: 'warn', stream } },
    options: {
      users: {
        findByLogin: () => ({ id: {} as unknown as string, passwordHash: PASSWORD_HASH }),
        findById: () => null
      }
    }
  })
  t.teardown(() => app.close())
  const response = await post('/auth/login', { username: 'ann', password: PASSWORD })
  t.match(response.json(), { statusCode: 503, code: 'AUTH_STORE_UNAVAILABLE' })
  t.match(lines.join(''), 'users.findByLogin')
  t.match(lines.join(''), 'must be a non-empty string')
})
