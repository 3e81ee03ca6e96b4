// The conformance suite with other settings of the server and the driver.

import { randomBytes } from 'node:crypto'
import type mysql from 'mysql2/promise'
import t from 'tap'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { MysqlStore } from '../../../src/stores/mysql/index.js'
import { mysqlUrl, whyNoMysql } from '../../helpers/databases/mysql.js'
import { createEmptyMysqlDatabase } from './mysql-helpers.js'
import type { PoolOptions } from './mysql-helpers.js'

t.test('MySQL', { skip: await whyNoMysql() }, async t => {
  const { clear, connect, defaultPool } = await createEmptyMysqlDatabase(t)
  await new MysqlStore(defaultPool).migrate()
  await t.test('migrate needs no right to create tables if none is missing', async t => {
    const user = `token_auth_${randomBytes(4).toString('hex')}`
    const [[current]] = await defaultPool.query<mysql.RowDataPacket[]>('SELECT DATABASE() AS name')
    await defaultPool.query(`CREATE USER ${user} IDENTIFIED BY 'secret'`)
    t.teardown(() => defaultPool.query(`DROP USER ${user}`))
    await defaultPool.query(
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ${current?.name}.* TO ${user}`
    )
    const { host, port } = new URL(mysqlUrl)
    const uri = `mysql://${user}:secret@${host.split(':')[0]}:${port || 3306}/${current?.name}`
    const store = new MysqlStore(connect({ uri }))
    await store.migrate()
    testTokenStore({
      test: (name, run) => t.test(name, run),
      open: async () => {
        await clear()
        return { store }
      }
    })
  })

  const ansi = 'SET SESSION sql_mode = \'ANSI,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES\''
  // MySQL and older MariaDB versions treat the second setting as a comment.
  const snapshots =
    'SET SESSION sql_mode = \'\' /*M!101108 , SESSION innodb_snapshot_isolation = ON */'
  const variants: Record<string, [store: PoolOptions, other: PoolOptions]> = {
    'unusual driver options, and affected rows as changed rows': [
      {
        supportBigNumbers: true,
        bigNumberStrings: true,
        dateStrings: true,
        namedPlaceholders: true,
        flags: ['-FOUND_ROWS']
      },
      {
        supportBigNumbers: true,
        decimalNumbers: true,
        disableEval: true,
        timezone: '+05:00',
        flags: ['-FOUND_ROWS']
      }
    ],
    'ANSI mode without backslash escapes, at READ COMMITTED': [
      { setup: [ansi, 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED'] },
      { setup: [ansi, 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED'] }
    ],
    'safe updates': [
      { setup: ['SET SESSION sql_safe_updates = 1'] },
      { setup: ['SET SESSION sql_safe_updates = 1'] }
    ],
    'non-strict mode, MariaDB snapshot isolation, READ UNCOMMITTED and SERIALIZABLE': [
      { setup: [snapshots, 'SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED'] },
      { setup: [snapshots, 'SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE'] }
    ]
  }

  for (const [name, options] of Object.entries(variants)) {
    await t.test(`passes the conformance suite over two pools: ${name}`, async t => {
      const [store, other] = options.map(each => new MysqlStore(connect(each))) as [
        MysqlStore,
        MysqlStore
      ]
      testTokenStore({
        test: (name, run) => t.test(name, run),
        open: async () => {
          await clear()
          return { store, other }
        }
      })
    })
  }
})
