import type Database from 'libsql'
import type { DemoUser, UserTable } from './users.js'

/** Tables of what the account flows need: addresses and second factors. */
export class Accounts {
  readonly #db: Database.Database
  readonly #users: UserTable

  constructor (db: Database.Database, users: UserTable) {
    this.#db = db
    this.#users = users
    db.exec(`
      CREATE TABLE IF NOT EXISTS pending_totp (userId TEXT PRIMARY KEY, secret TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS recovery_codes (
        userId TEXT NOT NULL,
        hash TEXT NOT NULL,
        PRIMARY KEY (userId, hash)
      )`)
  }

  /**
   * Adds a user with an address, who is not verified yet.
   *
   * @returns The user, or `null` if the address has an account.
   */
  add (email: string, passwordHash: string): DemoUser | null {
    return this.#db.transaction(() => {
      const user = this.#users.add(email.toLowerCase(), passwordHash)

      if (user !== null) {
        this.#run('INSERT INTO accounts (userId, email) VALUES (?, ?)', user.id, email)
      }

      return user && this.#users.findById(user.id)
    })()
  }

  /** Saves that a user owns an address, if it still is the address of the user. */
  markEmailVerified (userId: string, email: string): void {
    this.#run(
      'UPDATE accounts SET verifiedEmail = email WHERE userId = ? AND email = ?',
      userId,
      email
    )
  }

  /** Saves a new password hash, unless the stored one has changed meanwhile. */
  savePasswordHash (userId: string, hash: string, replaced: string | null): boolean {
    return this.#run(
      'UPDATE users SET passwordHash = ? WHERE id = ? AND passwordHash IS ?',
      hash,
      userId,
      replaced
    ) === 1
  }

  /** Saves a TOTP secret until the user has entered the first code. */
  savePendingSecret (userId: string, secret: string): void {
    this.#run('INSERT OR REPLACE INTO pending_totp VALUES (?, ?)', userId, secret)
  }

  /** Returns the secret of {@link Accounts.savePendingSecret}, or `null`. */
  findPendingSecret (userId: string): string | null {
    const [row] = this.#db.prepare('SELECT secret FROM pending_totp WHERE userId = ?')
      .all(userId) as Array<{ secret: string }>
    return row?.secret ?? null
  }

  /** Turns the second factor of a user on. */
  turnOnTotp (userId: string, secret: string, hashes: readonly string[]): void {
    this.#db.transaction(() => {
      this.#run(
        `INSERT INTO accounts (userId, totpSecret) VALUES (?1, ?2)
        ON CONFLICT (userId) DO UPDATE SET totpSecret = ?2`,
        userId,
        secret
      )
      this.#run('DELETE FROM pending_totp WHERE userId = ?', userId)
      this.replaceRecoveryCodes(userId, hashes)
    })()
  }

  /** Turns the second factor of a user off. */
  turnOffTotp (userId: string): void {
    this.#run('UPDATE accounts SET totpSecret = NULL WHERE userId = ?', userId)
    this.replaceRecoveryCodes(userId, [])
  }

  /** Saves the hashes of new recovery codes. Earlier codes become invalid. */
  replaceRecoveryCodes (userId: string, hashes: readonly string[]): void {
    this.#run('DELETE FROM recovery_codes WHERE userId = ?', userId)
    hashes.forEach(hash => this.#run('INSERT INTO recovery_codes VALUES (?, ?)', userId, hash))
  }

  /** Deletes a recovery code, and returns whether there was one. */
  useRecoveryCode (userId: string, hashes: readonly string[]): boolean {
    return this.#run(
      'DELETE FROM recovery_codes WHERE userId = ? AND hash IN (SELECT value FROM json_each(?))',
      userId,
      JSON.stringify(hashes)
    ) === 1
  }

  /** Deletes a user and everything that belongs to the user. */
  delete (userId: string): void {
    this.#db.transaction(() => {
      for (const table of ['accounts', 'pending_totp', 'recovery_codes']) {
        this.#run(`DELETE FROM ${table} WHERE userId = ?`, userId)
      }

      this.#run('DELETE FROM users WHERE id = ?', userId)
    })()
  }

  #run (sql: string, ...values: unknown[]): number {
    return this.#db.prepare(sql).run(...values).changes
  }
}
