import { fileURLToPath } from 'node:url'
import { usageError } from '../errors.js'

/** Kind of a database. */
export type DatabaseKind = 'postgres' | 'mysql' | 'redis' | 'sqlite'

/** Address of a database. */
export interface DatabaseAddress {
  readonly kind: DatabaseKind
  /** URL for the driver, or the path of an SQLite file. Contains the password. */
  readonly url: string
  /** Name for people, without user and password. */
  readonly label: string
}

const KINDS: Readonly<Record<string, DatabaseKind>> = {
  'postgres:': 'postgres',
  'postgresql:': 'postgres',
  'mysql:': 'mysql',
  'mariadb:': 'mysql',
  'redis:': 'redis',
  'rediss:': 'redis'
}
const NAMES: Readonly<Record<DatabaseKind, string>> = {
  postgres: 'PostgreSQL',
  mysql: 'MySQL or MariaDB',
  redis: 'Redis',
  sqlite: 'SQLite'
}
const SCHEMES = [...Object.keys(KINDS), 'sqlite:', 'file:'].join(', ')

/**
 * Parses the URL of a database.
 *
 * @param source - Name of the option or of the environment variable, for errors.
 * @throws CliError `INVALID_USAGE`. The message does not contain the URL.
 */
export function parseDatabaseUrl (given: string, source: string): DatabaseAddress {
  if (/^(sqlite|file):/.test(given)) {
    return parseSqliteUrl(given, source)
  }

  const [scheme = ''] = /^[a-z\d+.-]+:/i.exec(given) ?? []
  const kind = KINDS[scheme.toLowerCase()]

  if (kind === undefined) {
    throw usageError(`${source} must be a URL with one of these schemes: ${SCHEMES}`)
  }

  if (!URL.canParse(given)) {
    throw usageError(`${source} is not a valid URL; percent-encode user and password`)
  }

  const url = new URL(given)

  // A password with one of these characters would end up in the host name.
  if (url.hash !== '' || `${url.pathname}${url.search}`.includes('@')) {
    throw usageError(
      `${source} contains "#" or a second "@"; percent-encode "#", "/", "?" and "@" in user ` +
        'and password'
    )
  }

  // The drivers accept only their own scheme.
  const known = scheme.toLowerCase() === 'mariadb:' ? `mysql:${given.slice(scheme.length)}` : given
  const at = url.host === '' ? '' : ` at ${url.host}`
  return { kind, url: known, label: `${NAMES[kind]}${at}` }
}

function parseSqliteUrl (given: string, source: string): DatabaseAddress {
  const path = getPath(given)

  if (path === null || path === '') {
    throw usageError(`${source} must name a file, such as sqlite:./sessions.db`)
  }

  return { kind: 'sqlite', url: path, label: `${NAMES.sqlite} file ${path}` }
}

function getPath (given: string): string | null {
  if (/^file:\/\//i.test(given)) {
    return URL.canParse(given) ? fileURLToPath(new URL(given)) : null
  }

  return given.replace(/^(sqlite|file):(\/\/)?/i, '').replace(/\?.*$/s, '')
}
