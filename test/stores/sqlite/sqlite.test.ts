import { statSync } from 'node:fs'
import t from 'tap'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { SqliteStore } from '../../../src/stores/sqlite/index.js'
import { makeSession } from '../../../src/stores/conformance/harness.js'
import { createSqliteFile, openSqliteStore } from '../../helpers/databases/sqlite.js'

const EMPTY = `
  DELETE FROM token_auth_sessions;
  DELETE FROM token_auth_user_not_befores;
  DELETE FROM token_auth_realm_not_befores;
  DELETE FROM token_auth_revocations;`

t.test('passes the conformance suite over two connections', async t => {
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

// A failed write outside of a transaction leaves a statement open if the database is busy.
t.test('every write happens in a transaction', async t => {
  const { file } = await openSqliteStore()
  t.teardown(() => {
    file.remove()
  })
  const db = file.connect()
  let isOpen = false
  const unsafeWrites: string[] = []
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
          unsafeWrites.push(sql)
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
  const tests: Array<() => Promise<void>> = []
  testTokenStore({
    test: (_name, run) => tests.push(run),
    open: () => ({
      store,
      close: () => {
        db.exec(EMPTY)
      }
    })
  })

  for (const run of tests) {
    await run()
  }

  t.strictSame(unsafeWrites, [])
  t.equal(written.size, 13, 'all writing statements were executed')
})

t.test('migrate leaves tables alone that another migration tool created', async t => {
  const file = createSqliteFile()
  t.teardown(() => {
    file.remove()
  })
  const db = file.connect()
  db.exec(SqliteStore.migrations.join(';'))
  const store = new SqliteStore(db)
  await store.migrate()
  await store.create(makeSession())
})

t.test('migrate may run twice, and in two processes at once', async t => {
  const file = createSqliteFile()
  t.teardown(() => {
    file.remove()
  })
  const stores = [new SqliteStore(file.connect()), new SqliteStore(file.connect())] as const
  await Promise.all(stores.map(store => store.migrate()))
  await stores[0].migrate()
  const session = makeSession()
  await stores[0].create(session)
  t.strictSame(await stores[1].find(session.realm, session.id), session)
})

t.test('a sweep limits checkpoints and restores wal_autocheckpoint', async t => {
  const { store, file } = await openSqliteStore()
  t.teardown(() => {
    file.remove()
  })
  const db = file.connect()
  const other = new SqliteStore(db)
  const readCheckpointLimit = (): number =>
    (db.prepare('PRAGMA wal_autocheckpoint').all() as Array<{ wal_autocheckpoint: number }>)[0]
      ?.wal_autocheckpoint ?? -1
  const userAgent = 'x'.repeat(1000)
  await Promise.all(
    Array.from(
      { length: 1000 },
      (_, n) =>
        store.create(makeSession({
          id: `s${String(n * 7919 % 1000).padStart(4, '0')}`,
          userId: `u${n}`,
          rotatedBy: { address: null, userAgent },
          expiresAt: n + 1,
          endsAt: n + 1,
          device: { label: null, address: null, userAgent }
        }))
    )
  )
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)')

  // Reads the file size, because a query could start a checkpoint.
  const countPagesInLog = (): number => statSync(`${file.path}-wal`).size / 4096

  for (const checkpointLimit of [500, 0]) {
    db.exec(`PRAGMA wal_autocheckpoint = ${checkpointLimit}`)

    for (let batch = 0; batch < 40; batch++) {
      await other.sweep({ endedBefore: checkpointLimit === 0 ? 9999 : 500, limit: 10 })
    }

    t.equal(readCheckpointLimit(), checkpointLimit)

    if (checkpointLimit === 0) {
      t.ok(
        countPagesInLog() > 300,
        `no checkpoint if automatic ones are off: ${Math.round(countPagesInLog())} pages`
      )
    } else {
      t.ok(countPagesInLog() < 200, `${Math.round(countPagesInLog())} pages`)
    }
  }
})
