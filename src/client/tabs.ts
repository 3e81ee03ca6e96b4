/**
 * Coordination between the tabs of a browser.
 *
 * @module
 */

import { createQueue } from './async.js'
import type { WithTimeout } from './async.js'
import type { ChannelLike, Platform } from './platform.js'

/**
 * Runs work one at a time in this tab, and also across tabs if Web Locks are available.
 *
 * The work runs without the shared lock if the lock is not free within 5 s or the signal is
 * aborted. The lock only saves requests, because the server returns the same tokens to concurrent
 * refreshes.
 */
export type TabLock = <Result>(work: () => Promise<Result>, signal: AbortSignal) => Promise<Result>

/** Sends messages to the other tabs. Browsers deliver them within the same origin only. */
export interface TabChannel {
  post(message: object): void
  close(): void
}

const LOCK_TIMEOUT = 5000
/** Milliseconds. The message of the previous holder may arrive slightly later than its lock. */
const MESSAGE_DELAY = 20

/**
 * Creates the lock of a tab.
 *
 * @param name - The same name in all tabs; `null` if they share nothing.
 */
export function createTabLock (
  { now, sleep, locks }: Platform,
  withTimeout: WithTimeout,
  name: string | null
): TabLock {
  const queue = createQueue()
  let isBroken = false

  return (work, outerSignal) =>
    queue(async () => {
      const requestedAt = now()
      let release: (() => void) | undefined

      try {
        if (locks && name && !isBroken) {
          release = await withTimeout(outerSignal, signal =>
            new Promise((resolve, reject) => {
              // The browser holds the lock until this promise resolves. Its `resolve` is `release`.
              locks.request(
                name,
                { signal },
                () => signal.aborted ? undefined : new Promise(resolve)
              ).catch(reject)
            }), LOCK_TIMEOUT)

          if (now() > requestedAt + 2) {
            await sleep(MESSAGE_DELAY, outerSignal)
          }
        }
      } catch {
        isBroken ||= !outerSignal.aborted
      }

      return work().finally(release)
    })
}

/**
 * Opens a channel to the other tabs.
 *
 * Does nothing if the browser has no channels or they fail, because tabs work without messages.
 *
 * @param name - The same name in all tabs; `null` if they share nothing.
 * @param receive - Called with each message. Errors are ignored, because other scripts of the page
 *   may post anything to the channel.
 */
export function openTabChannel<Message> (
  { openChannel }: Platform,
  name: string | null,
  receive: (message: Message) => void
): TabChannel {
  let channel: ChannelLike

  const attempt = (act: () => void): void => {
    try {
      act()
    } catch {}
  }

  attempt(() => {
    if (!name) {
      return
    }

    channel = openChannel?.(name) as ChannelLike

    channel.onmessage = ({ data }) => {
      attempt(() => receive(data as Message))
    }
  })

  return {
    post (message) {
      attempt(() => channel.postMessage(message))
    },
    close () {
      attempt(() => channel.close())
    }
  }
}
