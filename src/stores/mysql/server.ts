import type { Row } from '../sql/rows.js'
import { StoreSetupError } from '../token-store.js'
import type { MysqlConnection } from './connection.js'

const MIN_MARIADB = [10, 6] as const
const MIN_MYSQL = [8, 0] as const

const VARIABLES = [
  'version',
  'autocommit',
  'read_only',
  'innodb_read_only',
  'tx_read_only',
  'transaction_read_only',
  'log_bin',
  'binlog_format',
  'character_set_connection',
  'wsrep_on'
]

/**
 * Reads the variables of the server, and checks its version and the settings of the connection.
 *
 * @throws StoreSetupError if the stores do not work on this server, or on this connection.
 */
export async function assertServer (
  connection: MysqlConnection
): Promise<ReadonlyMap<string, string>> {
  const names = VARIABLES.map(name => `'${name}'`).join(', ')
  // Reads no variable by name, because each version has others.
  const [rows] = await connection.query(
    `SHOW VARIABLES WHERE Variable_name IN (${names})`
  ) as [Row[], unknown]
  const variables = new Map(rows.map(row => [String(row.Variable_name), String(row.Value)]))
  const [[row]] = await connection.query('SELECT DATABASE() AS name') as [Row[], unknown]
  assertVersion(variables.get('version') ?? '')

  if (row?.name == null) {
    throw new StoreSetupError(
      ['the connection has no database'],
      'name one in the options or the URL of the pool'
    )
  }

  if (variables.get('autocommit') === 'OFF') {
    throw new StoreSetupError(
      ['"autocommit" is off, so nothing would be saved'],
      'do not set it to 0 for the connections of the pool'
    )
  }

  if (variables.get('log_bin') === 'ON' && variables.get('binlog_format') === 'STATEMENT') {
    throw new StoreSetupError(
      ['the server rejects writes at READ COMMITTED, because "binlog_format" is STATEMENT'],
      'set "binlog_format" to ROW or MIXED'
    )
  }

  return variables
}

/** @throws StoreSetupError if the server or the session is read-only. */
export function assertWritable (variables: ReadonlyMap<string, string>): void {
  const names = ['read_only', 'innodb_read_only', 'tx_read_only', 'transaction_read_only']

  if (names.some(name => !['OFF', '0', undefined].includes(variables.get(name)))) {
    throw createReadOnlyError()
  }
}

/** Creates the error for a server, or a session, that rejects writes. */
export function createReadOnlyError (options?: ErrorOptions): StoreSetupError {
  return new StoreSetupError(
    ['the server or the session is read-only'],
    'connect to the primary server, without "read_only" and "transaction_read_only"',
    options
  )
}

/** Returns warnings about settings with which data may be lost. */
export function warnOfServer (variables: ReadonlyMap<string, string>): string[] {
  const warnings: string[] = []
  const charset = variables.get('character_set_connection')

  if (charset !== 'utf8mb4') {
    warnings.push(
      `the character set of the connection is ${charset ?? 'unknown'}, so names of devices may ` +
        'be changed; set "charset" of the pool to utf8mb4'
    )
  }

  if (variables.get('wsrep_on') === 'ON') {
    warnings.push(
      'the server is a node of a Galera cluster: revocations may be missed unless all instances ' +
        'connect to the same node'
    )
  }

  return warnings
}

function assertVersion (version: string): void {
  const isMariadb = /mariadb/i.test(version)
  // Some versions of MariaDB add this prefix for old replicas.
  const [, major, minor] = /^(?:5\.5\.5-)?(\d+)\.(\d+)/.exec(version) ?? []
  const [minMajor, minMinor] = isMariadb ? MIN_MARIADB : MIN_MYSQL
  const isOld = Number(major) < minMajor ||
    (Number(major) === minMajor && Number(minor) < minMinor)

  if (isOld) {
    throw new StoreSetupError(
      [`the server is ${isMariadb ? 'MariaDB' : 'MySQL'} ${major ?? ''}.${minor ?? ''}`],
      'use MariaDB 10.6, MySQL 8 or later'
    )
  }
}
