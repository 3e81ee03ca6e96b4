// A rotation on its own: what it costs, what a loser is shown that had to wait, and that it neither
// writes nor misses a turn.

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

function anAttempt (generation: number, secretHash = 'hash'): RotationAttempt {
  return planRotation({ sessionId: 's1', secretHash, generation }, {
    now: NOW + 1,
    lifetime: 7 * DAY,
    grace: 0,
    by
  })
}

function recording (query: PostgresDatabase['query']): { store: PostgresStore, asked: string[] } {
  const asked: string[] = []
  const store = new PostgresStore({
    query: (text, values) => {
      asked.push(text)
      return query(text, values)
    }
  })
  return { store, asked }
}

t.test('on a server', async t => {
  const server = await answers(POSTGRES_URL)
    ? { url: POSTGRES_URL, stop: async () => {} }
    : await startPostgres()
  t.teardown(() => server.stop())
  const database = await createPostgresDatabase(server.url)
  t.teardown(() => database.remove())
  const pool = database.connect()
  const { store, asked } = recording((text, values) => pool.query(text, values))
  const attempt = anAttempt(0)
  const winner = applyRotation(session, attempt)
  t.beforeEach(async () => {
    await database.empty()
    await store.create(session)
    asked.length = 0
  })
  // A new version of the row has another place, also where nothing in it differs.
  const version = async (of = 'true'): Promise<unknown> =>
    (await pool.query(`SELECT ctid, xmin FROM token_auth_sessions WHERE ${of}`)).rows
  const callIn = (client: pg.PoolClient, attempt: RotationAttempt): Promise<unknown> =>
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

  await t.test('winner, loser and nobody cost one statement each, and only the winner writes', async t => {
    t.strictSame(await store.rotate(attempt), { swapped: true, session: winner })
    const written = await version()
    t.strictSame(await store.rotate(attempt), { swapped: false, session: winner })
    t.strictSame(await store.rotate(anAttempt(1, 'another')), { swapped: false, session: winner })
    t.strictSame(await store.rotate({ ...attempt, sessionId: 's2' }), {
      swapped: false,
      session: null
    })
    t.strictSame(await version(), written)
    t.strictSame(asked, Array(4).fill(statements.rotateOne))
  })

  await t.test('of several, those that fit cost one statement, and the others one more, which writes nothing', async t => {
    const [other, wronged] = [{ ...session, id: 's2' }, { ...session, id: 's3' }]

    for (const more of [other, wronged]) {
      await store.create(more)
    }

    const written = await version('id = \'s3\'')
    asked.length = 0
    const attempts = [
      { ...attempt, sessionId: 's4' },
      { ...anAttempt(0, 'another'), sessionId: 's3' },
      { ...attempt, sessionId: 's2' },
      attempt
    ]
    t.strictSame(await Promise.all(attempts.map(attempt => store.rotate(attempt))), [
      { swapped: false, session: null },
      { swapped: false, session: wronged },
      { swapped: true, session: { ...winner, id: 's2' } },
      { swapped: true, session: winner }
    ])
    t.strictSame(asked, [statements.rotateFitting, statements.rotate])
    t.strictSame(await version('id = \'s3\''), written)
  })

  for (const isolation of ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']) {
    await t.test(`who waited for a winner is shown its row, at ${isolation}`, async t => {
      const client = await pool.connect()
      const other = database.connect({ max: 1 })
      await other.query(`SET default_transaction_isolation = '${isolation}'`)
      await client.query('BEGIN')
      await callIn(client, attempt)
      const loser = new PostgresStore(other).rotate(attempt)
      await untilWaiting(pool, client)
      await client.query('COMMIT')
      client.release()
      const written = await version()
      t.strictSame(await loser, { swapped: false, session: winner })
      t.strictSame(await version(), written)
    })
  }

  await t.test('who waited for a winner that gave up swaps', async t => {
    const client = await pool.connect()
    await client.query('BEGIN')
    await callIn(client, attempt)
    const next = store.rotate(attempt)
    await untilWaiting(pool, client)
    await client.query('ROLLBACK')
    client.release()
    t.strictSame(await next, { swapped: true, session: winner })
  })

  await t.test('it is planned for a table that grows, however small it was', async t => {
    await pool.query('VACUUM ANALYZE token_auth_sessions')
    const client = await pool.connect()
    await client.query('BEGIN')

    // After the fifth time the plan stays.
    for (let generation = 0; generation < 8; generation++) {
      await callIn(client, anAttempt(generation))
    }

    for (let i = 0; i < 8; i++) {
      await callIn(client, attempt)
    }

    const { rows } = await client.query(
      'SELECT seq_scan::int FROM pg_stat_xact_user_tables WHERE relid = \'token_auth_sessions\'::regclass'
    )
    await client.query('ROLLBACK')
    client.release()
    t.strictSame(rows, [{ seq_scan: 0 }])
  })

  await t.test('nothing of it is bound to a connection: each may be another one, as behind a pooler', async t => {
    const { store } = recording(async (text, values) => {
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
      t.match(await store.rotate(anAttempt(generation)), {
        swapped: true,
        session: { generation: generation + 1 }
      })
    }
  })
})

t.test('who fits the row that was read after the swap failed is swapped, under a lock', async t => {
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
  const { store, asked } = recording(async text => ({
    rows: text === statements.rotateOne
      ? [{ outcome: `-${JSON.stringify(row)}` }]
      : [{ ...row, swapped: true, generation: 2 }]
  }))
  t.match(await store.rotate(anAttempt(1)), { swapped: true, session: { generation: 2 } })
  t.strictSame(asked, [statements.rotateOne, statements.rotate])
})

async function untilWaiting (pool: pg.Pool, holder: pg.PoolClient): Promise<void> {
  const { rows: [{ pid }] } = await holder.query('SELECT pg_backend_pid() AS pid')

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
