import { statSync } from 'node:fs'
import t from 'tap'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { SqliteStore } from '../../../src/stores/sqlite/index.js'
import { makeSession } from '../../../src/stores/conformance/harness.js'
import { createSqliteFile, openSqliteStore } from '../../helpers/databases/sqlite.js'

const EMPTY = 'DELETE FROM token_auth_sessions; DELETE FROM token_auth_revoked_users'

t.test('over two connections', async t => {
  testTokenStore({
    test: (name, run) => t.test(name, run),
    open: async () => {
      const { store, file } = await openSqliteStore()

      return {
        store,
        other: new SqliteStore(file.connect()),
        close: () => {
          file.remove()
        }
      }
    }
  })
})

t.test('nothing is written outside of a transaction, where a busy database would leave a statement open', async t => {
  const { file } = await openSqliteStore()
  t.teardown(() => {
    file.remove()
  })
  const db = file.connect()
  let isOpen = false
  const outside: string[] = []
  const written = new Set<string>()
  const store = new SqliteStore({
    exec (sql) {
      if (sql.startsWith('BEGIN IMMEDIATE')) {
        isOpen = true
      }

      if (/^(COMMIT|ROLLBACK)/.test(sql)) {
        isOpen = false
      }

      return db.exec(sql)
    },
    prepare (sql) {
      const statement = db.prepare(sql)

      const watch = (): void => {
        const [verb = ''] = /^\s*(INSERT|UPDATE|DELETE)/.exec(sql) ?? []

        if (verb === '') {
          return
        }

        written.add(sql)

        if (!isOpen) {
          outside.push(sql)
        }
      }

      return {
        all (...values) {
          watch()
          return statement.all(...values)
        },
        run (...values) {
          watch()
          return statement.run(...values)
        }
      }
    }
  })
  const laws: Array<() => Promise<void>> = []
  testTokenStore({
    test: (_name, run) => laws.push(run),
    open: () => ({
      store,
      close: () => {
        db.exec(EMPTY)
      }
    })
  })

  for (const law of laws) {
    await law()
  }

  t.strictSame(outside, [])
  t.equal(written.size, 9, 'all that write were seen')
})

t.test('migrate: what an older version has made is taken further', async t => {
  const file = createSqliteFile()
  t.teardown(() => {
    file.remove()
  })
  const db = file.connect()
  db.exec(SqliteStore.migrations[0] as string)
  db.exec(
    'CREATE TABLE token_auth_migrations (version INTEGER NOT NULL PRIMARY KEY); INSERT INTO token_auth_migrations VALUES (1)'
  )
  await new SqliteStore(db).migrate()
  t.strictSame(db.prepare('SELECT * FROM token_auth_attempts').all(), [])
  t.match(db.prepare('SELECT version FROM token_auth_migrations ORDER BY version').all(), [{
    version: 1
  }, { version: 2 }])
})

t.test('a sweep takes its pages from the log to their places in small steps, and leaves the setting as it was', async t => {
  const { store, file } = await openSqliteStore()
  t.teardown(() => {
    file.remove()
  })
  const db = file.connect()
  const other = new SqliteStore(db)
  const setting = (): number =>
    (db.prepare('PRAGMA wal_autocheckpoint').all() as Array<{ wal_autocheckpoint: number }>)[0]
      ?.wal_autocheckpoint ?? -1
  const text = 'x'.repeat(1000)
  await Promise.all(
    Array.from(
      { length: 1000 },
      (_, n) =>
        store.create(makeSession(`s${String(n * 7919 % 1000).padStart(4, '0')}`, {
          userId: `u${n}`,
          rotatedBy: { address: null, userAgent: text },
          expiresAt: n + 1,
          endsAt: n + 1,
          device: { label: null, address: null, userAgent: text }
        }))
    )
  )
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)')

  // How many pages the log holds, asked without taking any from it.
  const inLog = (): number => statSync(`${file.path}-wal`).size / 4096

  for (const usual of [500, 0]) {
    db.exec(`PRAGMA wal_autocheckpoint = ${usual}`)

    for (let batch = 0; batch < 40; batch++) {
      await other.sweep({ endedBefore: usual === 0 ? 9999 : 500, limit: 10 })
    }

    t.equal(setting(), usual)

    if (usual === 0) {
      t.ok(
        inLog() > 300,
        `where nothing is to be taken by itself, nothing is: ${Math.round(inLog())} pages`
      )
    } else {
      t.ok(inLog() < 200, `${Math.round(inLog())} pages`)
    }
  }
})
