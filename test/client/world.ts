// A device with tabs, a server, and a network between them that does what it is told. Time stands still until nothing happens
// any more, and then goes on to the next timer.

import { setImmediate as turn } from 'node:timers/promises'
import { createAuthClient } from '../../src/client/index.js'
import type {
  AuthClient,
  AuthClientOptions,
  ChannelLike,
  FlagsLike,
  LocksLike,
  TokenStorage
} from '../../src/client/index.js'
import { createTestApp, PASSWORD } from '../helpers/app.js'
import type { TestApp, TestAppOptions } from '../helpers/app.js'

export const ORIGIN = 'https://app.test'

/** A request as the network sees it. */
export interface Sent {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
  /** The status; `null` until it is answered. */
  status: number | null
}

/** Does something to a request: answers it, or throws as a network does, or leaves it to the others by `undefined`. */
export type Fault = (sent: Sent, proceed: () => Promise<Response>) => Promise<Response> | undefined

export interface Device {
  readonly sent: Sent[]
  readonly faults: Fault[]
  /** Cookies, by name. */
  readonly jar: Map<string, string>
  readonly flags: Map<string, string>
  readonly server: TestApp
  readonly fetch: typeof fetch
  /** Lets everything happen that can, and time go on, for so many milliseconds at most. */
  run(ms?: number): Promise<void>
  /** What a promise gives, once everything has happened that must. */
  get<Result>(promise: Promise<Result>, ms?: number): Promise<Result>
  now(): number
  /** Time passes, and nobody notices; the server's clock too. */
  pass(ms: number): void
  tab(
    options?: AuthClientOptions & { readonly locks?: LocksLike | null, readonly isAlone?: boolean }
  ): AuthClient
  signIn(client: AuthClient, username?: string): Promise<void>
  /** How many requests went to a route. */
  count(path: string): number
  /** Whether a text is anywhere on the device. */
  holds(text: string): boolean
}

const LATENCY = 15

interface Timer {
  readonly at: number
  readonly end: () => void
}

export async function createDevice (
  t: { teardown(end: () => unknown): unknown },
  given: TestAppOptions = {}
): Promise<Device> {
  const server = await createTestApp({
    ...given,
    options: { refreshToken: { transport: 'both' }, ...given.options }
  })
  t.teardown(() => server.app.close())
  const timers = new Set<Timer>()
  const sent: Sent[] = []
  const faults: Fault[] = []
  const jar = new Map<string, string>()
  const flags = new Map<string, string>()
  const channels = new Set<FakeChannel>()
  const locks = createLocks()
  let now = 1000
  let busy = 0
  const start = now
  const serverStart = server.clock()

  function advance (to: number): void {
    server.clock.set(serverStart + to - start)
    now = to
  }

  async function idle (): Promise<void> {
    for (let quiet = 0; quiet < 6;) {
      await turn()
      quiet = busy > 0 ? 0 : quiet + 1
    }
  }

  async function run (ms = 500): Promise<void> {
    const until = now + ms

    for (;;) {
      await idle()
      const next = [...timers].sort((a, b) => a.at - b.at)[0]

      if (next === undefined || next.at > until) {
        break
      }

      advance(Math.max(now, next.at))
      next.end()
    }

    advance(until)
  }

  function wait (ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer: Timer = {
        at: now + ms,
        end () {
          timers.delete(timer)
          resolve()
        }
      }
      timers.add(timer)
    })
  }

  async function deliver (
    url: URL,
    sent: Sent,
    usesCookies: boolean,
    signal: AbortSignal | null | undefined
  ): Promise<Response> {
    const proceed = async (): Promise<Response> => {
      busy++

      try {
        const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
        const response = await server.app.inject({
          method: sent.method as 'GET',
          url: url.pathname + url.search,
          headers: {
            host: url.host,
            ...sent.headers,
            ...(usesCookies && cookie !== '' && { cookie })
          },
          ...(sent.body !== null && { payload: sent.body })
        })

        if (usesCookies) {
          for (const { name, value, maxAge } of response.cookies) {
            if (maxAge === 0) {
              jar.delete(name)
            } else {
              jar.set(name, value)
            }
          }
        }

        sent.status = response.statusCode
        const headers = new Headers()

        for (const [name, value] of Object.entries(response.headers)) {
          if (name !== 'set-cookie') {
            headers.set(name, String(value))
          }
        }

        return new Response(response.statusCode === 204 ? null : response.body, {
          status: response.statusCode,
          headers
        })
      } finally {
        busy--
      }
    }

    await wait(LATENCY)
    const answering =
      faults.map(fault => fault(sent, proceed)).find(answer => answer !== undefined) ?? proceed()

    return new Promise((resolve, reject) => {
      const abort = (): void => {
        const reason = signal?.reason as Error
        reject(reason)
      }

      signal?.addEventListener('abort', abort)

      if (signal?.aborted) {
        abort()
      }

      answering.then(async response => {
        await wait(LATENCY)
        resolve(response)
      }).catch(reject)
    })
  }

  const fakeFetch: typeof fetch = async (input, init = {}) => {
    const request = new Request(
      input as Request,
      { ...init, ...(init.body instanceof ReadableStream && { duplex: 'half' }) } as RequestInit
    )
    const body = request.body === null ? null : await request.text()
    const one: Sent = {
      method: request.method,
      url: request.url,
      headers: Object.fromEntries(request.headers),
      body,
      status: null
    }
    sent.push(one)
    const url = new URL(request.url)

    if (url.origin !== ORIGIN) {
      return new Response('elsewhere', { headers: { 'x-new-token': 'a.b.c' } })
    }

    return deliver(url, one, request.credentials === 'include', init.signal)
  }

  class FakeChannel implements ChannelLike {
    onmessage: ChannelLike['onmessage'] = null
    readonly #name: string

    constructor (name: string) {
      this.#name = name
      channels.add(this)
    }

    postMessage (message: unknown): void {
      const copy: unknown = structuredClone(message)

      for (const other of channels) {
        if (other === this || other.#name !== this.#name) {
          continue
        }

        setImmediate(() => {
          if (channels.has(other)) {
            other.onmessage?.({ data: copy })
          }
        })
      }
    }

    close (): void {
      channels.delete(this)
    }
  }

  const clients: AuthClient[] = []
  t.teardown(() => {
    for (const client of clients) {
      client.dispose()
    }
  })

  const device: Device = {
    sent,
    faults,
    jar,
    flags,
    server,
    fetch: fakeFetch,
    run,
    now: () => now,
    pass (ms) {
      advance(now + ms)
    },
    async get (promise, ms = 120_000) {
      let isDone = false
      const done = promise.finally(() => {
        isDone = true
      })
      done.catch(() => {})
      const until = now + ms

      for (;;) {
        await idle()

        if (isDone) {
          return done
        }

        const next = [...timers].sort((a, b) => a.at - b.at)[0]

        if (next === undefined || next.at > until) {
          throw new Error('it takes too long')
        }

        advance(Math.max(now, next.at))
        next.end()
      }
    },
    tab ({ locks: ownLocks, isAlone = false, platform, ...options } = {}) {
      const client = createAuthClient({
        baseUrl: ORIGIN,
        fetch: fakeFetch,
        platform: {
          now: () => now,
          random: () => 0.5,
          sleep: (ms, signal) =>
            new Promise(resolve => {
              const timer: Timer = { at: now + Math.max(ms, 0), end }

              function end (): void {
                timers.delete(timer)
                signal.removeEventListener('abort', end)
                resolve()
              }

              if (signal.aborted || ms <= 0) {
                return resolve()
              }

              timers.add(timer)
              signal.addEventListener('abort', end)
            }),
          locks: ownLocks === undefined ? locks : ownLocks,
          openChannel: isAlone ? null : name => new FakeChannel(name),
          flags: flagsOf(flags),
          ...platform
        },
        ...options
      })
      clients.push(client)
      return client
    },
    async signIn (client, username = 'ann') {
      await device.get(client.login({ username, password: PASSWORD }))
    },
    count: path => sent.filter(({ url }) => new URL(url).pathname === path).length,
    holds: text => [...jar.values(), ...flags.values()].some(value => value.includes(text))
  }
  return device
}

function flagsOf (map: Map<string, string>): FlagsLike {
  return {
    getItem: key => map.get(key) ?? null,
    setItem: (key, value) => {
      map.set(key, value)
    },
    removeItem: key => {
      map.delete(key)
    }
  }
}

/** Web Locks of one device. */
export function createLocks (): LocksLike {
  const queues = new Map<string, Promise<unknown>>()

  return {
    request (name, { signal }, work) {
      const before = queues.get(name) ?? Promise.resolve()
      const result = before.then(() => {
        if (signal.aborted) {
          throw signal.reason
        }

        return work()
      })
      queues.set(name, result.catch(() => {}))
      return result
    }
  }
}

/** Locks that a tab holds which will never let go. */
export const stuckLocks: LocksLike = { request: () => new Promise(() => {}) }

/** A keychain, which may be told to fail. */
export interface Keychain extends TokenStorage {
  value: string | null
  /** What every `set` does before it works. */
  onSet: () => unknown
}

export function createKeychain (value: string | null = null): Keychain {
  return {
    value,
    onSet: () => {},
    async get () {
      return this.value
    },
    async set (text) {
      await this.onSet()
      this.value = text
    },
    async remove () {
      this.value = null
    }
  }
}

export const credentials = (username = 'ann'): object => ({ username, password: PASSWORD })

/** An answer that did not come from the server. */
export function reply (
  status: number,
  body: object | string = '',
  headers: Record<string, string> = {}
): Promise<Response> {
  return Promise.resolve(
    new Response(typeof body === 'string' ? body : JSON.stringify(body), { status, headers })
  )
}
