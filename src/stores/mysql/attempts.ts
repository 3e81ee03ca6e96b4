import { blockedUntil, countAttempt } from '../../domain/attempt-rule.js'
import type { AttemptRule } from '../../domain/attempt-rule.js'
import type { AttemptStore } from '../attempt-store.js'
import { getAffectedRows, inTransaction, retryOnDeadlock } from './connection.js'
import type { MysqlPool, MysqlValue } from './connection.js'
import { toAttempts } from '../sql/rows.js'
import type { Row } from '../sql/rows.js'
import type { Millis } from '../../lib/time.js'

const statements = {
  // Locks the row of the key, or creates an expired one.
  lock: `
    INSERT INTO token_auth_attempts (subject, attempts, next_at, forget_at) VALUES (?, 0, 0, 0)
    ON DUPLICATE KEY UPDATE attempts = attempts`,
  find: 'SELECT attempts, next_at, forget_at FROM token_auth_attempts WHERE subject = ? FOR UPDATE',
  write:
    'UPDATE token_auth_attempts SET attempts = ?, next_at = ?, forget_at = ? WHERE subject = ?',
  refund: `
    UPDATE token_auth_attempts SET attempts = GREATEST(attempts - 1, 0), next_at = 0
    WHERE subject = ?`,
  reset: 'DELETE FROM token_auth_attempts WHERE subject = ?',
  sweep: 'DELETE FROM token_auth_attempts WHERE forget_at <= ? ORDER BY forget_at LIMIT ?'
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

  constructor (pool: MysqlPool) {
    this.#pool = pool
  }

  consume (key: string, now: Millis, rule: AttemptRule): Promise<Millis | null> {
    return inTransaction(this.#pool, async connection => {
      await connection.execute(statements.lock, [key])
      const [rows] = await connection.execute(statements.find, [key])
      const attempts = toAttempts((rows as Row[])[0] as Row)
      const until = blockedUntil(attempts, now)

      if (until === null) {
        const { count, nextAt, forgetAt } = countAttempt(attempts, now, rule)
        await connection.execute(statements.write, [count, nextAt, forgetAt, key])
      }

      return until
    }, 'READ COMMITTED')
  }

  async refund (key: string): Promise<void> {
    await this.#write('refund', [key])
  }

  async reset (key: string): Promise<void> {
    await this.#write('reset', [key])
  }

  // LIMIT gets its number as a string (statements.ts).
  sweep ({ now, limit }: { readonly now: Millis, readonly limit: number }): Promise<number> {
    return this.#write('sweep', [now, String(limit)])
  }

  async #write (name: keyof typeof statements, values: MysqlValue[]): Promise<number> {
    const [result] = await retryOnDeadlock(() => this.#pool.execute(statements[name], values))
    return getAffectedRows(result)
  }
}
