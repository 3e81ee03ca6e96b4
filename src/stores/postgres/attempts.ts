import type { Millis } from '../../lib/time.js'
import type { AttemptStore, BlockedKey, CountedKey } from '../attempt-store.js'
import type { Row } from '../sql/rows.js'
import type { SqlStoreOptions } from '../sql/table-prefix.js'
import { runStatement, toArray, withTablePrefix } from './database.js'
import type { PostgresDatabase } from './database.js'
import { PostgresSetup } from './setup.js'

const lock = (keys: string): string => `
    WITH mine AS (
      SELECT subject FROM token_auth_attempts WHERE subject = ANY (${keys})
      ORDER BY subject FOR UPDATE
    )`
const refund = (keys: string): string => `
    UPDATE token_auth_attempts a SET attempts = greatest(a.attempts - 1, 0), next_at = 0
    FROM mine WHERE a.subject = mine.subject AND a.subject = ANY (${keys})`

const statements = {
  consume: `
    SELECT token_auth_consume(
      $1::text[], $2::bigint, $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
      $7::bigint[], $8::text[]::boolean[]
    ) AS blocked`,
  refund: lock('$1::text[]') + refund('$1::text[]'),
  reset: `${lock('$1::text[] || $2::text[]')}, refunded AS (${refund('$2::text[]')})
    DELETE FROM token_auth_attempts a USING mine
    WHERE a.subject = mine.subject AND a.subject = ANY ($1::text[])`,
  sweep: `
    DELETE FROM token_auth_attempts WHERE subject IN (
      SELECT subject FROM token_auth_attempts WHERE forget_at <= $1::bigint
      LIMIT $2::bigint FOR UPDATE SKIP LOCKED)
    RETURNING 1`
} as const

/**
 * Attempt store for PostgreSQL. `migrate()` of `PostgresStore` creates its table.
 *
 * @example
 * ```ts
 * import { PostgresAttempts } from 'fastify-token-auth/postgres'
 *
 * throttle: { attempts: new PostgresAttempts(pool) }
 * ```
 */
export class PostgresAttempts implements AttemptStore {
  readonly #db: PostgresDatabase
  readonly #setup: PostgresSetup

  /** @param options - The same ones as those of the store. */
  constructor (db: PostgresDatabase, options: SqlStoreOptions = {}) {
    this.#db = withTablePrefix(db, options)
    this.#setup = new PostgresSetup(db, options)
  }

  /** @throws StoreSetupError with what is missing, and the fix. */
  check (): Promise<readonly string[]> {
    return this.#setup.checkAttempts()
  }

  async consume (counts: readonly CountedKey[], now: Millis): Promise<BlockedKey | null> {
    if (counts.length === 0) {
      return null
    }

    const rules = counts.map(({ rule }) => rule)
    const [row] = await this.#query('consume', [
      toArray(counts.map(({ key }) => key)),
      now,
      toArray(rules.map(({ freeAttempts }) => freeAttempts)),
      toArray(rules.map(({ maxAttempts }) => maxAttempts)),
      toArray(rules.map(({ wait }) => wait)),
      toArray(rules.map(({ longestWait }) => longestWait)),
      toArray(rules.map(({ retention }) => retention)),
      toArray(rules.map(({ sliding }) => String(sliding)))
    ])
    const blocked = row?.blocked ?? null
    return blocked === null ? null : JSON.parse(blocked as string) as BlockedKey
  }

  async refund (keys: readonly string[]): Promise<void> {
    await this.#query('refund', [toArray(keys)])
  }

  async reset (keys: readonly string[], refunded: readonly string[] = []): Promise<void> {
    await this.#query('reset', [toArray(keys), toArray(refunded)])
  }

  async sweep ({ now, limit }: { readonly now: Millis, readonly limit: number }): Promise<number> {
    return (await this.#query('sweep', [now, limit])).length
  }

  #query (name: keyof typeof statements, values: unknown[]): Promise<Row[]> {
    return runStatement(this.#db, statements[name], values)
  }
}
