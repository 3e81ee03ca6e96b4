import type { FlagsLike, Platform } from '../client/platform.js'
import type { TokenStorage } from '../client/storage.js'
import type { Clock } from './clock.js'
import { createCookieJar } from './cookie-jar.js'
import type { CookieJar } from './cookie-jar.js'
import type { Endpoint, Network } from './network.js'
import type { Random } from './random.js'
import { brokenLocks, createChannels, createLocks, failAccess, stuckLocks } from './tabs.js'
import type { TabLifetime } from './tabs.js'

/** Options of {@link Device.open}. */
export interface TabOptions {
  /**
   * Behavior of Web Locks.
   *
   * - `work`: as specified.
   * - `stuck`: another tab never releases a lock.
   * - `broken`: each request fails.
   * - `none`: the browser has no Web Locks.
   *
   * @default 'work'
   */
  readonly locks?: 'work' | 'stuck' | 'broken' | 'none'
  /**
   * Behavior of channels between tabs: `broken` fails to open one, `none` means no support.
   *
   * @default 'work'
   */
  readonly channels?: 'work' | 'broken' | 'none'
  /**
   * Behavior of `localStorage`: each access to a `broken` one fails.
   *
   * @default 'work'
   */
  readonly flags?: 'work' | 'broken'
}

/**
 * Tab of a device, or one run of an app.
 *
 * @example
 * ```ts
 * const client = createAuthClient({
 *   baseUrl,
 *   fetch: tab.wrap(fetch),
 *   platform: tab.platform,
 *   storage: tab.storage
 * })
 * ```
 */
export interface Tab {
  /** Name in the log, such as `tab 1`. */
  readonly name: string
  readonly isAlive: boolean
  /** Wraps a `fetch` with the faults of the network and the cookies of the device. */
  wrap(send: typeof fetch): typeof fetch
  readonly platform: Platform
  /**
   * Access of this tab to the token storage of the device.
   *
   * An operation takes 0 to 20 ms. It never settles after the tab is killed.
   */
  readonly storage: TokenStorage
  /** Simulates a crash: pending promises never settle, and later actions have no effect. */
  kill(): void
}

/** Operation of a {@link TokenStorage}. */
export type StorageOperation = Exclude<keyof TokenStorage, 'lock'>

/**
 * Replaces an operation of the token storage, or delays it.
 *
 * Throw or reject to simulate a storage that fails.
 *
 * @param proceed - Performs the operation. Resolves to the value for `get`, and to `null`
 *   otherwise.
 * @example
 * ```ts
 * device.storageFault = async (operation, proceed) => {
 *   if (operation === 'set') throw new Error('keychain is locked')
 *   return proceed()
 * }
 * ```
 */
export type StorageFault = (
  operation: StorageOperation,
  proceed: () => Promise<string | null>
) => Promise<string | null>

/** Browser or phone. Tabs come and go; cookies, flags and the stored token stay. */
export interface Device {
  readonly tabs: readonly Tab[]
  /** Opens a tab. */
  open(options?: TabOptions): Tab
  /** Value of the token storage. */
  stored: string | null
  /** Fault of the token storage in all tabs; `null` if it works. */
  storageFault: StorageFault | null
  /** Content of `localStorage`. */
  readonly flags: Map<string, string>
  readonly cookies: CookieJar
}

/** Milliseconds. */
const MAX_STORAGE_DELAY = 20

/**
 * Creates a device without tabs.
 *
 * @param nameTab - Returns the name of the next tab.
 * @param onKill - Called with the name of a tab that was killed.
 */
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
  const tabs: Tab[] = []

  function createTab (options: TabOptions): Tab {
    const name = nameTab()
    const tabRandom = random.fork()
    const releases = new Set<() => void>()
    let isAlive = true
    const lifetime: TabLifetime = {
      isAlive: () => isAlive,
      onKill (release) {
        releases.add(release)
      }
    }

    function kill (): void {
      if (!isAlive) {
        return
      }

      isAlive = false

      for (const release of releases) {
        release()
      }

      onKill(name)
    }

    const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
      new Promise(resolve => {
        void clock.sleep(ms, signal).then(() => {
          if (isAlive) {
            resolve()
          }
        })
      })

    async function access (
      operation: StorageOperation,
      act: () => string | null
    ): Promise<string | null> {
      const proceed = async (): Promise<string | null> => {
        await sleep(tabRandom.between(0, MAX_STORAGE_DELAY / 2))
        const result = act()
        await sleep(tabRandom.between(0, MAX_STORAGE_DELAY / 2))
        return result
      }

      return device.storageFault === null ? proceed() : device.storageFault(operation, proceed)
    }

    function store (value: string | null): null {
      if (isAlive) {
        device.stored = value
      }

      return null
    }

    const endpoint: Endpoint = {
      name,
      isAlive: lifetime.isAlive,
      kill,
      prepareRequest (url, headers, credentials) {
        const header = credentials === 'include' ? cookies.getHeader(url) : ''

        if (header !== '') {
          headers.set('cookie', header)
        }

        headers.set('sec-fetch-site', 'same-origin')
      },
      receiveResponse (url, headers, credentials) {
        if (credentials === 'include') {
          cookies.save(url, headers.getSetCookie())
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
        const wrapped = network.wrap(send, endpoint)
        return (...request) => isAlive ? wrapped(...request) : new Promise(() => {})
      },
      platform: {
        now: clock.now,
        date: clock.date,
        random: tabRandom.next,
        sleep,
        onWake: null,
        ...resolveBrowserApis(options, lifetime)
      },
      storage: {
        get: () => access('get', () => device.stored),
        set: value => access('set', () => store(value)),
        remove: () => access('remove', () => store(null))
      }
    }
  }

  function resolveBrowserApis (
    { locks: lockMode = 'work', channels: channelMode = 'work', flags: flagMode = 'work' }:
      TabOptions,
    lifetime: TabLifetime
  ): Pick<Platform, 'locks' | 'openChannel' | 'flags'> {
    return {
      locks: {
        work: () => locks.createFor(lifetime),
        stuck: () => stuckLocks,
        broken: () => brokenLocks,
        none: () => null
      }[lockMode](),
      openChannel: {
        work: () => channels.createFor(lifetime),
        broken: () => failAccess,
        none: () => null
      }[channelMode](),
      flags: flagMode === 'work' ? createFlags(flags, lifetime) : brokenFlags
    }
  }

  const device: Device = {
    tabs,
    open (options = {}) {
      const tab = createTab(options)
      tabs.push(tab)
      return tab
    },
    stored: null,
    storageFault: null,
    flags,
    cookies
  }
  return device
}

const brokenFlags: FlagsLike = { getItem: failAccess, setItem: failAccess, removeItem: failAccess }

function createFlags (flags: Map<string, string>, lifetime: TabLifetime): FlagsLike {
  return {
    getItem: key => flags.get(key) ?? null,
    setItem (key, value) {
      if (lifetime.isAlive()) {
        flags.set(key, value)
      }
    },
    removeItem (key) {
      if (lifetime.isAlive()) {
        flags.delete(key)
      }
    }
  }
}
