import type { ApiClient } from './api.js'
import { computeRetryDelay } from './async.js'
import type { AuthError } from './errors.js'
import type { Platform } from './platform.js'
import { COOKIE_MARKER, getStoredToken, isPendingLogout } from './storage.js'
import type { StorageQueue } from './storage.js'
import type { TabLock } from './tabs.js'

/**
 * Revokes a session at the server, and repeats the request until the server acknowledges it.
 *
 * Resolves after the first attempt, whether it succeeds or not. The stored value makes sure that
 * the client repeats the request after a restart.
 *
 * @param stored - Stored value of the session; `null` if it cannot be read.
 * @param accessToken - Identifies the session if the stored value does not.
 */
export type Logout = (stored: string | null, accessToken?: string | null) => Promise<void>

/**
 * Creates the logout function of a client.
 *
 * @param disposal - Aborted when the client is disposed.
 */
export function createPendingLogouts (
  platform: Platform,
  storage: StorageQueue,
  api: ApiClient,
  lock: TabLock,
  disposal: AbortSignal
): Logout {
  /** Tokens with a scheduled retry, so that several logouts of a session share one. */
  const scheduled = new Set<string | null | undefined>()

  return async function logout (
    stored: string | null,
    accessToken?: string | null,
    failures = 0
  ): Promise<void> {
    const token = getStoredToken(stored)

    try {
      await lock(async () => {
        // Another tab has completed the logout, or the cookie belongs to a new login.
        if (token === COOKIE_MARKER && !isPendingLogout(await storage())) {
          return
        }

        await api.logout(token, accessToken)
        await storage(stored => getStoredToken(stored) === token ? null : stored)
      }, disposal)
    } catch (error) {
      const key = token || accessToken

      if (scheduled.has(key)) {
        return
      }

      scheduled.add(key)
      const delay = computeRetryDelay(platform, failures, error as AuthError)
      void platform.sleep(delay, disposal).then(() => {
        scheduled.delete(key)

        if (!disposal.aborted) {
          void logout(stored, accessToken, failures + 1)
        }
      })
    }
  }
}
