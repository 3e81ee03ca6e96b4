// First, because it changes argon2 before anything loads it.
import './cheap-argon2.js'
import { hashSync } from '@node-rs/argon2'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyServerOptions, LightMyRequestResponse } from 'fastify'
import { tokenAuth } from '../../src/index.js'
import type {
  AuthUser,
  TokenAuthEvents,
  TokenAuthOptions,
  TokenResponse,
  TokenStore
} from '../../src/index.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { createClock } from './clock.js'
import type { TestClock } from './clock.js'

export const SECRET = 'q7Yk2mVx0TzRb5Wn8Ls3Jd6Hf9Gc1Pa4'
export const PASSWORD = 'correct horse battery staple'

// Weak on purpose: what it takes to check it is not what these tests are about.
export const PASSWORD_HASH = hashSync(PASSWORD, { memoryCost: 64, timeCost: 1 })

export type TestUser = { -readonly [Key in keyof AuthUser]: AuthUser[Key] } & { role?: string }

export type RecordedEvent = {
  [Name in keyof TokenAuthEvents]: { name: Name } & TokenAuthEvents[Name]
}[keyof TokenAuthEvents]

export interface TestApp {
  readonly app: FastifyInstance
  readonly clock: TestClock
  readonly store: TokenStore
  /** By id. Change or delete them as the test needs it. */
  readonly users: Map<string, TestUser>
  /** Everything that `options.on` was told, in order. */
  readonly events: RecordedEvent[]
  login(username?: string): Promise<TokenResponse>
  post(
    path: string,
    body?: object,
    headers?: Record<string, string>
  ): Promise<LightMyRequestResponse>
  get(path: string, accessToken?: string): Promise<LightMyRequestResponse>
  refresh(refreshToken: string | undefined): Promise<LightMyRequestResponse>
}

export interface TestAppOptions {
  readonly store?: TokenStore
  readonly clock?: TestClock
  readonly users?: readonly TestUser[]
  /** Merged over the defaults. */
  readonly options?: Partial<TokenAuthOptions>
  readonly fastify?: FastifyServerOptions
  /** What the app does before the plugin is registered. */
  readonly before?: (app: FastifyInstance) => unknown
  /** What the app does afterwards, such as its own routes. */
  readonly after?: (app: FastifyInstance) => unknown
}

const eventNames: ReadonlyArray<keyof TokenAuthEvents> = [
  'login',
  'login-rejected',
  'login-throttled',
  'refresh',
  'replay',
  'recovery',
  'reuse',
  'suspicious-replay',
  'revoke',
  'sweep',
  'store-rolled-back',
  'revocations-stalled',
  'clock-skew'
]

/**
 * The users `ann`, `bob` and `cyd`, all with {@link PASSWORD}, and `GET /protected`; ids are `u-`
 * and the name.
 */
export async function createTestApp (given: TestAppOptions = {}): Promise<TestApp> {
  const clock = given.clock ?? createClock()
  const store = given.store ?? new MemoryStore()
  const people = given.users ?? ['ann', 'bob', 'cyd'].map(username => ({
    id: `u-${username}`,
    username,
    passwordHash: PASSWORD_HASH
  }))
  const users = new Map<string, TestUser>(people.map(user => [user.id, user]))
  const events: RecordedEvent[] = []
  const on = Object.fromEntries(eventNames.map(name => [name, (event: object) => {
    events.push({ name, ...event } as RecordedEvent)
  }]))

  const app = Fastify(given.fastify)
  await given.before?.(app)
  await app.register(tokenAuth, {
    secret: SECRET,
    store,
    clock,
    sweep: false,
    // Most tests are wrong on purpose, and from one address.
    throttle: false,
    on,
    users: {
      findByLogin: login =>
        [...users.values()].find(user => user.username === login || user.email === login),
      findById: id => users.get(id)
    },
    ...given.options
  })
  app.get('/protected', { onRequest: app.authenticate }, request => request.auth)
  await given.after?.(app)
  await app.ready()

  // Async, since a chain of `inject` does not begin before it is awaited.
  const post: TestApp['post'] = async (url, payload, headers = {}) =>
    app.inject({ method: 'POST', url, headers, ...(payload !== undefined && { payload }) })

  return {
    app,
    clock,
    store,
    users,
    events,
    post,
    get: async (url, accessToken) =>
      app.inject({
        url,
        headers: accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }
      }),
    async login (username = 'ann') {
      const response = await post('/auth/login', { username, password: PASSWORD })

      if (response.statusCode !== 200) {
        throw new Error(`login of ${username} failed: ${response.body}`)
      }

      return response.json<TokenResponse>()
    },
    refresh: refreshToken => post('/auth/refresh', { refresh_token: refreshToken })
  }
}
