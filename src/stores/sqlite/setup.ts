import {
  assertComplete,
  assertMigratable,
  assertSameSchema,
  compareSchemas,
  isComplete,
  toColumn,
  toTables,
  warnOfNewerSchema
} from '../sql/schema.js'
import type { FoundSchema, Schema, SchemaDifference } from '../sql/schema.js'
import type { SqlStoreOptions } from '../sql/table-prefix.js'
import { TargetSchema } from '../sql/target-schema.js'
import { StoreSetupError } from '../token-store.js'
import { isReadOnly, retryWhileBusy } from './connection.js'
import type { SqliteConnection } from './connection.js'
import { sqliteMigrations } from './schema.js'

const MIN_VERSION = [3, 35] as const

const statements = {
  columns: `
    SELECT m.name AS name, c.name AS "column", c.type AS type, c.pk > 0 AS is_key
    FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c
    WHERE m.type = 'table' AND m.name IN (SELECT value FROM json_each(?))`,
  indexes: `
    SELECT name FROM sqlite_master
    WHERE type = 'index' AND tbl_name IN (SELECT value FROM json_each(?))`
} as const

/** State of a database. */
interface Inspection {
  readonly found: FoundSchema
  readonly difference: SchemaDifference
}

/** Checks, creates and records the schema of the stores. */
export class SqliteSetup {
  readonly #db: SqliteConnection
  readonly #target: TargetSchema

  /** @param db - Without a prefix of its own. */
  constructor (db: SqliteConnection, options: SqlStoreOptions) {
    this.#db = db
    this.#target = new TargetSchema(sqliteMigrations, options)
  }

  /** Checks everything that `SqliteStore` needs. */
  check (): Promise<readonly string[]> {
    return this.#check(this.#target.full)
  }

  /** Checks what `SqliteAttempts` needs. */
  checkAttempts (): Promise<readonly string[]> {
    return this.#check(this.#target.attempts)
  }

  /** Configures the connection, and creates what is missing. Only reads if nothing is missing. */
  async migrate (): Promise<void> {
    this.#db.exec('PRAGMA busy_timeout = 0')
    const { found, difference } = await retryWhileBusy(() => this.#inspect(this.#target.full))
    assertMigratable(this.#target.full, found, difference)
    await assertWritable(async () => {
      await this.#useWriteAheadLog()

      if (!isComplete(difference)) {
        await this.#createMissing()
      }
    })
  }

  /** Records all migrations as executed, if the tables are complete. */
  async baseline (): Promise<void> {
    const { full, versionTable, versionRows } = this.#target
    const { found, difference } = await retryWhileBusy(() => this.#inspect(full))
    assertComplete(difference, versionTable)

    if (found.version === full.version) {
      return
    }

    await assertWritable(() =>
      this.#db.transaction(() => {
        this.#db.exec(
          `CREATE TABLE IF NOT EXISTS ${versionTable} (version INTEGER NOT NULL PRIMARY KEY)`
        )
        this.#db.exec(`INSERT OR IGNORE INTO ${versionTable} (version) VALUES ${versionRows}`)
      })
    )
  }

  async #check (schema: Schema): Promise<readonly string[]> {
    this.#assertVersion()
    const { found, difference } = await retryWhileBusy(() => this.#inspect(schema))
    assertSameSchema(schema, found, difference)
    // Writes nothing. Only a file that can be written can be locked.
    await assertWritable(() => this.#db.transaction(() => {}))
    return [...this.#warnOfConnection(), ...warnOfNewerSchema(schema, found)]
  }

  // Looks again after the wait for the lock, because another process may have migrated.
  async #createMissing (): Promise<void> {
    await this.#db.transaction(() => {
      const { full } = this.#target
      const { found, difference } = this.#inspect(full)

      for (const text of this.#target.getPendingMigrations(found, difference)) {
        this.#db.exec(text)
      }

      const after = this.#inspect(full)
      assertSameSchema(full, after.found, after.difference)
    })
  }

  async #useWriteAheadLog (): Promise<void> {
    if (this.#readPragma('journal_mode') !== 'wal') {
      await retryWhileBusy(() => {
        this.#db.exec('PRAGMA journal_mode = WAL')
      })
    }
  }

  #inspect (schema: Schema): Inspection {
    const names = JSON.stringify([...schema.tables.keys()])
    const tables = toTables(this.#db.all(statements.columns, [names]).map(toColumn))
    const indexes = this.#db.all(statements.indexes, [names]).map(({ name }) => String(name))
    const found = {
      version: this.#readVersion(tables),
      tables,
      indexes: new Set(indexes),
      functions: new Set<string>()
    }
    return { found, difference: compareSchemas(schema, found, isSameType) }
  }

  #readVersion (tables: FoundSchema['tables']): number {
    if (!this.#target.recordsVersions(tables)) {
      return 0
    }

    const [row] = this.#db.all(`SELECT max(version) AS version FROM ${this.#target.versionTable}`)
    return Number(row?.version ?? 0)
  }

  #assertVersion (): void {
    const [row] = this.#db.all('SELECT sqlite_version() AS version')
    const [major, minor] = String(row?.version).split('.').map(Number) as [number, number]
    const [minMajor, minMinor] = MIN_VERSION

    if (major < minMajor || (major === minMajor && minor < minMinor)) {
      throw new StoreSetupError(
        [`the driver has SQLite ${major}.${minor}`],
        `use a driver with SQLite ${MIN_VERSION.join('.')} or later`
      )
    }
  }

  #warnOfConnection (): string[] {
    const warnings: string[] = []

    if (Number(this.#readPragma('busy_timeout')) > 0) {
      warnings.push(
        '"busy_timeout" is set, so a busy database blocks the whole process; run ' +
          '"await store.migrate()" on this connection, or "PRAGMA busy_timeout = 0"'
      )
    }

    if (!['wal', 'memory'].includes(String(this.#readPragma('journal_mode')))) {
      warnings.push(
        'write-ahead logging is off, so readers and writers wait for each other; run ' +
          '"await store.migrate()", or "PRAGMA journal_mode = WAL"'
      )
    }

    return warnings
  }

  // Drivers name the column of a pragma differently.
  #readPragma (name: string): unknown {
    const [row] = this.#db.all(`PRAGMA ${name}`)
    return Object.values(row ?? {})[0]
  }
}

async function assertWritable (work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isReadOnly(error)) {
      throw error
    }

    throw new StoreSetupError(
      ['the database is read-only'],
      'open it for writing, and give the process the right to write the file and its folder',
      { cause: error }
    )
  }
}

// SQLite derives the affinity of a column from parts of its type.
function isSameType (expected: string, found: string): boolean {
  return getAffinity(expected) === getAffinity(found)
}

function getAffinity (type: string): string {
  return /INT/i.test(type) ? 'INTEGER' : /CHAR|CLOB|TEXT/i.test(type) ? 'TEXT' : type
}
