import type { CommandHandler, CommandInput, CommandResult } from '../command.js'
import { confirm } from '../confirm.js'
import { withDatabase } from '../database/with-database.js'
import { CliError } from '../errors.js'
import { checkStore } from './check.js'

/** Creates what is missing in the database of a store, after a confirmation. */
export const migrate: CommandHandler = input =>
  withDatabase(input, async database => {
    const { store, label } = database

    if (store.migrate === undefined) {
      return createResult(`${label} needs no migration`, { missing: [] })
    }

    if (input.values.sql === true) {
      const sql = store.migrations ?? []
      return { document: { sql }, text: sql.map(text => `${text.trim()}\n`).join('\n') }
    }

    const { problems: missing } = await checkStore(database)

    if (missing.length === 0) {
      return createResult(`${label} is up to date`, { missing, migrated: false })
    }

    if (input.values.json !== true) {
      input.io.writeError(`${label}:\n${missing.map(problem => `  ${problem}\n`).join('')}`)
    }

    await confirm(input, `Create what is missing in ${label}?`, { missing })
    await store.migrate()
    const { problems: left } = await checkStore(database)

    if (left.length > 0) {
      throw new CliError('SCHEMA_OUTDATED', `${label}: ${left.join(', ')}`)
    }

    return createResult(`migrated ${label}`, { missing, migrated: true })
  }, { createsFile: canConfirm(input) })

/** Records that another tool has created the tables, after a confirmation. */
export const baseline: CommandHandler = input =>
  withDatabase(input, async ({ store, label }) => {
    if (store.baseline === undefined) {
      return createResult(`${label} needs no migration`, {})
    }

    await confirm(input, `Record the tables in ${label} as migrated?`)
    await store.baseline()
    return createResult(`recorded the tables in ${label} as migrated`, {})
  })

// Without a confirmation, nothing may change, and a missing SQLite file stays missing.
function canConfirm ({ values, io }: CommandInput): boolean {
  return values.yes === true || (values.json !== true && io.isInteractive)
}

function createResult (text: string, document: CommandResult['document']): CommandResult {
  return { document, text }
}
