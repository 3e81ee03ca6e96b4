import type { Millis } from '../../lib/time.js'
import { createPrefixer } from '../../stores/sql/table-prefix.js'
import type { TokenStore } from '../../stores/token-store.js'
import type { CommandInput } from '../command.js'
import { CliError, usageError } from '../errors.js'
import { connect } from './connections.js'
import type { Connection } from './connections.js'
import { connectError, storeError } from './failures.js'
import { parseDatabaseUrl } from './url.js'
import type { DatabaseKind } from './url.js'

/** Open database of a command. */
export interface Database extends Connection {
  /** Name for people, without user and password. */
  readonly label: string
}

/**
 * Opens the database of a command line, runs work on it, and closes it.
 *
 * @throws CliError for every failure of the database.
 */
export async function withDatabase<T> (
  { values, io }: CommandInput,
  work: (database: Database) => Promise<T>,
  { createsFile = false }: { readonly createsFile?: boolean } = {}
): Promise<T> {
  const isOption = values.database !== undefined
  const url = values.database ?? io.env.DATABASE_URL

  if (url === undefined || url === '') {
    throw usageError('the URL of the database is missing; set DATABASE_URL, or use --database URL')
  }

  const address = parseDatabaseUrl(url, isOption ? '--database' : 'DATABASE_URL')
  const { label } = address
  const prefix = values['table-prefix']
  assertPrefix(address.kind, prefix)
  const settings = { folder: io.folder, prefix, createsFile }
  const connection = await connect(address, settings).catch((error: unknown) => {
    throw error instanceof CliError ? error : connectError(label, error)
  })

  try {
    return await work({ ...connection, label })
  } catch (error) {
    throw storeError(label, error)
  } finally {
    await connection.close()
  }
}

/** Returns the time of the database's clock. */
export async function readStoreTime (store: TokenStore): Promise<Millis> {
  return (await store.revocations({ within: 0 }, 1)).now
}

function assertPrefix (kind: DatabaseKind, prefix: string | undefined): void {
  if (prefix === undefined || kind === 'redis') {
    return
  }

  try {
    createPrefixer({ tablePrefix: prefix })
  } catch (error) {
    throw usageError((error as Error).message.replace('"tablePrefix"', '"--table-prefix"'))
  }
}
