import {
  assertMigratable,
  getStartVersion,
  parseSchema,
  pickAttempts
} from './schema.js'
import type { FoundSchema, Schema, SchemaDifference } from './schema.js'
import { addPrefix, createPrefixer } from './table-prefix.js'
import type { SqlStoreOptions } from './table-prefix.js'

const VERSION_TABLE = 'token_auth_migrations'

/** The schema that a store needs, and the migrations that create it, with the store's prefix. */
export class TargetSchema {
  /** Statements of each migration. */
  readonly migrations: readonly string[]
  /** Everything that the token store needs. */
  readonly full: Schema
  /** Everything that the attempt store needs. */
  readonly attempts: Schema
  /** Table that records the executed migrations. */
  readonly versionTable: string

  /** @throws TypeError if the prefix is not a part of an identifier. */
  constructor (migrations: readonly string[], options: SqlStoreOptions) {
    const prefix = createPrefixer(options) ?? (text => text)
    this.migrations = addPrefix(migrations, options)
    this.full = parseSchema(this.migrations)
    this.attempts = pickAttempts(this.full)
    this.versionTable = prefix(VERSION_TABLE)
  }

  /** Rows that record all migrations as executed, after `VALUES` in a statement. */
  get versionRows (): string {
    return this.migrations.map((_, i) => `(${i + 1})`).join(', ')
  }

  /** Whether a database has the table that records the executed migrations. */
  recordsVersions (tables: FoundSchema['tables']): boolean {
    return tables.get(this.versionTable)?.columns.has('version') === true
  }

  /**
   * Returns the migrations that a database needs.
   *
   * @throws StoreSetupError if existing tables differ in a way that no migration changes.
   */
  getPendingMigrations (found: FoundSchema, difference: SchemaDifference): readonly string[] {
    assertMigratable(this.full, found, difference)
    return this.migrations.slice(getStartVersion(this.full, found))
  }
}
