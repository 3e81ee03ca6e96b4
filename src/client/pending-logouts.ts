import type { ApiClient } from './api.js'
import { createBackoff } from './backoff.js'
import type { AttemptLimit } from './backoff.js'
import { toAuthError } from './errors.js'
import type { Platform } from './platform.js'
import { COOKIE_MARKER, getStoredToken, isPendingLogout } from './storage.js'
import type { StorageQueue } from './storage.js'
import type { TabLock } from './tabs.js'

/** Logouts that the server has not acknowledged yet. */
export interface PendingLogouts {
  /**
   * Revokes a session at the server, and repeats the request until the server acknowledges it.
   *
   * Resolves after the first attempt, whether it succeeds or not. The stored value makes sure that
   * the client repeats the request after a restart.
   *
   * @param stored - Stored value of the session; `null` if it cannot be read.
   * @param accessToken - Identifies the session if the stored value does not.
   */
  logout(stored: string | null, accessToken?: string | null): Promise<void>
  /** Ends the retry delay, because the server may be reachable again. */
  wake(): void
}

interface Entry {
  readonly token: string
  readonly accessToken: string | null
}

/** Longest delay between two attempts in milliseconds. */
const MAX_DELAY = 30_000

/** Whether a logout of a token makes a stored value obsolete. */
function isDone (stored: string | null, token: string): boolean {
  // Without a token, the storage failed or was slow. It may have saved the logout since.
  return getStoredToken(stored) === token || (token === '' && isPendingLogout(stored))
}

/**
 * Creates the pending logouts of a client.
 *
 * @param disposal - Aborted when the client is disposed.
 */
export function createPendingLogouts (
  platform: Platform,
  storage: StorageQueue,
  api: ApiClient,
  lock: TabLock,
  limit: AttemptLimit,
  disposal: AbortSignal
): PendingLogouts {
  const backoff = createBackoff(platform, limit, MAX_DELAY)
  /** Failed logouts by their token, so that several logouts of a session share one retry. */
  const failed = new Map<string, Entry>()
  let isRetrying = false

  async function sendLogout ({ token, accessToken }: Entry): Promise<void> {
    backoff.start()

    try {
      await lock(async () => {
        // Another tab has completed the logout, or the cookie belongs to a new login.
        if (token === COOKIE_MARKER && !isPendingLogout(await storage())) {
          return
        }

        await api.logout(token, accessToken)
        await storage(stored => isDone(stored, token) ? null : stored)
      }, disposal)
      backoff.succeed()
    } catch (failure) {
      const error = toAuthError(failure)
      backoff.fail(error)
      throw error
    }
  }

  async function retry (): Promise<void> {
    if (isRetrying) {
      return
    }

    isRetrying = true

    for (;;) {
      await backoff.wait(disposal)
      const [next] = failed

      if (next === undefined || disposal.aborted) {
        break
      }

      const [key, entry] = next
      failed.delete(key)

      try {
        await sendLogout(entry)
      } catch {
        // At the end, so that a logout that always fails does not delay the others.
        failed.set(key, entry)
      }
    }

    isRetrying = false
  }

  return {
    wake: backoff.reset,

    async logout (stored, accessToken = null) {
      const token = getStoredToken(stored)
      const key = token || (accessToken ?? '')

      if (failed.has(key)) {
        return
      }

      const entry = { token, accessToken }

      try {
        await sendLogout(entry)
      } catch {
        failed.set(key, entry)
        void retry()
      }
    }
  }
}
