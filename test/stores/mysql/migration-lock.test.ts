import t from 'tap'
import type { MysqlConnection } from '../../../src/stores/mysql/index.js'
import { migrate } from '../../../src/stores/mysql/schema.js'

t.test('migrate names the fix if another instance holds the lock', async t => {
  for (const held of [0, null]) {
    const statements: string[] = []
    const connection = {
      query: async (sql: string) => {
        statements.push(sql)
        return [[{ held }], []]
      }
    } as unknown as MysqlConnection
    await t.rejects(migrate(connection), {
      message: 'another instance has not finished its migration after 60 s; ' +
        'stop that instance if it hangs, and call "migrate" again'
    })
    t.equal(statements.length, 1, 'creates no table without the lock')
  }
})
