import t from 'tap'
import { applyRotation } from '../../../src/domain/rotation.js'
import { HOUR } from '../../../src/lib/time.js'
import {
  attemptAt,
  NOW,
  REALM,
  saveSession,
  touchOf
} from '../../../src/stores/conformance/harness.js'
import { PostgresStore } from '../../../src/stores/postgres/index.js'
import {
  answers,
  createPostgresDatabase,
  POSTGRES_URL,
  startPostgres
} from '../../helpers/databases/postgres.js'
import { testConformance } from './conformance.js'

const hasServer = await answers(POSTGRES_URL)

t.test('PostgreSQL', async t => {
  const server = hasServer ? { url: POSTGRES_URL, stop: () => {} } : await startPostgres()
  t.teardown(() => server.stop())

  await t.test('passes the conformance suites over two pools', t => testConformance(t, server.url))

  await t.test('five concurrent calls of migrate create the tables once', async t => {
    const database = await createPostgresDatabase(server.url)
    t.teardown(() => database.remove())
    const pool = database.connect()
    await pool.query(`
      DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() LOOP
          EXECUTE 'DROP TABLE ' || name;
        END LOOP;
      END $$`)
    await Promise.all(
      Array.from({ length: 5 }, () => new PostgresStore(database.connect({ max: 1 })).migrate())
    )
    const { rows } = await pool.query('SELECT version FROM token_auth_migrations ORDER BY version')
    t.strictSame(rows, PostgresStore.migrations.map((_, i) => ({ version: i + 1 })))
  })

  await t.test('migrate leaves the data of an earlier call', async t => {
    const database = await createPostgresDatabase(server.url)
    t.teardown(() => database.remove())
    const store = new PostgresStore(database.connect())
    const session = await saveSession(store)
    await store.migrate()
    t.strictSame(await store.find(REALM, session.id), session)
  })

  await t.test('rotations and touches are HOT updates', async t => {
    const database = await createPostgresDatabase(server.url)
    t.teardown(() => database.remove())
    const pool = database.connect()
    const store = new PostgresStore(pool)
    let session = await saveSession(store)

    for (let i = 1; i <= 24; i++) {
      const now = NOW + i * HOUR
      const attempt = attemptAt(session, now, { graceBefore: now })
      t.equal((await store.rotate(attempt)).swapped, true)
      session = applyRotation(session, attempt)
      await store.touch([
        touchOf(session, {
          lastUsedAt: now + 1,
          confirmedGeneration: i,
          graceFrom: now,
          replayRun: { generation: i, length: 1 }
        })
      ])
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

    for (let i = 0; i < 100 && Number(updates.n_tup_upd) < 48; i++) {
      await pool.query('SELECT pg_sleep(0.05)')
      updates = await counts()
    }

    t.equal(Number(updates.n_tup_upd), 48)
    t.equal(Number(updates.n_tup_hot_upd), 48)
  })
})

t.test('CI has a PostgreSQL server', async t => {
  t.ok(hasServer || process.env.CI === undefined)
})
