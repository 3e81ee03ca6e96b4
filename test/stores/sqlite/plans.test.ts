import t from 'tap'
import { DAY } from '../../../src/lib/time.js'
import { testAttemptStore } from '../../../src/stores/conformance/attempt-store.js'
import {
  attemptAt,
  makeSession,
  NOW,
  readFeed,
  REALM,
  saveSessions,
  touchOf
} from '../../../src/stores/conformance/harness.js'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { SqliteAttempts, SqliteStore } from '../../../src/stores/sqlite/index.js'
import type { SqliteDatabase } from '../../../src/stores/sqlite/index.js'
import { openSqliteStore } from '../../helpers/databases/sqlite.js'
import { openTestStore, readRows } from './sqlite-helpers.js'

/** Records the statements that a store prepares. */
function recordStatements (db: SqliteDatabase, statements: Set<string>): SqliteDatabase {
  return {
    exec: sql => db.exec(sql),
    prepare (sql) {
      statements.add(sql)
      return db.prepare(sql)
    }
  }
}

t.test('no statement reads a whole table, except that of the realms', async t => {
  const statements = new Set<string>()
  const tests: Array<() => Promise<void>> = []
  const test = (_name: string, run: () => Promise<void>): unknown => tests.push(run)
  testTokenStore({
    test,
    open: async () => {
      const { file } = await openSqliteStore()

      const close = (): void => {
        file.remove()
      }

      return { store: new SqliteStore(recordStatements(file.connect(), statements)), close }
    }
  })
  testAttemptStore({
    test,
    open: async () => {
      const { file } = await openSqliteStore()

      const close = (): void => {
        file.remove()
      }

      return { store: new SqliteAttempts(recordStatements(file.connect(), statements)), close }
    }
  })

  for (const run of tests) {
    await run()
  }

  const { db } = await openTestStore(t)
  const scans: string[] = []

  for (const sql of statements) {
    if (sql.startsWith('PRAGMA')) {
      continue
    }

    for (const { detail } of readRows(db, `EXPLAIN QUERY PLAN ${sql.replaceAll('?', '1')}`)) {
      if (/^SCAN (token_auth_\w+|s|n)\b/.test(String(detail))) {
        scans.push(String(detail))
      }
    }
  }

  t.ok(statements.size > 20, `${statements.size} statements`)
  t.strictSame(scans, ['SCAN token_auth_realm_not_befores'])
})

t.test('a list reads one range of the index, without ended sessions or a sort', async t => {
  const { db } = await openTestStore(t)
  const statements = new Set<string>()
  const store = new SqliteStore(recordStatements(db, statements))
  await store.list(REALM, 'ann', { now: NOW, limit: 2 })
  const [list = ''] = statements
  const plan = readRows(db, `EXPLAIN QUERY PLAN ${list.replaceAll('?', '1')}`)
    .map(({ detail }) => String(detail))
  const conditions = 'realm=? AND user_id=? AND revoked_at=? AND created_at>?'
  t.ok(plan[0]?.includes(`token_auth_sessions_by_user (${conditions})`))
  t.notOk(plan.some(detail => detail.includes('ORDER BY')))
})

t.test('a rotation and a touch write no index', async t => {
  const { db } = await openTestStore(t)
  const statements = new Set<string>()
  const store = new SqliteStore(recordStatements(db, statements))
  const [session = makeSession()] = await saveSessions(store, {})
  await store.rotate(attemptAt(session, NOW + 1))
  await store.touch([touchOf(session, { lastUsedAt: NOW + 2 })])
  const updates = [...statements].filter(sql => /^\s*UPDATE/.test(sql))
  t.equal(updates.length, 2)

  for (const sql of updates) {
    const steps = readRows(db, `EXPLAIN ${sql.replaceAll('?', '1')}`)
    const written = steps.filter(({ opcode }) => opcode === 'OpenWrite')
    t.equal(written.length, 1, 'the table only')
  }
})

t.test('an idle poll reads the last entry only', async t => {
  const { store, db } = await openTestStore(t)
  db.exec(`
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 50000)
    INSERT INTO token_auth_revocations (stored_at, entry)
    SELECT ${Date.now() - DAY / 2}, json_object('sessionId', n) FROM numbers`)
  const { cursor } = await readFeed(store, { within: DAY }, 5000)
  let shortest = Infinity

  for (let i = 0; i < 100; i++) {
    const startedAt = performance.now()
    t.strictSame((await store.revocations(cursor, 5000)).entries, [])
    shortest = Math.min(shortest, performance.now() - startedAt)
  }

  // A poll takes 0.02 ms, and reading all entries 100 ms. Other processes delay some polls only.
  t.ok(shortest < 10, `${shortest.toFixed(2)} ms`)
})
