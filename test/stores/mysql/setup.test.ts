import mysql from 'mysql2/promise'
import t from 'tap'
import { MysqlAttempts, MysqlStore } from '../../../src/stores/mysql/index.js'
import type { MysqlPool } from '../../../src/stores/mysql/index.js'
import { mysqlUrl, whyNoMysql } from '../../helpers/databases/mysql.js'
import { createMysqlDatabase } from './mysql-helpers.js'
import { setupError } from '../sql/setup-helpers.js'

/** Creates a pool of a server that answers with the given variables. */
function createServer (variables: Readonly<Record<string, string>>): MysqlPool {
  const rows = Object.entries({ version: '8.4.0', ...variables }).map(([name, value]) => ({
    Variable_name: name,
    Value: value
  }))
  const connection = {
    query: async (sql: string) => [
      sql.startsWith('SHOW') ? rows : sql.startsWith('SELECT DATABASE()') ? [{ name: 'app' }] : [],
      []
    ],
    release () {},
    destroy () {}
  }
  return { getConnection: async () => connection } as unknown as MysqlPool
}

t.test('check rejects servers on which the store does not work', async t => {
  const servers: ReadonlyArray<readonly [Record<string, string>, RegExp]> = [
    [{ version: '5.7.44-log' }, /^the server is MySQL 5\.7; use MariaDB 10\.6, MySQL 8 or later$/],
    [{ version: '10.5.9-MariaDB' }, /^the server is MariaDB 10\.5;/],
    [{ version: '5.5.5-10.4.1-MariaDB' }, /^the server is MariaDB 10\.4;/],
    [{ autocommit: 'OFF' }, /^"autocommit" is off/],
    [{ log_bin: 'ON', binlog_format: 'STATEMENT' }, /set "binlog_format" to ROW or MIXED$/],
    [{ read_only: 'ON' }, /^the server or the session is read-only/],
    [{ transaction_read_only: 'ON' }, /^the server or the session is read-only/],
    [{ version: '5.5.5-10.6.1-MariaDB', read_only: 'OFF', log_bin: 'ON' }, /is missing/],
    [{ version: '11.4.2-MariaDB', binlog_format: 'STATEMENT', log_bin: 'OFF' }, /is missing/]
  ]

  for (const [variables, message] of servers) {
    await t.rejects(new MysqlStore(createServer(variables)).check(), {
      name: 'StoreSetupError',
      message
    })
  }
})

t.test('MySQL', { skip: await whyNoMysql() }, async t => {
  const { connect, defaultPool } = await createMysqlDatabase(t)
  let count = 0
  const newPrefix = (): { tablePrefix: string } => ({ tablePrefix: `p${++count}_` })

  await t.test('check names what is missing, and migrate creates it', async t => {
    const options = newPrefix()
    const { tablePrefix: p } = options
    const store = new MysqlStore(defaultPool, options)
    await t.rejects(
      store.check(),
      setupError({
        problems: ['migrations', 'sessions', 'not_befores', 'realms', 'revocations', 'attempts']
          .map(name => `table "${p}${name}" is missing`),
        fix: 'run "await store.migrate()"'
      })
    )
    await t.rejects(
      new MysqlAttempts(defaultPool, options).check(),
      setupError({
        problems: [`table "${p}migrations" is missing`, `table "${p}attempts" is missing`]
      })
    )
    await store.migrate()
    t.strictSame(await store.check(), [])
    t.strictSame(await new MysqlAttempts(defaultPool, options).check(), [])

    const losses = {
      [`DROP INDEX ${p}sessions_by_user ON ${p}sessions`]:
        `index "${p}sessions_by_user" is missing`,
      [`DROP TABLE ${p}attempts`]: `table "${p}attempts" is missing`,
      [`DELETE FROM ${p}migrations`]: 'the schema has version 0 instead of 1'
    }

    for (const [statement, problem] of Object.entries(losses)) {
      await defaultPool.query(statement)
      await t.rejects(
        store.check(),
        setupError({ problems: [problem], fix: 'run "await store.migrate()"' })
      )
      await store.migrate()
      t.strictSame(await store.check(), [])
    }

    await defaultPool.query(`DROP TABLE ${p}migrations`)
    await store.baseline()
    t.strictSame(await store.check(), [])
  })

  await t.test('migrate refuses tables of another origin, and leaves them alone', async t => {
    const options = newPrefix()
    const store = new MysqlStore(defaultPool, options)
    await defaultPool.query(`CREATE TABLE ${options.tablePrefix}sessions (x int)`)
    await t.rejects(store.migrate(), {
      name: 'StoreSetupError',
      message: /_sessions" has no column "id", "realm", .+ and 19 more; .+set "tablePrefix"/
    })
    await t.rejects(store.baseline(), { name: 'StoreSetupError' })
    const [tables] = await defaultPool.query(`SHOW TABLES LIKE '${options.tablePrefix}%'`)
    t.equal((tables as unknown[]).length, 1, 'creates nothing')
  })

  await t.test('a table with another engine, type or key is named', async t => {
    const changes = {
      'ENGINE = MyISAM': 'has the engine MyISAM instead of InnoDB',
      'MODIFY id VARBINARY(64) NOT NULL':
        'has the column "id" of type varbinary(64) instead of VARBINARY(255)',
      'DROP PRIMARY KEY': 'must have the primary key (id)'
    }

    for (const [change, problem] of Object.entries(changes)) {
      const options = newPrefix()
      const store = new MysqlStore(defaultPool, options)
      await store.migrate()
      await defaultPool.query(`ALTER TABLE ${options.tablePrefix}sessions ${change}`)
      await t.rejects(
        store.check(),
        setupError({
          problems: [`table "${options.tablePrefix}sessions" ${problem}`]
        })
      )
    }
  })

  await t.test('the executed schema leaves nothing to do', async t => {
    const options = newPrefix()
    const store = new MysqlStore(defaultPool, options)

    for (const statement of store.migrations.join('').split(';').slice(0, -1)) {
      await defaultPool.query(statement)
    }

    t.strictSame(await store.check(), [])
    const reading = connect({ setup: ['SET SESSION TRANSACTION READ ONLY'] })
    await t.resolves(new MysqlStore(reading, options).migrate(), 'only reads')
    await t.rejects(new MysqlStore(reading, options).check(), /read-only/)
  })

  await t.test('migrate names the missing grant', async t => {
    const [[row]] = await defaultPool.query<mysql.RowDataPacket[]>('SELECT DATABASE() AS name')
    const user = `u_${String(row?.name).slice(-12)}`
    await defaultPool.query(`CREATE USER ${user} IDENTIFIED BY 'x'`)
    t.teardown(() => defaultPool.query(`DROP USER ${user}`))
    await defaultPool.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${row?.name}.* TO ${user}`)
    const { hostname, port } = new URL(mysqlUrl)
    const uri = `mysql://${user}:x@${hostname}:${port || 3306}/${String(row?.name)}`
    const pool = connect({ uri })
    await new MysqlStore(pool).migrate()
    t.strictSame(await new MysqlStore(pool).check(), [])
    await t.rejects(new MysqlStore(pool, newPrefix()).migrate(), {
      message: new RegExp(
        `^the user '${user}'@'%' may not create tables, table .+; run "GRANT CREATE, INDEX, `
      )
    })
  })

  await t.test('warns of another character set, and rejects without a database', async t => {
    const latin = connect({ setup: ['SET NAMES latin1'] })
    t.match(await new MysqlStore(latin).check(), [/^the character set of the connection is latin1/])
    const none = mysql.createPool({ uri: mysqlUrl.replace(/\/[^/]*$/, '/') })
    t.teardown(() => none.end())
    await t.rejects(new MysqlStore(none).check(), /^the connection has no database/)
  })
})
