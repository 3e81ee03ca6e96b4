// One at a time: in this tab always, over tabs where there are Web Locks. These are an optimisation, since the server gives all
// who ask at once the same answer; so one that does not open, or is broken, is passed by after a while.

import type { WithTimeout } from './async.js'
import { createQueue } from './async.js'
import type { ChannelLike, Platform } from './platform.js'

const PATIENCE = 5000
/** Who held it has just told what it got: the message may come a little later than the lock. */
const DELIVERY = 20

/** Does its work when it is its turn, or when that takes too long, or when the signal is aborted. */
export type TabLock = <Result>(work: () => Promise<Result>, signal: AbortSignal) => Promise<Result>

/** @param name The same in all tabs; `null` where they share nothing. */
export function createTabLock (
  { now, sleep, locks }: Platform,
  limit: WithTimeout,
  name: string | null
): TabLock {
  const queue = createQueue()
  let isBroken = false

  return (work, outer) =>
    queue(async () => {
      const asked = now()
      let release: (() => void) | undefined

      try {
        if (locks && name && !isBroken) {
          release = await limit(outer, signal =>
            new Promise((resolve, reject) => {
              // What the lock is held for is given out with its end: that releases it.
              locks.request(
                name,
                { signal },
                () => signal.aborted ? undefined : new Promise(resolve)
              ).catch(reject)
            }), PATIENCE)

          if (now() > asked + 2) {
            await sleep(DELIVERY, outer)
          }
        }
      } catch {
        isBroken ||= !outer.aborted
      }

      return work().finally(release)
    })
}

// A line to the other tabs. Messages of browsers reach the same origin only.

export interface TabChannel {
  tell(message: object): void
  close(): void
}

/**
 * Where there are no channels, or they are broken, or somebody else speaks on this one, nobody is told, and nothing is heard.
 *
 * @param name The same in all tabs; `null` where they share nothing.
 * @param hear Given whatever was told. What it throws is ignored.
 */
export function openTabChannel<Message> (
  { openChannel }: Platform,
  name: string | null,
  hear: (message: Message) => void
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
      attempt(() => hear(data as Message))
    }
  })

  return {
    tell (message) {
      attempt(() => channel.postMessage(message))
    },
    close () {
      attempt(() => channel.close())
    }
  }
}
