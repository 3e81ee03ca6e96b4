// What the client needs of the place where it runs. Typed by the part that is used, since there is no DOM on a phone or in Node.

/** Web Locks (`navigator.locks`). */
export interface LocksLike {
  request(
    name: string,
    options: { readonly signal: AbortSignal },
    work: () => Promise<void> | undefined
  ): Promise<unknown>
}

interface ChannelListener {
  /** A method, since the parameters of those are compared less strictly: that of a real channel demands more of its event. */
  hear(event: { readonly data: unknown }): void
}

/** A `BroadcastChannel`. */
export interface ChannelLike {
  onmessage: ChannelListener['hear'] | null
  postMessage(message: unknown): void
  close(): void
}

/** The part of `localStorage` that is used. It never holds a token. */
export interface FlagsLike {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
  removeItem(key: string): void
}

/** Stands in for time, chance and other tabs, so that tests need not wait. */
export interface Platform {
  /** Milliseconds that only ever grow. @default performance.now */
  readonly now: () => number
  /** @default Math.random */
  readonly random: () => number
  /** Resolves after so many milliseconds, or as soon as the signal is aborted. @default by setTimeout */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  /** `null` where there are none. @default navigator.locks, in a browser */
  readonly locks: LocksLike | null | undefined
  /** `null` where there are none. @default a BroadcastChannel, in a browser */
  readonly openChannel: ((name: string) => ChannelLike) | null
  /** `null` where there are none. @default localStorage, in a browser */
  readonly flags: FlagsLike | null
}

interface Page {
  readonly location: { readonly origin: string }
  readonly navigator: { readonly locks: LocksLike }
  readonly BroadcastChannel: new(name: string) => ChannelLike
  readonly localStorage: FlagsLike
}

export const globals: Partial<Page> = globalThis as object

/** */
export function resolvePlatform (given: Partial<Platform> | undefined): Platform {
  // A Node process may serve many users: they are not tabs of one another.
  const page = (globals.location ? globals : {}) as Page

  return {
    now: () => performance.now(),
    random: Math.random,
    sleep: (ms, signal) =>
      new Promise(resolve => {
        const timer = setTimeout(resolve, ms)
        const end = (): void => resolve(clearTimeout(timer))
        signal.addEventListener('abort', end)

        if (signal.aborted) {
          end()
        }
      }),
    locks: (page as Partial<Page>).navigator?.locks,
    // These two throw where there is no such thing, or none for a page in a sandbox: whoever uses them is ready for it.
    openChannel: name => new page.BroadcastChannel(name),
    get flags () {
      return page.localStorage
    },
    ...given
  }
}
