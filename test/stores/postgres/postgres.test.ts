import t from 'tap'
import type { Test } from 'tap'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { PostgresStore } from '../../../src/stores/postgres/index.js'
import {
  answers,
  createPostgresDatabase,
  POSTGRES_URL,
  startPostgres
} from '../../helpers/databases/postgres.js'

async function testConformance (t: Test, url: string): Promise<void> {
  const database = await createPostgresDatabase(url)
  t.teardown(() => database.remove())
  const [store, other] = [
    new PostgresStore(database.connect()),
    new PostgresStore(database.connect())
  ]
  testTokenStore({
    test: (name, run) => t.test(name, run),
    open: async () => {
      await database.empty()
      return { store, other }
    }
  })
}

t.test('embedded PostgreSQL', async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())

  await t.test('passes the conformance suite over two pools', t => testConformance(t, server.url))

  await t.test('five concurrent calls of migrate create the tables once', async t => {
    const database = await createPostgresDatabase(server.url)
    t.teardown(() => database.remove())
    const pool = database.connect()
    await pool.query(
      `DROP TABLE token_auth_sessions, token_auth_revoked_users, token_auth_attempts,
        token_auth_migrations`
    )
    await Promise.all(
      Array.from({ length: 5 }, () => new PostgresStore(database.connect({ max: 1 })).migrate())
    )
    const { rows } = await pool.query('SELECT version FROM token_auth_migrations ORDER BY version')
    t.strictSame(rows, PostgresStore.migrations.map((_, i) => ({ version: i + 1 })))
  })

  await t.test('migrate upgrades the tables of an older version', async t => {
    const database = await createPostgresDatabase(server.url)
    t.teardown(() => database.remove())
    const pool = database.connect()
    await pool.query(
      'DROP TABLE token_auth_attempts; DELETE FROM token_auth_migrations WHERE version > 1'
    )
    await new PostgresStore(pool).migrate()
    t.strictSame((await pool.query('SELECT * FROM token_auth_attempts')).rows, [])
  })

  await t.test('rotations are HOT updates', async t => {
    const database = await createPostgresDatabase(server.url)
    t.teardown(() => database.remove())
    const pool = database.connect()
    const store = new PostgresStore(pool)
    const by = { address: null, userAgent: null }
    const session = {
      id: 's1',
      userId: 'ann',
      secretHash: 'hash',
      generation: 0,
      confirmedGeneration: 0,
      createdAt: 0,
      authenticatedAt: 0,
      rotatedAt: 0,
      rotatedBy: by,
      lastUsedAt: 0,
      expiresAt: 1e12,
      endsAt: 1e13,
      revokedAt: null,
      revokedFor: null,
      device: { label: null, ...by }
    }
    await store.create(session)

    for (let generation = 0; generation < 50; generation++) {
      const { swapped } = await store.rotate({
        sessionId: 's1',
        secretHash: 'hash',
        generation,
        now: 1,
        expiresAt: 1e12,
        rotatedBefore: 1,
        rotatedAfter: 2,
        by
      })
      t.equal(swapped, true)
    }

    const counts = async (): Promise<{ n_tup_upd: string, n_tup_hot_upd: string }> =>
      (await pool.query(`
      SELECT
        pg_stat_get_tuples_updated(oid) + pg_stat_get_xact_tuples_updated(oid) AS n_tup_upd,
        pg_stat_get_tuples_hot_updated(oid) + pg_stat_get_xact_tuples_hot_updated(oid)
          AS n_tup_hot_upd
      FROM pg_class WHERE oid = 'token_auth_sessions'::regclass`)).rows[0]
    // The server updates its statistics with a delay.
    let updates = await counts()

    for (let i = 0; i < 100 && Number(updates.n_tup_upd) < 50; i++) {
      await pool.query('SELECT pg_sleep(0.05)')
      updates = await counts()
    }

    t.equal(Number(updates.n_tup_upd), 50)
    t.equal(Number(updates.n_tup_hot_upd), 50)
  })
})

const hasServer = await answers(POSTGRES_URL)

t.test('PostgreSQL server at POSTGRES_URL', {
  skip: !hasServer && 'set POSTGRES_URL to test against a PostgreSQL server'
}, async t => {
  await t.test('passes the conformance suite over two pools', t => testConformance(t, POSTGRES_URL))
})

t.test('CI has a PostgreSQL server', async t => {
  t.ok(hasServer || process.env.CI === undefined)
})
