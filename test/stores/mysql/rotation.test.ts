import t from 'tap'
import type { RotationAttempt } from '../../../src/domain/rotation.js'
import { describeError } from '../../../src/lib/safe-error.js'
import { attemptAt, makeSession, NOW, REALM } from '../../../src/stores/conformance/harness.js'
import { MysqlStore } from '../../../src/stores/mysql/index.js'
import type { MysqlPool } from '../../../src/stores/mysql/index.js'
import { rotateOne } from '../../../src/stores/mysql/rotations.js'
import { whyNoMysql } from '../../helpers/databases/mysql.js'
import { createMysqlDatabase } from './mysql-helpers.js'

t.test('a session that changes too often is named in the log', async t => {
  const stored = makeSession()
  const { id, realm, secretHash, userId, ...session } = stored
  const row = {
    id: Buffer.from(id),
    realm: Buffer.from(realm),
    user_id: Buffer.from(userId),
    secret_hash: Buffer.from(secretHash),
    generation: session.generation,
    confirmed_generation: session.confirmedGeneration,
    created_at: session.createdAt,
    authenticated_at: session.authenticatedAt,
    rotated_at: session.rotatedAt,
    rotated_by_address: null,
    rotated_by_user_agent: null,
    grace_from: session.graceFrom,
    last_used_at: session.lastUsedAt,
    expires_at: session.expiresAt,
    ends_at: session.endsAt,
    revoked_at: null,
    revoked_for: null,
    device_label: null,
    device_user_agent: null,
    device_address: null,
    replay_generation: 0,
    replay_length: 0,
    ended_by_user: null,
    ended_by_realm: null
  }
  // Another writer changes the row after each read.
  const pool = {
    execute: async (sql: string) => [sql.includes('UPDATE') ? { affectedRows: 0 } : [row], []]
  } as unknown as MysqlPool
  const rotation = rotateOne(pool, attemptAt(stored, NOW + 60_000))
  const error: unknown = await rotation.catch((reason: unknown) => reason)
  t.match(describeError(error, false), { message: 'the session changes too often' })
})

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
