import Database from 'libsql'
import { Redis } from 'ioredis'
import mysql from 'mysql2/promise'
import pg from 'pg'
import type { TokenStore } from '../../src/index.js'
import { RedisStore } from '../../src/stores/redis/index.js'
import { MysqlStore } from '../../src/stores/mysql/index.js'
import { PostgresStore } from '../../src/stores/postgres/index.js'
import { SqliteStore } from '../../src/stores/sqlite/index.js'

export interface OpenedStore {
  readonly store: TokenStore
  close(): Promise<unknown>
}

/** Realm of the servers: the default name of a registration. */
export const REALM = 'auth'

const CONNECTIONS = 8

const open = {
  async sqlite (path: string): Promise<OpenedStore> {
    const db = new Database(path)
    db.exec('PRAGMA busy_timeout = 0')
    const store = new SqliteStore(db)
    await store.migrate()
    return { store, close: async () => db.close() }
  },
  async postgres (url: string): Promise<OpenedStore> {
    const pool = new pg.Pool({
      connectionString: url,
      max: CONNECTIONS,
      connectionTimeoutMillis: 1000
    })
    pool.on('error', () => {})
    const store = new PostgresStore(pool)
    await store.migrate()
    return { store, close: () => pool.end() }
  },
  async mysql (url: string): Promise<OpenedStore> {
    const pool = mysql.createPool({ uri: url, connectionLimit: CONNECTIONS, connectTimeout: 1000 })
    const store = new MysqlStore(pool)
    await store.migrate()
    return { store, close: () => pool.end() }
  },
  async redis (url: string): Promise<OpenedStore> {
    const client = new Redis(url)
    client.on('error', () => {})
    return { store: new RedisStore(client), close: () => client.quit() }
  }
} as const

export type EngineName = keyof typeof open

export const engineNames = Object.keys(open) as EngineName[]

/** Opens the store of an engine and creates its tables. */
export function openStore (engine: EngineName, url: string): Promise<OpenedStore> {
  return open[engine](url)
}
