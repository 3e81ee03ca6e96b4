import type { FoundUser } from '../../sessions/user-record.js'
import type { AccountLimits } from '../limits.js'
import type { AccountDirectory } from '../users.js'

/**
 * Finds the user who gets a message to an address.
 *
 * @returns `null` if no user has the address, or if the user has received too many messages,
 * perhaps at other spellings of the address.
 */
export async function findRecipient (
  email: string,
  users: AccountDirectory,
  limits: AccountLimits
): Promise<FoundUser | null> {
  const user = await users.findByEmail(email)
  return await limits.allowsMessage(user?.id ?? null, email) ? user : null
}
