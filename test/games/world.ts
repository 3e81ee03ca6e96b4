import { mock } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { tokenAuth } from '../../src/index.js'
import type { EventName, TokenAuthOptions } from '../../src/index.js'
import type { Millis } from '../../src/lib/time.js'
import { SECOND } from '../../src/lib/time.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import type { TokenStore } from '../../src/stores/token-store.js'
import { createRandom } from '../../src/testing/random.js'
import type { Random } from '../../src/testing/random.js'

const SECRET = 'Zr4kW9tBq2LmX7vNc5Hj8Dg3Ys6Fp1Ea'
const START = Date.UTC(2026, 0, 1)

/** An event, and the moment when it was emitted. */
export interface GameEvent {
  readonly name: EventName
  readonly event: Readonly<Record<string, unknown>>
}

/** Options of {@link createWorld}. */
export interface WorldOptions {
  readonly seed: number
  readonly instances: number
  /** Store of all instances. */
  readonly store?: TokenStore
  /** Whether time is real, for stores that have a clock of their own. */
  readonly isRealTime?: boolean
  readonly options?: Partial<TokenAuthOptions>
  /** Deviation of the wall clock of each instance. */
  readonly wallAhead?: readonly Millis[]
  /** Starts a service that uses access tokens. By default, the instances use them. */
  readonly startService?: (world: World) => Promise<Service>
}

/** Service that issues no tokens. */
export interface Service {
  /** Uses an access token, and returns the status. */
  use(token: string): Promise<number>
  close(): Promise<void>
}

/** Tokens of a response. */
export interface Tokens {
  readonly access: string
  readonly refresh: string
}

/** Response of an instance: tokens, or a status other than 200. */
export type Answer = Tokens | number

/** Sender of a request. */
export interface Sender {
  readonly ip: string
  readonly userAgent: string
}

/** Instance that can be killed: its store then rejects every call. */
interface Instance {
  readonly app: FastifyInstance
  readonly kill: () => void
}

/** Several instances over one store. */
export class World {
  readonly random: Random
  readonly events: GameEvent[] = []
  readonly log: string[] = []
  readonly #settings: WorldOptions
  readonly #store: TokenStore
  readonly #instances: Instance[] = []
  readonly #replaced: FastifyInstance[] = []
  #service: Service | undefined

  constructor (settings: WorldOptions) {
    this.#settings = settings
    this.random = createRandom(settings.seed)
    this.#store = settings.store ?? new MemoryStore({ clock: Date.now })
  }

  async start (): Promise<void> {
    for (let i = 0; i < this.#settings.instances; i++) {
      this.#instances.push(await retry(() => this.#createInstance(i)))
    }

    this.#service = await this.#settings.startService?.(this)
  }

  get count (): number {
    return this.#instances.length
  }

  /** Lets time pass. On virtual time, a long wait lets only a few timers fire. */
  async advance (by: Millis): Promise<void> {
    if (this.#settings.isRealTime === true) {
      await sleep(by)
      return
    }

    // Polls and batches follow each other, so a long wait needs only a few of them.
    for (const step of by > 3 * SECOND ? [SECOND, by - 2 * SECOND, SECOND] : [by]) {
      mock.timers.tick(step)
      await settle()
    }
  }

  /** Replaces an instance. A killed one writes nothing any more. */
  async restart (index: number, isKilled: boolean): Promise<void> {
    const old = this.#instances[index] as Instance
    this.log.push(`restart ${index}${isKilled ? ' (killed)' : ''}`)
    this.#instances[index] = await retry(() => this.#createInstance(index))

    if (isKilled) {
      old.kill()
      this.#replaced.push(old.app)
    } else {
      await old.app.close()
    }
  }

  async login (sender: Sender, userId = 'ann'): Promise<Tokens> {
    return retry(async () => {
      const answer = await this.#post(0, '/login', { userId }, sender)

      if (typeof answer === 'number') {
        throw new Error(`login failed with ${answer}`)
      }

      return answer
    })
  }

  /** Refreshes at an instance. */
  async refresh (index: number, token: string, sender: Sender): Promise<Answer> {
    return this.#post(index, '/auth/refresh', { refresh_token: token }, sender)
  }

  /** Uses an access token at an instance or at the service, and returns the status. */
  async use (index: number, token: string): Promise<number> {
    if (this.#service !== undefined) {
      return this.#service.use(token)
    }

    const { statusCode } = await this.#app(index).inject({
      url: '/me',
      headers: { authorization: `Bearer ${token}` }
    })
    return statusCode
  }

  /** Sends a request to an instance. */
  async inject (index: number, request: InjectOptions): Promise<LightMyRequestResponse> {
    return this.#app(index).inject(request)
  }

  async close (): Promise<void> {
    await this.#service?.close()
    const apps = [...this.#replaced, ...this.#instances.map(({ app }) => app)]
    await Promise.all(apps.map(app => app.close()))
  }

  #app (index: number): FastifyInstance {
    return (this.#instances[index] as Instance).app
  }

  async #post (
    index: number,
    url: string,
    payload: object,
    { ip, userAgent }: Sender
  ): Promise<Answer> {
    const response = await this.#app(index).inject({
      method: 'POST',
      url,
      payload,
      remoteAddress: ip,
      headers: { 'user-agent': userAgent }
    })
    const body = response.json<{ access_token: string, refresh_token: string }>()

    return response.statusCode === 200
      ? { access: body.access_token, refresh: body.refresh_token }
      : response.statusCode
  }

  async #createInstance (index: number): Promise<Instance> {
    const { options, wallAhead = [], isRealTime = false } = this.#settings
    const { store, kill } = makeKillable(this.#store)
    const names: readonly EventName[] = [
      'reuse',
      'suspicious-replay',
      'session-missing',
      'store-rolled-back',
      'recovery',
      'clock-skew'
    ]
    const app = Fastify()
    await app.register(tokenAuth, {
      secret: SECRET,
      store,
      users: { findByLogin: () => null, findById: id => ({ id }) },
      throttle: false,
      ...!isRealTime && {
        clock: {
          wall: () => Date.now() + (wallAhead[index] ?? 0),
          monotonic: () => Date.now() - START
        }
      },
      on: Object.fromEntries(names.map(name => [name, (event: object) => {
        this.events.push({ name, event: event as GameEvent['event'] })
      }])),
      ...options
    })
    app.get('/me', { onRequest: [app.authenticate] }, async () => 'ok')
    app.post<{ Body: { userId: string } }>(
      '/login',
      async request => app.tokenAuth.openSession(request.body.userId, request)
    )
    await app.ready()
    return { app, kill }
  }
}

// On real time, a busy machine may exceed the short timeouts of a game.
async function retry<T> (work: () => Promise<T>): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === 10) {
        throw error
      }
    }
  }
}

function makeKillable (
  store: TokenStore
): { readonly store: TokenStore, readonly kill: () => void } {
  let isAlive = true
  const proxy = new Proxy(store, {
    get (target, name) {
      const method = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>

      return typeof method !== 'function'
        ? method
        : (...args: unknown[]) =>
          isAlive ? method.apply(target, args) : Promise.reject(new Error('killed'))
    }
  })

  return {
    store: proxy,
    kill () {
      isAlive = false
    }
  }
}

/** Runs a game on virtual time. Names its seed and its steps if it fails. */
export async function playGame (
  settings: WorldOptions,
  play: (world: World) => Promise<void>
): Promise<World> {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: START })
  const world = new World(settings)

  try {
    await world.start()
    await play(world)
    return world
  } catch (error) {
    throw new Error(`seed ${settings.seed}:\n${world.log.join('\n')}`, { cause: error })
  } finally {
    await world.close()
    mock.timers.reset()
  }
}

/** Waits for everything that needs no timer. */
async function settle (): Promise<void> {
  for (let turn = 0; turn < 8; turn++) {
    await new Promise(resolve => {
      setImmediate(resolve)
    })
  }
}
