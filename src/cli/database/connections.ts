import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { SECOND } from '../../lib/time.js'
import type { AttemptStore } from '../../stores/attempt-store.js'
import type { MysqlPool } from '../../stores/mysql/index.js'
import type { PostgresDatabase } from '../../stores/postgres/index.js'
import type { RedisClient } from '../../stores/redis/index.js'
import type { SqliteDatabase } from '../../stores/sqlite/index.js'
import type { SqlStoreOptions } from '../../stores/sql/table-prefix.js'
import type { TokenStore } from '../../stores/token-store.js'
import { CliError } from '../errors.js'
import { getExports, loadDriver } from './drivers.js'
import type { DatabaseAddress, DatabaseKind } from './url.js'

/** Store of a connection. Redis has no schema, and lacks the last three members. */
export type CliStore = TokenStore & {
  readonly migrations?: readonly string[]
  migrate?(): Promise<void>
  baseline?(): Promise<void>
}

/** Connection with its stores. */
export interface Connection {
  readonly store: CliStore
  readonly attempts: AttemptStore
  readonly close: () => unknown
}

/** Settings of a connection. */
export interface ConnectionSettings {
  /** Folder from which the driver is loaded. */
  readonly folder: string
  /** `undefined` for the default prefix. */
  readonly prefix: string | undefined
  /** Whether a missing SQLite file is created. */
  readonly createsFile: boolean
}

/** Opens a database, and rejects with the error of the driver if it cannot be reached. */
type Connect = (url: string, settings: ConnectionSettings) => Promise<Connection>

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
    /** Missing before version 5. */
    destroy?(): void
    disconnect(): Promise<void>
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

async function connectPostgres (
  url: string,
  { folder, prefix }: ConnectionSettings
): Promise<Connection> {
  const { Pool } = getExports<{ readonly Pool: new(options: object) => PgPool }>(
    await loadDriver('PostgreSQL', ['pg'], folder)
  )
  const { PostgresAttempts, PostgresStore } = await import('../../stores/postgres/index.js')
  const options = toSqlOptions(prefix)
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
    store: new PostgresStore(pool, options),
    attempts: new PostgresAttempts(pool, options),
    close: () => pool.end()
  }
}

async function connectMysql (
  url: string,
  { folder, prefix }: ConnectionSettings
): Promise<Connection> {
  const { createPool } = getExports<MysqlDriver>(
    await loadDriver('MySQL or MariaDB', ['mysql2/promise'], folder)
  )
  const { MysqlAttempts, MysqlStore } = await import('../../stores/mysql/index.js')
  const options = toSqlOptions(prefix)
  const pool = createPool({ uri: url, connectionLimit: 2, connectTimeout: CONNECT_TIMEOUT })
  await openOrClose(pool.query('SELECT 1'), () => pool.end())

  return {
    store: new MysqlStore(pool, options),
    attempts: new MysqlAttempts(pool, options),
    close: () => pool.end()
  }
}

async function connectRedis (
  url: string,
  { folder, prefix }: ConnectionSettings
): Promise<Connection> {
  const driver = await loadDriver('Redis', ['redis', 'ioredis'], folder)
  const { RedisAttempts, RedisStore } = await import('../../stores/redis/index.js')
  const { client, close } = driver.name === 'redis'
    ? await connectNodeRedis(getExports(driver), url)
    : await connectIoredis(getExports(driver), url)
  const options = prefix === undefined ? {} : { prefix }

  return {
    store: new RedisStore(client, options),
    attempts: new RedisAttempts(client, options),
    close
  }
}

async function connectNodeRedis (
  { createClient }: NodeRedisDriver,
  url: string
): Promise<{ readonly client: RedisClient, readonly close: () => unknown }> {
  const client = createClient({
    url,
    disableOfflineQueue: true,
    socket: { connectTimeout: CONNECT_TIMEOUT, reconnectStrategy: false }
  })
  client.on('error', () => {})
  await client.connect()

  return {
    client,
    close: () => client.destroy === undefined ? client.disconnect() : client.destroy()
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

async function connectSqlite (
  path: string,
  { folder, prefix, createsFile }: ConnectionSettings
): Promise<Connection> {
  const file = resolve(folder, path)

  // A driver would create the file.
  if (!createsFile && !existsSync(file)) {
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
  const options = toSqlOptions(prefix)
  const db = new Database(file)

  return {
    store: new SqliteStore(db, options),
    attempts: new SqliteAttempts(db, options),
    close: () => db.close()
  }
}

function toSqlOptions (tablePrefix: string | undefined): SqlStoreOptions {
  return tablePrefix === undefined ? {} : { tablePrefix }
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
export function connect (
  { kind, url }: DatabaseAddress,
  settings: ConnectionSettings
): Promise<Connection> {
  return CONNECT[kind](url, settings)
}
