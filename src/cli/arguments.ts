import { parseArgs } from 'node:util'
import type { Command, OptionValues } from './command.js'
import { commands } from './commands.js'
import { usageError } from './errors.js'

/** Command line that was parsed and checked. */
export interface Invocation {
  readonly name: string
  readonly command: Command
  readonly values: OptionValues
  readonly operands: readonly string[]
  readonly isHelp: boolean
}

/**
 * Parses a command line.
 *
 * Errors name options only. A value or an operand may be a URL with a password.
 *
 * @returns `null` if the general help is requested.
 * @throws CliError `INVALID_USAGE`
 */
export function parseCommandLine (argv: readonly string[]): Invocation | null {
  const [name, ...rest] = argv

  if (name === undefined || ['help', '--help', '-h'].includes(name)) {
    return null
  }

  const command = Object.hasOwn(commands, name) ? commands[name] : undefined

  if (command === undefined) {
    const valid = Object.keys(commands).join(', ')
    throw usageError(
      name.startsWith('-')
        ? `the first argument must be a command; valid commands: ${valid}`
        : `unknown command; valid commands: ${valid}`
    )
  }

  const { values, positionals } = parseOptions(name, command, rest)
  const isHelp = values.help === true

  if (!isHelp) {
    assertOperands(command, positionals)
  }

  return { name, command, values: values as OptionValues, operands: positionals, isHelp }
}

function parseOptions (
  name: string,
  { options, operand }: Command,
  args: readonly string[]
): { readonly values: Readonly<Record<string, unknown>>, readonly positionals: string[] } {
  const config = {
    args: [...args],
    options: Object.fromEntries(
      Object.entries(options).map(([option, { type, multiple = false }]) =>
        [option, { type, multiple }] as const
      )
    ),
    allowPositionals: true
  }

  try {
    return parseArgs({ ...config, strict: true })
  } catch (error) {
    const { tokens } = parseArgs({ ...config, strict: false, tokens: true })
    const given = tokens.filter(token => token.kind === 'option')
    const valid = Object.keys(options).map(option => `--${option}`).join(', ')
    const unknown = given.find(token => !Object.hasOwn(options, token.name))

    if (unknown !== undefined) {
      throw usageError(
        `unknown option "${unknown.rawName}" of the command "${name}"; valid options: ${valid}`
      )
    }

    for (const { name: option, rawName, value } of given) {
      const { type } = options[option] ?? { type: 'boolean' }

      if (type === 'string' && (value === undefined || value.startsWith('-'))) {
        throw usageError(
          `option "${rawName}" requires a value; if it begins with "-", use ${rawName}=VALUE`
        )
      }

      if (type === 'boolean' && value !== undefined) {
        throw usageError(`option "${rawName}" takes no value`)
      }
    }

    throw usageError(
      operand === null ? 'invalid arguments' : `invalid arguments; "${name}" requires ${operand}`
    )
  }
}

function assertOperands ({ operand }: Command, operands: readonly string[]): void {
  if (operand === null && operands.length > 0) {
    throw usageError('the command takes options only, and no other argument')
  }

  if (operand !== null && operands.length !== 1) {
    throw usageError(`the command requires one argument: ${operand}`)
  }
}
