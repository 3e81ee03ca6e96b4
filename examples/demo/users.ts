import { randomUUID } from 'node:crypto'
import type Database from 'libsql'

/** User of the demo. */
export interface DemoUser {
  readonly id: string
  readonly username: string
  readonly passwordHash: string
  readonly role: 'admin' | 'member'
  /** `null` if the user has signed up with a name only. */
  readonly email: string | null
  /** 1 if the user has proved to own the address. */
  readonly isVerified: number
  /** Encrypted secret of the authenticator app. `null` if two-step sign-in is off. */
  readonly totpSecret: string | null
}

const select = `
  SELECT users.*, email, email IS NOT NULL AND verifiedEmail IS email AS isVerified, totpSecret
  FROM users LEFT JOIN accounts ON userId = id`

/** Table of the app's own users. The plugin reads it with `findByLogin` and `findById` only. */
export class UserTable {
  readonly #db: Database.Database

  constructor (db: Database.Database) {
    this.#db = db
    db.exec(`
      CREATE TABLE IF NOT EXISTS users (
        id TEXT PRIMARY KEY,
        username TEXT NOT NULL UNIQUE,
        passwordHash TEXT NOT NULL,
        role TEXT NOT NULL
      );
      CREATE TABLE IF NOT EXISTS accounts (
        userId TEXT PRIMARY KEY,
        email TEXT UNIQUE COLLATE NOCASE,
        verifiedEmail TEXT,
        totpSecret TEXT
      )`)
  }

  /**
   * Adds a user. The first user becomes the admin.
   *
   * @returns The user, or `null` if the name is taken.
   */
  add (username: string, passwordHash: string): DemoUser | null {
    const id = randomUUID()
    const { changes } = this.#db.prepare(`
      INSERT INTO users
      SELECT ?, ?, ?, CASE WHEN EXISTS (SELECT 1 FROM users) THEN 'member' ELSE 'admin' END
      WHERE true ON CONFLICT (username) DO NOTHING`).run(id, username, passwordHash)
    return changes === 1 ? this.findById(id) : null
  }

  /** Returns the user with this name or address, or `null` if there is none. */
  findByLogin (login: string): DemoUser | null {
    return this.findByEmail(login) ?? this.#find(`${select} WHERE username = ?`, login)
  }

  /** Returns the user with this address, or `null` if there is none. */
  findByEmail (email: string): DemoUser | null {
    return this.#find(`${select} WHERE email = ?`, email)
  }

  /** Returns the user with this id, or `null` if there is none. */
  findById (id: string): DemoUser | null {
    return this.#find(`${select} WHERE id = ?`, id)
  }

  #find (sql: string, value: string): DemoUser | null {
    const [row] = this.#db.prepare(sql).all(value) as DemoUser[]
    return row ?? null
  }
}
