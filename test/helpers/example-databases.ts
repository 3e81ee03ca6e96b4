import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { mysqlUrl } from './databases/mysql.js'
import { answers, POSTGRES_URL, startPostgres } from './databases/postgres.js'
import { deleteKeys, randomPrefix, redisUrl } from './databases/redis.js'

/** Environment variables that select a database for an example. */
export type DatabaseEnv = Record<string, string>

interface Teardown {
  teardown(callback: () => unknown): unknown
}

const createName = (): string => `token_auth_example_${randomBytes(6).toString('hex')}`

/** Creates a folder for a SQLite file. */
export async function openSqlite (t: Teardown): Promise<DatabaseEnv> {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-example-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  return { DATABASE_FILE: join(folder, 'example.db') }
}

/** Creates a database, on the server at `POSTGRES_URL` or on one of its own. */
export async function openPostgres (t: Teardown): Promise<DatabaseEnv> {
  const server = await answers(POSTGRES_URL) ? null : await startPostgres()
  const admin = new pg.Client({ connectionString: server?.url ?? POSTGRES_URL })
  const name = createName()
  await admin.connect()
  await admin.query(`CREATE DATABASE ${name}`)
  t.teardown(async () => {
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`)
    await admin.end()
    await server?.stop()
  })
  const url = new URL(server?.url ?? POSTGRES_URL)
  url.pathname = name
  return { DATABASE_URL: url.href }
}

/** Creates a database on the server at `MYSQL_URL`. */
export async function openMysql (t: Teardown): Promise<DatabaseEnv> {
  const admin = await mysql.createConnection(mysqlUrl)
  const name = createName()
  await admin.query(`CREATE DATABASE ${name}`)
  t.teardown(async () => {
    await admin.query(`DROP DATABASE ${name}`)
    await admin.end()
  })
  const url = new URL(mysqlUrl)
  url.pathname = name
  return { DATABASE_URL: url.href }
}

/** Selects a key prefix on the server at `REDIS_URL`, and deletes its keys afterwards. */
export async function openRedis (t: Teardown): Promise<DatabaseEnv> {
  const redis = new Redis(redisUrl)
  const prefix = randomPrefix()
  t.teardown(async () => {
    await deleteKeys(redis, prefix)
    redis.disconnect()
  })
  return { REDIS_URL: redisUrl, REDIS_PREFIX: prefix }
}
