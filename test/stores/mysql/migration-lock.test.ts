import t from 'tap'
import type { MysqlPool } from '../../../src/stores/mysql/index.js'
import { migrate } from '../../../src/stores/mysql/schema.js'

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

        throw Object.assign(new Error('no such table'), { errno: 1146 })
      },
      destroy: () => {
        isDestroyed = true
      }
    }
    const pool = { getConnection: async () => connection } as unknown as MysqlPool
    await t.rejects(migrate(pool), {
      message: 'another instance has not finished its migration after 60 s; ' +
        'stop that instance if it hangs, and call "migrate" again'
    })
    t.equal(statements.length, 2, 'reads the version and asks for the lock')
    t.notMatch(statements.join(), 'CREATE', 'creates no table without the lock')
    t.equal(isDestroyed, true)
  }
})
