// A browser, or a phone, and its tabs. What a tab knows dies with it; storage, flags and cookies stay.

import type { FlagsLike, Platform } from '../client/platform.js'
import type { TokenStorage } from '../client/storage.js'
import type { Clock } from './clock.js'
import { createCookieJar } from './cookie-jar.js'
import type { CookieJar } from './cookie-jar.js'
import type { Endpoint, Network } from './network.js'
import type { Random } from './random.js'
import { createChannels, createLocks, stuckLocks } from './tabs.js'
import type { TabLifetime } from './tabs.js'

export interface TabOptions {
  /** `stuck`: some other tab holds each lock for ever. `none`: the browser has no Web Locks. @default 'work' */
  readonly locks?: 'work' | 'stuck' | 'none'
  /** Whether tabs hear of each other. @default true */
  readonly channels?: boolean
}

/** Goes into `createAuthClient`: `{ fetch: tab.wrap(fetch), platform: tab.platform, storage: tab.storage }`. */
export interface Tab {
  /** `tab 1`, `tab 2` and so on: as in the log. */
  readonly name: string
  readonly isAlive: boolean
  /** A `fetch` that meets faults, and keeps the cookies of the device. */
  wrap(send: typeof fetch): typeof fetch
  readonly platform: Platform
  /** A way to what the device stores, which is slow (0 to 20 ms), and ends with the tab. */
  readonly storage: TokenStorage
  /** The tab crashes: whatever it waits for never comes, and nothing that it does has an effect. */
  kill(): void
}

export interface Device {
  readonly tabs: readonly Tab[]
  open(options?: TabOptions): Tab
  /** What the tabs' `storage` holds. */
  stored: string | null
  /** What stands in for `localStorage`. */
  readonly flags: Map<string, string>
  readonly cookies: CookieJar
}

const SLOWEST = 20

/** @param nameTab The name of the next tab. */
export function createDevice (
  clock: Clock,
  random: Random,
  network: Network,
  nameTab: () => string,
  onKill: (name: string) => void
): Device {
  const cookies = createCookieJar(clock.time)
  const locks = createLocks()
  const channels = createChannels(clock, random.fork())
  const flags = new Map<string, string>()

  function open ({ locks: kind = 'work', channels: hasChannels = true }: TabOptions = {}): Tab {
    const name = nameTab()
    const chance = random.fork()
    const ends = new Set<() => void>()
    let isAlive = true
    const life: TabLifetime = {
      isAlive: () => isAlive,
      onEnd (end) {
        ends.add(end)
      }
    }

    function kill (): void {
      if (!isAlive) {
        return
      }

      isAlive = false

      for (const end of ends) {
        end()
      }

      onKill(name)
    }

    /** Never resolves once the tab has gone. */
    const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
      new Promise(resolve => {
        void clock.sleep(ms, signal).then(() => {
          if (isAlive) {
            resolve()
          }
        })
      })

    async function access<Result> (act: () => Result): Promise<Result> {
      await sleep(chance.between(0, SLOWEST / 2))
      const result = act()
      await sleep(chance.between(0, SLOWEST / 2))
      return result
    }

    const peer: Endpoint = {
      name,
      isAlive: life.isAlive,
      kill,
      leave (url, headers, credentials) {
        const header = credentials === 'include' ? cookies.header(url) : ''

        if (header !== '') {
          headers.set('cookie', header)
        }

        headers.set('sec-fetch-site', 'same-origin')
      },
      arrive (url, headers, credentials) {
        if (credentials === 'include') {
          cookies.take(url, headers.getSetCookie())
        }

        headers.delete('set-cookie')
      }
    }

    return {
      name,
      get isAlive () {
        return isAlive
      },
      kill,
      wrap (send) {
        const wrapped = network.wrap(send, peer)
        return (...request) => isAlive ? wrapped(...request) : new Promise(() => {})
      },
      platform: {
        now: clock.now,
        random: chance.next,
        sleep,
        locks: kind === 'work' ? locks.of(life) : kind === 'stuck' ? stuckLocks : null,
        openChannel: hasChannels ? channels.of(life) : null,
        flags: flagsOf(flags, life)
      },
      storage: {
        get: () => access(() => device.stored),
        set: value =>
          access(() => {
            if (isAlive) {
              device.stored = value
            }
          }),
        remove: () =>
          access(() => {
            if (isAlive) {
              device.stored = null
            }
          })
      }
    }
  }

  const tabs: Tab[] = []
  const device: Device = {
    tabs,
    open (options) {
      const tab = open(options)
      tabs.push(tab)
      return tab
    },
    stored: null,
    flags,
    cookies
  }
  return device
}

function flagsOf (map: Map<string, string>, life: TabLifetime): FlagsLike {
  return {
    getItem: key => map.get(key) ?? null,
    setItem (key, value) {
      if (life.isAlive()) {
        map.set(key, value)
      }
    },
    removeItem (key) {
      if (life.isAlive()) {
        map.delete(key)
      }
    }
  }
}
