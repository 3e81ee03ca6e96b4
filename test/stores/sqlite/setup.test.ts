import { chmodSync } from 'node:fs'
import Database from 'libsql'
import t from 'tap'
import { SqliteAttempts, SqliteStore } from '../../../src/stores/sqlite/index.js'
import type { SqliteDatabase } from '../../../src/stores/sqlite/index.js'
import { createSqliteFile } from '../../helpers/databases/sqlite.js'
import { setupError } from '../sql/setup-helpers.js'

t.test('check names what is missing, and migrate creates it', async t => {
  const db = new Database(':memory:')
  const store = new SqliteStore(db)
  const attempts = new SqliteAttempts(db)
  await t.rejects(
    store.check(),
    setupError({
      problems: [
        'migrations',
        'sessions',
        'user_not_befores',
        'realm_not_befores',
        'revocations',
        'attempts'
      ].map(name => `table "token_auth_${name}" is missing`),
      fix: 'run "await store.migrate()"'
    })
  )
  await t.rejects(
    attempts.check(),
    setupError({
      problems: [
        'table "token_auth_migrations" is missing',
        'table "token_auth_attempts" is missing'
      ]
    })
  )
  await store.migrate()
  t.strictSame(await store.check(), [])
  t.strictSame(await attempts.check(), [])

  const losses = {
    'DROP INDEX token_auth_sessions_by_end': 'index "token_auth_sessions_by_end" is missing',
    'DROP TABLE token_auth_attempts': 'table "token_auth_attempts" is missing',
    'DELETE FROM token_auth_migrations': 'the schema has version 0 instead of 1'
  }

  for (const [statement, problem] of Object.entries(losses)) {
    db.exec(statement)
    await t.rejects(store.check(), setupError({ problems: [problem] }))
    await store.migrate()
    t.strictSame(await store.check(), [])
  }

  db.exec('DROP TABLE token_auth_migrations')
  await store.baseline()
  t.strictSame(await store.check(), [])
  db.exec('INSERT INTO token_auth_migrations VALUES (8)')
  t.match(await store.check(), [/^the schema has version 8/])
})

t.test('migrate refuses tables of another origin, and leaves them alone', async t => {
  const db = new Database(':memory:')
  db.exec('CREATE TABLE token_auth_sessions (id TEXT PRIMARY KEY, expires_at TEXT)')
  const store = new SqliteStore(db)
  await t.rejects(store.migrate(), {
    name: 'StoreSetupError',
    message: /has no column "realm", .+"expires_at" of type TEXT instead of INTEGER/
  })
  await t.rejects(store.baseline(), { name: 'StoreSetupError' })
  t.equal(db.prepare('SELECT name FROM sqlite_master WHERE type = \'table\'').all().length, 1)
})

t.test('the executed schema leaves nothing to do', async t => {
  const db = new Database(':memory:')
  const store = new SqliteStore(db, { tablePrefix: 'shop_' })

  for (const text of store.migrations) {
    db.exec(text)
  }

  const written: string[] = []
  const watched: SqliteDatabase = {
    exec (sql) {
      written.push(sql)
      return db.exec(sql)
    },
    prepare: sql => db.prepare(sql)
  }
  t.strictSame(await store.check(), [])
  await new SqliteStore(watched, { tablePrefix: 'shop_' }).migrate()
  t.strictSame(written.filter(sql => /BEGIN|CREATE|INSERT/.test(sql)), [])
})

t.test('warns of a connection that blocks, and of a file without a log', async t => {
  const file = createSqliteFile()
  t.teardown(() => {
    file.remove()
  })
  const db = file.connect()
  db.exec(SqliteStore.migrations.join(''))
  db.exec('PRAGMA busy_timeout = 5000')
  const store = new SqliteStore(db)
  t.match(await store.check(), [/^"busy_timeout" is set/, /^write-ahead logging is off/])
  await store.migrate()
  t.strictSame(await store.check(), [])
})

t.test('a database that cannot be written is rejected', async t => {
  const file = createSqliteFile()
  t.teardown(() => {
    file.remove()
  })
  await new SqliteStore(file.connect()).migrate()
  chmodSync(file.path, 0o444)
  const reading = new Database(file.path, { readonly: true } as object)
  t.teardown(() => {
    reading.close()
  })
  reading.exec('PRAGMA query_only = ON')
  await t.rejects(new SqliteStore(reading).check(), /^the database is read-only/)
})
