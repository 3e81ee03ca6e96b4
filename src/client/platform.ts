/**
 * Browser APIs that the client uses.
 *
 * The interfaces declare only the members in use, because React Native and Node have no DOM types.
 *
 * @module
 */

/** Web Locks API (`navigator.locks`). */
export interface LocksLike {
  /** Runs the work while no other tab has the lock. */
  request(
    name: string,
    options: { readonly signal: AbortSignal },
    work: () => Promise<void> | undefined
  ): Promise<unknown>
}

interface ChannelListener {
  // Method syntax, because TypeScript compares parameters of methods bivariantly. Otherwise a real
  // `BroadcastChannel` is not assignable: its listener requires a full `MessageEvent`.
  handle(event: { readonly data: unknown }): void
}

/** A `BroadcastChannel`. */
export interface ChannelLike {
  /** Listener of messages from other tabs. */
  onmessage: ChannelListener['handle'] | null
  /** Sends a message to the other tabs. */
  postMessage(message: unknown): void
  /** Closes the channel. */
  close(): void
}

/** The used part of `localStorage`. The client never saves a token in it. */
export interface FlagsLike {
  /** Returns a value; `null` if there is none. */
  getItem(key: string): string | null
  /** Saves a value. */
  setItem(key: string, value: string): void
  /** Deletes a value. */
  removeItem(key: string): void
}

/** Time, randomness and browser APIs of the client. Replace them in tests. */
export interface Platform {
  /**
   * Returns milliseconds on a monotonic clock.
   *
   * @default performance.now
   */
  readonly now: () => number
  /**
   * Returns milliseconds since 1970 on the wall clock.
   *
   * The monotonic clock of many devices stands still while the device sleeps; this clock does not.
   *
   * @default Date.now
   */
  readonly date: () => number
  /**
   * Returns a random number from 0 to 1, for retry delays.
   *
   * @default Math.random
   */
  readonly random: () => number
  /**
   * Resolves after a number of milliseconds, or when the signal is aborted.
   *
   * `keepsAlive` says whether a Node process must stay alive meanwhile, because the app waits.
   *
   * @default a function that uses `setTimeout`
   */
  readonly sleep: (ms: number, signal: AbortSignal, keepsAlive?: boolean) => Promise<void>
  /**
   * Locks that all tabs of an origin share; `null` if unavailable.
   *
   * @default navigator.locks in a browser
   */
  readonly locks: LocksLike | null | undefined
  /**
   * Opens a channel between the tabs of an origin; `null` if unavailable.
   *
   * @default a function that creates a `BroadcastChannel` in a browser
   */
  readonly openChannel: ((name: string) => ChannelLike) | null
  /**
   * Storage that all tabs of an origin share; `null` if unavailable.
   *
   * @default localStorage in a browser
   */
  readonly flags: FlagsLike | null
  /**
   * Calls the listener when the network or the page may be back. `null` if unavailable.
   *
   * This is after a sleep, after an offline period, or when the user returns to the page.
   *
   * Returns a function that removes the listener. Additional calls do no harm.
   *
   * @default the events `online`, `pageshow`, `visibilitychange` and `resume` of a browser
   */
  readonly onWake: ((listener: () => void) => () => void) | null
}

interface EventTargetLike {
  addEventListener(type: string, listener: () => void): void
  removeEventListener(type: string, listener: () => void): void
}

/** Global scope of a browser. */
interface Page extends EventTargetLike {
  readonly location: { readonly origin: string }
  readonly navigator: { readonly locks?: LocksLike }
  readonly document: EventTargetLike & { readonly visibilityState: string }
  readonly localStorage: FlagsLike
  readonly BroadcastChannel: new(name: string) => ChannelLike
}

/** Returns the global scope; members may be missing, because Node and phones have no page. */
function getGlobals (): Partial<Page> {
  // An assertion, because the project has no DOM types: React Native and Node lack most of them.
  return globalThis as object
}

/** Returns the origin of the page; `undefined` if there is no page. */
export function getPageOrigin (): string | undefined {
  return getGlobals().location?.origin
}

/** Completes a platform with the APIs of the environment. */
export function resolvePlatform (overrides: Partial<Platform> | undefined): Platform {
  const globals = getGlobals()
  // A Node process may serve many users, so its clients must not act as tabs of one browser.
  const page: Partial<Page> = globals.location === undefined ? {} : globals
  const { navigator, BroadcastChannel } = page

  return {
    now: () => performance.now(),
    date: () => Date.now(),
    random: Math.random,
    sleep,
    locks: navigator?.locks,
    openChannel: BroadcastChannel === undefined ? null : name => new BroadcastChannel(name),
    // Sandboxed pages throw on access. The page storage catches the error.
    get flags () {
      return page.localStorage ?? null
    },
    onWake: createWakeSubscription(globals),
    ...overrides
  }
}

function sleep (ms: number, signal: AbortSignal, keepsAlive = false): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) {
      return resolve()
    }

    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }

    const timer: NodeJS.Timeout | number = setTimeout(end, ms)
    signal.addEventListener('abort', end)

    // Only timers of Node have `unref`. The process ends while nothing but a retry is scheduled.
    if (!keepsAlive && typeof timer === 'object') {
      timer.unref()
    }
  })
}

/** Creates the default of {@link Platform.onWake}. */
function createWakeSubscription (globals: Partial<Page>): Platform['onWake'] {
  const { addEventListener, removeEventListener, document } = globals

  // React Native has a global scope without events.
  if (addEventListener === undefined || removeEventListener === undefined) {
    return null
  }

  // These functions throw in browsers if they are called without their object.
  const scope: EventTargetLike = {
    addEventListener: addEventListener.bind(globalThis),
    removeEventListener: removeEventListener.bind(globalThis)
  }

  return listener => {
    const handleVisibility = (): void => {
      if (document?.visibilityState === 'visible') {
        listener()
      }
    }

    const events: ReadonlyArray<
      readonly [target: EventTargetLike | undefined, type: string, handle: () => void]
    > = [
      [scope, 'online', listener],
      [scope, 'pageshow', listener],
      [document, 'resume', listener],
      [document, 'visibilitychange', handleVisibility]
    ]

    for (const [target, type, handle] of events) {
      target?.addEventListener(type, handle)
    }

    return () => {
      for (const [target, type, handle] of events) {
        target?.removeEventListener(type, handle)
      }
    }
  }
}
