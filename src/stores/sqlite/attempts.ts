import { countAttempt, getBlockedUntil } from '../../domain/attempt-rule.js'
import type { Millis } from '../../lib/time.js'
import type { AttemptStore, BlockedKey, CountedKey } from '../attempt-store.js'
import { toAttempts } from '../sql/rows.js'
import type { SqlStoreOptions } from '../sql/table-prefix.js'
import { SqliteConnection, withTablePrefix } from './connection.js'
import type { SqliteDatabase } from './connection.js'
import { SqliteSetup } from './setup.js'

const statements = {
  findAll: `
    SELECT * FROM token_auth_attempts WHERE subject IN (SELECT value FROM json_each(?))`,
  write: `
    INSERT INTO token_auth_attempts (subject, attempts, since, next_at, forget_at)
    VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (subject) DO UPDATE
    SET attempts = excluded.attempts, since = excluded.since, next_at = excluded.next_at,
      forget_at = excluded.forget_at`,
  refund: `
    UPDATE token_auth_attempts SET attempts = max(attempts - 1, 0), next_at = 0
    WHERE subject IN (SELECT value FROM json_each(?))`,
  reset: 'DELETE FROM token_auth_attempts WHERE subject IN (SELECT value FROM json_each(?))',
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
  readonly #setup: SqliteSetup

  /** @param options - The same ones as those of the store. */
  constructor (db: SqliteDatabase, options: SqlStoreOptions = {}) {
    this.#db = new SqliteConnection(withTablePrefix(db, options))
    this.#setup = new SqliteSetup(new SqliteConnection(db), options)
  }

  /** @throws StoreSetupError with what is missing, and the fix. */
  check (): Promise<readonly string[]> {
    return this.#setup.checkAttempts()
  }

  consume (counts: readonly CountedKey[], now: Millis): Promise<BlockedKey | null> {
    return this.#db.transaction(() => {
      const rows = this.#db.all(statements.findAll, [JSON.stringify(counts.map(({ key }) => key))])
      const found = new Map(rows.map(row => [row.subject, toAttempts(row)]))

      for (const { key } of counts) {
        const attempts = found.get(key)
        const until = getBlockedUntil(attempts ?? null, now)

        if (attempts !== undefined && until !== null) {
          return { key, until, since: attempts.since }
        }
      }

      for (const { key, rule } of counts) {
        const counted = countAttempt(found.get(key) ?? null, now, rule)
        const { count, since, nextAt, expiresAt } = counted
        this.#db.run(statements.write, [key, count, since, nextAt, expiresAt])
      }

      return null
    })
  }

  async refund (keys: readonly string[]): Promise<void> {
    await this.#db.write(statements.refund, [JSON.stringify(keys)])
  }

  async reset (keys: readonly string[], refunded: readonly string[] = []): Promise<void> {
    await this.#db.transaction(() => {
      this.#db.run(statements.refund, [JSON.stringify(refunded)])
      this.#db.run(statements.reset, [JSON.stringify(keys)])
    })
  }

  sweep ({ now, limit }: { readonly now: Millis, readonly limit: number }): Promise<number> {
    return this.#db.sweepWrite(statements.sweep, [now, limit])
  }
}
