import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { SECOND } from '../../lib/time.js'
import type { AttemptStore } from '../../stores/attempt-store.js'
import type { MysqlPool } from '../../stores/mysql/index.js'
import type { PostgresDatabase } from '../../stores/postgres/index.js'
import type { RedisClient } from '../../stores/redis/index.js'
import type { SqliteDatabase } from '../../stores/sqlite/index.js'
import type { TokenStore } from '../../stores/token-store.js'
import { CliError } from '../errors.js'
import { getExports, loadDriver } from './drivers.js'
import type { DatabaseAddress, DatabaseKind } from './url.js'

/** Connection with its stores. */
export interface Connection {
  readonly store: TokenStore
  readonly attempts: AttemptStore
  readonly close: () => unknown
}

/** Opens a database, and rejects with the error of the driver if it cannot be reached. */
type Connect = (url: string, folder: string) => Promise<Connection>

const CONNECT_TIMEOUT = 5 * SECOND

interface PgPool extends PostgresDatabase {
  on(event: 'error', listener: () => void): unknown
  end(): Promise<void>
}

interface MysqlDriver {
  createPool(options: object): MysqlPool & {
    query(sql: string): Promise<unknown>
    end(): Promise<void>
  }
}

interface NodeRedisDriver {
  createClient(options: object): RedisClient & {
    on(event: 'error', listener: () => void): unknown
    connect(): Promise<unknown>
    destroy(): void
  }
}

interface IoredisDriver {
  readonly Redis: new(url: string, options: object) => RedisClient & {
    on(event: 'error', listener: (error: unknown) => void): unknown
    connect(): Promise<unknown>
    disconnect(): void
  }
}

type SqliteConstructor = new(path: string) => SqliteDatabase & { close(): unknown }

async function connectPostgres (url: string, folder: string): Promise<Connection> {
  const { Pool } = getExports<{ readonly Pool: new(options: object) => PgPool }>(
    await loadDriver('PostgreSQL', ['pg'], folder)
  )
  const { PostgresAttempts, PostgresStore } = await import('../../stores/postgres/index.js')
  const pool = new Pool({
    connectionString: url,
    max: 2,
    connectionTimeoutMillis: CONNECT_TIMEOUT,
    application_name: 'fastify-token-auth'
  })
  // Without a listener, a lost connection ends the process. The next query reports it.
  pool.on('error', () => {})
  await openOrClose(pool.query('SELECT 1'), () => pool.end())

  return {
    store: new PostgresStore(pool),
    attempts: new PostgresAttempts(pool),
    close: () => pool.end()
  }
}

async function connectMysql (url: string, folder: string): Promise<Connection> {
  const { createPool } = getExports<MysqlDriver>(
    await loadDriver('MySQL or MariaDB', ['mysql2/promise'], folder)
  )
  const { MysqlAttempts, MysqlStore } = await import('../../stores/mysql/index.js')
  const pool = createPool({ uri: url, connectionLimit: 2, connectTimeout: CONNECT_TIMEOUT })
  await openOrClose(pool.query('SELECT 1'), () => pool.end())

  return {
    store: new MysqlStore(pool),
    attempts: new MysqlAttempts(pool),
    close: () => pool.end()
  }
}

async function connectRedis (url: string, folder: string): Promise<Connection> {
  const driver = await loadDriver('Redis', ['redis', 'ioredis'], folder)
  const { RedisAttempts, RedisStore } = await import('../../stores/redis/index.js')
  const { client, close } = driver.name === 'redis'
    ? await connectNodeRedis(getExports(driver), url)
    : await connectIoredis(getExports(driver), url)
  return { store: new RedisStore(client), attempts: new RedisAttempts(client), close }
}

async function connectNodeRedis (
  { createClient }: NodeRedisDriver,
  url: string
): Promise<{ readonly client: RedisClient, readonly close: () => void }> {
  const client = createClient({
    url,
    disableOfflineQueue: true,
    socket: { connectTimeout: CONNECT_TIMEOUT, reconnectStrategy: false }
  })
  client.on('error', () => {})
  await client.connect()

  return {
    client,
    close () {
      client.destroy()
    }
  }
}

async function connectIoredis (
  { Redis }: IoredisDriver,
  url: string
): Promise<{ readonly client: RedisClient, readonly close: () => void }> {
  const client = new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    connectTimeout: CONNECT_TIMEOUT,
    retryStrategy: () => null
  })
  let lastError: unknown
  client.on('error', error => {
    lastError = error
  })

  // `connect` rejects with a general error, and the event has the cause.
  await client.connect().catch((error: unknown) => {
    throw lastError ?? error
  })

  return {
    client,
    close () {
      client.disconnect()
    }
  }
}

async function connectSqlite (path: string, folder: string): Promise<Connection> {
  const file = resolve(folder, path)

  // A driver would create the file.
  if (!existsSync(file)) {
    throw new CliError('STORE_UNREACHABLE', `the SQLite file ${path} does not exist`)
  }

  const driver = await loadDriver(
    'SQLite',
    ['libsql', 'better-sqlite3', 'node:sqlite'],
    folder
  )
  const Database = driver.name === 'node:sqlite'
    ? driver.module.DatabaseSync as SqliteConstructor
    : driver.module.default as SqliteConstructor
  const { SqliteAttempts, SqliteStore } = await import('../../stores/sqlite/index.js')
  const db = new Database(file)

  return {
    store: new SqliteStore(db),
    attempts: new SqliteAttempts(db),
    close: () => db.close()
  }
}

async function openOrClose (
  opening: Promise<unknown>,
  close: () => Promise<unknown>
): Promise<void> {
  try {
    await opening
  } catch (error) {
    await close().catch(() => {})
    throw error
  }
}

const CONNECT: Readonly<Record<DatabaseKind, Connect>> = {
  postgres: connectPostgres,
  mysql: connectMysql,
  redis: connectRedis,
  sqlite: connectSqlite
}

/** Opens the database at an address, with the driver that the app has installed. */
export function connect ({ kind, url }: DatabaseAddress, folder: string): Promise<Connection> {
  return CONNECT[kind](url, folder)
}
