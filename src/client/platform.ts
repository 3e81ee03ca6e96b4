/**
 * Browser APIs that the client uses.
 *
 * The interfaces declare only the members in use, because React Native and Node have no DOM types.
 *
 * @module
 */

/** Web Locks API (`navigator.locks`). */
export interface LocksLike {
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
  onmessage: ChannelListener['handle'] | null
  postMessage(message: unknown): void
  close(): void
}

/** The used part of `localStorage`. The client never saves a token in it. */
export interface FlagsLike {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
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
  /** @default Math.random */
  readonly random: () => number
  /**
   * Resolves after a number of milliseconds, or when the signal is aborted.
   *
   * @default a function that uses `setTimeout`
   */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
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
   * Calls the listener when the network or the page may be back: after a sleep, after an offline
   * period, or when the user returns to the page. `null` if unavailable.
   *
   * Returns a function that removes the listener. Calls too many do no harm.
   *
   * @default the events `online`, `pageshow`, `visibilitychange` and `resume` of a browser
   */
  readonly onWake: ((listener: () => void) => () => void) | null
}

interface EventTargetLike {
  addEventListener(type: string, listener: () => void): void
  removeEventListener(type: string, listener: () => void): void
}

interface Page {
  readonly location: { readonly origin: string }
  readonly navigator: { readonly locks: LocksLike }
  readonly BroadcastChannel: new(name: string) => ChannelLike
  readonly localStorage: FlagsLike
  readonly document: EventTargetLike & { readonly visibilityState: string }
  readonly addEventListener: EventTargetLike['addEventListener']
  readonly removeEventListener: EventTargetLike['removeEventListener']
}

/** Global scope, with the browser APIs that may be missing. */
export const globals: Partial<Page> = globalThis as object

/** Completes a platform with the APIs of the environment. */
export function resolvePlatform (overrides: Partial<Platform> | undefined): Platform {
  // A Node process may serve many users, so its clients must not act as tabs of one browser.
  const page = (globals.location ? globals : {}) as Page

  return {
    now: () => performance.now(),
    date: () => Date.now(),
    random: Math.random,
    sleep: (ms, signal) =>
      new Promise(resolve => {
        const timer = setTimeout(resolve, ms)
        const stop = (): void => resolve(clearTimeout(timer))
        signal.addEventListener('abort', stop)

        if (signal.aborted) {
          stop()
        }
      }),
    locks: (page as Partial<Page>).navigator?.locks,
    // The next two throw in Node and on sandboxed pages. Their callers catch the error.
    openChannel: name => new page.BroadcastChannel(name),
    get flags () {
      return page.localStorage
    },
    onWake: 'document' in page ? createWakeSubscription(page) : null,
    ...overrides
  }
}

/** Creates the default of {@link Platform.onWake}. */
function createWakeSubscription (page: Page): Platform['onWake'] {
  const { document } = page

  return listener => {
    const handleVisibility = (): void => {
      if (document.visibilityState === 'visible') {
        listener()
      }
    }

    const events = [
      [page, 'online', listener],
      [page, 'pageshow', listener],
      [document, 'resume', listener],
      [document, 'visibilitychange', handleVisibility]
    ] as const

    for (const [target, type, handle] of events) {
      target.addEventListener(type, handle)
    }

    return () => {
      for (const [target, type, handle] of events) {
        target.removeEventListener(type, handle)
      }
    }
  }
}
