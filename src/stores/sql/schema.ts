import type { Row } from './rows.js'
import { StoreSetupError } from '../token-store.js'

/** Table of a schema. */
export interface Table {
  /** Type of each column. */
  readonly columns: ReadonlyMap<string, string>
  readonly primaryKey: ReadonlySet<string>
}

/** Tables, indexes and functions that a store needs. */
export interface Schema {
  /** Number of migrations. */
  readonly version: number
  readonly tables: ReadonlyMap<string, Table>
  /** Table of each index, and the statement that creates it. */
  readonly indexes: ReadonlyMap<string, { readonly table: string, readonly statement: string }>
  readonly functions: ReadonlySet<string>
}

/** Tables, indexes and functions that a database has. */
export interface FoundSchema {
  /** Last recorded migration; 0 if none is recorded. */
  readonly version: number
  readonly tables: ReadonlyMap<string, Table>
  readonly indexes: ReadonlySet<string>
  readonly functions: ReadonlySet<string>
}

/** Column as the catalog of a database describes it. */
export type FoundColumn = readonly [table: string, column: string, type: string, isKey: boolean]

/** Difference between the schema of a store and that of its database. */
export interface SchemaDifference {
  /** Parts that a migration creates. */
  readonly missing: readonly string[]
  /** Differences of tables that exist. A migration does not change them. */
  readonly differing: readonly string[]
}

const MAX_SHOWN_COLUMNS = 4

const RUN_MIGRATE = 'run "await store.migrate()"'
const CHECK_TABLES = 'if the tables are not those of the store, rename them or set ' +
  '"tablePrefix"; otherwise restore them as in "migrations" of the store'

/**
 * Reads the schema from the migrations that create it.
 *
 * Expects the form of `schema.ts`: one column per line, a name for each key and index, and no ALTER
 * TABLE.
 */
export function parseSchema (migrations: readonly string[]): Schema {
  const text = migrations.join('\n')
  const tables = new Map<string, Table>()
  const indexes = new Map<string, { table: string, statement: string }>()

  for (
    const [, name = '', body = ''] of text.matchAll(/TABLE IF NOT EXISTS (\w+) \(([^;]*?)\n {2}\)/g)
  ) {
    tables.set(name, parseTable(body))

    for (const [, index = '', columns = ''] of body.matchAll(/^ +KEY (\w+) (\(.+\))/gm)) {
      indexes.set(index, {
        table: name,
        statement: `CREATE INDEX ${index} ON ${name} ${columns}`
      })
    }
  }

  for (
    const [statement, index = '', table = ''] of text.matchAll(
      /CREATE INDEX IF NOT EXISTS (\w+)\s+ON (\w+) \([^;]*\)/g
    )
  ) {
    indexes.set(index, { table, statement })
  }

  const functions = [...text.matchAll(/CREATE OR REPLACE FUNCTION (\w+)/g)].map(match => match[1])
  return { version: migrations.length, tables, indexes, functions: new Set(functions as string[]) }
}

function parseTable (body: string): Table {
  const columns = new Map<string, string>()
  const key = /^ +PRIMARY KEY \((.+)\)/m.exec(body)?.[1]?.split(', ') ?? []

  for (
    const [line, name = '', type = ''] of body.matchAll(
      /^ +([a-z_]+) (\w+(?:\(\d+\))?(?: COLLATE "C")?).*$/gm
    )
  ) {
    columns.set(name, type)

    if (line.includes('PRIMARY KEY')) {
      key.push(name)
    }
  }

  return { columns, primaryKey: new Set(key) }
}

/** Returns the part of a schema that attempt stores need. */
export function pickAttempts ({ version, ...schema }: Schema): Schema {
  const isPicked = (name: string): boolean => /(attempts|migrations|consume)$/.test(name)

  return {
    version,
    tables: new Map([...schema.tables].filter(([name]) => isPicked(name))),
    indexes: new Map([...schema.indexes].filter(([, { table }]) => isPicked(table))),
    functions: new Set([...schema.functions].filter(isPicked))
  }
}

/** Converts a row of a catalog with the columns `name`, `column`, `type` and `is_key`. */
export function toColumn ({ name, column, type, is_key: isKey }: Row): FoundColumn {
  return [String(name), String(column), String(type), Number(isKey) === 1]
}

/** Creates tables from the columns of a catalog. */
export function toTables (found: readonly FoundColumn[]): Map<string, Table> {
  const tables = new Map<string, { columns: Map<string, string>, primaryKey: Set<string> }>()

  for (const [name, column, type, isKey] of found) {
    const table = tables.get(name) ?? { columns: new Map(), primaryKey: new Set() }
    tables.set(name, table)
    table.columns.set(column, type)

    if (isKey) {
      table.primaryKey.add(column)
    }
  }

  return tables
}

/** Whether a column of the found type can have the values of the expected type. */
export type IsSameType = (expected: string, found: string) => boolean

/** Whether a database has everything that a store needs. */
export function isComplete ({ missing, differing }: SchemaDifference): boolean {
  return missing.length === 0 && differing.length === 0
}

/** Compares the schema of a store with that of its database. */
export function compareSchemas (
  expected: Schema,
  found: FoundSchema,
  isSameType: IsSameType
): SchemaDifference {
  const missing: string[] = []
  const differing: string[] = []

  for (const [name, table] of expected.tables) {
    const foundTable = found.tables.get(name)

    if (foundTable === undefined) {
      missing.push(`table "${name}" is missing`)
    } else {
      const problems = compareTables(table, foundTable, isSameType)
      differing.push(...problems.map(problem => `table "${name}" ${problem}`))
    }
  }

  for (const [name, { table }] of expected.indexes) {
    if (found.tables.has(table) && !found.indexes.has(name)) {
      missing.push(`index "${name}" is missing`)
    }
  }

  for (const name of expected.functions) {
    if (!found.functions.has(name)) {
      missing.push(`function "${name}" is missing`)
    }
  }

  if (found.version < expected.version && missing.length === 0) {
    missing.push(`the schema has version ${found.version} instead of ${expected.version}`)
  }

  return { missing, differing }
}

function compareTables (
  expected: Table,
  found: Table,
  isSameType: IsSameType
): string[] {
  const problems: string[] = []
  const absent = [...expected.columns.keys()].filter(column => !found.columns.has(column))

  if (absent.length > 0) {
    problems.push(`has no column ${formatNames(absent)}`)
  }

  for (const [column, type] of expected.columns) {
    const foundType = found.columns.get(column)

    if (foundType !== undefined && !isSameType(type, foundType)) {
      problems.push(`has the column "${column}" of type ${foundType} instead of ${type}`)
    }
  }

  // After a missing column, a different key is no further problem.
  if (problems.length === 0 && !hasSameItems(expected.primaryKey, found.primaryKey)) {
    problems.push(`must have the primary key (${[...expected.primaryKey].join(', ')})`)
  }

  return problems
}

function formatNames (names: readonly string[]): string {
  const shown = names.slice(0, MAX_SHOWN_COLUMNS).map(name => `"${name}"`).join(', ')
  const rest = names.length - MAX_SHOWN_COLUMNS
  return rest > 0 ? `${shown} and ${rest} more` : shown
}

function hasSameItems (one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every(item => other.has(item))
}

/** @throws StoreSetupError if the database is not as the store needs it. */
export function assertSameSchema (
  expected: Schema,
  { version }: FoundSchema,
  { missing, differing }: SchemaDifference
): void {
  if (differing.length > 0) {
    throw new StoreSetupError(
      [...differing, ...missing],
      isPending(expected, version) ? RUN_MIGRATE : CHECK_TABLES
    )
  }

  if (missing.length > 0) {
    throw new StoreSetupError(missing, RUN_MIGRATE)
  }
}

/** @throws StoreSetupError if existing tables differ in a way that no migration changes. */
export function assertMigratable (
  expected: Schema,
  { version }: FoundSchema,
  { differing }: SchemaDifference
): void {
  if (differing.length > 0 && !isPending(expected, version)) {
    throw new StoreSetupError(differing, CHECK_TABLES)
  }
}

/** @throws StoreSetupError if tables that another tool has made are not as the store needs them. */
export function assertComplete (
  { missing, differing }: SchemaDifference,
  versionTable: string
): void {
  // `baseline` creates this table, and records the version.
  const problems = [...differing, ...missing].filter(problem =>
    !problem.startsWith(`table "${versionTable}" is`) && !problem.startsWith('the schema has')
  )

  if (problems.length > 0) {
    throw new StoreSetupError(
      problems,
      'let the other migration tool execute "migrations" of the store'
    )
  }
}

/** Returns a warning if a newer version of the package has migrated the database. */
export function warnOfNewerSchema (expected: Schema, { version }: FoundSchema): string[] {
  return version > expected.version
    ? [
      `the schema has version ${version}, and this version of the package knows ` +
      `${expected.version}; update the package`
    ]
    : []
}

/** Returns the number of recorded migrations that need not run again. */
export function getStartVersion (expected: Schema, { version }: FoundSchema): number {
  // Every statement can be repeated, so that a lost index or function comes back.
  return isPending(expected, version) ? version : 0
}

/** Whether the database has an older version of the schema. */
function isPending (expected: Schema, version: number): boolean {
  return version > 0 && version < expected.version
}
