import type { ApiClient } from './api.js'
import { DEFAULT_TIMEOUT, ignore } from './async.js'
import { createBackoff } from './backoff.js'
import type { AttemptLimit } from './backoff.js'
import { AuthError, toAuthError } from './errors.js'
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
   * Does not wait if it is likely that no user is signed in; see {@link Refresher.settle}.
   *
   * @throws AuthError with the reason of the last failed refresh
   */
  waitForToken(signal: AbortSignal): Promise<void>
  /**
   * Waits until it is certain whether a user is signed in, or until one attempt has failed.
   *
   * Returns immediately during a retry delay.
   */
  settle(): Promise<void>
  /**
   * Requests another token if the session still has the one with this signal.
   *
   * Returns after one attempt, and immediately during a retry delay.
   */
  replaceToken(tokenSignal: AbortSignal): Promise<void>
  /**
   * Refreshes the access token. Concurrent callers share one attempt.
   *
   * Waits for the retry delay of the last failure first.
   *
   * @returns Whether a request was sent. None is necessary if another tab has sent its token.
   * @throws AuthError
   */
  refresh(): Promise<boolean>
  /**
   * Refreshes the access token with a request that starts after this call.
   *
   * Does nothing if the session has no refresh token.
   *
   * @throws AuthError
   */
  refreshAnew(): Promise<void>
  /** Ends the retry delay, because the server may be reachable again. */
  wake(): void
}

/** Longest delay between two attempts in milliseconds. */
const MAX_DELAY = 10_000

/**
 * Creates the refresher of a session.
 *
 * @param hasStored - Resolves to whether the storage had a value at startup.
 */
export function createRefresher (
  platform: Platform,
  session: Session,
  storage: StorageQueue,
  api: ApiClient,
  lock: TabLock,
  limit: AttemptLimit,
  hasStored: Promise<boolean>
): Refresher {
  const { now } = platform
  const backoff = createBackoff(platform, limit, MAX_DELAY)
  let running: Promise<boolean> | null = null
  /** Signal of a token that must be replaced, although it is not due. */
  let signalToReplace: AbortSignal | null = null

  async function attemptRefresh ({ signal }: Session): Promise<boolean> {
    await backoff.wait(signal)

    // The session has another token now, or none.
    if (signal.aborted) {
      backoff.succeed()
      return false
    }

    backoff.start()

    try {
      const hasSent = await lock(() => sendRefresh(signal), signal)
      backoff.succeed()
      return hasSent
    } catch (failure) {
      if (signal.aborted) {
        backoff.succeed()
        return false
      }

      const error = toAuthError(failure)
      backoff.fail(error)
      throw error
    }
  }

  async function sendRefresh (signal: AbortSignal): Promise<boolean> {
    // Reads the value only now: another tab or process may have changed it before it released the
    // lock.
    const before = await storage()

    if (signal.aborted || !(session.isDue || signal === signalToReplace)) {
      return false
    }

    if (isPendingLogout(before)) {
      session.signOut('logout')
      return false
    }

    if (!session.hasRefreshToken && before === null) {
      endIfExpired()
      return false
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
      return true
    }

    if (reason === 'AUTH_REFRESH_MISSING' && session.remaining > 0) {
      // The cookie was deleted, or the server issues no refresh tokens.
      session.postponeRefresh()
    } else if (reason !== undefined) {
      session.signOut(reason)
    } else {
      session.setToken({ ...accessToken, hasRefreshToken: true }, false)
    }

    return true
  }

  /** A session without a refresh token lasts as long as its access token. */
  function endIfExpired (): void {
    if (session.remaining <= 0) {
      session.signOut('AUTH_REFRESH_MISSING')
    }
  }

  function refresh (): Promise<boolean> {
    running ??= attemptRefresh(session).finally(() => {
      running = null
    })
    return running
  }

  async function attemptNow (): Promise<void> {
    if (!session.isSignOutConfirmed && (running !== null || backoff.retryAt <= now())) {
      await refresh().catch(ignore)
    }
  }

  /** Whether a call may be sent without a token, because nothing hints at a session. */
  async function isVisitor (): Promise<boolean> {
    const { status } = session.state
    return status === 'signed-out' || (status === 'starting' && !await hasStored)
  }

  return {
    refresh,
    wake: backoff.reset,

    settle: attemptNow,

    async replaceToken (tokenSignal) {
      if (session.signal === tokenSignal) {
        signalToReplace = tokenSignal
        await attemptNow()
      }
    },

    async refreshAnew () {
      await running?.catch(ignore)
      let hasSent = false

      // Another tab may send its token while this one waits for the lock.
      while (
        !hasSent && session.hasRefreshToken && !session.isSignOutConfirmed &&
        !session.signal.aborted
      ) {
        signalToReplace = session.signal
        hasSent = await refresh()
      }
    },

    async waitForToken (signal) {
      const deadline = now() + DEFAULT_TIMEOUT

      while (!signal.aborted && !session.isSignOutConfirmed) {
        const { signal: tokenSignal } = session

        if (session.remaining > 0) {
          if (session.isDue && backoff.retryAt <= now()) {
            refresh().catch(ignore)
          }

          return
        }

        // Visitors must not wait for a server that is down.
        if (await isVisitor()) {
          return
        }

        if (backoff.lastError !== null && backoff.retryAt > deadline) {
          throw backoff.lastError
        }

        await refresh().catch(ignore)

        // The session has another token now, or none. Another attempt would not help.
        if (session.signal !== tokenSignal) {
          return
        }
      }
    }
  }
}
