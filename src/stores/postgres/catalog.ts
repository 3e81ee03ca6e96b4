import type { FoundColumn } from '../sql/schema.js'
import { StoreSetupError } from '../token-store.js'

/**
 * Reads the catalog of the database.
 *
 * $1 names of tables, $2 names of functions. A name counts in the first schema of the search path
 * that has it. One string, because every driver returns it unchanged.
 */
export const inspect = `
  WITH tables AS (
    SELECT name, to_regclass(quote_ident(name)) AS oid FROM unnest($1::text[]) AS name
  ), functions AS (
    SELECT p.oid, p.proname AS name FROM pg_proc p
    WHERE p.proname = ANY ($2::text[]) AND pg_function_is_visible(p.oid)
  )
  SELECT json_build_object(
    'serverVersion', current_setting('server_version_num')::integer / 10000,
    'isReadOnly', pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
    'role', quote_ident(current_user),
    'schema', quote_ident(current_schema()),
    'canCreate', coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
    'columns', (
      SELECT json_agg(json_build_array(
        t.name, a.attname,
        format_type(a.atttypid, a.atttypmod)
          || CASE WHEN l.collname = 'C' THEN ' COLLATE "C"' ELSE '' END,
        coalesce(a.attnum = ANY (k.indkey), false)
      ))
      FROM tables t
      JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_index k ON k.indrelid = t.oid AND k.indisprimary
      LEFT JOIN pg_collation l ON l.oid = a.attcollation
    ),
    'indexes', (
      SELECT json_agg(c.relname)
      FROM tables t
      JOIN pg_index i ON i.indrelid = t.oid AND i.indisvalid
      JOIN pg_class c ON c.oid = i.indexrelid
    ),
    'functions', (SELECT json_agg(name) FROM functions),
    'denied', (
      SELECT json_agg(json_build_array(kind, name, privilege)) FROM (
        SELECT 'table' AS kind, name, privilege FROM tables
        CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
        WHERE oid IS NOT NULL AND (privilege = 'SELECT' OR name NOT LIKE '%migrations')
          AND NOT CASE privilege WHEN 'DELETE' THEN has_table_privilege(oid, privilege)
            ELSE has_any_column_privilege(oid, privilege) END
        UNION ALL
        SELECT 'function', name, 'EXECUTE' FROM functions
        WHERE NOT has_function_privilege(oid, 'EXECUTE')
      ) rights
    )
  )::text AS found`

/** Object, and the right on it that the role does not have. */
type DeniedRight = readonly [kind: 'table' | 'function', name: string, privilege: string]

/** Content of the catalog of a database. */
export interface Catalog {
  readonly serverVersion: number
  readonly isReadOnly: boolean
  readonly role: string
  /** `null` if no schema of the search path exists. */
  readonly schema: string | null
  readonly canCreate: boolean
  readonly columns: readonly FoundColumn[] | null
  readonly indexes: readonly string[] | null
  readonly functions: readonly string[] | null
  readonly denied: readonly DeniedRight[] | null
}

/** @throws StoreSetupError if the server or the session is read-only. */
export function assertWritable ({ isReadOnly }: Catalog): void {
  if (isReadOnly) {
    throw createReadOnlyError()
  }
}

/** Creates the error for a server, or a session, that rejects writes. */
export function createReadOnlyError (): StoreSetupError {
  return new StoreSetupError(
    ['the server or the session is read-only'],
    'connect to the primary server, without "default_transaction_read_only"'
  )
}

/** @throws StoreSetupError if the role lacks a right. */
export function assertRights ({ denied, role }: Catalog): void {
  if (denied === null || denied.length === 0) {
    return
  }

  const problems = denied.map(([kind, name, privilege]) =>
    `the role ${role} has no right to ${privilege} on ${kind} "${name}"`
  )
  const grants = (['table', 'function'] as const).flatMap(kind => {
    const rights = denied.filter(right => right[0] === kind)
    const privileges = [...new Set(rights.map(([, , privilege]) => privilege))].join(', ')
    const names = [...new Set(rights.map(([, name]) => name))].join(', ')

    return rights.length === 0
      ? []
      : [`GRANT ${privileges} ON ${kind.toUpperCase()} ${names} TO ${role}`]
  })
  throw new StoreSetupError(problems, `run "${grants.join('; ')}" as the owner`)
}
