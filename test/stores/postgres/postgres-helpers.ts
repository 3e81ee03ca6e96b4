import type pg from 'pg'
import type { Test } from 'tap'
import { REALM } from '../../../src/stores/conformance/harness.js'
import { statements } from '../../../src/stores/postgres/statements.js'
import { columns, toValues } from '../../../src/stores/sql/rows.js'
import type { RotationAttempt } from '../../../src/domain/rotation.js'
import type { RevocationDetails, Session, UserTarget } from '../../../src/stores/token-store.js'
import {
  answers,
  createPostgresDatabase,
  POSTGRES_URL,
  startPostgres
} from '../../helpers/databases/postgres.js'
import type { PostgresDatabase } from '../../helpers/databases/postgres.js'

/** Returns the URL of a server: the one at `POSTGRES_URL`, or an embedded one. */
export async function openServer (t: Test): Promise<string> {
  if (await answers(POSTGRES_URL)) {
    return POSTGRES_URL
  }

  const server = await startPostgres()
  t.teardown(() => server.stop())
  return server.url
}

/** Creates a schema that the test removes. */
export async function openDatabase (t: Test): Promise<PostgresDatabase> {
  const database = await createPostgresDatabase(await openServer(t))
  t.teardown(() => database.remove())
  return database
}

/** Opens a transaction, which the test ends. */
export async function begin (pool: pg.Pool): Promise<Transaction> {
  const client = await pool.connect()
  await client.query('BEGIN')
  return new Transaction(client)
}

/** Statements of the store in an open transaction. */
export class Transaction {
  readonly client: pg.PoolClient

  constructor (client: pg.PoolClient) {
    this.client = client
  }

  async create (session: Session): Promise<void> {
    const values = toValues(session)
    const row = Object.fromEntries(columns.map((column, i) => [column, values[i]]))
    const { realm, userId } = session
    await this.client.query(statements.create, [realm, userId, JSON.stringify(row)])
  }

  async revokeOne (sessionId: string, { at, reason }: RevocationDetails): Promise<void> {
    await this.client.query(statements.revokeOne, [REALM, sessionId, null, at, reason])
  }

  async revokeUser (target: UserTarget, { at, reason }: RevocationDetails): Promise<void> {
    const { realm, userId, keep = null } = target
    await this.client.query(statements.revokeUser, [realm, userId, keep, at, reason])
  }

  async rotate (attempt: RotationAttempt): Promise<void> {
    await this.client.query(statements.rotateOne, [
      attempt.realm,
      attempt.sessionId,
      attempt.secretHash,
      attempt.from,
      attempt.to,
      String(attempt.heals),
      attempt.now,
      attempt.expiresAt,
      attempt.graceBefore,
      attempt.graceAfter,
      attempt.by.address,
      attempt.by.userAgent
    ])
  }

  async end (how: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    await this.client.query(how)
    this.client.release()
  }
}

/** Waits until another connection waits for a lock of the transaction. */
export async function waitUntilBlocked (pool: pg.Pool, blocker: pg.PoolClient): Promise<void> {
  const { rows: [{ pid }] } = await blocker.query('SELECT pg_backend_pid() AS pid')

  for (;;) {
    const { rows } = await pool.query(
      'SELECT 1 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))',
      [pid]
    )

    if (rows.length > 0) {
      return
    }

    await new Promise(resolve => {
      setTimeout(resolve, 5)
    })
  }
}

/** Returns the number of rows of a table that a statement reads, also those that it discards. */
export async function countRowsRead (
  pool: pg.Pool,
  mode: string,
  { table, text, values }: {
    readonly table: string
    readonly text: string
    readonly values: unknown[]
  }
): Promise<number> {
  const client = await pool.connect()
  await client.query(`SET plan_cache_mode = ${mode}`)
  const { rows: [row] } = await client.query(`EXPLAIN (ANALYZE, FORMAT JSON) ${text}`, values)
  client.release(true)
  let count = 0

  const visit = (node: PlanNode): void => {
    if (node['Relation Name'] === table) {
      const read = node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)
      count += read * node['Actual Loops']
    }

    node.Plans?.forEach(visit)
  }

  visit(row['QUERY PLAN'][0].Plan)
  return count
}

interface PlanNode {
  readonly 'Relation Name'?: string
  readonly 'Actual Rows': number
  readonly 'Actual Loops': number
  readonly 'Rows Removed by Filter'?: number
  readonly Plans?: readonly PlanNode[]
}
