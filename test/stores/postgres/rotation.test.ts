import pg from 'pg'
import t from 'tap'
import { applyRotation, planRotation } from '../../../src/domain/rotation.js'
import type { RotationAttempt } from '../../../src/domain/rotation.js'
import { statements } from '../../../src/stores/postgres/statements.js'
import { PostgresStore } from '../../../src/stores/postgres/index.js'
import type { PostgresDatabase } from '../../../src/stores/postgres/index.js'
import type { Session } from '../../../src/stores/token-store.js'
import {
  answers,
  createPostgresDatabase,
  POSTGRES_URL,
  startPostgres
} from '../../helpers/databases/postgres.js'

const NOW = Date.UTC(2040, 0, 1)
const DAY = 86_400_000
const by = { address: null, userAgent: 'It\'s "me", \\ {1}' }

const session: Session = {
  id: 's1',
  userId: 'ann',
  secretHash: 'hash',
  generation: 0,
  confirmedGeneration: 0,
  createdAt: NOW,
  authenticatedAt: NOW,
  rotatedAt: NOW,
  rotatedBy: { address: null, userAgent: null },
  lastUsedAt: NOW,
  expiresAt: NOW + 7 * DAY,
  endsAt: NOW + 30 * DAY,
  revokedAt: null,
  revokedFor: null,
  device: { label: 'naïve 🦊', address: null, userAgent: null }
}

function createAttempt (generation: number, secretHash = 'hash'): RotationAttempt {
  return planRotation({ sessionId: 's1', secretHash, generation }, {
    now: NOW + 1,
    lifetime: 7 * DAY,
    grace: 0,
    by
  })
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
  const server = await answers(POSTGRES_URL)
    ? { url: POSTGRES_URL, stop: async () => {} }
    : await startPostgres()
  t.teardown(() => server.stop())
  const database = await createPostgresDatabase(server.url)
  t.teardown(() => database.remove())
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
  const rotateIn = (client: pg.PoolClient, attempt: RotationAttempt): Promise<unknown> =>
    client.query(statements.rotateOne, [
      attempt.sessionId,
      attempt.secretHash,
      attempt.generation,
      attempt.now,
      attempt.expiresAt,
      attempt.rotatedBefore,
      attempt.rotatedAfter,
      attempt.by.address,
      attempt.by.userAgent
    ])

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
      const client = await pool.connect()
      const other = database.connect({ max: 1 })
      await other.query(`SET default_transaction_isolation = '${isolation}'`)
      await client.query('BEGIN')
      await rotateIn(client, attempt)
      const waiting = new PostgresStore(other).rotate(attempt)
      await waitUntilBlocked(pool, client)
      await client.query('COMMIT')
      client.release()
      const written = await readVersion()
      t.strictSame(await waiting, { swapped: false, session: rotated })
      t.strictSame(await readVersion(), written)
    })
  }

  await t.test('an attempt succeeds after the concurrent rotation is rolled back', async t => {
    const client = await pool.connect()
    await client.query('BEGIN')
    await rotateIn(client, attempt)
    const next = store.rotate(attempt)
    await waitUntilBlocked(pool, client)
    await client.query('ROLLBACK')
    client.release()
    t.strictSame(await next, { swapped: true, session: rotated })
  })

  await t.test('the cached plan uses the index even if the table was small', async t => {
    await pool.query('VACUUM ANALYZE token_auth_sessions')
    const client = await pool.connect()
    await client.query('BEGIN')

    // PostgreSQL can switch to a generic plan after five executions.
    for (let generation = 0; generation < 8; generation++) {
      await rotateIn(client, createAttempt(generation))
    }

    for (let i = 0; i < 8; i++) {
      await rotateIn(client, attempt)
    }

    const { rows } = await client.query(
      `SELECT seq_scan::int FROM pg_stat_xact_user_tables
      WHERE relid = 'token_auth_sessions'::regclass`
    )
    await client.query('ROLLBACK')
    client.release()
    t.strictSame(rows, [{ seq_scan: 0 }])
  })

  await t.test('rotations work if every statement uses a new connection', async t => {
    const { store } = createRecordingStore(async (text, values) => {
      const client = new pg.Client({ connectionString: server.url })
      await client.connect()
      await client.query(
        `SET search_path = ${
          (await pool.query('SELECT current_schema() AS schema')).rows[0].schema
        }`
      )
      return client.query(text, values).finally(() => client.end())
    })

    for (let generation = 0; generation < 3; generation++) {
      t.match(await store.rotate(createAttempt(generation)), {
        swapped: true,
        session: { generation: generation + 1 }
      })
    }
  })
})

t.test('an attempt is repeated with a lock if the returned row can be rotated', async t => {
  const row = {
    id: 's1',
    user_id: 'ann',
    secret_hash: 'hash',
    generation: 1,
    rotated_at: NOW,
    expires_at: NOW + DAY,
    ends_at: NOW + DAY,
    revoked_at: null
  }
  const { store, queries } = createRecordingStore(async text => ({
    rows: text === statements.rotateOne
      ? [{ outcome: `-${JSON.stringify(row)}` }]
      : [{ ...row, swapped: true, generation: 2 }]
  }))
  t.match(await store.rotate(createAttempt(1)), { swapped: true, session: { generation: 2 } })
  t.strictSame(queries, [statements.rotateOne, statements.rotate])
})

async function waitUntilBlocked (pool: pg.Pool, blocker: pg.PoolClient): Promise<void> {
  const { rows: [{ pid }] } = await blocker.query('SELECT pg_backend_pid() AS pid')

  for (;;) {
    const { rows } = await pool.query(
      'SELECT 1 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))',
      [pid]
    )

    if (rows.length > 0) {
      return
    }

    await new Promise(resolve => {
      setTimeout(resolve, 5)
    })
  }
}
