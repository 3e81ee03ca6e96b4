// Two prefixes in one database, and migrations by several processes at the same time.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import type { Test } from 'tap'
import { testAttemptStore } from '../../../src/stores/conformance/attempt-store.js'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { MysqlAttempts, MysqlStore } from '../../../src/stores/mysql/index.js'
import { PostgresAttempts, PostgresStore } from '../../../src/stores/postgres/index.js'
import { SqliteAttempts, SqliteStore } from '../../../src/stores/sqlite/index.js'
import type { AttemptStore } from '../../../src/stores/attempt-store.js'
import type { TokenStore } from '../../../src/stores/token-store.js'
import { createChildEnv } from '../../helpers/child-env.js'
import { mysqlUrl, whyNoMysql } from '../../helpers/databases/mysql.js'
import { createSqliteFile } from '../../helpers/databases/sqlite.js'
import { createMysqlDatabase } from '../mysql/mysql-helpers.js'
import { openDatabase, openServer } from '../postgres/postgres-helpers.js'

interface Prefixed {
  readonly store: TokenStore & { migrate(): Promise<void> }
  readonly attempts: AttemptStore
}

let count = 0
const nextPrefix = (): string => `p${++count}_`

/** Runs the suites. Each test has a prefix of its own in the same database. */
function testPrefixes (t: Test, create: (tablePrefix: string) => Prefixed): void {
  const test = (name: string, run: () => Promise<void>): unknown => t.test(name, run)
  testTokenStore({
    test,
    async open () {
      const tablePrefix = nextPrefix()
      const { store } = create(tablePrefix)
      await store.migrate()
      return { store, other: create(tablePrefix).store }
    },
    openIncomplete: () => ({ store: create(nextPrefix()).store })
  })
  testAttemptStore({
    test,
    async open () {
      const tablePrefix = nextPrefix()
      const { store, attempts } = create(tablePrefix)
      await store.migrate()
      return { store: attempts, other: create(tablePrefix).attempts }
    },
    openIncomplete: () => ({ store: create(nextPrefix()).attempts })
  })
}

t.test('SQLite passes the suites with prefixes', async t => {
  const file = createSqliteFile()
  t.teardown(() => {
    file.remove()
  })
  testPrefixes(t, tablePrefix => {
    const db = file.connect()

    return {
      store: new SqliteStore(db, { tablePrefix }),
      attempts: new SqliteAttempts(db, { tablePrefix })
    }
  })
})

t.test('PostgreSQL passes the suites with prefixes', async t => {
  const pool = (await openDatabase(t)).connect()
  testPrefixes(t, tablePrefix => ({
    store: new PostgresStore(pool, { tablePrefix }),
    attempts: new PostgresAttempts(pool, { tablePrefix })
  }))
})

t.test('MySQL passes the suites with prefixes', { skip: await whyNoMysql() }, async t => {
  const { defaultPool } = await createMysqlDatabase(t)
  testPrefixes(t, tablePrefix => ({
    store: new MysqlStore(defaultPool, { tablePrefix }),
    attempts: new MysqlAttempts(defaultPool, { tablePrefix })
  }))
})

/** Migrates in four processes at the same time. Each one then checks the schema. */
async function migrateByProcesses (connect: string, tablePrefix: string): Promise<string[]> {
  const script = `
    ${connect}
    const store = new Store(db, { tablePrefix: '${tablePrefix}' })
    await store.migrate()
    console.log(JSON.stringify(await store.check()))
    process.exit()`
  const runs = await Promise.all(Array.from({ length: 4 }, () =>
    promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      { env: createChildEnv() }
    )))
  return runs.map(({ stdout }) => stdout.trim())
}

t.test('four processes migrate at the same time', async t => {
  const file = createSqliteFile()
  t.teardown(() => {
    file.remove()
  })
  const { rows: [row] } = await (await openDatabase(t)).connect()
    .query('SELECT current_schema() AS schema')
  const connections = [
    `import Database from 'libsql'
    import { SqliteStore as Store } from './src/stores/sqlite/index.ts'
    const db = new Database(${JSON.stringify(file.path)})`,
    `import pg from 'pg'
    import { PostgresStore as Store } from './src/stores/postgres/index.ts'
    const db = new pg.Pool({
      connectionString: ${JSON.stringify(await openServer(t))},
      options: '-c search_path=${String(row?.schema)}'
    })
    db.on('error', () => {})`
  ]

  if (await whyNoMysql() === false) {
    const { defaultPool } = await createMysqlDatabase(t)
    const [[database]] = await defaultPool.query('SELECT DATABASE() AS name') as unknown as [
      Array<{ name: string }>
    ]
    connections.push(`import mysql from 'mysql2/promise'
    import { MysqlStore as Store } from './src/stores/mysql/index.ts'
    const db = mysql.createPool({
      uri: ${JSON.stringify(mysqlUrl)}, database: '${String(database?.name)}'
    })`)
  }

  for (const connect of connections) {
    t.strictSame(await migrateByProcesses(connect, nextPrefix()), Array(4).fill('[]'))
  }
})
