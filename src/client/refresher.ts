// One refresh at a time. Its result counts only where nothing else has happened to the session meanwhile.

import { backoff } from './async.js'
import { AuthError } from './errors.js'
import { DEFAULT_TIMEOUT } from './async.js'
import type { Platform } from './platform.js'
import type { Session } from './session.js'
import { isPendingLogout } from './storage.js'
import type { StorageQueue } from './storage.js'
import type { TabLock } from './tabs.js'
import type { ApiClient } from './api.js'

export interface Refresher {
  /**
   * Waits until the access token is good, or the session is over, or the signal aborted: 10 s, as it is limited.
   * @throws AuthError why the token could not be refreshed
   */
  settle(signal: AbortSignal): Promise<void>
  /** The one try that is under way, or another one as soon as it may be. @throws AuthError */
  refresh(): Promise<void>
}

/** */
export function createRefresher (
  platform: Platform,
  session: Session,
  vault: StorageQueue,
  wire: ApiClient,
  lock: TabLock
): Refresher {
  const { now, sleep } = platform
  let flight: Promise<void> | null = null
  let failures = 0
  let failure: AuthError
  let notBefore = 0

  async function attempt ({ signal: era }: Session): Promise<void> {
    await sleep(notBefore - now(), era)

    try {
      await lock(() => present(era), era)
      failures = 0
    } catch (error) {
      if (era.aborted) {
        return
      }

      failure = error as AuthError
      notBefore = now() + backoff(platform, failures++, failure)
      throw error
    }
  }

  async function present (era: AbortSignal): Promise<void> {
    const presented = await vault()

    if (era.aborted || !session.shouldRefresh) {
      return
    }

    if (isPendingLogout(presented)) {
      return session.end('logout')
    }

    const { access, kept = presented, reason } = await wire.refresh(presented, era)
    await vault(stored => {
      // Another tab has stored something else meanwhile: then that is what counts, at the next try.
      if (era.aborted || (stored !== presented && stored !== kept)) {
        throw new AuthError('storage')
      }

      return kept
    })

    if (era.aborted) {
      return
    }

    if (reason) {
      session.end(reason)
    } else {
      session.begin(access, false)
    }
  }

  function refresh (): Promise<void> {
    flight ??= attempt(session).finally(() => {
      flight = null
    })
    return flight
  }

  return {
    refresh,
    async settle (signal) {
      for (const until = now() + DEFAULT_TIMEOUT; !signal.aborted && !session.isOver;) {
        const { signal: era, state: { status } } = session

        if (session.remainingMs > 0) {
          if (session.shouldRefresh && now() >= notBefore) {
            refresh().catch(() => {})
          }

          return
        }

        // Visitors who never signed in are not kept waiting.
        if (status === 'signed-out' && notBefore > now()) {
          return
        }

        if (notBefore > until) {
          throw failure
        }

        await refresh().catch(() => {})

        // Whatever it brought: another try would bring the same.
        if (session.signal !== era) {
          return
        }
      }
    }
  }
}
