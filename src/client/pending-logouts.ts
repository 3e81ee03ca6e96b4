// Logouts that the server is still to be told of. It is told until it has heard, also after a restart.

import { backoff } from './async.js'
import type { AuthError } from './errors.js'
import type { Platform } from './platform.js'
import { COOKIE_MARKER, isPendingLogout, tokenOf } from './storage.js'
import type { StorageQueue } from './storage.js'
import type { TabLock } from './tabs.js'
import type { ApiClient } from './api.js'

/**
 * Ends the session of what is, or was, stored. Where the server cannot be told, it is told again later.
 *
 * @param stored `null` where it is not known.
 * @param access The access token, for where nothing else proves whose session it is.
 * @returns When the server knows, or could not be told at once.
 */
export type Logout = (stored: string | null, access?: string | null) => Promise<void>

/** @param end Aborted when the client is disposed of. */
export function createPendingLogouts (
  platform: Platform,
  vault: StorageQueue,
  wire: ApiClient,
  lock: TabLock,
  end: AbortSignal
): Logout {
  /** What waits to be told again: it is enough that one waits. */
  const waiting = new Set<string | null | undefined>()

  return async function leave (
    stored: string | null,
    access?: string | null,
    failures = 0
  ): Promise<void> {
    const token = tokenOf(stored)

    try {
      await lock(async () => {
        // Another tab has told, or somebody has signed in meanwhile: the cookie is theirs.
        if (token === COOKIE_MARKER && !isPendingLogout(await vault())) {
          return
        }

        await wire.logout(token, access)
        await vault(stored => tokenOf(stored) === token ? null : stored)
      }, end)
    } catch (error) {
      const proof = token || access

      if (waiting.has(proof)) {
        return
      }

      waiting.add(proof)
      void platform.sleep(backoff(platform, failures, error as AuthError), end).then(() => {
        waiting.delete(proof)

        if (!end.aborted) {
          void leave(stored, access, failures + 1)
        }
      })
    }
  }
}
