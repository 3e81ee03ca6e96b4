import { blockedUntil, countAttempt } from '../../domain/attempt-rule.js'
import type { AttemptRule } from '../../domain/attempt-rule.js'
import type { AttemptStore } from '../attempt-store.js'
import { toAttempts } from '../sql/rows.js'
import { SqliteConnection } from './connection.js'
import type { SqliteDatabase } from './connection.js'
import type { Millis } from '../../lib/time.js'

const statements = {
  find: 'SELECT * FROM token_auth_attempts WHERE subject = ?',
  write: `
    INSERT INTO token_auth_attempts (subject, attempts, next_at, forget_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (subject) DO UPDATE
    SET attempts = excluded.attempts, next_at = excluded.next_at, forget_at = excluded.forget_at`,
  refund:
    'UPDATE token_auth_attempts SET attempts = max(attempts - 1, 0), next_at = 0 WHERE subject = ?',
  reset: 'DELETE FROM token_auth_attempts WHERE subject = ?',
  sweep: `
    DELETE FROM token_auth_attempts
    WHERE subject IN (SELECT subject FROM token_auth_attempts WHERE forget_at <= ? LIMIT ?)`
} as const

/**
 * Attempt store for SQLite. `migrate()` of `SqliteStore` creates its table.
 *
 * @example
 * ```ts
 * import { SqliteAttempts } from 'fastify-token-auth/sqlite'
 *
 * throttle: { attempts: new SqliteAttempts(db) }
 * ```
 */
export class SqliteAttempts implements AttemptStore {
  readonly #db: SqliteConnection

  constructor (db: SqliteDatabase) {
    this.#db = new SqliteConnection(db)
  }

  consume (key: string, now: Millis, rule: AttemptRule): Promise<Millis | null> {
    return this.#db.transaction(() => {
      const [row] = this.#db.all(statements.find, [key])
      const attempts = row === undefined ? null : toAttempts(row)
      const until = blockedUntil(attempts, now)

      if (until === null) {
        const { count, nextAt, forgetAt } = countAttempt(attempts, now, rule)
        this.#db.run(statements.write, [key, count, nextAt, forgetAt])
      }

      return until
    })
  }

  async refund (key: string): Promise<void> {
    await this.#db.write(statements.refund, [key])
  }

  async reset (key: string): Promise<void> {
    await this.#db.write(statements.reset, [key])
  }

  sweep ({ now, limit }: { readonly now: Millis, readonly limit: number }): Promise<number> {
    return this.#db.sweepWrite(statements.sweep, [now, limit])
  }
}
