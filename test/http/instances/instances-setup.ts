import type { Test } from 'tap'
import pg from 'pg'
import type { RevocationSubscriber, TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { PostgresStore } from '../../../src/stores/postgres/index.js'
import { SqliteStore } from '../../../src/stores/sqlite/index.js'
import type { TokenStore } from '../../../src/stores/token-store.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { createClock, SECOND } from '../../helpers/clock.js'
import { createPostgresDatabase } from '../../helpers/databases/postgres.js'
import { createSqliteFile } from '../../helpers/databases/sqlite.js'

export const POSTGRES_URL = process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/test'
export const BOUND = 10 * SECOND
export const GRACE = 10 * SECOND

/** Database to which each instance has its own connection. */
export interface Database {
  connect(): TokenStore
  close(): Promise<void> | void
}

export const databases: Record<string, () => Promise<Database>> = {
  memory: async () => {
    const store = new MemoryStore()
    return { connect: () => store, close: () => {} }
  },
  sqlite: async () => {
    const file = createSqliteFile()
    await new SqliteStore(file.connect()).migrate()

    return {
      connect: () => new SqliteStore(file.connect()),
      close: () => {
        file.remove()
      }
    }
  },
  postgres: async () => {
    const database = await createPostgresDatabase(POSTGRES_URL)
    return { connect: () => new PostgresStore(database.connect()), close: () => database.remove() }
  }
}

export const skipPostgres = await findReasonToSkipPostgres()

export async function findReasonToSkipPostgres (): Promise<string | false> {
  if (process.env.CI) {
    return false
  }

  const client = new pg.Client({
    connectionString: POSTGRES_URL,
    connectionTimeoutMillis: 2 * SECOND
  })

  try {
    await client.connect()
    return false
  } catch {
    return `PostgreSQL is not available at ${POSTGRES_URL}; set POSTGRES_URL`
  } finally {
    await client.end().catch(() => {})
  }
}

export interface Instance extends TestApp {
  /** Makes the instance poll. Its own interval is longer than any of these tests. */
  hint(): void
  /** Returns the status of a protected route. */
  status(tokens: TokenResponse): Promise<number>
}

export interface InstanceOptions extends Pick<TestAppOptions, 'store' | 'clock'> {
  readonly failAfter?: string
  readonly options?: Partial<TokenAuthOptions>
}

export async function startInstance (
  t: Test,
  { store, clock, failAfter, options }: InstanceOptions
): Promise<Instance> {
  let hint: () => void = () => t.fail('the instance has not subscribed')

  const wake: RevocationSubscriber = poll => {
    hint = poll

    return () => {}
  }

  const instance = await createTestApp({
    ...(store && { store }),
    ...(clock && { clock }),
    options: {
      revocations: {
        pollInterval: '60s',
        subscribe: wake,
        ...(failAfter !== undefined && { failAfter })
      },
      ...options
    }
  })
  t.teardown(() => instance.app.close())

  return {
    ...instance,
    hint: () => {
      hint()
    },
    status: async ({ access_token: token }) => (await instance.get('/protected', token)).statusCode
  }
}

/** Starts instances on one database with one clock. */
export async function startInstances (
  t: Test,
  open: () => Promise<Database>,
  count: number
): Promise<Instance[]> {
  const database = await open()
  // Teardowns run in reverse order, so the instances are closed before the database.
  t.teardown(() => database.close())
  const clock = createClock()

  return Promise.all(
    Array.from({ length: count }, () => startInstance(t, { store: database.connect(), clock }))
  )
}

/** Waits for a condition that takes some turns or round trips. */
export async function until (condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + BOUND

  while (!await condition()) {
    if (performance.now() > end) {
      throw new Error(`condition is not met after ${BOUND} ms`)
    }

    await new Promise(resolve => {
      setImmediate(resolve)
    })
  }
}

/** Asserts that the others accept tokens until they poll, and reject them afterwards. */
export async function assertRejectedAfterPoll (
  t: Test,
  others: readonly Instance[],
  ended: readonly TokenResponse[]
): Promise<void> {
  for (const other of others) {
    for (const tokens of ended) {
      t.equal(await other.status(tokens), 200, 'before the poll')
    }

    other.hint()

    for (const tokens of ended) {
      await until(async () => await other.status(tokens) !== 200)
      const response = await other.get('/protected', tokens.access_token)
      t.equal(response.statusCode, 401)
      t.equal(response.json().code, 'AUTH_SESSION_REVOKED')
      t.equal((await other.refresh(tokens.refresh_token)).json().code, 'AUTH_REFRESH_REVOKED')
    }
  }
}

export async function assertAccepted (
  t: Test,
  instances: readonly Instance[],
  live: readonly TokenResponse[]
): Promise<void> {
  for (const instance of instances) {
    for (const tokens of live) {
      t.equal(await instance.status(tokens), 200)
    }
  }
}

export const bearer = ({ access_token: token }: TokenResponse): Record<string, string> => ({
  authorization: `Bearer ${token}`
})

export function getSessionId ({ access_token: token }: TokenResponse): string {
  return (JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as {
    sid: string
  }).sid
}
