import { countAttempt, MAX_DOUBLINGS } from '../../domain/attempt-rule.js'
import type { AttemptRule } from '../../domain/attempt-rule.js'
import type { AttemptStore } from '../attempt-store.js'
import type { PostgresDatabase } from './store.js'
import type { Row, SqlValue } from '../sql/rows.js'
import type { Millis } from '../../lib/time.js'

// The next count, and the end of its retention. An expired count starts again at 1.
const count = '(CASE WHEN kept.forget_at <= $2::bigint THEN 1 ELSE kept.attempts + 1 END)'
const forgetAt = `(
  CASE WHEN kept.forget_at <= $2::bigint OR $9::bigint = 1 THEN $4::bigint ELSE kept.forget_at END)`

const statements = {
  // $1 key, $2 now, $3 next_at and $4 forget_at of a first attempt, $5 freeAttempts,
  // $6 maxAttempts, $7 wait, $8 longestWait, $9 1 if sliding
  consume: `
    INSERT INTO token_auth_attempts AS kept (subject, attempts, next_at, forget_at)
    VALUES ($1, 1, $3::bigint, $4::bigint)
    ON CONFLICT (subject) DO UPDATE SET
      attempts = ${count},
      next_at = CASE WHEN ${count} >= $6::bigint THEN ${forgetAt} WHEN ${count} < $5::bigint THEN 0
        ELSE $2::bigint + LEAST(
          $8::bigint, $7::bigint << LEAST(${count} - $5::bigint, ${MAX_DOUBLINGS})::int
        ) END,
      forget_at = ${forgetAt}
    WHERE kept.forget_at <= $2::bigint OR kept.next_at <= $2::bigint
    RETURNING attempts`,
  nextAt: 'SELECT next_at FROM token_auth_attempts WHERE subject = $1',
  refund: `
    UPDATE token_auth_attempts SET attempts = GREATEST(attempts - 1, 0), next_at = 0
    WHERE subject = $1`,
  reset: 'DELETE FROM token_auth_attempts WHERE subject = $1',
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

  constructor (db: PostgresDatabase) {
    this.#db = db
  }

  async consume (key: string, now: Millis, rule: AttemptRule): Promise<Millis | null> {
    const first = countAttempt(null, now, rule)
    const { freeAttempts, maxAttempts, wait, longestWait, sliding } = rule
    const counted = await this.#query('consume', [
      key,
      now,
      first.nextAt,
      first.forgetAt,
      freeAttempts,
      maxAttempts,
      wait,
      longestWait,
      sliding ? 1 : 0
    ])

    if (counted.length > 0) {
      return null
    }

    // The key was reset in the meantime if there is no row.
    const [row] = await this.#query('nextAt', [key])
    return Math.max(now, Number(row?.next_at ?? 0))
  }

  async refund (key: string): Promise<void> {
    await this.#query('refund', [key])
  }

  async reset (key: string): Promise<void> {
    await this.#query('reset', [key])
  }

  async sweep ({ now, limit }: { readonly now: Millis, readonly limit: number }): Promise<number> {
    return (await this.#query('sweep', [now, limit])).length
  }

  async #query (name: keyof typeof statements, values: readonly SqlValue[]): Promise<Row[]> {
    const { rows } = await this.#db.query(statements[name], [...values])
    return rows as Row[]
  }
}
