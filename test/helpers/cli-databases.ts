import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import mysql from 'mysql2/promise'
import type { Test } from 'tap'
import { MysqlStore } from '../../src/stores/mysql/index.js'
import { PostgresStore } from '../../src/stores/postgres/index.js'
import { RedisStore } from '../../src/stores/redis/index.js'
import { SqliteStore } from '../../src/stores/sqlite/index.js'
import type { TokenStore } from '../../src/stores/token-store.js'
import { mysqlUrl, whyNoMysql } from './databases/mysql.js'
import { answers, createPostgresDatabase, POSTGRES_URL } from './databases/postgres.js'
import { deleteKeys, randomPrefix, redisUrl, whyNoRedis } from './databases/redis.js'
import { createSqliteFile } from './databases/sqlite.js'

/** Database that the command finds by a URL. */
export interface CliDatabase {
  readonly url: string
  readonly store: TokenStore
  /** Arguments that every command needs. */
  readonly args: readonly string[]
}

/** Kind of a database, and the reason why its tests are skipped. */
export interface CliDatabaseKind {
  readonly skip: string | false
  /** Opens an empty database with the tables of the store. */
  readonly open: (t: Test) => Promise<CliDatabase>
}

export const cliDatabases: Readonly<Record<string, CliDatabaseKind>> = {
  sqlite: {
    skip: false,
    async open (t) {
      const file = createSqliteFile()
      t.teardown(() => {
        file.remove()
      })
      const store = new SqliteStore(file.connect())
      await store.migrate()
      return { url: `sqlite:${file.path}`, store, args: [] }
    }
  },
  postgres: {
    skip: await answers(POSTGRES_URL) ? false : 'PostgreSQL does not answer',
    async open (t) {
      const database = await createPostgresDatabase(POSTGRES_URL)
      t.teardown(() => database.remove())
      const pool = database.connect()
      const { rows: [row] } = await pool.query('SHOW search_path')
      const options = encodeURIComponent(`-c search_path=${row.search_path}`)

      return {
        url: `${POSTGRES_URL}?options=${options}`,
        store: new PostgresStore(pool),
        args: []
      }
    }
  },
  mysql: {
    skip: await whyNoMysql(),
    async open (t) {
      const database = `token_auth_test_${randomBytes(6).toString('hex')}`
      const admin = mysql.createPool({ uri: mysqlUrl, connectionLimit: 1 })
      await admin.query(`CREATE DATABASE ${database}`)
      const pool = mysql.createPool({ uri: mysqlUrl, database, connectionLimit: 2 })
      t.teardown(async () => {
        await admin.query(`DROP DATABASE ${database}`)
        await Promise.all([admin.end(), pool.end()])
      })
      const store = new MysqlStore(pool)
      await store.migrate()
      const url = new URL(mysqlUrl)
      url.pathname = `/${database}`
      return { url: url.href.replace('mysql:', 'mariadb:'), store, args: [] }
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

      return {
        url: redisUrl,
        store: new RedisStore(redis, { prefix }),
        args: ['--table-prefix', prefix]
      }
    }
  }
}
