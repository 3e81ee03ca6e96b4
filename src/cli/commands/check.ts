import { StoreSetupError } from '../../stores/token-store.js'
import type { CommandHandler } from '../command.js'
import { useCommands } from '../database/failures.js'
import { withDatabase } from '../database/with-database.js'
import type { Database } from '../database/with-database.js'
import { exitCodes } from '../errors.js'

/** Result of the check of a database. */
interface CheckReport {
  /** Missing or different parts. The store cannot work. */
  readonly problems: readonly string[]
  /** Solution of the problems; `null` if there are none. */
  readonly fix: string | null
  /** Settings with which the store works, but may lose data or block. */
  readonly warnings: readonly string[]
}

/** Reports what is missing in the database of a store. */
export const check: CommandHandler = input =>
  withDatabase(input, async database => {
    const report = await checkStore(database)
    const isFine = report.problems.length === 0 && report.warnings.length === 0

    return {
      exitCode: isFine ? exitCodes.done : exitCodes.failed,
      document: { database: database.label, ...report },
      text: isFine
        ? `${database.label} has everything that the store needs`
        : formatReport(database.label, report)
    }
  })

/** Checks the database of a store. Rejects if it does not respond. */
export async function checkStore ({ store }: Database): Promise<CheckReport> {
  try {
    const warnings = await store.check()
    return { problems: [], fix: null, warnings: warnings.filter(isAboutServer).map(useCommands) }
  } catch (error) {
    if (!(error instanceof StoreSetupError)) {
      throw error
    }

    return { problems: error.problems, fix: useCommands(error.fix), warnings: [] }
  }
}

// These two warnings are about the connection of an app. The command has a connection of its own.
function isAboutServer (warning: string): boolean {
  return !/listener for "error"|^"busy_timeout" is set/.test(warning)
}

function formatReport (label: string, { problems, fix, warnings }: CheckReport): string {
  return [
    `${label}:`,
    ...problems.map(problem => `  ${problem}`),
    ...fix === null ? [] : [`Fix: ${fix}`],
    ...warnings.map(warning => `  ${warning}`)
  ].join('\n')
}
