// A database, schema or prefix of its own for each measurement, filled in seconds, and dropped at the end whatever has happened.

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
import { caller, DAY, idOf, insertInto, redisFill, secretHashOf, STEP } from './fill.js'
import type { Fill } from './fill.js'

const {
  POSTGRES_URL = 'postgres://postgres@127.0.0.1:5432/test',
  MYSQL_URL = 'mysql://root@127.0.0.1:3306/test',
  REDIS_URL = 'redis://127.0.0.1:6379'
} = process.env
const CONNECTIONS = 10
const AT_ONCE = 10_000
const TABLE = 'token_auth_sessions'

export interface Database {
  readonly store: TokenStore
  fill(sessions: Fill): Promise<void>
  remove(): Promise<void>
}

const opened = new Set<() => Promise<void>>()

// Ctrl-C, or the end of the process that waits for this one.
for (const event of ['SIGINT', 'SIGTERM', 'disconnect'] as const) {
  process.once(event, () => {
    if (opened.size > 0) {
      void Promise.allSettled([...opened].map(remove => remove())).then(() => process.exit(1))
    }
  })
}

function removable (remove: () => Promise<unknown>): () => Promise<void> {
  const once = async (): Promise<void> => {
    if (opened.delete(once)) {
      await remove()
    }
  }

  opened.add(once)
  return once
}

// As texts come from requests. One that was joined stays in pieces until it is looked at: for many sessions that would be while
// they are measured, for few before.
function inOnePiece (text: string): string {
  return Buffer.from(text).toString()
}

export async function openMemory (): Promise<Database> {
  const store = new MemoryStore()

  return {
    store,
    async fill ({ count, endsFrom }) {
      const at = endsFrom - 7 * DAY
      const times = { createdAt: at, authenticatedAt: at, rotatedAt: at, lastUsedAt: at }

      for (let n = 0; n < count; n++) {
        const expiresAt = endsFrom + n * STEP
        await store.create({
          ...times,
          id: inOnePiece(idOf(n)),
          userId: `u${n}`,
          secretHash: inOnePiece(secretHashOf(n)),
          generation: 0,
          confirmedGeneration: 0,
          rotatedBy: caller,
          expiresAt,
          endsAt: expiresAt + 23 * DAY,
          revokedAt: null,
          revokedFor: null,
          device: { label: null, ...caller }
        })
      }
    },
    remove: async () => {}
  }
}

export async function openSqlite (): Promise<Database & { readonly db: Libsql.Database }> {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-benchmark-'))
  const file = join(folder, 'sessions.db')
  const db = new Libsql(file)
  const remove = removable(async () => {
    db.close()
    rmSync(folder, { recursive: true })
  })
  const store = new SqliteStore(db)
  await store.migrate()

  return {
    db,
    store,
    async fill (sessions) {
      // All of it in memory until it is there, and the usual 2 MB afterwards.
      db.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000')
      db.exec(insertInto(TABLE, sessions, {
        numbers: count =>
          `WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ${count})`,
        concat: (...parts) => parts.join(' || '),
        padded: (number, digits) => `printf('%0${digits || ''}d', ${number})`
      }))
      db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      db.exec('ANALYZE')
      db.exec('PRAGMA synchronous = FULL; PRAGMA cache_size = -2000')
      // All of it to the disk now: otherwise the first one to be measured who waits for the disk would wait for that too.
      const written = openSync(file, 'r+')
      fsyncSync(written)
      closeSync(written)
    },
    remove
  }
}

/** Prepared by name, as the bare UPDATE is that it is compared with. */
export async function openPostgres (): Promise<Database & { readonly pool: pg.Pool }> {
  const schema = `token_auth_benchmark_${randomBytes(6).toString('hex')}`
  const pool = new pg.Pool({
    connectionString: POSTGRES_URL,
    options: `-c search_path=${schema}`,
    max: CONNECTIONS
  })
  pool.on('error', () => {})
  await pool.query(`CREATE SCHEMA ${schema}`)
  const remove = removable(() =>
    pool.query(`DROP SCHEMA ${schema} CASCADE`).finally(() => pool.end())
  )
  const store = new PostgresStore(withPreparedStatements(pool))
  await store.migrate()

  return {
    pool,
    store,
    async fill (sessions) {
      await pool.query(insertInto(TABLE, sessions, {
        numbers: count => `WITH numbers AS (SELECT generate_series(0, ${count - 1}::bigint) AS n)`,
        concat: (...parts) => parts.join(' || '),
        padded: (number, digits) =>
          digits === 0 ? `(${number})::text` : `lpad((${number})::text, ${digits}, '0')`
      }))
      await pool.query(`VACUUM ANALYZE ${TABLE}`)
    },
    remove
  }
}

export async function openMysql (): Promise<Database> {
  const name = `token_auth_benchmark_${randomBytes(6).toString('hex')}`
  const admin = await mysql.createConnection(MYSQL_URL)
  await admin.query(`CREATE DATABASE ${name}`)
  const url = new URL(MYSQL_URL)
  url.pathname = `/${name}`
  const pool = mysql.createPool({ uri: url.href, connectionLimit: CONNECTIONS })
  const remove = removable(async () => {
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
    async fill (sessions) {
      await pool.query(insertInto(TABLE, sessions, {
        numbers: () => `
          WITH digits AS (${digits}), numbers AS (
            SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d AS n
            FROM digits a, digits b, digits c, digits e, digits f, digits g
          )`,
        concat: (...parts) => `CONCAT(${parts.join(', ')})`,
        padded: (number, digits) => digits === 0 ? number : `LPAD(${number}, ${digits}, '0')`
      }))
      await pool.query(`ANALYZE TABLE ${TABLE}`)
    },
    remove
  }
}

export async function openRedis (): Promise<
  Database & { readonly redis: Redis, readonly prefix: string }
> {
  const prefix = `token-auth-benchmark:${randomBytes(6).toString('hex')}:`
  const redis = new Redis(REDIS_URL, { lazyConnect: true, retryStrategy: () => null })
  redis.on('error', () => {})
  await redis.connect()
  const remove = removable(async () => {
    for await (const keys of redis.scanStream({ match: `${prefix}*`, count: AT_ONCE })) {
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
    async fill ({ count, endsFrom }) {
      for (let from = 0; from < count; from += AT_ONCE) {
        await redis.eval(
          redisFill,
          0,
          prefix,
          from,
          Math.min(from + AT_ONCE, count),
          endsFrom,
          Date.now()
        )
      }
    },
    remove
  }
}

export const databases = {
  memory: openMemory,
  SQLite: openSqlite,
  PostgreSQL: openPostgres,
  MariaDB: openMysql,
  Redis: openRedis
} as const

export type DatabaseName = keyof typeof databases

/** Does the work on a database, which is gone afterwards. */
export async function on<D extends Database, T> (
  open: () => Promise<D>,
  work: (database: D) => Promise<T>
): Promise<T> {
  const database = await open()

  try {
    return await work(database)
  } finally {
    await database.remove()
  }
}

/** Whether an error says that no server is there. */
export function isUnreachable (error: unknown): boolean {
  return /ECONNREFUSED|ENOTFOUND|ETIMEDOUT/.test(
    String((error as { stack?: unknown } | null)?.stack ?? error)
  )
}
