import { createTypeError } from '../../lib/type-error.js'

/** Options of the stores for SQL databases, and of their attempt stores. */
export interface SqlStoreOptions {
  /**
   * Prefix of the names of all tables, indexes and functions.
   *
   * Two apps that share a schema need different ones. At most 32 lower-case letters, digits and
   * underscores, and no digit first. After a change of the prefix, the store finds none of its
   * sessions, so all users must log in again.
   *
   * @default 'token_auth_'
   */
  readonly tablePrefix?: string
}

/** Prefix in the statements of this package. */
export const DEFAULT_TABLE_PREFIX = 'token_auth_'

// PostgreSQL truncates names of more than 63 characters, and the longest one follows the prefix.
const FORM = /^[a-z_][a-z0-9_]{0,31}$/

/** Rewrites the text of a statement. */
export type Prefixer = (text: string) => string

/**
 * Returns a function that replaces the default prefix in a statement. `null` if nothing has to be
 * replaced.
 *
 * No statement contains data of the app as text, except in hex.
 *
 * @throws TypeError if the prefix is not a part of an identifier.
 */
export function createPrefixer (
  { tablePrefix = DEFAULT_TABLE_PREFIX }: SqlStoreOptions
): Prefixer | null {
  if (typeof tablePrefix !== 'string' || !FORM.test(tablePrefix)) {
    throw createTypeError(
      '"tablePrefix" must have 1 to 32 lower-case letters, digits and underscores, ' +
        'and must not start with a digit'
    )
  }

  return tablePrefix === DEFAULT_TABLE_PREFIX
    ? null
    : text => text.replaceAll(DEFAULT_TABLE_PREFIX, tablePrefix)
}

/** Returns statements with the prefix of the options. */
export function addPrefix (texts: readonly string[], options: SqlStoreOptions): readonly string[] {
  const prefix = createPrefixer(options)
  return prefix === null ? texts : texts.map(text => prefix(text))
}
