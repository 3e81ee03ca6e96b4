/**
 * Locks and channels that the tabs of a device share.
 *
 * @module
 */

import type { ChannelLike, LocksLike } from '../client/platform.js'
import type { DeviceClock } from './device-clock.js'
import type { Random } from './random.js'

/** Lifetime of a tab, as its locks and channels see it. */
export interface TabLifetime {
  isAlive(): boolean
  /** Calls the function when the tab is killed. */
  onKill(release: () => void): void
}

/** Web Locks of a device: exclusive, granted in order, and released when their tab is killed. */
export interface SharedLocks {
  createFor(lifetime: TabLifetime): LocksLike
}

/** Channels between the tabs of a device. Messages take 1 to 20 ms and stay in order. */
export interface SharedChannels {
  createFor(lifetime: TabLifetime): (name: string) => ChannelLike
}

interface ChannelEnd {
  readonly name: string
  readonly receive: (data: unknown) => void
  lastDeliveryAt: number
}

const MIN_DELIVERY = 1
const MAX_DELIVERY = 20

/**
 * Creates locks. Another tab holds the one that is requested first, and never releases it.
 *
 * A request for that lock waits until its signal is aborted.
 *
 * @param locks - Locks for all other names.
 */
export function createStuckLocks (locks: LocksLike): LocksLike {
  let stuckName: string | undefined

  return {
    request (name, options, work) {
      stuckName ??= name

      if (name !== stuckName) {
        return locks.request(name, options, work)
      }

      return new Promise((_resolve, reject) => {
        options.signal.addEventListener('abort', () => {
          rejectWithReason(options.signal, reject)
        })
      })
    }
  }
}

/** Locks that fail with an exception. */
export const brokenLocks: LocksLike = { request: failAccess }

/** Fails like a browser that denies a page access to an API. */
export function failAccess (): never {
  throw new DOMException('The operation is insecure.', 'SecurityError')
}

/** Rejects a promise with the reason of an aborted signal. */
export function rejectWithReason (signal: AbortSignal, reject: (reason: Error) => void): void {
  const reason = signal.reason as Error
  reject(reason)
}

/** Creates the locks of a device. */
export function createLocks (): SharedLocks {
  const queues = new Map<string, Array<() => void>>()

  function acquire (
    name: string,
    signal: AbortSignal,
    lifetime: TabLifetime
  ): Promise<() => void> {
    return new Promise((resolve, reject) => {
      const queue = queues.get(name) ?? []
      queues.set(name, queue)

      const abort = (): void => {
        release()
        rejectWithReason(signal, reject)
      }

      const enter = (): void => {
        signal.removeEventListener('abort', abort)
        resolve(release)
      }

      function release (): void {
        const index = queue.indexOf(enter)

        if (index < 0) {
          return
        }

        queue.splice(index, 1)

        if (index === 0) {
          queue[0]?.()
        }
      }

      if (signal.aborted) {
        return abort()
      }

      signal.addEventListener('abort', abort)
      lifetime.onKill(release)
      queue.push(enter)

      if (queue[0] === enter) {
        enter()
      }
    })
  }

  return {
    createFor: lifetime => ({
      async request (name, { signal }, work) {
        const release = await acquire(name, signal, lifetime)

        try {
          return await work()
        } finally {
          release()
        }
      }
    })
  }
}

/** Creates the channels of a device. */
export function createChannels (
  clock: Pick<DeviceClock, 'now' | 'sleep'>,
  random: Random
): SharedChannels {
  const ends = new Set<ChannelEnd>()

  return {
    createFor: lifetime => name => {
      const channel: ChannelLike = {
        onmessage: null,
        postMessage (message) {
          if (!lifetime.isAlive() || !ends.has(end)) {
            return
          }

          const data: unknown = structuredClone(message)

          for (const other of ends) {
            if (other === end || other.name !== name) {
              continue
            }

            const deliveryAt = clock.now() + random.between(MIN_DELIVERY, MAX_DELIVERY)
            other.lastDeliveryAt = Math.max(other.lastDeliveryAt, deliveryAt)
            void clock.sleep(other.lastDeliveryAt - clock.now()).then(() => {
              if (ends.has(other)) {
                other.receive(data)
              }
            })
          }
        },
        close () {
          ends.delete(end)
        }
      }
      const end: ChannelEnd = {
        name,
        receive: data => channel.onmessage?.({ data }),
        lastDeliveryAt: 0
      }
      ends.add(end)
      lifetime.onKill(() => {
        ends.delete(end)
      })
      return channel
    }
  }
}
