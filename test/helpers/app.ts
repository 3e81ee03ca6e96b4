// This import must be the first, because it changes argon2 before other modules load it.
import './cheap-argon2.js'
import { hashSync } from '@node-rs/argon2'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyServerOptions, LightMyRequestResponse } from 'fastify'
import { tokenAuth } from '../../src/index.js'
import type {
  AuthUser,
  TokenAuthEvents,
  TokenAuthListeners,
  TokenAuthOptions,
  TokenResponse,
  TokenStore
} from '../../src/index.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { createClock } from './clock.js'
import type { TestClock } from './clock.js'

/** Realm of an app without the option `name`. */
export const REALM = 'auth'
export const SECRET = 'q7Yk2mVx0TzRb5Wn8Ls3Jd6Hf9Gc1Pa4'
export const PASSWORD = 'correct horse battery staple'

// A cheap hash, because these tests do not measure password checks.
export const PASSWORD_HASH = hashSync(PASSWORD, { memoryCost: 64, timeCost: 1 })

export type TestUser = { -readonly [Key in keyof AuthUser]: AuthUser[Key] } & { role?: string }

export type RecordedEvent = {
  [Name in keyof TokenAuthEvents]: { name: Name } & TokenAuthEvents[Name]
}[keyof TokenAuthEvents]

export interface TestApp {
  readonly app: FastifyInstance
  readonly clock: TestClock
  readonly store: TokenStore
  /** Users by id. Tests may change or delete them. */
  readonly users: Map<string, TestUser>
  /** Events that the listeners in `options.on` received, in order, without `rejections`. */
  readonly events: RecordedEvent[]
  /** Events `refresh-rejected`, which follow each refresh with 401. */
  readonly rejections: Array<TokenAuthEvents['refresh-rejected']>
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
  /** Options of the plugin that override the defaults of this helper. */
  readonly options?: Partial<TokenAuthOptions>
  readonly fastify?: FastifyServerOptions
  /** Called before the plugin is registered. */
  readonly before?: (app: FastifyInstance) => unknown
  /** Called after the plugin is registered, for example to add routes. */
  readonly after?: (app: FastifyInstance) => unknown
}

const eventNames: ReadonlyArray<Exclude<keyof TokenAuthEvents, 'refresh-rejected'>> = [
  'login',
  'login-rejected',
  'login-throttled',
  'refresh',
  'replay',
  'recovery',
  'reuse',
  'suspicious-replay',
  'session-ended',
  'link-sent',
  'email-verified',
  'password-reset',
  'second-factor-failed',
  'sync-ignored',
  'sweep',
  'store-rolled-back',
  'session-missing',
  'revocations-stalled',
  'clock-skew'
]

/**
 * Creates an app with the users `ann`, `bob` and `cyd` and the route `GET /protected`.
 *
 * All users have the password {@link PASSWORD}. Their ids are `u-` and the name.
 */
export async function createTestApp (options: TestAppOptions = {}): Promise<TestApp> {
  const clock = options.clock ?? createClock()
  const store = options.store ?? new MemoryStore()
  const userList = options.users ?? ['ann', 'bob', 'cyd'].map(username => ({
    id: `u-${username}`,
    username,
    passwordHash: PASSWORD_HASH
  }))
  const users = new Map<string, TestUser>(userList.map(user => [String(user.id), user]))
  const events: RecordedEvent[] = []
  const rejections: TestApp['rejections'] = []
  const on: TokenAuthListeners = {
    ...Object.fromEntries(eventNames.map(name => [name, (event: object) => {
      events.push({ name, ...event } as RecordedEvent)
    }])),
    'refresh-rejected': event => rejections.push(event)
  }

  const app = Fastify(options.fastify)
  await options.before?.(app)
  await app.register(tokenAuth, {
    secret: SECRET,
    store,
    clock,
    sweep: false,
    // Many tests send wrong passwords from one address.
    throttle: false,
    on,
    users: {
      findByLogin: login =>
        [...users.values()].find(user => user.username === login || user.email === login),
      findById: id => users.get(id)
    },
    ...options.options
  })
  app.get('/protected', { onRequest: app.authenticate }, request => request.auth)
  await options.after?.(app)
  await app.ready()

  // `inject` sends the request only when its result is awaited. An async function sends it now.
  const post: TestApp['post'] = async (url, payload, headers = {}) =>
    app.inject({ method: 'POST', url, headers, ...(payload !== undefined && { payload }) })

  return {
    app,
    clock,
    store,
    users,
    events,
    rejections,
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
