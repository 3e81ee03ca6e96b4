import { parseCommandLine } from './arguments.js'
import { CliError, exitCodes } from './errors.js'
import type { ExitCode } from './errors.js'
import { formatCommandHelp, formatHelp } from './help.js'
import type { Io } from './io.js'
import { cleanLines, formatJson } from './table.js'

/**
 * Runs a command line of `fastify-token-auth`.
 *
 * With `--json`, stdout gets exactly one JSON document, also if the command fails, and stderr gets
 * nothing. Otherwise results are on stdout, and errors and notes on stderr. No output contains
 * control characters, because clients and servers choose parts of it.
 *
 * @param argv - Arguments after the name of the program.
 * @returns The exit code.
 */
export async function run (argv: readonly string[], io: Io): Promise<ExitCode> {
  const isJson = argv.includes('--json')

  const printJson = (document: object): void => {
    io.writeOut(`${formatJson(document)}\n`)
  }

  try {
    const invocation = parseCommandLine(argv)

    if (invocation === null || invocation.isHelp) {
      io.writeOut(
        invocation === null
          ? formatHelp()
          : formatCommandHelp(invocation.name, invocation.command)
      )
      return exitCodes.done
    }

    const { name, command, values, operands } = invocation
    const handle = await command.load()
    const { exitCode = exitCodes.done, document, text, note } = await handle({
      values,
      operands,
      io
    })

    if (isJson) {
      printJson({ ok: exitCode === exitCodes.done, command: name, ...document })
    } else {
      io.writeOut(ensureLine(cleanLines(text)))
      io.writeError(ensureLine(cleanLines(note ?? '')))
    }

    return exitCode
  } catch (error) {
    const { code, message, exitCode, details } = toCliError(error)

    if (isJson) {
      printJson({ ok: false, error: { code, message, ...details } })
    } else {
      io.writeError(`fastify-token-auth: ${cleanLines(message)}\n`)
    }

    return exitCode
  }
}

function toCliError (error: unknown): CliError {
  if (error instanceof CliError) {
    return error
  }

  // The message may come from a driver, and may contain a password.
  const { name = 'Error', stack = '' } = (error ?? {}) as Partial<Error>
  const place = /\n\s+at .*/.exec(stack)?.[0].trim() ?? ''
  return new CliError('UNEXPECTED', `unexpected ${name} ${place}`.trim(), { cause: error })
}

function ensureLine (text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`
}
