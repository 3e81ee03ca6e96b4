import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryStore } from 'fastify-token-auth/memory'
import { MysqlStore } from 'fastify-token-auth/mysql'
import { PostgresStore, withPreparedStatements } from 'fastify-token-auth/postgres'
import { RedisStore } from 'fastify-token-auth/redis'
import { SqliteStore } from 'fastify-token-auth/sqlite'
import type { TokenStore } from 'fastify-token-auth'
import { Redis } from 'ioredis'
import Libsql from 'libsql'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { NO_REPLAYS } from '../../../dist/domain/session.js'
import {
  caller,
  createInsert,
  createRedisShards,
  createSecretHash,
  createSessionId,
  DAY,
  EXPIRY_STEP,
  REALM,
  redisInsert
} from './seed.js'
import type { Seed } from './seed.js'

const {
  POSTGRES_URL = 'postgres://postgres@127.0.0.1:5432/test',
  MYSQL_URL = 'mysql://root@127.0.0.1:3306/test',
  REDIS_URL = 'redis://127.0.0.1:6379'
} = process.env
const CONNECTIONS = 10
const BATCH_SIZE = 10_000
const TABLE = 'token_auth_sessions'

/** A database, schema or key prefix of a measurement. */
export interface Database {
  readonly store: TokenStore
  /** Inserts sessions. */
  seed(sessions: Seed): Promise<void>
  /** Drops all data, and closes the connections. */
  remove(): Promise<void>
}

const removals = new Set<() => Promise<void>>()

// After Ctrl-C, or the exit of the parent process, no data must remain.
for (const event of ['SIGINT', 'SIGTERM', 'disconnect'] as const) {
  process.once(event, () => {
    if (removals.size > 0) {
      void Promise.allSettled([...removals].map(remove => remove())).then(() => process.exit(1))
    }
  })
}

function registerRemoval (remove: () => Promise<unknown>): () => Promise<void> {
  const removeOnce = async (): Promise<void> => {
    if (removals.delete(removeOnce)) {
      await remove()
    }
  }

  removals.add(removeOnce)
  return removeOnce
}

/**
 * Returns a flat copy of a string, as requests contain it.
 *
 * V8 keeps a concatenated string in parts until it is read, which would be during the measurement.
 */
function flatten (value: string): string {
  return Buffer.from(value).toString()
}

/** Opens a memory store. */
export async function openMemory (): Promise<Database> {
  const store = new MemoryStore()

  return {
    store,
    async seed ({ count, firstExpiry }) {
      const at = firstExpiry - 7 * DAY
      const times = {
        createdAt: at,
        authenticatedAt: at,
        rotatedAt: at,
        graceFrom: at,
        lastUsedAt: at
      }

      for (let n = 0; n < count; n++) {
        const expiresAt = firstExpiry + n * EXPIRY_STEP
        await store.create({
          ...times,
          id: flatten(createSessionId(n)),
          realm: REALM,
          userId: `u${n}`,
          secretHash: flatten(createSecretHash(n)),
          generation: 0,
          confirmedGeneration: 0,
          rotatedBy: caller,
          expiresAt,
          endsAt: expiresAt + 23 * DAY,
          revokedAt: null,
          revokedFor: null,
          device: { label: null, ...caller },
          replayRun: NO_REPLAYS
        })
      }
    },
    remove: async () => {}
  }
}

/** Opens a SQLite file in a temporary folder. */
export async function openSqlite (): Promise<Database & { readonly db: Libsql.Database }> {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-benchmark-'))
  const file = join(folder, 'sessions.db')
  const db = new Libsql(file)
  const remove = registerRemoval(async () => {
    db.close()
    rmSync(folder, { recursive: true })
  })
  const store = new SqliteStore(db)
  await store.migrate()

  return {
    db,
    store,
    async seed (sessions) {
      // A large cache for the insert, and the default of 2 MB afterwards.
      db.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000')
      db.exec(createInsert(TABLE, sessions, {
        numbers: count =>
          'WITH RECURSIVE numbers (n) AS (' +
          `SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ${count})`,
        concat: (...parts) => parts.join(' || '),
        pad: (number, digits) => `printf('%0${digits || ''}d', ${number})`
      }))
      db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      db.exec('ANALYZE')
      db.exec('PRAGMA synchronous = FULL; PRAGMA cache_size = -2000')
      // Otherwise, the first measured commit would also write these pages to the disk.
      const descriptor = openSync(file, 'r+')
      fsyncSync(descriptor)
      closeSync(descriptor)
    },
    remove
  }
}

/** Opens a schema on PostgreSQL. Statements are prepared by name, as in the baseline. */
export async function openPostgres (): Promise<Database & { readonly pool: pg.Pool }> {
  const schema = `token_auth_benchmark_${randomBytes(6).toString('hex')}`
  const pool = new pg.Pool({
    connectionString: POSTGRES_URL,
    options: `-c search_path=${schema}`,
    max: CONNECTIONS
  })
  pool.on('error', () => {})
  await pool.query(`CREATE SCHEMA ${schema}`)
  const remove = registerRemoval(() =>
    pool.query(`DROP SCHEMA ${schema} CASCADE`).finally(() => pool.end())
  )
  const store = new PostgresStore(withPreparedStatements(pool))
  await store.migrate()

  return {
    pool,
    store,
    async seed (sessions) {
      await pool.query(createInsert(TABLE, sessions, {
        numbers: count => `WITH numbers AS (SELECT generate_series(0, ${count - 1}::bigint) AS n)`,
        concat: (...parts) => parts.join(' || '),
        pad: (number, digits) =>
          digits === 0 ? `(${number})::text` : `lpad((${number})::text, ${digits}, '0')`
      }))
      await pool.query(`VACUUM ANALYZE ${TABLE}`)
    },
    remove
  }
}

/** Opens a database on MariaDB or MySQL. */
export async function openMysql (): Promise<Database> {
  const name = `token_auth_benchmark_${randomBytes(6).toString('hex')}`
  const admin = await mysql.createConnection(MYSQL_URL)
  await admin.query(`CREATE DATABASE ${name}`)
  const url = new URL(MYSQL_URL)
  url.pathname = `/${name}`
  const pool = mysql.createPool({ uri: url.href, connectionLimit: CONNECTIONS })
  const remove = registerRemoval(async () => {
    await admin.query(`DROP DATABASE ${name}`)
    await Promise.all([admin.end(), pool.end()])
  })
  const store = new MysqlStore(pool)
  await store.migrate()
  const digits = Array.from({ length: 10 }, (_, digit) => `SELECT ${digit} AS d`).join(
    ' UNION ALL '
  )

  return {
    store,
    async seed (sessions) {
      await pool.query(createInsert(TABLE, sessions, {
        numbers: () => `
          WITH digits AS (${digits}), numbers AS (
            SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d AS n
            FROM digits a, digits b, digits c, digits e, digits f, digits g
          )`,
        concat: (...parts) => `CONCAT(${parts.join(', ')})`,
        pad: (number, digits) => digits === 0 ? number : `LPAD(${number}, ${digits}, '0')`
      }))
      await pool.query(`ANALYZE TABLE ${TABLE}`)
    },
    remove
  }
}

/** Opens a key prefix on Redis. */
export async function openRedis (): Promise<
  Database & { readonly redis: Redis, readonly prefix: string }
> {
  const prefix = `token-auth-benchmark:${randomBytes(6).toString('hex')}:`
  const redis = new Redis(REDIS_URL, { lazyConnect: true, retryStrategy: () => null })
  redis.on('error', () => {})
  await redis.connect()
  const remove = registerRemoval(async () => {
    for await (const keys of redis.scanStream({ match: `${prefix}*`, count: BATCH_SIZE })) {
      if ((keys as string[]).length > 0) {
        await redis.unlink(...keys as string[])
      }
    }

    redis.disconnect()
  })

  return {
    redis,
    prefix,
    store: new RedisStore(redis, { prefix }),
    async seed ({ count, firstExpiry }) {
      for (let from = 0; from < count; from += BATCH_SIZE) {
        const to = Math.min(from + BATCH_SIZE, count)
        const shards = createRedisShards(from, to)
        await redis.eval(redisInsert, 0, prefix, from, to, firstExpiry, Date.now(), shards)
      }
    },
    remove
  }
}

/** Functions that open a database, by the name in the table. */
export const databases = {
  memory: openMemory,
  SQLite: openSqlite,
  PostgreSQL: openPostgres,
  MariaDB: openMysql,
  Redis: openRedis
} as const

export type DatabaseName = keyof typeof databases

/** Opens a database for a function, and removes it afterwards. */
export async function withDatabase<OpenDatabase extends Database, Result> (
  open: () => Promise<OpenDatabase>,
  work: (database: OpenDatabase) => Promise<Result>
): Promise<Result> {
  const database = await open()

  try {
    return await work(database)
  } finally {
    await database.remove()
  }
}

/** Whether an error means that the database server is not reachable. */
export function isConnectionError (error: unknown): boolean {
  return /ECONNREFUSED|ENOTFOUND|ETIMEDOUT/.test(
    String((error as { stack?: unknown } | null)?.stack ?? error)
  )
}
