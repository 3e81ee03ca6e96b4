import type { FoundUser } from '../sessions/user-record.js'
import type { AccountDirectory } from './users.js'

/** Finds the user of a one-time token while the token is verified. */
export interface TokenUser {
  /** Returns the state of the user; `null` if there is no such active user. */
  readonly state: (token: { readonly subject: string }) => Promise<string | null>
  /** The user that {@link state} has found; `null` if it has found none. */
  readonly found: FoundUser | null
}

/**
 * Creates the `state` of a verification, which keeps the user for its caller.
 *
 * @param getState - Returns the state of a user. After a change of it, the token is invalid.
 * @example
 * ```ts
 * const user = createTokenUser(users, getAccountState)
 * await issuer.redeem(token, { purpose, state: user.state })
 * const { found } = user
 * ```
 */
export function createTokenUser (
  users: AccountDirectory,
  getState: (user: FoundUser) => string
): TokenUser {
  let found: FoundUser | null = null

  return {
    get found () {
      return found
    },
    async state ({ subject }) {
      found = await users.findById(subject)
      return found === null ? null : getState(found)
    }
  }
}
