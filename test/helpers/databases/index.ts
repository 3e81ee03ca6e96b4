import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import mysql from 'mysql2/promise'
import type { Test } from 'tap'
import type { AttemptStore } from '../../../src/stores/attempt-store.js'
import { MemoryAttempts } from '../../../src/stores/memory/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { RedisAttempts } from '../../../src/stores/redis/index.js'
import { RedisStore } from '../../../src/stores/redis/index.js'
import { MysqlAttempts } from '../../../src/stores/mysql/index.js'
import { MysqlStore } from '../../../src/stores/mysql/index.js'
import { PostgresAttempts } from '../../../src/stores/postgres/index.js'
import { PostgresStore } from '../../../src/stores/postgres/index.js'
import { SqliteAttempts } from '../../../src/stores/sqlite/index.js'
import { SqliteStore } from '../../../src/stores/sqlite/index.js'
import type { TokenStore } from '../../../src/stores/token-store.js'
import { mysqlUrl, whyNoMysql } from './mysql.js'
import { answers, createPostgresDatabase, POSTGRES_URL, startPostgres } from './postgres.js'
import { deleteKeys, randomPrefix, redisUrl, whyNoRedis } from './redis.js'
import { createSqliteFile } from './sqlite.js'

/** Database for tests that run on every store. */
export interface TestDatabase {
  /**
   * Opens a store on an empty database, which is deleted after the test.
   *
   * `again` opens another store on the database, and `attempts` opens an attempt store.
   */
  readonly open: (t: Test) => Promise<{
    readonly store: TokenStore
    readonly again: () => TokenStore
    readonly attempts: () => AttemptStore
  }>
  /** Reason to skip the tests. */
  readonly skip?: string | false
  /** Maximum length of an id in bytes, if there is a limit. */
  readonly longestId?: number
}

export const databases: Readonly<Record<string, TestDatabase>> = {
  memory: {
    async open () {
      const store = new MemoryStore()
      const attempts = new MemoryAttempts()
      return { store, again: () => store, attempts: () => attempts }
    }
  },
  sqlite: {
    async open (t) {
      const file = createSqliteFile()
      t.teardown(() => {
        file.remove()
      })
      const store = new SqliteStore(file.connect())
      await store.migrate()

      return {
        store,
        again: () => new SqliteStore(file.connect()),
        attempts: () => new SqliteAttempts(file.connect())
      }
    }
  },
  postgres: {
    async open (t) {
      const server = await answers(POSTGRES_URL) ? null : await startPostgres()
      const database = await createPostgresDatabase(server?.url ?? POSTGRES_URL)
      t.teardown(() => database.remove().then(() => server?.stop()))
      const again = (): TokenStore => new PostgresStore(database.connect({ max: 2 }))

      return {
        store: again(),
        again,
        attempts: () => new PostgresAttempts(database.connect({ max: 2 }))
      }
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

      const connect = (): mysql.Pool => {
        const pool = mysql.createPool({ uri: mysqlUrl, database, connectionLimit: 2 })
        pools.push(pool)
        return pool
      }

      const again = (): MysqlStore => new MysqlStore(connect())
      const store = again()
      await store.migrate()
      return { store, again, attempts: () => new MysqlAttempts(connect()) }
    }
  },
  redis: {
    skip: await whyNoRedis(),
    async open (t) {
      const [redis, prefix] = [new Redis(redisUrl), randomPrefix()]
      t.teardown(() =>
        deleteKeys(redis, prefix).then(() => {
          redis.disconnect()
        })
      )
      const again = (): TokenStore => new RedisStore(redis, { prefix })
      return { store: again(), again, attempts: () => new RedisAttempts(redis, { prefix }) }
    }
  }
}
