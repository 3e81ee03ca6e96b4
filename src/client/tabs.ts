/**
 * Coordination between the tabs of a browser, or between processes that share a storage.
 *
 * @module
 */

import { createQueue, ignore } from './async.js'
import type { WithTimeout } from './async.js'
import { AuthError, toAuthError } from './errors.js'
import type { LocksLike, Platform } from './platform.js'
import type { TokenStorage } from './storage.js'

/**
 * Runs work one at a time in this tab, and also across tabs if Web Locks are available.
 *
 * The lock of a {@link TokenStorage} is used instead if it has one. Web Locks only save requests,
 * because the server returns the same tokens to concurrent refreshes. So the work also runs if no
 * Web Lock can be acquired, or the signal is aborted.
 *
 * @throws AuthError `storage` if the lock of the storage fails; errors of the work
 */
export type TabLock = <Result>(work: () => Promise<Result>, signal: AbortSignal) => Promise<Result>

/** Sends messages to the other tabs. Browsers deliver them within the same origin only. */
export interface TabChannel {
  post(message: object): void
  close(): void
}

/** Milliseconds. Together with {@link LATE_LOCK_TIMEOUT} less than the timeout of a call. */
const LOCK_TIMEOUT = 5000
const LATE_LOCK_TIMEOUT = 4000
/** Time after which a tab uses a slow or failed lock again. */
const LOCK_RECOVERY = 60_000
/** Timeout of the first attempt after {@link LOCK_RECOVERY}. */
const PROBE_TIMEOUT = 500
/** Delay before the second attempt if a lock fails immediately. */
const LOCK_RETRY_DELAY = 50
/** The message of the previous holder may arrive slightly later than its lock. */
const MESSAGE_DELAY = 20

/**
 * Creates the lock of a tab.
 *
 * @param name - The same name in all tabs; `null` if they share nothing.
 * @param storage - Storage with an optional lock of its own.
 */
export function createTabLock (
  platform: Platform,
  withTimeout: WithTimeout,
  name: string | null,
  storage: Pick<TokenStorage, 'lock'>
): TabLock {
  const { now, sleep, locks } = platform
  const queue = createQueue()
  const acquire = locks && name !== null
    ? createLockAcquisition(platform, withTimeout, locks, name)
    : async () => ignore

  async function runWithStorageLock<Result> (
    work: () => Promise<Result>,
    signal: AbortSignal
  ): Promise<Result> {
    let running: Promise<Result> | undefined

    try {
      await storage.lock?.(() => (running = work()), signal)
    } catch (failure) {
      // A failure of the work itself is returned below.
      if (running === undefined) {
        throw toAuthError(failure, 'storage')
      }
    }

    if (running === undefined) {
      throw new AuthError('storage', { cause: new Error('the lock did not run the work') })
    }

    return running
  }

  return (work, signal) =>
    queue(async () => {
      if (storage.lock !== undefined && !signal.aborted) {
        return runWithStorageLock(work, signal)
      }

      const requestedAt = now()
      const release = await acquire(signal)

      try {
        if (now() > requestedAt + 2) {
          await sleep(MESSAGE_DELAY, signal)
        }

        return await work()
      } finally {
        release()
      }
    })
}

/**
 * Creates a function that acquires a lock and returns the function that releases it.
 *
 * There are two locks. The holder of the first one may wait for a slow server, or be frozen. A tab
 * that cannot acquire it in time requests the second one, so that the other tabs still take turns.
 * A tab that acquires neither continues without a lock, and its release function does nothing.
 */
function createLockAcquisition (
  { now, sleep }: Platform,
  withTimeout: WithTimeout,
  locks: LocksLike,
  name: string
): (signal: AbortSignal) => Promise<() => void> {
  let slowUntil = 0
  let brokenUntil = 0
  let isSlow = false

  function request (lockName: string, signal: AbortSignal, timeout: number): Promise<() => void> {
    return withTimeout(signal, signal =>
      new Promise((resolve, reject) => {
        const hold = (): Promise<void> | undefined => {
          // The browser holds the lock until this promise resolves.
          return signal.aborted ? undefined : new Promise(_resolve => {
            resolve(_resolve)
          })
        }

        locks.request(lockName, { signal }, hold).catch(reject)
      }), timeout)
  }

  /** Acquires the first lock, or the second one if the first one is slow. */
  async function acquireEither (signal: AbortSignal): Promise<() => void> {
    if (now() >= slowUntil) {
      try {
        const release = await request(name, signal, isSlow ? PROBE_TIMEOUT : LOCK_TIMEOUT)
        isSlow = false
        return release
      } catch (failure) {
        if (signal.aborted || !isTimeout(failure)) {
          throw failure
        }

        isSlow = true
        slowUntil = now() + LOCK_RECOVERY
      }
    }

    return request(`${name}:late`, signal, LATE_LOCK_TIMEOUT)
  }

  return async signal => {
    for (let attempt = 0; attempt < 2; attempt++) {
      if (signal.aborted || now() < brokenUntil) {
        return ignore
      }

      try {
        return await acquireEither(signal)
      } catch (failure) {
        if (signal.aborted || isTimeout(failure)) {
          return ignore
        }

        await sleep(LOCK_RETRY_DELAY, signal)
      }
    }

    brokenUntil = now() + LOCK_RECOVERY
    return ignore
  }
}

/** Whether `withTimeout` caused a failure. Failures of the browser have other types. */
function isTimeout (failure: unknown): boolean {
  return failure instanceof AuthError
}

/**
 * Opens a channel to the other tabs.
 *
 * Does nothing if the browser has no channels or they fail, because tabs work without messages.
 *
 * @param name - The same name in all tabs; `null` if they share nothing.
 * @param receive - Called with each message.
 */
export function openTabChannel (
  { openChannel }: Platform,
  name: string | null,
  receive: (message: unknown) => void
): TabChannel {
  const channel = name === null ? null : attempt(() => openChannel?.(name) ?? null)

  if (channel !== null) {
    channel.onmessage = ({ data }) => {
      receive(data)
    }
  }

  return {
    post (message) {
      attempt(() => channel?.postMessage(message))
    },
    close () {
      attempt(() => channel?.close())
    }
  }
}

/** Returns `null` if the action fails. Sandboxed pages have channels that throw. */
function attempt<Result> (act: () => Result): Result | null {
  try {
    return act()
  } catch {
    return null
  }
}
