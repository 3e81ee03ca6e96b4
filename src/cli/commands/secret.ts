import { randomBytes } from 'node:crypto'
import { findWeakness } from '../../tokens/key-derivation.js'
import type { CommandHandler } from '../command.js'

const SECRET_BYTES = 48

/** Prints a new value for the option `secret`. */
export const printSecret: CommandHandler = async () => {
  const secret = createSecret()
  return { document: { secret }, text: secret }
}

// The plugin rejects a secret that contains a word of a placeholder, even by chance. A command
// would read a secret that begins with "-" as an option.
function createSecret (): string {
  const secret = randomBytes(SECRET_BYTES).toString('base64url')
  return findWeakness(secret) === null && !secret.startsWith('-') ? secret : createSecret()
}
