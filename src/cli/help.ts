import type { Command, OptionSpec } from './command.js'
import { commands } from './commands.js'

const PROGRAM = 'fastify-token-auth'

/** Returns the help for all commands. It fits a terminal of 80 columns and 24 lines. */
export function formatHelp (): string {
  const width = Math.max(...Object.keys(commands).map(name => name.length)) + 2
  const list = Object.entries(commands).map(([name, { summary }]) =>
    `  ${name.padEnd(width)}${summary}`
  )

  return [
    `Usage: npx ${PROGRAM} COMMAND [OPTIONS]`,
    '',
    ...list,
    '',
    `npx ${PROGRAM} COMMAND --help describes a command. All accept --json.`,
    'Set the database in DATABASE_URL or with --database:',
    '  postgres: postgresql: mysql: mariadb: redis: rediss: sqlite:PATH file:PATH',
    'The driver is loaded from the dependencies of the app in this folder.',
    '',
    'Exit codes: 0 done; 1 findings or a failure; 2 invalid usage, nothing was done;',
    '3 the database or the deployment is not reachable',
    ''
  ].join('\n')
}

/** Returns the help for one command. It fits a terminal of 80 columns and 24 lines. */
export function formatCommandHelp (
  name: string,
  { usage, summary, details, options }: Command
): string {
  const flags = Object.entries(options).map(([option, spec]) =>
    [formatFlag(option, spec), spec.description] as const
  )
  const width = Math.max(...flags.map(([flag]) => flag.length)) + 2

  return [
    `Usage: npx ${[PROGRAM, name, usage, '[OPTIONS]'].filter(Boolean).join(' ')}`,
    '',
    `${summary}.`,
    '',
    ...details.flatMap(paragraph => [paragraph, '']),
    ...flags.map(([flag, description]) => `  ${flag.padEnd(width)}${description}`),
    ''
  ].join('\n')
}

function formatFlag (name: string, { value }: OptionSpec): string {
  return value === undefined ? `--${name}` : `--${name} ${value}`
}
