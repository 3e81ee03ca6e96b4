import type { Row } from '../sql/rows.js'
import {
  assertComplete,
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
import { assertClient } from '../../lib/client-check.js'
import { StoreSetupError } from '../token-store.js'
import { isAccessDenied, isReadOnly } from './connection.js'
import type { MysqlConnection, MysqlPool } from './connection.js'
import { mysqlMigrations } from './schema.js'
import { assertServer, assertWritable, createReadOnlyError, warnOfServer } from './server.js'

// Locks belong to the server, not to a database. Their names have at most 64 characters.
const MIGRATION_LOCK = 'CONCAT(\'token_auth:\', LEFT(SHA2(DATABASE(), 256), 40))'
const MIGRATION_WAIT_SECONDS = 60

/** State of a database. */
interface Inspection {
  readonly found: FoundSchema
  readonly difference: SchemaDifference
  /** Variables of the server. */
  readonly variables: ReadonlyMap<string, string>
}

/** Checks, creates and records the schema of the stores. */
export class MysqlSetup {
  readonly #pool: MysqlPool
  readonly #target: TargetSchema

  /**
   * @param pool - Without a prefix of its own.
   * @throws TypeError if it is no pool.
   */
  constructor (pool: MysqlPool, options: SqlStoreOptions) {
    assertClient(pool, ['getConnection'], 'mysql.createPool(url) of mysql2/promise')
    this.#pool = pool
    this.#target = new TargetSchema(mysqlMigrations, options)
  }

  /** Checks everything that `MysqlStore` needs. */
  check (): Promise<readonly string[]> {
    return this.#check(this.#target.full)
  }

  /** Checks what `MysqlAttempts` needs. */
  checkAttempts (): Promise<readonly string[]> {
    return this.#check(this.#target.attempts)
  }

  /** Creates what is missing. Only reads if nothing is missing. */
  migrate (): Promise<void> {
    return this.#useConnection(async connection => {
      const { difference } = await this.#inspect(connection, this.#target.full)

      if (!isComplete(difference)) {
        await this.#migrateAlone(connection)
      }
    })
  }

  /** Records all migrations as executed, if the tables are complete. */
  baseline (): Promise<void> {
    return this.#useConnection(async connection => {
      const { found, difference } = await this.#inspect(connection, this.#target.full)
      const { full, versionTable, versionRows } = this.#target
      assertComplete(difference, versionTable)

      if (found.version < full.version) {
        await this.#execute(connection, difference, [
          `CREATE TABLE IF NOT EXISTS ${versionTable} (version INT NOT NULL PRIMARY KEY) ` +
          'ENGINE = InnoDB',
          `INSERT IGNORE INTO ${versionTable} (version) VALUES ${versionRows}`
        ])
      }
    })
  }

  async #check (schema: Schema): Promise<readonly string[]> {
    return this.#useConnection(async connection => {
      const { found, difference, variables } = await this.#inspect(connection, schema)
      assertWritable(variables)
      assertSameSchema(schema, found, difference)
      return [...warnOfServer(variables), ...warnOfNewerSchema(schema, found)]
    })
  }

  // Looks again after the wait for the lock, because another instance may have migrated.
  async #migrateAlone (connection: MysqlConnection): Promise<void> {
    const [[lock]] = await connection.query(
      `SELECT GET_LOCK(${MIGRATION_LOCK}, ${MIGRATION_WAIT_SECONDS}) AS held`
    ) as [Row[], unknown]

    if (Number(lock?.held) !== 1) {
      throw new StoreSetupError(
        [`another instance has not finished its migration after ${MIGRATION_WAIT_SECONDS} s`],
        'stop that instance if it hangs, and run "await store.migrate()" again'
      )
    }

    const { full } = this.#target
    const { found, difference } = await this.#inspect(connection, full)
    const texts = this.#target.getPendingMigrations(found, difference)
    const statements = texts.flatMap(text => text.split(';')).filter(text => text.trim() !== '')
    const lostIndexes = [...full.indexes]
      .filter(([name, { table }]) => found.tables.has(table) && !found.indexes.has(name))
      .map(([, { statement }]) => statement)
    await this.#execute(connection, difference, [...statements, ...lostIndexes])
    await connection.query(`SELECT RELEASE_LOCK(${MIGRATION_LOCK})`)
    const after = await this.#inspect(connection, full)
    assertSameSchema(full, after.found, after.difference)
  }

  async #execute (
    connection: MysqlConnection,
    { missing }: SchemaDifference,
    statements: readonly string[]
  ): Promise<void> {
    try {
      for (const statement of statements) {
        await connection.query(statement)
      }
    } catch (error) {
      if (isReadOnly(error)) {
        throw createReadOnlyError({ cause: error })
      }

      throw isAccessDenied(error) ? await createGrantError(connection, missing, error) : error
    }
  }

  async #useConnection<T> (work: (connection: MysqlConnection) => Promise<T>): Promise<T> {
    const connection = await this.#pool.getConnection()

    try {
      const result = await work(connection)
      connection.release()
      return result
    } catch (error) {
      // Closing the connection releases the lock.
      connection.destroy()
      throw error
    }
  }

  async #inspect (connection: MysqlConnection, schema: Schema): Promise<Inspection> {
    const variables = await assertServer(connection)
    const names = [...schema.tables.keys()].map(name => `'${name}'`).join(', ')
    const [columns] = await connection.query(`
      SELECT c.TABLE_NAME AS name, c.COLUMN_NAME AS \`column\`, c.COLUMN_TYPE AS type,
        c.COLUMN_KEY = 'PRI' AS is_key, t.ENGINE AS engine
      FROM information_schema.COLUMNS AS c
      JOIN information_schema.TABLES AS t
        ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
      WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME IN (${names})`) as [Row[], unknown]
    const [indexes] = await connection.query(`
      SELECT DISTINCT INDEX_NAME AS name FROM information_schema.STATISTICS
      WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN (${names})`) as [Row[], unknown]
    const tables = toTables(columns.map(toColumn))
    const found = {
      version: await this.#readVersion(connection, tables),
      tables,
      indexes: new Set(indexes.map(({ name }) => String(name))),
      functions: new Set<string>()
    }
    const { missing, differing } = compareSchemas(schema, found, isSameType)

    return {
      found,
      difference: { missing, differing: [...differing, ...findOtherEngines(columns)] },
      variables
    }
  }

  async #readVersion (
    connection: MysqlConnection,
    tables: FoundSchema['tables']
  ): Promise<number> {
    if (!this.#target.recordsVersions(tables)) {
      return 0
    }

    const [[latest]] = await connection.query(
      `SELECT MAX(version) AS version FROM ${this.#target.versionTable}`
    ) as [Row[], unknown]
    return Number(latest?.version ?? 0)
  }
}

// MariaDB and older versions of MySQL add a display width to integers, which has no effect.
function isSameType (expected: string, found: string): boolean {
  return expected.toLowerCase() === found.toLowerCase().replace(/^((?:big)?int)\(\d+\)$/, '$1')
}

function findOtherEngines (columns: readonly Row[]): string[] {
  const engines = new Map(columns.map(({ name, engine }) => [String(name), String(engine)]))

  return [...engines].filter(([, engine]) => engine !== 'InnoDB').map(([name, engine]) =>
    `table "${name}" has the engine ${engine} instead of InnoDB`
  )
}

async function createGrantError (
  connection: MysqlConnection,
  missing: readonly string[],
  cause: unknown
): Promise<StoreSetupError> {
  const [[row]] = await connection.query(
    'SELECT CURRENT_USER() AS user, DATABASE() AS name'
  ) as [Row[], unknown]
  const user = String(row?.user).split('@').map(part => `'${part}'`).join('@')

  return new StoreSetupError(
    [`the user ${user} may not create tables`, ...missing],
    `run "GRANT CREATE, INDEX, SELECT, INSERT ON ${String(row?.name)}.* TO ${user}", or run ` +
      '"await store.migrate()" as a user who may create tables',
    { cause }
  )
}
