import pg from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import { saveSession } from '../../../src/stores/conformance/harness.js'
import {
  PostgresAttempts,
  PostgresStore,
  withPreparedStatements
} from '../../../src/stores/postgres/index.js'
import type { PostgresDatabase } from '../../../src/stores/postgres/index.js'
import { openDatabase } from './postgres-helpers.js'
import { setupError } from '../sql/setup-helpers.js'

const database = await openDatabase(t)
const pool = database.connect()
const { rows: [{ schema }] } = await pool.query('SELECT current_schema() AS schema')
let count = 0

/** Returns options with a prefix that no table has. */
const newPrefix = (): { tablePrefix: string } => ({ tablePrefix: `p${++count}_` })

/** Creates a role without rights on the schema, and a pool of it. */
async function createRole (t: Test, ...grants: string[]): Promise<pg.Pool> {
  const role = `${String(schema)}_${++count}`
  await pool.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`)
  t.teardown(() => pool.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`))

  for (const grant of [`GRANT USAGE ON SCHEMA ${String(schema)}`, ...grants]) {
    await pool.query(`${grant} TO ${role}`)
  }

  const { host, port, database: name } = await pool.connect().then(client => {
    client.release()
    return client as pg.PoolClient & { host: string, port: number, database: string }
  })

  return database.connect({
    connectionString: undefined,
    host,
    port,
    database: name,
    user: role,
    password: 'x'
  })
}

await t.test('check names what is missing, and migrate creates it', async t => {
  const options = newPrefix()
  const store = new PostgresStore(pool, options)
  const attempts = new PostgresAttempts(pool, options)
  const { tablePrefix: p } = options
  await t.rejects(
    store.check(),
    setupError({
      problems: [
        `table "${p}migrations" is missing`,
        `table "${p}sessions" is missing`,
        `table "${p}user_not_befores" is missing`,
        `table "${p}realm_not_befores" is missing`,
        `table "${p}revocations" is missing`,
        `table "${p}attempts" is missing`,
        `function "${p}rotate" is missing`,
        `function "${p}create" is missing`,
        `function "${p}revoke_user" is missing`,
        `function "${p}consume" is missing`
      ],
      fix: 'run "await store.migrate()"'
    })
  )
  await t.rejects(attempts.check(), {
    message: `table "${p}migrations" is missing, table "${p}attempts" is missing, ` +
      `function "${p}consume" is missing; run "await store.migrate()"`
  })
  await store.migrate()
  t.strictSame(await store.check(), [])
  t.strictSame(await attempts.check(), [])

  const losses = {
    [`DROP INDEX ${p}sessions_by_user`]: `index "${p}sessions_by_user" is missing`,
    [`DROP TABLE ${p}attempts`]: `table "${p}attempts" is missing`,
    [`DROP FUNCTION ${p}consume`]: `function "${p}consume" is missing`,
    [`DELETE FROM ${p}migrations`]: 'the schema has version 0 instead of 1',
    [`DROP TABLE ${p}migrations`]: `table "${p}migrations" is missing`
  }

  for (const [statement, problem] of Object.entries(losses)) {
    await pool.query(statement)
    await t.rejects(
      store.check(),
      setupError({ problems: [problem], fix: 'run "await store.migrate()"' })
    )
    await store.migrate()
    t.strictSame(await store.check(), [])
  }
})

await t.test('migrate refuses tables of another origin, and leaves them alone', async t => {
  const options = newPrefix()
  const { tablePrefix: p } = options
  const store = new PostgresStore(pool, options)
  await pool.query(`CREATE TABLE ${p}sessions (id integer)`)
  const expected = {
    name: 'StoreSetupError',
    message: new RegExp(
      `^table "${p}sessions" has no column "realm", "user_id", "secret_hash", "generation" and ` +
        '18 more, .*"id" of type integer instead of text COLLATE "C".*rename them or set ' +
        '"tablePrefix"'
    )
  }
  await t.rejects(store.migrate(), expected)
  await t.rejects(store.check(), expected)
  await t.rejects(store.baseline(), { name: 'StoreSetupError' })
  const { rows } = await pool.query('SELECT 1 FROM pg_tables WHERE tablename = $1', [
    `${p}attempts`
  ])
  t.strictSame(rows, [], 'creates nothing')
})

await t.test('a column that is missing, or has another type or key, is named', async t => {
  const changes = {
    'DROP COLUMN replay_length': 'has no column "replay_length"',
    'ALTER COLUMN expires_at TYPE integer':
      'has the column "expires_at" of type integer instead of bigint',
    'ALTER COLUMN id TYPE text COLLATE "default"':
      'has the column "id" of type text instead of text COLLATE "C"',
    'DROP CONSTRAINT $_pkey': 'must have the primary key (id)'
  }

  for (const [change, problem] of Object.entries(changes)) {
    const options = newPrefix()
    const table = `${options.tablePrefix}sessions`
    const store = new PostgresStore(pool, options)
    await store.migrate()
    await pool.query(`ALTER TABLE ${table} ${change.replace('$', table)}`)
    await t.rejects(store.check(), setupError({ problems: [`table "${table}" ${problem}`] }))
    await t.rejects(store.migrate(), setupError({ problems: [`table "${table}" ${problem}`] }))
  }
})

await t.test('the executed schema leaves nothing to do', async t => {
  const options = newPrefix()
  const store = new PostgresStore(pool, options)

  for (const text of store.migrations) {
    await pool.query(text)
  }

  t.strictSame(await store.check(), [])
  const reading = database.connect({
    options: `-c search_path=${String(schema)} -c default_transaction_read_only=on`
  })
  await t.resolves(new PostgresStore(reading, options).migrate(), 'only reads')
  await t.resolves(new PostgresStore(reading, options).baseline(), 'only reads')
  t.strictSame(store.migrations[0]?.includes('token_auth_'), false)
})

await t.test('baseline records the version of tables that another tool has made', async t => {
  const options = newPrefix()
  const { tablePrefix: p } = options
  const store = new PostgresStore(pool, options)
  await t.rejects(store.baseline(), /let the other migration tool execute "migrations"/)
  await store.migrate()
  await pool.query(`DROP TABLE ${p}migrations`)
  await store.baseline()
  const { rows } = await pool.query(`SELECT version FROM ${p}migrations`)
  t.strictSame(rows, [{ version: 1 }])
  t.strictSame(await store.check(), [])
})

await t.test('a newer schema is a warning', async t => {
  const options = newPrefix()
  const store = new PostgresStore(pool, options)
  await store.migrate()
  await pool.query(`INSERT INTO ${options.tablePrefix}migrations VALUES (7)`)
  t.match(await store.check(), [/^the schema has version 7, and .+; update the package$/])
  await store.migrate()
})

await t.test('migrate works for a role without CREATE if nothing is missing', async t => {
  const app = await createRole(
    t,
    `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${String(schema)}`
  )
  const store = new PostgresStore(app)
  await store.migrate()
  t.strictSame(await store.check(), [])
  await saveSession(store)
  await database.empty()
  await t.rejects(new PostgresStore(app, newPrefix()).migrate(), {
    message: new RegExp(
      '^the role \\w+ may not create tables in the schema \\w+, table "p\\d+_migrations" is missing.+' +
        `run "GRANT CREATE ON SCHEMA ${String(schema)} TO \\w+", or run`
    )
  })
})

await t.test('a role that is not the owner gets the fix if something is missing', async t => {
  const options = newPrefix()
  await new PostgresStore(pool, options).migrate()
  await pool.query(`DROP INDEX ${options.tablePrefix}sessions_by_user`)
  const app = await createRole(
    t,
    `GRANT CREATE ON SCHEMA ${String(schema)}`,
    `GRANT SELECT, INSERT ON ${options.tablePrefix}migrations`
  )
  await t.rejects(
    new PostgresStore(app, options).migrate(),
    /run "await store\.migrate\(\)" as the owner of the tables/
  )
})

await t.test('check names the rights that the role lacks, and the grant', async t => {
  const app = await createRole(
    t,
    'GRANT SELECT ON token_auth_migrations',
    'GRANT SELECT, UPDATE, DELETE ON token_auth_attempts'
  )
  await t.rejects(new PostgresAttempts(app).check(), {
    message: new RegExp(
      '^the role \\w+ has no right to INSERT on table "token_auth_attempts"; ' +
        'run "GRANT INSERT ON TABLE token_auth_attempts TO \\w+" as the owner$'
    )
  })
  await t.rejects(
    new PostgresStore(app).check(),
    /GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE token_auth_sessions/
  )
})

await t.test('a read-only server and an old server are rejected', async t => {
  const reading = database.connect({
    options: `-c search_path=${String(schema)} -c default_transaction_read_only=on`
  })
  await t.rejects(new PostgresStore(reading).check(), {
    message: /^the server or the session is read-only; connect to the primary server/
  })
  await t.rejects(new PostgresStore(reading, newPrefix()).migrate(), /read-only/)
  const old: PostgresDatabase = {
    query: async () => ({ rows: [{ found: JSON.stringify({ serverVersion: 11, columns: null }) }] })
  }
  await t.rejects(new PostgresStore(old).check(), {
    message: 'the server is PostgreSQL 11; use PostgreSQL 12 or later'
  })
})

await t.test('a pool without a listener for errors is a warning', async t => {
  const silent = database.connect()
  silent.removeAllListeners('error')
  const warning = /^the database client has no listener for "error".+; add pool\.on\("error"/
  t.match(await new PostgresStore(silent).check(), [warning])
  t.match(await new PostgresAttempts(withPreparedStatements(silent)).check(), [warning])
  silent.on('error', () => {})
  t.strictSame(await new PostgresStore(silent).check(), [])
  const wrapper = { query: (text: string, values?: unknown[]) => silent.query(text, values) }
  t.strictSame(await new PostgresStore(wrapper).check(), [])
})
