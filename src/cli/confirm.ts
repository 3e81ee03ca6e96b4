import type { CommandInput } from './command.js'
import { CliError } from './errors.js'
import { removeControlCharacters } from './table.js'

/**
 * Asks whether to go on, unless `--yes` is set.
 *
 * @param question - Sentence that says what happens, with a question mark.
 * @param details - Members of the error for programs.
 * @throws CliError `CONFIRMATION_REQUIRED` if nobody can answer, `CANCELED` after a refusal.
 */
export async function confirm (
  { values, io }: CommandInput,
  question: string,
  details: Readonly<Record<string, unknown>> = {}
): Promise<void> {
  if (values.yes === true) {
    return
  }

  if (values.json === true || !io.isInteractive) {
    throw new CliError(
      'CONFIRMATION_REQUIRED',
      `${question} Nothing was done; add --yes to do it`,
      { details }
    )
  }

  const answer = await io.ask(`${removeControlCharacters(question)} [y/N] `)

  if (!/^y(es)?$/i.test(answer.trim())) {
    throw new CliError('CANCELED', 'canceled; nothing was done')
  }
}
