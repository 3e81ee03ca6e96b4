// `tsc -p .` compiles this file. It checks the public types as an app uses them.

import Fastify from 'fastify'
import type {
  FastifyBaseLogger,
  FastifyReply,
  FastifyRequest,
  onRequestAsyncHookHandler,
  onRequestHookHandler
} from 'fastify'
import tokenAuthByDefault, {
  SessionRefusedError,
  StoreSetupError,
  tokenAuth,
  TokenAuthError
} from '../../src/index.js'
import type {
  Actor,
  Auth,
  AuthClaims,
  Authenticate,
  AuthUser,
  Caller,
  Cursor,
  Device,
  Duration,
  ErrorCode,
  EventName,
  FeedWindow,
  Millis,
  RefreshRejection,
  Revocation,
  RevocationPage,
  RevocationReason,
  RevocationTarget,
  RotateOptions,
  RotationAttempt,
  RotationOutcome,
  RouteName,
  Secret,
  Session,
  SessionEvent,
  SessionInfo,
  SessionListResponse,
  SessionResponse,
  TokenAuth,
  TokenAuthEvents,
  TokenAuthListeners,
  TokenAuthOptions,
  TokenResponse,
  TokenStore,
  TokenUse,
  Touch,
  Users
} from '../../src/index.js'
import { MemoryStore } from '../../src/stores/memory/index.js'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true :
  false
type IsAny<T> = 0 extends 1 & T ? true : false

declare function holds<Proof extends true> (proof?: Proof): void
declare function takes<T> (value: T): void

const app = Fastify()
const store = new MemoryStore()
const users: Users = { findByLogin: () => null, findById: async () => undefined }
const required = { secret: 'q7Yk2mVx0TzRb5Wn8Ls3Jd6Hf9Gc1Pa4', store, users }

// Registration

holds<Equal<typeof tokenAuthByDefault, typeof tokenAuth>>()
await app.register(tokenAuth, required)
await app.register(tokenAuth, () => required)
await app.register(import('../../src/index.js'), required)
await app.register(tokenAuth, { ...required, prefix: '/api', logLevel: 'warn' })
// @ts-expect-error: users are missing
await app.register(tokenAuth, { secret: '', store })
// @ts-expect-error: no such option
await app.register(tokenAuth, { ...required, secert: '' })

// Decorators

holds<Equal<typeof app.authenticate, Authenticate>>()
holds<Equal<typeof app.tokenAuth, TokenAuth>>()
holds<Equal<IsAny<typeof app.authenticate>, false>>()
holds<Equal<IsAny<typeof app.tokenAuth>, false>>()
takes<(request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) => void>(
  app.authenticate
)

app.get('/', { onRequest: app.authenticate }, async request => {
  holds<Equal<typeof request.auth, Auth | null>>()
  holds<Equal<IsAny<typeof request.auth>, false>>()
  // @ts-expect-error: it is null if app.authenticate did not run
  takes(request.auth.userId)

  if (request.auth === null) {
    return
  }

  takes<string>(request.auth.userId)
  takes<string>(request.auth.sessionId)
  takes<Millis>(request.auth.expiresAt)
  holds<Equal<typeof request.auth.claims, Readonly<AuthClaims>>>()
  // @ts-expect-error: it is read-only, because requests share it
  request.auth.userId = 'other'
  // @ts-expect-error: no such claim was declared
  takes(request.auth.claims.role)
})
app.get<{ Params: { id: string } }>(
  '/:id',
  { preHandler: [app.authenticate] },
  async request => request.params.id
)
app.addHook('onRequest', app.authenticate)
app.get('/open', { config: { tokenAuth: 'public' } }, () => 'open')
// @ts-expect-error: no such value
app.get('/private', { config: { tokenAuth: 'private' } }, () => 'closed')
takes<onRequestHookHandler>(app.authenticate)
takes<onRequestAsyncHookHandler>(app.authenticate)
app.addHook('preHandler', async (request, reply) => {
  takes<Promise<void>>(app.authenticate(request, reply))
  await app.requireFresh('5m')(request, reply)
  await app.requireClaims({})(request, reply)
  holds<Equal<void, ReturnType<typeof app.authenticate>>>()
})

interface OwnLogger extends FastifyBaseLogger {
  readonly own: true
}
const logging = Fastify({ loggerInstance: app.log as OwnLogger })
await logging.register(tokenAuth, required)
logging.get(
  '/',
  { onRequest: logging.authenticate },
  request => logging.tokenAuth.openSession('1', request, { device: 'my phone' })
)

// Methods of app.tokenAuth

takes<TokenResponse>(await app.tokenAuth.openSession('1', {} as FastifyRequest))
takes<SessionInfo[]>(await app.tokenAuth.listSessions('1'))
takes<boolean>(await app.tokenAuth.revokeSession('s1'))
takes<number>(await app.tokenAuth.revokeUser('1'))
takes<number>(await app.tokenAuth.revokeUser('1', { keep: 's1' }))
takes<string>(await app.tokenAuth.hashPassword('secret'))
takes<boolean>(await app.tokenAuth.verifyPassword(null, 'secret'))
takes<number>(await app.tokenAuth.sweep())
holds<Equal<keyof Session, keyof SessionInfo | 'secretHash'>>()
takes<TokenResponse>(await app.tokenAuth.openSession(7, { ip: null, headers: {} }))
takes<SessionInfo[]>(await app.tokenAuth.listSessions(7n))
takes<TokenResponse>(await app.tokenAuth.elevate({} as FastifyRequest, { amr: ['hwk'] }))
takes<{ name: string }>(
  await app.tokenAuth.verifyLogin<AuthUser & { name: string }>(
    { login: 'ann', password: 'x' },
    {} as FastifyRequest
  )
)
app.requireFresh('5m', { amr: ['hwk'] })
// @ts-expect-error: a step-up names its methods
await app.tokenAuth.elevate({} as FastifyRequest, {})
takes<number>(await app.tokenAuth.revokeUser(7) + await app.tokenAuth.passwordChanged(7))
// @ts-expect-error: no such option
await app.tokenAuth.openSession('1', {} as FastifyRequest, { divice: 'phone' })
// @ts-expect-error: a request has headers
await app.tokenAuth.openSession('1', { ip: '127.0.0.1' })
// @ts-expect-error: sessions do not expose the hash of the secret
takes<keyof SessionInfo>('secretHash')
// @ts-expect-error: exactOptionalPropertyTypes
await app.tokenAuth.revokeUser('1', { keep: undefined })

// Options

takes<TokenAuthOptions>({
  ...required,
  secret: [new Uint8Array(32), 'the one before'],
  name: 'staff',
  routes: { login: '/signin', me: false },
  accessToken: { lifetime: 60, cacheSize: 100 },
  refreshToken: { lifetime: '7d', grace: 0, confirmBy: 'refresh', secret: 'another' },
  sweep: false,
  clock: () => 0
})
takes<TokenAuthOptions>({ ...required, clock: { wall: Date.now, monotonic: () => 0 } })
// @ts-expect-error: an instance has two clocks
takes<TokenAuthOptions>({ ...required, clock: { wall: Date.now } })
takes<TokenStore>(new MemoryStore({ clock: () => 0 }))
takes<TokenAuthOptions>({ ...required, secret: process.env['AUTH_SECRET'] })
// @ts-expect-error: an unset environment variable must not select a default
takes<TokenAuthOptions>({ ...required, issuer: process.env['ISSUER'] })
// @ts-expect-error: a list of secrets must not be empty
takes<TokenAuthOptions>({ ...required, secret: [] })
// @ts-expect-error: no such route
takes<TokenAuthOptions>({ ...required, routes: { signin: '/signin' } })
// @ts-expect-error: a route has a path or is false
takes<TokenAuthOptions>({ ...required, routes: { login: true } })
// @ts-expect-error: exactOptionalPropertyTypes
takes<TokenAuthOptions>({ ...required, accessToken: { lifetime: undefined } })
// @ts-expect-error: no such choice
takes<TokenAuthOptions>({ ...required, refreshToken: { confirmBy: 'both' } })
holds<Equal<Duration, number | string>>()
takes<Secret>(['current', 'previous', new Uint8Array(32)])
holds<
  Equal<
    RouteName,
    | 'login'
    | 'refresh'
    | 'elevate'
    | 'logout'
    | 'logoutAll'
    | 'sessions'
    | 'otherSessions'
    | 'session'
    | 'me'
    | 'jwks'
    | 'token'
    | 'revoke'
    | 'introspect'
    | 'sync'
    | 'metadata'
  >
>()

// Users: records may hold more, callbacks may be methods, functions, synchronous or not

interface Person {
  readonly id: string
  readonly email: string
  readonly passwordHash: string | null
  readonly disabled: boolean | undefined
  readonly role: 'admin' | 'member'
}
const people = new Map<string, Person>()

takes<Users>({
  findByLogin: email => people.get(email),
  findById: async id => people.get(id) ?? null,
  savePasswordHash: async (id, passwordHash) => {
    takes<[string, string]>([id, passwordHash])
  },
  claims: (person: Person) => ({ role: person.role }),
  present (person: Person) {
    return { email: person.email }
  }
})

class PersonDirectory implements Users {
  readonly #people = people
  async findByLogin (email: string): Promise<Person | undefined> {
    return this.#people.get(email)
  }
  findById (id: string): Person | null {
    return this.#people.get(id) ?? null
  }
  async claims (person: Person): Promise<{ role: string }> {
    return { role: person.role }
  }
  async disable (id: string): Promise<void> {
    this.#people.delete(id)
  }
}
takes<TokenAuthOptions>({ ...required, users: new PersonDirectory() })
takes<AuthUser>({
  id: '1',
  passwordHash: undefined,
  disabled: null,
  username: null,
  email: undefined
})
takes<Users>({ ...users, findById: () => ({ id: 1 }) })
takes<Users>({ ...users, findById: async () => ({ id: 1n, disabled: 0 }) })
// @ts-expect-error: an ObjectId is no id
takes<Users>({ ...users, findById: () => ({ id: { toHexString: () => '' } }) })
// @ts-expect-error: without parseId, a user is found by a string
takes<Users>({ ...users, findById: (id: number) => ({ id }) })
// @ts-expect-error: a user must be found by id
takes<Users>({ findByLogin: () => null })
// @ts-expect-error: claims are an object
takes<Users>({ ...users, claims: () => undefined })

// Events

takes<TokenAuthOptions>({
  ...required,
  on: {
    login: event => {
      takes<SessionEvent & { readonly realm: string }>(event)
      holds<Equal<typeof event.actor, Actor>>()
      takes<string | null>(event.userAgent)
    },
    'login-rejected': ({ userId, reason }) => {
      takes<string | null>(userId)
      // @ts-expect-error: no such reason
      takes(reason === 'bad-luck')
    },
    'refresh-rejected': ({ userId, reason, revokedFor }) => {
      takes<string | null>(userId)
      takes<RefreshRejection>(reason)
      takes<RevocationReason | null>(revokedFor)
    },
    reuse: async ({ presented, rotated, userId }) => {
      takes<TokenUse[]>([presented, rotated])
      takes<string>(userId)
    },
    'session-ended': ({ local, reason, sessionId, userId, keep }) => {
      takes<boolean>(local)
      takes<RevocationReason>(reason)
      takes<Array<string | null>>([sessionId, userId])
      takes<string | undefined>(keep)
    },
    'store-rolled-back': ({ presented, stored, realm }) => {
      takes<number[]>([presented, stored])
      takes<string>(realm)
    },
    'session-missing': event => takes<SessionEvent>(event),
    'clock-skew': ({ source, ahead }) => {
      holds<Equal<typeof source, 'store' | 'instance'>>()
      takes<number>(ahead)
    }
  }
})
// @ts-expect-error: no such event
takes<TokenAuthListeners>({ logout: () => {} })
// @ts-expect-error: no such fact
takes<TokenAuthListeners>({ sweep: event => event.sessionId })
holds<Equal<EventName, keyof TokenAuthEvents>>()
holds<Equal<keyof TokenAuthListeners, EventName>>()
// @ts-expect-error: an event never contains a token
takes<keyof TokenAuthEvents['refresh']>('token')

// Errors

takes<Error>(new TokenAuthError('AUTH_STORE_UNAVAILABLE', { hint: 'try again' }))
holds<Equal<TokenAuthError['code'], ErrorCode>>()
holds<Equal<TokenAuthError['statusCode'], number>>()
// @ts-expect-error: no such code
takes(new TokenAuthError('AUTH_UNKNOWN'))
app.setErrorHandler((caught, _request, reply) => {
  if (!(caught instanceof TokenAuthError)) {
    throw caught
  }

  return reply.code(caught.statusCode).send({ code: caught.code satisfies ErrorCode })
})

// A store of the app's own

class OwnStore implements TokenStore {
  async check (): Promise<readonly string[]> {
    throw new StoreSetupError(['table "sessions" is missing'], 'run "npx migrate"')
  }

  async create (session: Session): Promise<void> {
    if (session.id === '') {
      throw new SessionRefusedError(null)
    }
  }

  async rotate (attempt: RotationAttempt, options?: RotateOptions): Promise<RotationOutcome> {
    takes<[Caller, AbortSignal | undefined]>([attempt.by, options?.signal])
    return { swapped: false, session: null }
  }

  async find (): Promise<Session | null> {
    return null
  }
  async list (): Promise<Session[]> {
    return []
  }
  async revoke (target: RevocationTarget): Promise<number> {
    takes<string>(target.realm)
    return 'userId' in target ? target.userId.length : 1
  }
  async touch (batch: readonly Touch[]): Promise<void> {
    takes(batch[0]?.confirmedGeneration)
  }
  async revocations (after: Cursor | FeedWindow): Promise<RevocationPage> {
    const cursor = typeof after === 'string' ? after : String(after.within)
    const ended = { realm: 'auth', at: 1, reason: 'revoked' } as const
    const entries: Revocation[] = [
      { ...ended, sessionId: 's1', userId: 'ann' },
      { ...ended, userId: 'ann', before: 1, keep: 's1' },
      { ...ended, before: 1 }
    ]
    return { now: 1, cursor, complete: true, entries }
  }
  async sweep (): Promise<number> {
    return 0
  }
}
takes<TokenAuthOptions>({ ...required, store: new OwnStore() })
// @ts-expect-error: every method is required
takes<TokenStore>({ ...store, sweep: undefined })
holds<Equal<Session['device'], Device>>()

// Protocol

holds<Equal<TokenResponse['token_type'], 'bearer' | 'DPoP'>>()
holds<Equal<SessionListResponse['sessions'], readonly SessionResponse[]>>()
