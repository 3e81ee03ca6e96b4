import t from 'tap'
import { SqliteAttempts, SqliteStore } from '../../../src/stores/sqlite/index.js'
import { createSqliteFile } from '../../helpers/databases/sqlite.js'

const file = createSqliteFile()
t.teardown(() => {
  file.remove()
})

// Prefixes that contain each other, or the default one, or end without an underscore.
const prefixes = ['a_', 'a_b_', 'a', 'my_token_auth_', 'token_auth_x', 'token_auth_']

t.test('each prefix has tables of its own, whatever its form', async t => {
  for (const tablePrefix of prefixes) {
    const db = file.connect()
    const store = new SqliteStore(db, { tablePrefix })
    const attempts = new SqliteAttempts(db, { tablePrefix })
    await t.rejects(attempts.check(), {
      name: 'StoreSetupError',
      message: `table "${tablePrefix}migrations" is missing, table "${tablePrefix}attempts" is ` +
        'missing; run "await store.migrate()"'
    })
    await store.migrate()
    t.strictSame(await store.check(), [])
    t.strictSame(await attempts.check(), [])
  }

  const db = file.connect()
  db.exec('DROP TABLE a_b_attempts')

  for (const tablePrefix of prefixes) {
    const check = new SqliteAttempts(db, { tablePrefix }).check()
    await (tablePrefix === 'a_b_' ? t.rejects(check, /a_b_attempts/) : t.resolves(check))
  }
})
