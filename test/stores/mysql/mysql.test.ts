import type mysql from 'mysql2/promise'
import t from 'tap'
import { makeSession, NOW, REALM, touchOf } from '../../../src/stores/conformance/harness.js'
import { MysqlAttempts, MysqlStore } from '../../../src/stores/mysql/index.js'
import { whyNoMysql } from '../../helpers/databases/mysql.js'
import { testAttemptStore } from '../../../src/stores/conformance/attempt-store.js'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { SessionRefusedError } from '../../../src/stores/token-store.js'
import { createEmptyMysqlDatabase } from './mysql-helpers.js'

t.test('MySQL', { skip: await whyNoMysql() }, async t => {
  const { clear, connect, defaultPool } = await createEmptyMysqlDatabase(t)

  await t.test('five concurrent calls of migrate create the tables once', async t => {
    const stores = Array.from(
      { length: 5 },
      () => new MysqlStore(connect({ connectionLimit: 1 }))
    )
    await Promise.all(stores.map(store => store.migrate()))
    await Promise.all(stores.map(store => store.migrate()))
    const [rows] = await defaultPool.query<mysql.RowDataPacket[]>(
      'SELECT version FROM token_auth_migrations ORDER BY version'
    )
    t.same(rows.map(row => row.version), MysqlStore.migrations.map((_, i) => i + 1))
  })

  await t.test('migrate completes an interrupted migration', async t => {
    const store = new MysqlStore(defaultPool)
    await store.create(makeSession({ id: 'before' }))
    await defaultPool.query('DELETE FROM token_auth_migrations')
    await defaultPool.query('DROP TABLE token_auth_not_befores')
    await store.migrate()
    t.equal(await store.revoke({ realm: REALM, userId: 'ann' }, { at: NOW, reason: 'revoked' }), 1)
    await clear()
  })

  await t.test('migrate rejects on a read-only connection and releases its lock', async t => {
    const store = new MysqlStore(
      connect({ connectionLimit: 1, setup: ['SET SESSION TRANSACTION READ ONLY'] })
    )
    await defaultPool.query('DELETE FROM token_auth_migrations')
    await t.rejects(store.migrate(), /the session is read-only/)
    await new MysqlStore(defaultPool).migrate()
  })

  await t.test('the store passes the conformance suite over two pools', async t => {
    const [store, other] = [new MysqlStore(connect({})), new MysqlStore(connect({}))] as const
    testTokenStore({
      test: (name, run) => t.test(name, run),
      open: async () => {
        await clear()
        return { store, other }
      }
    })
  })

  await t.test('attempts pass the conformance suite with sql_safe_updates', async t => {
    const setup = ['SET SESSION sql_safe_updates = 1']
    const [store, other] = [
      new MysqlAttempts(connect({ setup })),
      new MysqlAttempts(connect({ setup }))
    ] as const
    testAttemptStore({
      test: (name, run) => t.test(name, run),
      open: async () => {
        await clear()
        return { store, other }
      }
    })
  })

  await t.test('the store works with one connection', async t => {
    await clear()
    const store = new MysqlStore(connect({ connectionLimit: 1 }))
    await Promise.all(
      Array.from({ length: 30 }, (_, i) => store.create(makeSession({ id: `s${i}` })))
    )
    const [counts] = await Promise.all([
      Promise.all([
        store.revoke({ realm: REALM, userId: 'ann' }, { at: NOW, reason: 'revoked' }),
        store.sweep({ endedBefore: 0, limit: 5 })
      ]),
      t.rejects(store.create(makeSession({ id: 's1' })), new SessionRefusedError(null))
    ])
    t.same(counts, [30, 0])
  })

  await t.test('writes reject ids that are too long or contain lone surrogates', async t => {
    await clear()
    const store = new MysqlStore(connect({ setup: ['SET SESSION sql_mode = \'\''] }))
    const longest = '🦊'.repeat(63) + 'abc'
    const device = { label: '🦊'.repeat(1000), userAgent: 'x'.repeat(60_000), address: '' }
    await store.create(makeSession({ id: 's1', userId: longest, device }))
    t.same((await store.list(REALM, longest, { now: NOW, limit: 10 }))[0]?.device, device)

    for (const id of [longest + 'd', 'fox \ud83e', '\udd8a']) {
      await t.rejects(store.create(makeSession({ id: 's2', userId: id })), RangeError)
      await t.rejects(store.create(makeSession({ id })), RangeError)
      await t.rejects(
        store.revoke({ realm: REALM, userId: id }, { at: NOW, reason: 'revoked' }),
        RangeError
      )
      t.same(await store.list(REALM, id, { now: NOW, limit: 10 }), [])
      t.equal(await store.find(REALM, id), null)
      t.equal(
        await store.revoke({ realm: REALM, sessionId: id }, { at: NOW, reason: 'revoked' }),
        0
      )
      await store.touch([touchOf(makeSession({ id }), {})])
    }

    for (const id of ['a', 'A', 'a ', 'á', 'a\0', 'ａ']) {
      await store.create(makeSession({ id }))
    }

    for (const id of ['a', 'A', 'a ', 'á', 'a\0', 'ａ']) {
      await store.touch([touchOf(makeSession({ id }), { lastUsedAt: NOW + 1 })])
      t.equal((await store.find(REALM, id))?.lastUsedAt, NOW + 1)
    }
  })

  await t.test('touch accepts more sessions than one statement can hold', async t => {
    await clear()
    const store = new MysqlStore(defaultPool)
    const ids = Array.from({ length: 1201 }, (_, i) => `s${i}`)

    for (const id of [ids[0], ids[1200]]) {
      await store.create(makeSession({ id: id as string }))
    }

    await store.touch(
      ids.map(id => touchOf(makeSession({ id }), { lastUsedAt: NOW + 1 }))
    )

    for (const id of [ids[0], ids[1200]]) {
      t.equal((await store.find(REALM, id as string))?.lastUsedAt, NOW + 1)
    }
  })
})
