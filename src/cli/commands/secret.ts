import { randomBytes } from 'node:crypto'
import { findWeakness } from '../../tokens/key-derivation.js'
import type { CommandHandler } from '../command.js'

const SECRET_BYTES = 48

/** Prints a new value for the option `secret`. */
export const printSecret: CommandHandler = async () => {
  const secret = createSecret()
  return { document: { secret }, text: secret }
}

// A random string may contain a word that the plugin takes for a placeholder. A shell takes one
// with "-" in front for an option.
function createSecret (): string {
  const secret = randomBytes(SECRET_BYTES).toString('base64url')
  return findWeakness(secret) === null && !secret.startsWith('-') ? secret : createSecret()
}
