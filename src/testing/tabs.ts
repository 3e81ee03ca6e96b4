// What the tabs of a device share besides storage: locks, and channels. Each tab gets its own end of them, which goes with it.

import type { ChannelLike, LocksLike } from '../client/platform.js'
import type { Clock } from './clock.js'
import type { Random } from './random.js'

/** As a tab knows itself. */
export interface TabLifetime {
  isAlive(): boolean
  /** Called when it is killed. */
  onEnd(end: () => void): void
}

/** */
export function rejectBy (signal: AbortSignal, reject: (reason: Error) => void): void {
  const reason = signal.reason as Error
  reject(reason)
}

export interface SharedLocks {
  of(life: TabLifetime): LocksLike
}

/** Web Locks: exclusive, in turn, and released when the tab goes that holds one. */
export function createLocks (): SharedLocks {
  const queues = new Map<string, Array<() => void>>()

  function acquire (name: string, signal: AbortSignal, life: TabLifetime): Promise<() => void> {
    return new Promise((resolve, reject) => {
      const queue = queues.get(name) ?? []
      queues.set(name, queue)

      const abort = (): void => {
        release()
        rejectBy(signal, reject)
      }

      const enter = (): void => {
        signal.removeEventListener('abort', abort)
        resolve(release)
      }

      function release (): void {
        const place = queue.indexOf(enter)

        if (place < 0) {
          return
        }

        queue.splice(place, 1)

        if (place === 0) {
          queue[0]?.()
        }
      }

      if (signal.aborted) {
        return abort()
      }

      signal.addEventListener('abort', abort)
      life.onEnd(release)
      queue.push(enter)

      if (queue[0] === enter) {
        enter()
      }
    })
  }

  return {
    of: life => ({
      async request (name, { signal }, work) {
        const release = await acquire(name, signal, life)

        try {
          return await work()
        } finally {
          release()
        }
      }
    })
  }
}

/** Held for ever by a tab that hangs: whoever asks waits until it gives up. */
export const stuckLocks: LocksLike = {
  request: (_name, { signal }) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        rejectBy(signal, reject)
      })
    })
}

export interface SharedChannels {
  of(life: TabLifetime): (name: string) => ChannelLike
}

/** Channels between tabs: messages take 1 to 20 ms, and keep their order. */
export function createChannels (clock: Clock, random: Random): SharedChannels {
  interface End {
    readonly name: string
    readonly hear: (data: unknown) => void
    lastAt: number
  }
  const ends = new Set<End>()

  return {
    of: life => name => {
      const channel: ChannelLike = {
        onmessage: null,
        postMessage (message) {
          if (!life.isAlive() || !ends.has(end)) {
            return
          }

          const data: unknown = structuredClone(message)

          for (const other of ends) {
            if (other === end || other.name !== name) {
              continue
            }

            other.lastAt = Math.max(other.lastAt, clock.now() + random.between(1, 20))
            void clock.sleep(other.lastAt - clock.now()).then(() => {
              if (ends.has(other)) {
                other.hear(data)
              }
            })
          }
        },
        close () {
          ends.delete(end)
        }
      }
      const end: End = { name, hear: data => channel.onmessage?.({ data }), lastAt: 0 }
      ends.add(end)
      life.onEnd(() => {
        ends.delete(end)
      })
      return channel
    }
  }
}
