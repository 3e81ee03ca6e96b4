import type { FlagsLike, Platform } from '../client/platform.js'
import type { TokenStorage } from '../client/storage.js'
import type { Clock } from './clock.js'
import { createCookieJar } from './cookie-jar.js'
import type { CookieJar } from './cookie-jar.js'
import { createDeviceClock } from './device-clock.js'
import type { Endpoint, Network } from './network.js'
import type { Random } from './random.js'
import { brokenLocks, createChannels, createLocks, createStuckLocks, failAccess } from './tabs.js'
import type { TabLifetime } from './tabs.js'

/** Options of {@link Device.open}. */
export interface TabOptions {
  /**
   * Behavior of Web Locks.
   *
   * - `work`: as specified.
   * - `stuck`: another tab never releases the lock that this tab requests first.
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
  /**
   * Behavior of the events after a sleep or an offline period: `none` for a platform without them,
   * such as Node.
   *
   * @default 'work'
   */
  readonly events?: 'work' | 'none'
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
  /** Whether the tab is open; `false` after {@link Tab.kill} or a fault `kill`. */
  readonly isAlive: boolean
  /** Wraps a `fetch` with the faults of the network and the cookies of the device. */
  wrap(send: typeof fetch): typeof fetch
  /** The option `platform` of a client in this tab. */
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

/** Browser or phone. Its cookies, flags and stored token remain after a tab is killed. */
export interface Device {
  /** Open tabs, in the order of their opening. */
  readonly tabs: readonly Tab[]
  /** Whether the device sleeps. A test must not call the clients of a device that sleeps. */
  readonly isAsleep: boolean
  /** Opens a tab. */
  open(options?: TabOptions): Tab
  /**
   * Puts the device to sleep. Other devices stay awake, and time passes only through the clock.
   *
   * Timers of the device continue after the sleep with the time that they had left. Requests in
   * flight are lost. At the end, the tabs get an event.
   *
   * @param ms - Milliseconds on {@link Clock.now}.
   * @param isCounted - Whether the monotonic clock of the device includes the time. Most devices
   *   exclude it. Defaults to `false`.
   * @example
   * ```ts
   * device.suspend(3_600_000)
   * await faults.clock.run(3_600_000)
   * ```
   */
  suspend(ms: number, isCounted?: boolean): void
  /**
   * Ends the sleep of the device, and sends an event to its tabs.
   *
   * If the device is awake, simulates a user who returns to the page.
   */
  wake(): void
  /**
   * Shifts the date of this device by a number of milliseconds, also relative to other devices. No
   * time passes.
   */
  shiftDate(ms: number): void
  /** Value of the token storage. */
  stored: string | null
  /** Fault of the token storage in all tabs; `null` if it works. */
  storageFault: StorageFault | null
  /** Content of `localStorage`. */
  readonly flags: Map<string, string>
  /** Cookies that the tabs share. */
  readonly cookies: CookieJar
}

/** Milliseconds. */
const MAX_STORAGE_DELAY = 20
const MIN_TIMER = 1

/**
 * Creates a device without tabs.
 *
 * @param nameTab - Returns the name of the next tab.
 * @param log - Called with each event and the name of its tab or device.
 */
export function createDevice (
  clock: Clock,
  random: Random,
  network: Network,
  name: string,
  nameTab: () => string,
  log: (event: 'killed' | 'asleep' | 'awake', source: string) => void
): Device {
  const cookies = createCookieJar(clock.time)
  const locks = createLocks()
  const deviceClock = createDeviceClock(clock, notifyTabs)
  const channels = createChannels(deviceClock, random.fork())
  const flags = new Map<string, string>()
  const tabs: Tab[] = []
  const wakeListeners = new Set<() => void>()

  function notifyTabs (): void {
    log('awake', name)

    for (const notify of [...wakeListeners]) {
      // Another listener may have removed it.
      if (wakeListeners.has(notify)) {
        notify()
      }
    }
  }

  function createTab (options: TabOptions): Tab {
    const name = nameTab()
    const tabRandom = random.fork()
    const openedAt = deviceClock.now()
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

      log('killed', name)
    }

    const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
      new Promise(resolve => {
        // Timers of browsers and of Node take at least 1 ms. A loop that waits for a time would not
        // end if a shorter one, which only rounding causes, did not advance the clock.
        const duration = ms > 0 ? Math.max(ms, MIN_TIMER) : ms
        void deviceClock.sleep(duration, signal).then(() => {
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

    function subscribe (listener: () => void): () => void {
      const notify = (): void => {
        if (isAlive) {
          listener()
        }
      }

      wakeListeners.add(notify)

      return () => {
        wakeListeners.delete(notify)
      }
    }

    const endpoint: Endpoint = {
      name,
      device,
      clock: deviceClock,
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
        // Counts from the start of the tab, like `performance.now`.
        now: () => deviceClock.now() - openedAt,
        date: deviceClock.date,
        random: tabRandom.next,
        sleep,
        onWake: options.events === 'none' ? null : subscribe,
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
        stuck: () => createStuckLocks(locks.createFor(lifetime)),
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
    get isAsleep () {
      return deviceClock.isAsleep
    },
    suspend (ms, isCounted = false) {
      log('asleep', name)
      deviceClock.suspend(ms, isCounted)
    },
    wake () {
      deviceClock.wake()
      notifyTabs()
    },
    shiftDate: deviceClock.shiftDate,
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
