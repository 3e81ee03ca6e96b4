import { StoreSetupError } from '../../stores/token-store.js'
import { CliError } from '../errors.js'

/** Reasons by the code of a driver or of Node. */
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was closed',
  ENOTFOUND: 'the host name is unknown',
  EAI_AGAIN: 'the host name could not be looked up',
  ETIMEDOUT: 'no response in time',
  28000: 'the server rejected the user',
  '28P01': 'the server rejected the user or the password',
  '3D000': 'the database does not exist',
  ER_ACCESS_DENIED_ERROR: 'the server rejected the user or the password',
  ER_BAD_DB_ERROR: 'the database does not exist',
  ER_DBACCESS_DENIED_ERROR: 'the user has no access to the database',
  NOAUTH: 'the server requires a password',
  WRONGPASS: 'the server rejected the user or the password'
}

const UNREACHABLE =
  /^(ECONN|EHOST|ENET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_|57P0|08|PROTOCOL_CONNECTION_LOST)/
// Errors without a code: pg, node-redis and ioredis.
const LOST = new RegExp(
  '^(Connection (terminated|is closed)|Client has encountered a connection error|' +
    'Socket closed unexpectedly|Disconnects client|The client is (closed|offline))'
)
const MISSING = /^(42P01|42703|42883|ER_NO_SUCH_TABLE|ER_BAD_FIELD_ERROR)$/
const FORBIDDEN = /^(42501|ER_\w*ACCESS_?DENIED_ERROR|NOPERM)$/

/** Creates the error for a database that cannot be opened. */
export function connectError (label: string, error: unknown): CliError {
  const code = getErrorCode(error)
  const reason = REASONS[code]
  const details = [reason, code === '' ? undefined : `code ${code}`].filter(Boolean).join(', ')

  return new CliError(
    'STORE_UNREACHABLE',
    `cannot connect to ${label}${details === '' ? '' : `: ${details}`}`,
    { cause: error }
  )
}

/**
 * Converts the error of a store. The message contains the code of the driver, but not its message,
 * which may contain values.
 */
export function storeError (label: string, error: unknown): CliError {
  if (error instanceof CliError) {
    return error
  }

  if (error instanceof StoreSetupError) {
    const message = `${label}: ${useCommands(error.message)}`
    return new CliError('SCHEMA_OUTDATED', message, { cause: error })
  }

  const code = getErrorCode(error)
  const suffix = code === '' ? '' : ` (code ${code})`

  if (UNREACHABLE.test(code) || LOST.test(getMessage(error))) {
    return new CliError('STORE_UNREACHABLE', `lost the connection to ${label}${suffix}`, {
      cause: error
    })
  }

  if (MISSING.test(code) || isMissingInSqlite(error)) {
    return new CliError(
      'SCHEMA_OUTDATED',
      `${label} lacks tables or columns of the store${suffix}; ` +
        'run "npx fastify-token-auth migrate"',
      { cause: error }
    )
  }

  return new CliError(
    'STORE_FAILED',
    FORBIDDEN.test(code)
      ? `the user has no permission for the tables in ${label}${suffix}`
      : `${label} failed${suffix}`,
    { cause: error }
  )
}

/** Replaces the calls in a message of a store with the commands that do the same. */
export function useCommands (text: string): string {
  return text.replaceAll('"await store.migrate()"', '"npx fastify-token-auth migrate"')
}

function getErrorCode (error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown }

  if (typeof code === 'string') {
    return code
  }

  // Redis puts a code of capital letters in front of the message.
  return /^[A-Z]{3,}(?= )/.exec(getMessage(error))?.[0] ?? ''
}

function isMissingInSqlite (error: unknown): boolean {
  return /^no such (table|column)\b/.test(getMessage(error))
}

function getMessage (error: unknown): string {
  return (error as Partial<Error> | null)?.message ?? ''
}
