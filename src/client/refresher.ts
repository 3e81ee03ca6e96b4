import type { ApiClient } from './api.js'
import { computeRetryDelay, DEFAULT_TIMEOUT } from './async.js'
import { AuthError } from './errors.js'
import type { Platform } from './platform.js'
import type { Session } from './session.js'
import { isPendingLogout } from './storage.js'
import type { StorageQueue } from './storage.js'
import type { TabLock } from './tabs.js'

/** Refreshes the access token, one request at a time. */
export interface Refresher {
  /**
   * Waits up to 10 s until the access token is valid, the user is signed out or the signal aborts.
   *
   * @throws AuthError with the reason of the last failed refresh
   */
  waitForToken(signal: AbortSignal): Promise<void>
  /**
   * Refreshes the access token. Concurrent callers share one attempt.
   *
   * Waits for the retry delay of the last failure first.
   *
   * @throws AuthError
   */
  refresh(): Promise<void>
}

/** Creates the refresher of a session. */
export function createRefresher (
  platform: Platform,
  session: Session,
  storage: StorageQueue,
  api: ApiClient,
  lock: TabLock
): Refresher {
  const { now, sleep } = platform
  let running: Promise<void> | null = null
  let failures = 0
  let lastError: AuthError
  let retryAt = 0

  async function attemptRefresh ({ signal }: Session): Promise<void> {
    await sleep(retryAt - now(), signal)

    try {
      await lock(() => sendRefresh(signal), signal)
      failures = 0
    } catch (error) {
      if (signal.aborted) {
        return
      }

      lastError = error as AuthError
      retryAt = now() + computeRetryDelay(platform, failures++, lastError)
      throw error
    }
  }

  async function sendRefresh (signal: AbortSignal): Promise<void> {
    const before = await storage()

    if (signal.aborted || !session.shouldRefresh) {
      return
    }

    if (isPendingLogout(before)) {
      return session.signOut('logout')
    }

    const { accessToken, stored: after = before, reason } = await api.refresh(before, signal)
    await storage(stored => {
      // Another tab has changed the stored value. Its value wins, and the next attempt uses it.
      if (signal.aborted || (stored !== before && stored !== after)) {
        throw new AuthError('storage')
      }

      return after
    })

    if (signal.aborted) {
      return
    }

    if (reason) {
      session.signOut(reason)
    } else {
      session.setToken(accessToken, false)
    }
  }

  function refresh (): Promise<void> {
    running ??= attemptRefresh(session).finally(() => {
      running = null
    })
    return running
  }

  return {
    refresh,
    async waitForToken (signal) {
      const deadline = now() + DEFAULT_TIMEOUT

      while (!signal.aborted && !session.isSignOutConfirmed) {
        const { signal: tokenSignal, state: { status } } = session

        if (session.remainingMs > 0) {
          if (session.shouldRefresh && now() >= retryAt) {
            refresh().catch(() => {})
          }

          return
        }

        // Visitors who never signed in must not wait for a server that is down.
        if (status === 'signed-out' && retryAt > now()) {
          return
        }

        if (retryAt > deadline) {
          throw lastError
        }

        await refresh().catch(() => {})

        // The session changed, so another attempt would have the same result.
        if (session.signal !== tokenSignal) {
          return
        }
      }
    }
  }
}
