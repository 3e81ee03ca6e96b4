import type { Logger } from '../events.js'
import type { Millis } from '../lib/time.js'
import type { StoreTime } from '../revocations/store-clock.js'
import { createGuard } from '../stores/guard.js'
import { guardStore, rejectUnstorableStrings } from '../stores/guarded-store.js'
import type { TokenStore } from '../stores/token-store.js'
import { extendGraceOfLateRotations } from './late-rotations.js'
import type { ParsedIds, Users } from './user-callbacks.js'
import { UserDirectory } from './users.js'

/**
 * Wraps the store and the user callbacks of the app with a timeout and checks of their data.
 *
 * @param grace - Grace period of refresh tokens.
 */
export function wrapStore (
  { store, users, grace }: {
    readonly store: TokenStore
    readonly users: Users | ParsedIds
    readonly grace: Millis
  },
  timeout: Millis,
  time: StoreTime,
  logger: Logger
): { readonly store: TokenStore, readonly users: UserDirectory } {
  return {
    store: rejectUnstorableStrings(
      guardStore(
        extendGraceOfLateRotations(store, time, grace),
        createGuard(timeout, logger, 'store')
      )
    ),
    users: new UserDirectory(users, createGuard(timeout, logger, 'callback'), logger)
  }
}
