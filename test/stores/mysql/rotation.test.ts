import t from 'tap'
import type { RotationAttempt } from '../../../src/domain/rotation.js'
import { attemptAt, makeSession, NOW, REALM } from '../../../src/stores/conformance/harness.js'
import { MysqlStore } from '../../../src/stores/mysql/index.js'
import type { MysqlPool } from '../../../src/stores/mysql/index.js'
import { whyNoMysql } from '../../helpers/databases/mysql.js'
import { createMysqlDatabase } from './mysql-helpers.js'

t.test('MySQL rotations', { skip: await whyNoMysql() }, async t => {
  const { clear, connect } = await createMysqlDatabase(t)

  await t.test('concurrent rotations share transactions and succeed once per session', async t => {
    await clear()
    let transactions = 0
    const pool = connect()
    const counting: MysqlPool = {
      execute: (sql, values) => pool.execute(sql, values),
      async getConnection () {
        const connection = await pool.getConnection()
        const beginTransaction = connection.beginTransaction.bind(connection)

        connection.beginTransaction = () => {
          transactions++
          return beginTransaction()
        }

        return connection
      }
    }
    const stores = [new MysqlStore(counting), new MysqlStore(connect())] as const
    const sessions = Array.from({ length: 64 }, (_, i) => makeSession({ id: `s${i}` }))
    await Promise.all(sessions.map(session => stores[1].create(session)))
    const by = [{ address: null, userAgent: null }, { address: '', userAgent: 'null "\\\n\0🦊' }]

    for (let generation = 0; generation < 10; generation++) {
      const attempts = sessions.map((session, i) => ({
        ...attemptAt({ ...session, generation }, NOW + 60_000 * (generation + 1)),
        by: by[i % 2] ?? { address: null, userAgent: null }
      }))
      const outcomes = await Promise.all(stores.map(store =>
        Promise.all([
          ...attempts.map(attempt => store.rotate(attempt)),
          store.rotate({ ...attempts[0] as RotationAttempt, sessionId: 'unknown' })
        ])
      ))

      for (const [i, session] of sessions.entries()) {
        const received = outcomes.map(each => each[i])
        t.equal(received.filter(outcome => outcome?.swapped).length, 1)
        const { now, expiresAt, by } = attempts[i] as RotationAttempt
        const expected = {
          ...session,
          generation: generation + 1,
          rotatedAt: now,
          rotatedBy: by,
          graceFrom: now,
          lastUsedAt: now,
          expiresAt
        }

        for (const outcome of received) {
          t.same(outcome?.session, expected)
        }

        t.same(await stores[0].find(REALM, session.id), expected)
      }

      for (const each of outcomes) {
        t.same(each.at(-1), { swapped: false, session: null })
      }
    }

    t.ok(transactions >= 10, 'at least one transaction per generation')
    t.ok(transactions < 30, `${transactions} transactions`)
  })

  await t.test('an invalid rotation fails without affecting concurrent rotations', async t => {
    await clear()
    const store = new MysqlStore(connect())
    const sessions = Array.from({ length: 20 }, (_, i) => makeSession({ id: `s${i}` }))
    await Promise.all(sessions.map(session => store.create(session)))
    const results = await Promise.allSettled(sessions.map((session, i) =>
      store.rotate({
        ...attemptAt(session, NOW),
        by: { address: null, userAgent: i === 7 ? 'x'.repeat(70_000) : 'short' }
      })
    ))
    t.strictSame(results.flatMap(({ status }, i) => status === 'rejected' ? [i] : []), [7])
    t.equal((await store.find(REALM, 's7'))?.generation, 0)

    for (const result of results) {
      if (result.status === 'fulfilled') {
        t.equal(result.value.swapped, true)
      }
    }
  })
})
