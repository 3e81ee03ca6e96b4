import type mysql from 'mysql2/promise'
import t from 'tap'
import {
  attemptAt,
  makeSession,
  NOW,
  REALM,
  touchOf
} from '../../../src/stores/conformance/harness.js'
import { MysqlStore } from '../../../src/stores/mysql/index.js'
import { whyNoMysql } from '../../helpers/databases/mysql.js'
import { DAY } from '../../../src/lib/time.js'
import { createGate, createMysqlDatabase, pauseAfter } from './mysql-helpers.js'

t.test('MySQL concurrency', { skip: await whyNoMysql() }, async t => {
  const { clear, connect, defaultPool, openTwoStores, waitUntilBlocked } =
    await createMysqlDatabase(t)

  await t.test('concurrent calls of all methods for the same sessions succeed', async t => {
    await clear()
    const stores = openTwoStores()
    const [store, other] = stores
    const users = ['ann', 'bob', 'cyd', 'dan']
    let created = 0

    for (let round = 0; round < 15; round++) {
      const sessions = users.flatMap(userId =>
        Array.from(
          { length: 8 },
          (_, i) =>
            makeSession({
              id: `s${++created}`,
              userId,
              authenticatedAt: NOW + round,
              expiresAt: i % 2 === 0 ? NOW + DAY : NOW - 1
            })
        )
      )
      await Promise.all(sessions.map(session => store.create(session)))
      const touches = sessions.map(session =>
        touchOf(session, { lastUsedAt: NOW + 1, confirmedGeneration: 1 })
      )
      const sweeps = stores.map(store => store.sweep({ endedBefore: NOW, limit: 10 }))
      await Promise.all([
        store.touch(touches),
        other.touch(touches.toReversed()),
        other.touch(touches.slice(9)),
        ...sweeps,
        ...users.map((userId, i) =>
          stores[i % 2]?.revoke({ realm: REALM, userId }, { at: NOW + round, reason: 'revoked' })
        ),
        ...users.toReversed().map((userId, i) =>
          stores[i % 2]?.revoke({ realm: REALM, userId }, { at: NOW + round, reason: 'logout-all' })
        ),
        ...sessions.toReversed().map(({ id: sessionId }) =>
          other.revoke({ realm: REALM, sessionId }, { at: NOW, reason: 'logout' })
        ),
        ...sessions.map(session =>
          store.rotate({ ...attemptAt(session, NOW - 2), expiresAt: session.expiresAt })
        )
      ])
    }

    for (const userId of users) {
      t.same(await store.list(REALM, userId, { now: 0, limit: 10 }), [])
    }

    await store.sweep({ endedBefore: NOW, limit: 1000 })
    const [rows] = await defaultPool.query<mysql.RowDataPacket[]>(
      'SELECT COUNT(*) AS count FROM token_auth_sessions WHERE revoked_at IS NOT NULL'
    )
    t.equal(rows[0]?.count, created / 2)
  })

  await t.test('a sweep skips locked rows without waiting', async t => {
    await clear()
    const store = new MysqlStore(
      connect({ setup: ['SET SESSION innodb_lock_wait_timeout = 1'] })
    )

    for (const id of ['a', 'b', 'c']) {
      await store.create(makeSession({ id, userId: id, expiresAt: NOW - 1 }))
    }

    for (const userId of ['x', 'y']) {
      await store.revoke({ realm: REALM, userId }, { at: NOW - 1, reason: 'revoked' })
    }

    const blocker = await defaultPool.getConnection()
    await blocker.beginTransaction()
    await blocker.query(
      'UPDATE token_auth_sessions SET last_used_at = last_used_at + 1 WHERE id = \'b\''
    )
    await blocker.query(
      'SELECT * FROM token_auth_not_befores WHERE realm = ? AND user_id = \'x\' FOR UPDATE',
      [Buffer.from(REALM)]
    )
    // Two sessions, one not-before and both entries of the feed.
    t.equal(await store.sweep({ endedBefore: NOW, limit: 10 }), 5)
    await blocker.commit()
    blocker.release()
    t.equal(await store.sweep({ endedBefore: NOW, limit: 10 }), 2)
  })

  await t.test('a login does not wait for a sweep', async t => {
    await clear()
    const [store, other] = openTwoStores()
    await store.create(makeSession({ id: 'a', expiresAt: NOW - 10 }))
    await store.create(makeSession({ id: 'b', expiresAt: NOW + 10 }))
    const [reached, gate] = [createGate(), createGate()]
    const slow = new MysqlStore(pauseAfter(defaultPool, 2, async () => {
      reached.open()
      await gate.opened
    }))
    const sweep = slow.sweep({ endedBefore: NOW, limit: 1000 })
    await reached.opened
    const login = Promise.all(
      [-11, -9, 9, 11].map(after =>
        other.create(makeSession({ id: `c${after}`, expiresAt: NOW + after }))
      )
    )
    const isBlocked = await Promise.race([
      waitUntilBlocked().then(() => true),
      login.then(() => false)
    ])
    gate.open()
    t.notOk(isBlocked)
    await Promise.all([sweep, login])
  })

  await t.test('concurrent sweeps of live sessions do not deadlock or block logins', async t => {
    await clear()
    const errors: number[] = []
    const [store, other] = openTwoStores(errors)
    await Promise.all(
      Array.from(
        { length: 60 },
        (_, i) => store.create(makeSession({ id: `s${i}`, expiresAt: NOW + i }))
      )
    )
    await defaultPool.query('UPDATE token_auth_sessions SET expires_at = expires_at + 60')
    const sweeps = Array.from(
      { length: 8 },
      (_, i) => (i % 2 ? store : other).sweep({ endedBefore: NOW + 60, limit: 7 })
    )
    const logins = Array.from(
      { length: 40 },
      (_, i) => makeSession({ id: `later${i}`, expiresAt: NOW + 60 + (i * 37) % 60 })
    )
    await Promise.all(logins.map(login => other.create(login)))
    t.same(await Promise.all(sweeps), sweeps.map(() => 0))
    t.equal((await store.list(REALM, 'ann', { now: NOW, limit: 200 })).length, 100)
    t.notOk(errors.includes(1213), 'no deadlock')
  })
})
