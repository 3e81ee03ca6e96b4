import { randomUUID } from 'node:crypto'
import type Database from 'libsql'

/** User of the demo. */
export interface DemoUser {
  readonly id: string
  readonly username: string
  readonly passwordHash: string
  readonly role: 'admin' | 'member'
}

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

  /** Returns the user with this name, or `null` if there is none. */
  findByLogin (login: string): DemoUser | null {
    return this.#find('SELECT * FROM users WHERE username = ?', login)
  }

  /** Returns the user with this id, or `null` if there is none. */
  findById (id: string): DemoUser | null {
    return this.#find('SELECT * FROM users WHERE id = ?', id)
  }

  #find (sql: string, value: string): DemoUser | null {
    const [row] = this.#db.prepare(sql).all(value) as DemoUser[]
    return row ?? null
  }
}
