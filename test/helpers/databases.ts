// Every database that answers, for tests that are to hold on each of them.

import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import mysql from 'mysql2/promise'
import type { Test } from 'tap'
import { MemoryStore } from '../../src/stores/memory.js'
import { RedisStore } from '../../src/stores/redis.js'
import { MysqlStore } from '../../src/stores/sql/mysql.js'
import { PostgresStore } from '../../src/stores/sql/postgres.js'
import { SqliteStore } from '../../src/stores/sql/sqlite.js'
import type { TokenStore } from '../../src/stores/token-store.js'
import { mysqlUrl, whyNoMysql } from './mysql.js'
import { answers, createPostgresDatabase, POSTGRES_URL, startPostgres } from './postgres.js'
import { deleteKeys, randomPrefix, redisUrl, whyNoRedis } from './redis.js'
import { createSqliteFile } from './sqlite.js'

export interface TestDatabase {
  /** A store on an empty database of its own, which is gone when the test ends; `again` gives another connection to it. */
  readonly open: (t: Test) => Promise<{ readonly store: TokenStore, readonly again: () => TokenStore }>
  /** Why its tests are skipped. */
  readonly skip?: string | false
  /** The longest id, in bytes, where there is a limit. */
  readonly longestId?: number
}

export const databases: Readonly<Record<string, TestDatabase>> = {
  memory: {
    async open () {
      const store = new MemoryStore()
      return { store, again: () => store }
    }
  },
  sqlite: {
    async open (t) {
      const file = createSqliteFile()
      t.teardown(() => { file.remove() })
      const store = new SqliteStore(file.connect())
      await store.migrate()
      return { store, again: () => new SqliteStore(file.connect()) }
    }
  },
  postgres: {
    async open (t) {
      const server = await answers(POSTGRES_URL) ? null : await startPostgres()
      const database = await createPostgresDatabase(server?.url ?? POSTGRES_URL)
      t.teardown(() => database.remove().then(() => server?.stop()))
      const again = (): TokenStore => new PostgresStore(database.connect({ max: 2 }))
      return { store: again(), again }
    }
  },
  mysql: {
    skip: await whyNoMysql(),
    longestId: 255,
    async open (t) {
      const database = `token_auth_test_${randomBytes(6).toString('hex')}`
      const pools = [mysql.createPool({ uri: mysqlUrl, connectionLimit: 1 })]
      await pools[0]?.query(`CREATE DATABASE ${database}`)
      t.teardown(async () => {
        await pools[0]?.query(`DROP DATABASE ${database}`)
        await Promise.all(pools.map(pool => pool.end()))
      })
      const again = (): MysqlStore => {
        const pool = mysql.createPool({ uri: mysqlUrl, database, connectionLimit: 2 })
        pools.push(pool)
        return new MysqlStore(pool)
      }
      const store = again()
      await store.migrate()
      return { store, again }
    }
  },
  redis: {
    skip: await whyNoRedis(),
    async open (t) {
      const [redis, prefix] = [new Redis(redisUrl), randomPrefix()]
      t.teardown(() => deleteKeys(redis, prefix).then(() => { redis.disconnect() }))
      const again = (): TokenStore => new RedisStore(redis, { prefix })
      return { store: again(), again }
    }
  }
}
