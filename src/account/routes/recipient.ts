import type { FoundUser } from '../../sessions/user-record.js'
import type { AccountLimits } from '../limits.js'
import type { AccountDirectory } from '../users.js'

/**
 * Finds the user who gets a message to an address.
 *
 * @returns `null` if there is none, or if the user has got too many messages, perhaps by other
 * spellings of the address.
 */
export async function findRecipient (
  email: string,
  users: AccountDirectory,
  limits: AccountLimits
): Promise<FoundUser | null> {
  const user = await users.findByEmail(email)
  return await limits.allowsMessage(user?.id ?? null, email) ? user : null
}
