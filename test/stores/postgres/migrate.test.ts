import t from 'tap'
import { PostgresAttempts, PostgresStore } from '../../../src/stores/postgres/index.js'
import { openDatabase } from './postgres-helpers.js'

const database = await openDatabase(t)
const pool = database.connect()
const { rows: [{ schema }] } = await pool.query('SELECT current_schema() AS schema')

for (const level of ['read committed', 'repeatable read', 'serializable']) {
  await t.test(`instances migrate at the same time at ${level}`, async t => {
    const tablePrefix = `${level.replace(' ', '_')}_`
    const options = `-c search_path=${schema} -c default_transaction_isolation=${
      level.replace(' ', '\\ ')
    }`
    const stores = Array.from(
      { length: 4 },
      () => new PostgresStore(database.connect({ max: 1, options }), { tablePrefix })
    )
    await Promise.all(stores.map(store => store.migrate()))
    t.strictSame(await stores[0]?.check(), [])
  })
}

await t.test('a role needs no right to write the table of migrations', async t => {
  const tablePrefix = 'shop'
  const role = `${schema}_reader`
  await new PostgresStore(pool, { tablePrefix }).migrate()
  await pool.query(`
    CREATE ROLE ${role};
    GRANT USAGE ON SCHEMA ${schema} TO ${role};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${role};
    REVOKE INSERT, UPDATE, DELETE ON shopmigrations FROM ${role}`)
  t.teardown(() => pool.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`))
  const options = `-c search_path=${schema} -c role=${role}`
  const asRole = database.connect({ options })
  t.strictSame(await new PostgresStore(asRole, { tablePrefix }).check(), [])
  t.strictSame(await new PostgresAttempts(asRole, { tablePrefix }).check(), [])
})
