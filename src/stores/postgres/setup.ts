import {
  assertComplete,
  assertSameSchema,
  compareSchemas,
  isComplete,
  toTables,
  warnOfNewerSchema
} from '../sql/schema.js'
import type { FoundSchema, Schema, SchemaDifference } from '../sql/schema.js'
import type { SqlStoreOptions } from '../sql/table-prefix.js'
import { TargetSchema } from '../sql/target-schema.js'
import { assertClient } from '../../lib/client-check.js'
import { StoreSetupError } from '../token-store.js'
import { hasNoErrorListener } from '../../lib/error-listeners.js'
import { assertRights, assertWritable, createReadOnlyError, inspect } from './catalog.js'
import type { Catalog } from './catalog.js'
import { getState, runStatement, toArray } from './database.js'
import type { PostgresDatabase } from './database.js'
import { postgresMigrations } from './schema.js'

const MIN_VERSION = 12
const MISSING_LISTENER = 'the database client has no listener for "error", so a lost connection ' +
  'ends the process; add pool.on("error", error => app.log.error(error))'
const INSUFFICIENT_PRIVILEGE = '42501'
const READ_ONLY_TRANSACTION = '25006'
// Key of an advisory lock that other software is unlikely to use.
const MIGRATION_LOCK = 7_265_348_101

/** Result of an inspection. */
interface Inspection {
  readonly catalog: Catalog
  readonly found: FoundSchema
  readonly difference: SchemaDifference
}

/** Checks, creates and records the schema of the stores. */
export class PostgresSetup {
  readonly #db: PostgresDatabase
  readonly #target: TargetSchema

  /**
   * @param db - Without a prefix of its own.
   * @throws TypeError if it is no client.
   */
  constructor (db: PostgresDatabase, options: SqlStoreOptions) {
    assertClient(db, ['query'], 'new pg.Pool({ connectionString })')
    this.#db = db
    this.#target = new TargetSchema(postgresMigrations, options)
  }

  /** Checks everything that `PostgresStore` needs. */
  check (): Promise<readonly string[]> {
    return this.#check(this.#target.full)
  }

  /** Checks what `PostgresAttempts` needs. */
  checkAttempts (): Promise<readonly string[]> {
    return this.#check(this.#target.attempts)
  }

  /** Creates what is missing. Only reads if nothing is missing. */
  async migrate (): Promise<void> {
    const { full } = this.#target
    const { catalog, found, difference } = await this.#inspect(full)

    if (isComplete(difference)) {
      return
    }

    const texts = this.#target.getPendingMigrations(found, difference)
    await this.#execute(texts, catalog, difference)
    const after = await this.#inspect(full)
    assertSameSchema(full, after.found, after.difference)
  }

  /** Records all migrations as executed, if the tables are complete. */
  async baseline (): Promise<void> {
    const { full, versionTable, versionRows } = this.#target
    const { catalog, found, difference } = await this.#inspect(full)
    assertComplete(difference, versionTable)

    if (found.version < full.version) {
      const create = found.tables.has(versionTable)
        ? []
        : [`CREATE TABLE IF NOT EXISTS ${versionTable} (version integer NOT NULL PRIMARY KEY);`]
      await this.#execute(
        [
          ...create,
          `INSERT INTO ${versionTable} (version) VALUES ${versionRows} ON CONFLICT DO NOTHING;`
        ],
        catalog,
        difference
      )
    }
  }

  async #check (schema: Schema): Promise<readonly string[]> {
    const { catalog, found, difference } = await this.#inspect(schema)
    assertWritable(catalog)
    assertSameSchema(schema, found, difference)
    assertRights(catalog)

    return [
      ...warnOfNewerSchema(schema, found),
      ...hasNoErrorListener(this.#db) ? [MISSING_LISTENER] : []
    ]
  }

  async #inspect (schema: Schema): Promise<Inspection> {
    const { rows: [row] } = await this.#db.query(inspect, [
      toArray([...schema.tables.keys()]),
      toArray([...schema.functions])
    ])
    const catalog = JSON.parse((row as { found: string }).found) as Catalog

    if (catalog.serverVersion < MIN_VERSION) {
      throw new StoreSetupError(
        [`the server is PostgreSQL ${catalog.serverVersion}`],
        `use PostgreSQL ${MIN_VERSION} or later`
      )
    }

    const tables = toTables(catalog.columns ?? [])
    const found = {
      version: await this.#readVersion(tables, catalog),
      tables,
      indexes: new Set(catalog.indexes),
      functions: new Set(catalog.functions)
    }
    return { catalog, found, difference: compareSchemas(schema, found, isSameType) }
  }

  async #readVersion (tables: FoundSchema['tables'], catalog: Catalog): Promise<number> {
    const { versionTable } = this.#target

    if (!this.#target.recordsVersions(tables)) {
      return 0
    }

    assertRights({
      ...catalog,
      denied: catalog.denied?.filter(([, denied]) => denied === versionTable) ?? []
    })
    const { rows: [row] } = await this.#db.query(
      `SELECT coalesce(max(version), 0) AS version FROM ${versionTable}`
    )
    return Number((row as { version: unknown }).version)
  }

  // One statement, because some drivers send no others together. It undoes everything if it fails.
  // At repeatable read, it fails if another instance has migrated during the wait for the lock. The
  // repetition sees what that one wrote.
  async #execute (
    texts: readonly string[],
    catalog: Catalog,
    { missing }: SchemaDifference
  ): Promise<void> {
    assertCanCreate(catalog, missing)

    try {
      await runStatement(
        this.#db,
        `
        DO $migrate$ BEGIN
          PERFORM pg_advisory_xact_lock(${MIGRATION_LOCK});
          ${texts.join('\n')}
        END $migrate$`
      )
    } catch (error) {
      if (getState(error) === INSUFFICIENT_PRIVILEGE) {
        throw new StoreSetupError(
          [`the role ${catalog.role} is not the owner of the other tables`, ...missing],
          'run "await store.migrate()" as the owner of the tables',
          { cause: error }
        )
      }

      if (getState(error) === READ_ONLY_TRANSACTION) {
        throw createReadOnlyError()
      }

      throw error
    }
  }
}

// Another tool may have set the collation "C" on columns that need none.
function isSameType (expected: string, found: string): boolean {
  return found === expected || found === `${expected} COLLATE "C"`
}

function assertCanCreate (catalog: Catalog, missing: readonly string[]): void {
  const { canCreate, role, schema } = catalog
  assertWritable(catalog)

  if (schema === null) {
    throw new StoreSetupError(
      ['no schema of the search path exists'],
      'create one, or set "search_path"'
    )
  }

  if (!canCreate) {
    throw new StoreSetupError(
      [`the role ${role} may not create tables in the schema ${schema}`, ...missing],
      `run "GRANT CREATE ON SCHEMA ${schema} TO ${role}", or run "await store.migrate()" as a ` +
        'role that may create tables'
    )
  }
}
