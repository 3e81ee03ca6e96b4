import t from 'tap'
import { applyRotation } from '../../../src/domain/rotation.js'
import type { RotationAttempt } from '../../../src/domain/rotation.js'
import { attemptAt, makeSession, NOW } from '../../../src/stores/conformance/harness.js'
import { statements } from '../../../src/stores/postgres/statements.js'
import { PostgresStore } from '../../../src/stores/postgres/index.js'
import type { PostgresDatabase } from '../../../src/stores/postgres/index.js'
import { columns, toValues } from '../../../src/stores/sql/rows.js'
import { DAY } from '../../helpers/clock.js'
import { begin, openDatabase, waitUntilBlocked } from './postgres-helpers.js'

const by = { address: null, userAgent: 'It\'s "me", \\ {1}' }

const session = makeSession({
  id: 's1',
  secretHash: 'hash',
  device: { label: 'naïve 🦊', address: null, userAgent: null }
})

function createAttempt (generation: number, secretHash = 'hash'): RotationAttempt {
  return attemptAt({ ...session, secretHash, generation }, NOW + 1, { graceBefore: NOW + 1, by })
}

function createRecordingStore (
  query: PostgresDatabase['query']
): { store: PostgresStore, queries: string[] } {
  const queries: string[] = []
  const store = new PostgresStore({
    query: (text, values) => {
      queries.push(text)
      return query(text, values)
    }
  })
  return { store, queries }
}

t.test('PostgreSQL server', async t => {
  const database = await openDatabase(t)
  const pool = database.connect()
  const { store, queries } = createRecordingStore((text, values) => pool.query(text, values))
  const attempt = createAttempt(0)
  const rotated = applyRotation(session, attempt)
  t.beforeEach(async () => {
    await database.empty()
    await store.create(session)
    queries.length = 0
  })
  // Every update changes `ctid`, even if it changes no value.
  const readVersion = async (condition = 'true'): Promise<unknown> =>
    (await pool.query(`SELECT ctid, xmin FROM token_auth_sessions WHERE ${condition}`)).rows

  await t.test('one attempt costs one statement, and a rejected one writes nothing', async t => {
    t.strictSame(await store.rotate(attempt), { swapped: true, session: rotated })
    const written = await readVersion()
    t.strictSame(await store.rotate(attempt), { swapped: false, session: rotated })
    t.strictSame(await store.rotate(createAttempt(1, 'another')), {
      swapped: false,
      session: rotated
    })
    t.strictSame(await store.rotate({ ...attempt, sessionId: 's2' }), {
      swapped: false,
      session: null
    })
    t.strictSame(await readVersion(), written)
    t.strictSame(queries, Array(4).fill(statements.rotateOne))
  })

  await t.test('several attempts cost two statements, and rejected ones write nothing', async t => {
    const [other, unchanged] = [{ ...session, id: 's2' }, { ...session, id: 's3' }]

    for (const added of [other, unchanged]) {
      await store.create(added)
    }

    const written = await readVersion('id = \'s3\'')
    queries.length = 0
    const attempts = [
      { ...attempt, sessionId: 's4' },
      { ...createAttempt(0, 'another'), sessionId: 's3' },
      { ...attempt, sessionId: 's2' },
      attempt
    ]
    t.strictSame(await Promise.all(attempts.map(attempt => store.rotate(attempt))), [
      { swapped: false, session: null },
      { swapped: false, session: unchanged },
      { swapped: true, session: { ...rotated, id: 's2' } },
      { swapped: true, session: rotated }
    ])
    t.strictSame(queries, [statements.rotateFitting, statements.rotate])
    t.strictSame(await readVersion('id = \'s3\''), written)
  })

  for (const isolation of ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']) {
    await t.test(`an attempt sees the result of a concurrent rotation at ${isolation}`, async t => {
      const winner = await begin(pool)
      const other = database.connect({ max: 1 })
      await other.query(`SET default_transaction_isolation = '${isolation}'`)
      await winner.rotate(attempt)
      const waiting = new PostgresStore(other).rotate(attempt)
      await waitUntilBlocked(pool, winner.client)
      await winner.end('COMMIT')
      const written = await readVersion()
      t.strictSame(await waiting, { swapped: false, session: rotated })
      t.strictSame(await readVersion(), written)
    })
  }

  await t.test('an attempt succeeds after the concurrent rotation is rolled back', async t => {
    const winner = await begin(pool)
    await winner.rotate(attempt)
    const next = store.rotate(attempt)
    await waitUntilBlocked(pool, winner.client)
    await winner.end('ROLLBACK')
    t.strictSame(await next, { swapped: true, session: rotated })
  })

  await t.test('the cached plan uses the index even if the table was small', async t => {
    await pool.query(`VACUUM ANALYZE token_auth_sessions, token_auth_user_not_befores,
      token_auth_realm_not_befores`)
    const transaction = await begin(pool)

    // PostgreSQL can switch to a generic plan after five executions.
    for (let generation = 0; generation < 8; generation++) {
      await transaction.rotate(createAttempt(generation))
    }

    for (let i = 0; i < 8; i++) {
      await transaction.rotate(attempt)
    }

    const { rows } = await transaction.client.query(
      `SELECT sum(seq_scan)::int AS count FROM pg_stat_xact_user_tables
      WHERE schemaname = current_schema()`
    )
    await transaction.end('ROLLBACK')
    t.strictSame(rows, [{ count: 0 }])
  })

  await t.test('rotations work if every statement uses a new connection', async t => {
    const store = new PostgresStore(database.connect({ maxUses: 1 }))

    for (let generation = 0; generation < 3; generation++) {
      t.match(await store.rotate(createAttempt(generation)), {
        swapped: true,
        session: { generation: generation + 1 }
      })
    }
  })
})

t.test('an attempt is repeated with a lock if the returned row can be rotated', async t => {
  const values = toValues({ ...session, generation: 1, expiresAt: NOW + DAY })
  const row = Object.fromEntries(columns.map((column, i) => [column, values[i]]))
  const { store, queries } = createRecordingStore(async text => ({
    rows: text === statements.rotateOne
      ? [{ outcome: `-${JSON.stringify(row)}` }]
      : [{ ...row, swapped: true, generation: 2 }]
  }))
  t.match(await store.rotate(createAttempt(1)), { swapped: true, session: { generation: 2 } })
  t.strictSame(queries, [statements.rotateOne, statements.rotate])
})
