import type { ExitCode } from './errors.js'
import type { Io } from './io.js'

/** Realm of an app without the option `name`. */
export const DEFAULT_REALM = 'auth'

/** Option of a command. */
export interface OptionSpec {
  readonly type: 'string' | 'boolean'
  readonly multiple?: boolean
  /** Name of the value in the help. */
  readonly value?: string
  readonly description: string
}

/** Values of the options of a command line. */
export interface OptionValues {
  readonly database?: string
  readonly 'table-prefix'?: string
  readonly sql?: boolean
  readonly realm?: string
  readonly user?: string
  readonly session?: string
  readonly limit?: string
  readonly all?: boolean
  readonly yes?: boolean
  readonly json?: boolean
  readonly alg?: string
  readonly format?: string
  readonly origin?: readonly string[]
  readonly jwks?: string
  readonly login?: boolean
  readonly name?: string
  readonly route?: readonly string[]
}

/** Input of a command. */
export interface CommandInput {
  readonly values: OptionValues
  /** Arguments that are not options. */
  readonly operands: readonly string[]
  readonly io: Io
}

/** Result of a command, for programs and for people. */
export interface CommandResult {
  /** @default 0 */
  readonly exitCode?: ExitCode
  /** Members of the document that `--json` prints. */
  readonly document: Readonly<Record<string, unknown>>
  /** Text on stdout without `--json`. */
  readonly text: string
  /** Text on stderr without `--json`, so that a redirected stdout does not contain it. */
  readonly note?: string
}

/** Runs a command. Throws a `CliError` if it fails. */
export type CommandHandler = (input: CommandInput) => Promise<CommandResult>

/** Description of a command, and its implementation. */
export interface Command {
  /** Summary in the list of commands. */
  readonly summary: string
  /** Operands and required options, as in the first line of the help. */
  readonly usage: string
  /** Paragraphs of the help, at most 80 columns wide. */
  readonly details: readonly string[]
  /** Name of the operand that the command requires; `null` if it has none. */
  readonly operand: string | null
  readonly options: Readonly<Record<string, OptionSpec>>
  /** Loads the implementation. Only the command that runs is loaded. */
  readonly load: () => Promise<CommandHandler>
}
