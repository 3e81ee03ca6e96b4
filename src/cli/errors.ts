/** Exit codes of the command. */
export const exitCodes = {
  /** Everything was done, and nothing was found. */
  done: 0,
  /** A finding, or any other failure. */
  failed: 1,
  /** The command line is invalid. Nothing was done. */
  usage: 2,
  /** The database or the deployment could not be reached. */
  unreachable: 3
} as const

/** Exit code of the command. */
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

const ERRORS = {
  INVALID_USAGE: exitCodes.usage,
  CONFIRMATION_REQUIRED: exitCodes.usage,
  CANCELED: exitCodes.failed,
  DRIVER_MISSING: exitCodes.failed,
  SCHEMA_OUTDATED: exitCodes.failed,
  STORE_FAILED: exitCodes.failed,
  STORE_UNREACHABLE: exitCodes.unreachable,
  SESSION_NOT_FOUND: exitCodes.failed,
  CLOCKS_DIFFER: exitCodes.failed,
  DEPLOYMENT_UNREACHABLE: exitCodes.unreachable,
  UNEXPECTED: exitCodes.failed
} as const

/** Member `error.code` of the document that `--json` prints. */
export type CliErrorCode = keyof typeof ERRORS

/** Failure of a command. The message contains no secret and no message of a driver. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly code: CliErrorCode
  readonly exitCode: ExitCode
  /** Further members of `error` in the document that `--json` prints. */
  readonly details: Readonly<Record<string, unknown>>

  constructor (
    code: CliErrorCode,
    message: string,
    { details = {}, ...options }: ErrorOptions & { readonly details?: CliError['details'] } = {}
  ) {
    super(message, options)
    this.code = code
    this.details = details
    this.exitCode = ERRORS[code]
  }
}

/** Creates the error for an invalid command line. */
export function usageError (message: string): CliError {
  return new CliError('INVALID_USAGE', message)
}
