import type Database from 'libsql'
import type { Test } from 'tap'
import { SqliteStore } from '../../../src/stores/sqlite/index.js'
import type { SqliteDatabase } from '../../../src/stores/sqlite/index.js'
import { openSqliteStore } from '../../helpers/databases/sqlite.js'

/** Store on a new file, and a second connection to it. */
export interface TestStore {
  readonly store: SqliteStore
  readonly db: Database.Database
  readonly connect: () => Database.Database
}

/** Opens a store on a new file. The file is removed when the test ends. */
export async function openTestStore (t: Test): Promise<TestStore> {
  const { store, file } = await openSqliteStore()
  t.teardown(() => {
    file.remove()
  })
  return { store, db: file.connect(), connect: () => file.connect() }
}

/** Returns the rows of a query. */
export function readRows (
  db: Database.Database,
  sql: string
): ReadonlyArray<Record<string, unknown>> {
  return db.prepare(sql).all() as Array<Record<string, unknown>>
}

/** Wraps a database so that `onExec` is called before a statement without parameters runs. */
export function watchExec (
  db: Database.Database,
  onExec: (sql: string) => void
): SqliteDatabase {
  return {
    exec (sql) {
      onExec(sql)
      return db.exec(sql)
    },
    prepare: sql => db.prepare(sql)
  }
}
