import { createAuthClient } from '../../src/client/index.js'
import type {
  AuthClient,
  AuthClientOptions,
  TokenStorage
} from '../../src/client/index.js'
import { createFaults } from '../../src/testing/index.js'
import type { Device, Faults, Tab, TabOptions } from '../../src/testing/index.js'
import { createTestApp, PASSWORD } from '../helpers/app.js'
import type { TestApp, TestAppOptions } from '../helpers/app.js'
import { createAppFetch, createServerClock, ORIGIN } from '../testing/virtual-server.js'

export { ORIGIN } from '../testing/virtual-server.js'

/** Request as the client sent it, before any fault. */
export interface SentRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
}

export interface ClientOptions extends Omit<AuthClientOptions, 'storage'> {
  /** `keychain` is the token storage of the device. */
  readonly storage?: AuthClientOptions['storage'] | 'keychain'
  readonly tab?: TabOptions
}

/** One device and its server. Requests meet planned faults only, and take exactly 30 ms. */
export interface World {
  readonly faults: Faults
  readonly device: Device
  readonly server: TestApp
  readonly sent: SentRequest[]
  /** Opens a client in a new tab. */
  open(options?: ClientOptions): AuthClient
  /** Opens a client, signs ann in, and forgets the requests so far. */
  openSignedIn(options?: ClientOptions): Promise<AuthClient>
  signIn(client: AuthClient, username?: string): Promise<void>
  /** Lets time pass and runs everything that is due. */
  run(ms?: number): Promise<void>
  /** Lets time pass until the promise has settled. */
  until<Result>(promise: Promise<Result>, limit?: number): Promise<Result>
  now(): number
  /** Lets time pass at once, as if the device slept. */
  skip(ms: number): void
  /** Saves the cookies of a response that a test withholds, as if its headers had arrived. */
  receiveHeaders(response: Response): void
  /** Number of requests that were sent to a path. */
  count(path: string): number
  /** Whether cookies or flags contain a string. */
  contains(value: string): boolean
}

const LATENCY = 30

/** Creates the client of a tab. The world of schedules uses it too. */
export function openClient (
  tab: Tab,
  { storage, platform, ...options }: Omit<ClientOptions, 'tab'>
): AuthClient {
  return createAuthClient({
    baseUrl: ORIGIN,
    platform: { ...tab.platform, ...platform },
    ...(storage !== undefined && { storage: storage === 'keychain' ? tab.storage : storage }),
    ...options
  })
}

export async function createWorld (
  t: { teardown(end: () => unknown): unknown },
  given: TestAppOptions = {}
): Promise<World> {
  const faults = createFaults({ rates: {}, latency: [LATENCY, LATENCY] })
  const { clock } = faults
  const device = faults.device()
  const server = await createTestApp({
    ...given,
    clock: createServerClock(clock.time),
    options: { refreshToken: { transport: 'both' }, ...given.options }
  })
  t.teardown(() => server.app.close())
  const appFetch = createAppFetch(server.app)
  const sent: SentRequest[] = []
  const clients: AuthClient[] = []
  t.teardown(() => {
    for (const client of clients) {
      client.dispose()
    }
  })

  const serverFetch: typeof fetch = async (input, init) =>
    String(input).startsWith(`${ORIGIN}/`)
      ? appFetch(input, init)
      : new Response('elsewhere', { headers: { 'x-new-token': 'a.b.c' } })

  /** Records each request before it meets a fault. */
  function record (send: typeof fetch): typeof fetch {
    return (input, init) => {
      const request = new Request(input as Request, init)
      const { method, url, headers } = request
      const entry = {
        method,
        url,
        headers: Object.fromEntries(headers),
        body: null as string | null
      }
      sent.push(entry)

      if (request.body !== null) {
        const copy = request.clone()
        void clock.hold(async () => {
          entry.body = await copy.text()
        })
      }

      return send(request)
    }
  }

  const world: World = {
    faults,
    device,
    server,
    sent,
    open ({ tab: tabOptions, platform, ...options } = {}) {
      const tab = device.open(tabOptions)
      const client = openClient(tab, {
        fetch: record(tab.wrap(serverFetch)),
        platform: { random: () => 0.5, ...platform },
        ...options
      })
      clients.push(client)
      return client
    },
    async openSignedIn (options) {
      const client = world.open(options)
      await world.signIn(client)
      await world.run()
      sent.length = 0
      return client
    },
    async signIn (client, username) {
      await clock.until(client.login(credentials(username)))
    },
    run: (ms = 500) => clock.run(ms),
    until: clock.until,
    now: clock.now,
    skip: ms => {
      clock.suspend(ms)
    },
    receiveHeaders ({ headers }) {
      device.cookies.save(ORIGIN, headers.getSetCookie())
      headers.delete('set-cookie')
    },
    count: path => sent.filter(({ url }) => new URL(url).pathname === path).length,
    contains: value =>
      [...device.cookies.entries().values(), ...device.flags.values()].some(saved =>
        saved.includes(value)
      )
  }
  return world
}

/** Storage in memory, for clients that must not share the storage of the device. */
export function createMemoryStorage (value: string | null = null): TokenStorage & {
  value: string | null
} {
  const storage = {
    value,
    get: async () => storage.value,
    set: async (value: string) => {
      storage.value = value
    },
    remove: async () => {
      storage.value = null
    }
  }
  return storage
}

export const credentials = (username = 'ann'): { username: string, password: string } => ({
  username,
  password: PASSWORD
})

/** Creates a response that does not come from the server. */
export async function reply (
  status: number,
  body: object | string = '',
  headers: Record<string, string> = {}
): Promise<Response> {
  return new Response(typeof body === 'string' ? body : JSON.stringify(body), { status, headers })
}
