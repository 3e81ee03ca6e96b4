import { countAttempt, getBlockedUntil } from '../../domain/attempt-rule.js'
import type { AttemptCount } from '../../domain/attempt-rule.js'
import type { AttemptStore, BlockedKey, CountedKey } from '../attempt-store.js'
import { inTransaction, read, withTablePrefix, write } from './connection.js'
import type { MysqlPool } from './connection.js'
import { decodeText, toBatch, toKeyedStatement } from './rows.js'
import { MysqlSetup } from './setup.js'
import { sweepAttempts } from './sweep.js'
import { toAttempts } from '../sql/rows.js'
import type { SqlStoreOptions } from '../sql/table-prefix.js'
import { withTimeouts } from './timeouts.js'
import type { Millis } from '../../lib/time.js'

const batchColumns = [
  'subject VARCHAR(510)',
  'attempts BIGINT',
  'since BIGINT',
  'next_at BIGINT',
  'forget_at BIGINT'
]
const batchTable = `JSON_TABLE(?, '$[*]' COLUMNS (
  ${batchColumns.map((column, i) => `${column} PATH '$[${i}]'`).join(', ')})) AS batch`
const insert = `
  INSERT INTO token_auth_attempts (subject, attempts, since, next_at, forget_at)
  SELECT UNHEX(batch.subject), batch.attempts, batch.since, batch.next_at, batch.forget_at
  FROM ${batchTable}`

const statements = {
  // Locks the rows of the keys in their order, or creates expired ones.
  lock: `${insert} ON DUPLICATE KEY UPDATE attempts = token_auth_attempts.attempts`,
  find: `
    SELECT kept.subject, kept.attempts, kept.since, kept.next_at, kept.forget_at
    FROM ${batchTable} STRAIGHT_JOIN token_auth_attempts AS kept
      ON kept.subject = UNHEX(batch.subject)
    FOR UPDATE`,
  // `sql_safe_updates` rejects an UPDATE that is joined with a batch.
  write: `
    ${insert} ON DUPLICATE KEY UPDATE attempts = batch.attempts, since = batch.since,
      next_at = batch.next_at, forget_at = batch.forget_at`,
  refund: `
    UPDATE token_auth_attempts FORCE INDEX (PRIMARY)
    SET attempts = GREATEST(attempts - 1, 0), next_at = 0 WHERE subject IN`,
  reset: toKeyedStatement(
    'DELETE',
    `old FROM ${batchTable} STRAIGHT_JOIN token_auth_attempts AS old
      ON old.subject = UNHEX(batch.subject)`
  )
} as const

/**
 * Attempt store for MariaDB and MySQL. `migrate()` of `MysqlStore` creates its table.
 *
 * @example
 * ```ts
 * import { MysqlAttempts } from 'fastify-token-auth/mysql'
 *
 * throttle: { attempts: new MysqlAttempts(pool) }
 * ```
 */
export class MysqlAttempts implements AttemptStore {
  readonly #pool: MysqlPool
  readonly #setup: MysqlSetup

  /** @param options - The same ones as those of the store. */
  constructor (pool: MysqlPool, options: SqlStoreOptions = {}) {
    this.#pool = withTablePrefix(withTimeouts(pool), options)
    this.#setup = new MysqlSetup(pool, options)
  }

  /** @throws StoreSetupError with what is missing, and the fix. */
  check (): Promise<readonly string[]> {
    return this.#setup.checkAttempts()
  }

  async consume (counts: readonly CountedKey[], now: Millis): Promise<BlockedKey | null> {
    if (counts.length === 0) {
      return null
    }

    const empty = toBatch(counts.map(({ key }) => [key, 0, 0, 0, 0]))

    return inTransaction(this.#pool, async connection => {
      await connection.execute(statements.lock, [empty])
      const rows = await read(connection, statements.find, [empty])
      const attempts = new Map(rows.map(row => [decodeText(row.subject), toAttempts(row)]))
      const blocked = findBlocked(counts, attempts, now)

      if (blocked === null) {
        const counted = counts.map(({ key, rule }) => {
          const { count, since, nextAt, expiresAt } = countAttempt(
            attempts.get(key) ?? null,
            now,
            rule
          )
          return [key, count, since, nextAt, expiresAt] as const
        })
        await connection.execute(statements.write, [toBatch(counted)])
      }

      return blocked
    }, 'READ COMMITTED')
  }

  // The server locks the rows of a list in the order of the index.
  async refund (keys: readonly string[]): Promise<void> {
    if (keys.length > 0) {
      const placeholders = keys.map(() => '?').join(', ')
      const values = keys.map(key => Buffer.from(key))
      await write(this.#pool, `${statements.refund} (${placeholders})`, values)
    }
  }

  async reset (keys: readonly string[], refunded: readonly string[] = []): Promise<void> {
    await this.refund(refunded)

    if (keys.length > 0) {
      await write(this.#pool, statements.reset, [toBatch(keys.map(key => [key]))])
    }
  }

  sweep ({ now, limit }: { readonly now: Millis, readonly limit: number }): Promise<number> {
    return sweepAttempts(this.#pool, now, limit)
  }
}

function findBlocked (
  counts: readonly CountedKey[],
  attempts: ReadonlyMap<string, AttemptCount>,
  now: Millis
): BlockedKey | null {
  for (const { key } of counts) {
    const current = attempts.get(key) ?? null
    const until = getBlockedUntil(current, now)

    if (until !== null) {
      return { key, until, since: current?.since ?? now }
    }
  }

  return null
}
