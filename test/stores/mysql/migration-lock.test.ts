import t from 'tap'
import type { MysqlPool } from '../../../src/stores/mysql/index.js'
import { MysqlStore } from '../../../src/stores/mysql/index.js'

t.test('migrate names the fix if another instance holds the lock', async t => {
  for (const held of [0, null]) {
    const statements: string[] = []
    let isDestroyed = false
    const connection = {
      query: async (sql: string) => {
        statements.push(sql)

        if (sql.includes('GET_LOCK')) {
          return [[{ held }], []]
        }

        if (sql.startsWith('SHOW VARIABLES')) {
          return [[{ Variable_name: 'version', Value: '8.4.0' }], []]
        }

        return [sql.startsWith('SELECT DATABASE()') ? [{ name: 'app' }] : [], []]
      },
      destroy: () => {
        isDestroyed = true
      }
    }
    const pool = { getConnection: async () => connection } as unknown as MysqlPool
    await t.rejects(new MysqlStore(pool).migrate(), {
      name: 'StoreSetupError',
      message: 'another instance has not finished its migration after 60 s; ' +
        'stop that instance if it hangs, and run "await store.migrate()" again'
    })
    t.match(statements.at(-1), /GET_LOCK/)
    t.notMatch(statements.join(), 'CREATE', 'creates no table without the lock')
    t.equal(isDestroyed, true)
  }
})
