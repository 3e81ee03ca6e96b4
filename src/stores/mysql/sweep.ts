import type { Row } from '../sql/rows.js'
import { getAffectedRows, inTransaction } from './connection.js'
import type { MysqlPool } from './connection.js'
import { toHex, toKeyedStatement, toLiteral } from './rows.js'
import type { Millis } from '../../lib/time.js'

const MAX_BATCH_SIZE = 500

/** Table whose old records a sweep deletes. Statements call its rows `old`. */
interface SweptTable {
  readonly name: string
  /** Columns of the primary key, and whether they have bytes or numbers. */
  readonly key: Readonly<Record<string, 'bytes' | 'number'>>
  /** Indexed column with the moment from which a sweep examines the row. */
  readonly moment: string
  /** Expression: `null` to delete the row, or the moment from which to examine it again. */
  readonly postponedTo: (endedBefore: string) => string
}

const sessions: SweptTable = {
  name: 'token_auth_sessions',
  key: { id: 'bytes' },
  moment: 'sweep_after',
  postponedTo: endedBefore => `IF(old.expires_at < ${endedBefore}, NULL, old.expires_at)`
}

// A not-before is postponed until its sessions have expired. Otherwise every sweep would examine
// all of those that have to stay.
const notBefores: SweptTable = {
  name: 'token_auth_not_befores',
  key: { realm: 'bytes', user_id: 'bytes', not_before: 'number', kept: 'bytes' },
  moment: 'sweep_after',
  postponedTo: endedBefore =>
    `(
    SELECT GREATEST(MAX(s.expires_at), ${endedBefore})
    FROM token_auth_sessions AS s FORCE INDEX (token_auth_sessions_by_user)
    WHERE s.realm = old.realm AND s.user_id = old.user_id
      AND s.authenticated_at <= old.not_before)`
}

const revocations: SweptTable = {
  name: 'token_auth_revocations',
  key: { id: 'number' },
  moment: 'at',
  postponedTo: () => 'NULL'
}

const attempts: SweptTable = {
  name: 'token_auth_attempts',
  key: { subject: 'bytes' },
  moment: 'forget_at',
  postponedTo: () => 'NULL'
}

/** Deletes sessions, not-befores of users and feed entries, at most `limit` records together. */
export async function sweepTokens (
  pool: MysqlPool,
  endedBefore: Millis,
  limit: number
): Promise<number> {
  let count = 0

  for (const table of [sessions, notBefores, revocations]) {
    count += await sweepTable(pool, table, endedBefore, limit - count)
  }

  return count
}

/** Deletes attempts whose retention has ended, at most `limit`. */
export function sweepAttempts (pool: MysqlPool, now: Millis, limit: number): Promise<number> {
  return sweepTable(pool, attempts, now + 1, limit)
}

async function sweepTable (
  pool: MysqlPool,
  table: SweptTable,
  endedBefore: Millis,
  limit: number
): Promise<number> {
  let count = 0

  while (count < limit) {
    const size = Math.min(limit - count, MAX_BATCH_SIZE)
    const { taken, deleted } = await sweepBatch(pool, table, endedBefore, size)
    count += deleted

    if (taken < size) {
      break
    }
  }

  return count
}

// Skips what others have locked, so that a sweep does not wait. READ COMMITTED locks no gaps that
// would block logins.
function sweepBatch (
  pool: MysqlPool,
  table: SweptTable,
  endedBefore: Millis,
  size: number
): Promise<{ readonly taken: number, readonly deleted: number }> {
  const { name, key, moment, postponedTo } = table
  const before = toLiteral(endedBefore)

  return inTransaction(pool, async connection => {
    const [rows] = await connection.query(`
      SELECT ${Object.keys(key).map(column => `old.${column}`).join(', ')},
        ${postponedTo(before)} AS postponed_to
      FROM ${name} AS old WHERE old.${moment} < ${before}
      ORDER BY old.${moment} LIMIT ${toLiteral(size)} FOR UPDATE SKIP LOCKED`) as [Row[], unknown]

    if (rows.length === 0) {
      return { taken: 0, deleted: 0 }
    }

    const ended = rows.filter(row => row.postponed_to === null)
    const postponed = rows.filter(row => row.postponed_to !== null)
    const joined = joinBatch(table)

    if (postponed.length > 0) {
      await connection.execute(
        toKeyedStatement('UPDATE', `${joined} SET old.${moment} = batch.postponed_to`),
        [encodeRows(table, postponed)]
      )
    }

    const [result] = await connection.execute(
      toKeyedStatement('DELETE', `old FROM ${joined}`),
      [encodeRows(table, ended)]
    )
    return { taken: rows.length, deleted: getAffectedRows(result) }
  }, 'READ COMMITTED')
}

function joinBatch ({ name, key }: SweptTable): string {
  const columns = Object.entries(key)
  const paths = columns.map(([column, kind], i) =>
    `${column} ${kind === 'bytes' ? 'VARCHAR(510)' : 'BIGINT'} PATH '$[${i}]'`
  )
  const conditions = columns.map(([column, kind]) =>
    `old.${column} = ${kind === 'bytes' ? `UNHEX(batch.${column})` : `batch.${column}`}`
  )

  return `
    JSON_TABLE(?, '$[*]' COLUMNS (
      ${paths.join(', ')}, postponed_to BIGINT PATH '$[${columns.length}]')) AS batch
    STRAIGHT_JOIN ${name} AS old ON ${conditions.join(' AND ')}`
}

function encodeRows ({ key }: SweptTable, rows: readonly Row[]): string {
  const columns = Object.entries(key)

  return JSON.stringify(rows.map(row => [
    ...columns.map(([column, kind]) =>
      kind === 'bytes' ? toHex(row[column] as Buffer) : Number(row[column])
    ),
    row.postponed_to === null ? null : Number(row.postponed_to)
  ]))
}
