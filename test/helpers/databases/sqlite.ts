import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'libsql'
import { SqliteStore } from '../../../src/stores/sqlite/index.js'

export interface SqliteFile {
  readonly path: string
  /** Opens a connection to the file. */
  connect(): Database.Database
  /** Closes all connections and deletes the file. */
  remove(): void
}

export function createSqliteFile (): SqliteFile {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-'))
  const path = join(folder, 'sessions.db')
  const connections: Database.Database[] = []

  return {
    path,
    connect () {
      const db = new Database(path)
      // Faster. These tests do not simulate power cuts.
      db.exec('PRAGMA synchronous = OFF')
      connections.push(db)
      return db
    },
    remove () {
      for (const db of connections) {
        db.close()
      }

      rmSync(folder, { recursive: true })
    }
  }
}

export async function openSqliteStore (): Promise<{ store: SqliteStore, file: SqliteFile }> {
  const file = createSqliteFile()
  const store = new SqliteStore(file.connect())
  await store.migrate()
  return { store, file }
}
