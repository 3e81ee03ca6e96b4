import t from 'tap'
import { resolveOptions } from '../../src/options/resolve.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { SECRET } from '../helpers/app.js'
import { DAY, HOUR, MINUTE, SECOND } from '../helpers/clock.js'
import { assertRejected, findError, required, resolve, store, users } from './resolve.js'

function without (method: keyof MemoryStore): object {
  return Object.assign(new MemoryStore(), { [method]: undefined })
}

t.test('an option is not read again after its check', async t => {
  const options = { ...required }

  for (const name of ['issuer', 'audience', 'publicUrl']) {
    let reads = 0
    const get = (): string => reads++ === 0 ? 'https://auth.test' : 'not checked'
    Object.defineProperty(options, name, { get, enumerable: true })
  }

  const { issuer, audience, publicUrl } = resolveOptions(options)
  t.strictSame([issuer, audience, publicUrl], Array(3).fill('https://auth.test'))
})

t.test('defaults are as documented', async t => {
  const resolved = resolve({})
  t.strictSame(resolved, {
    name: 'auth',
    prefix: '/auth',
    paths: {
      login: '/login',
      refresh: '/refresh',
      elevate: '/elevate',
      logout: '/logout',
      logoutAll: '/logout/all',
      sessions: '/sessions',
      otherSessions: '/sessions',
      session: '/sessions/:id',
      me: '/me',
      token: '/token',
      revoke: '/revoke',
      introspect: '/introspect',
      sync: '/sync',
      jwks: '/.well-known/jwks.json',
      metadata: '/.well-known/oauth-authorization-server'
    },
    transport: {
      kind: 'both',
      refreshCookie: { name: 'auth-refresh', path: '/', secure: true, sameSite: 'strict' },
      accessCookie: null,
      deviceCookie: { name: 'auth-device', path: '/', secure: true, sameSite: 'strict' },
      origins: new Set(),
      clearSiteData: false,
      previous: []
    },
    secrets: { base: [SECRET], access: [SECRET], refresh: [SECRET] },
    store,
    users,
    keys: null,
    issuer: undefined,
    audience: undefined,
    acceptedIssuers: [undefined],
    acceptedAudiences: [undefined],
    oauth: null,
    dpop: null,
    publicUrl: undefined,
    rotation: true,
    accessLifetime: 15 * MINUTE,
    renewalWindow: null,
    cacheSize: 10_000,
    refreshLifetime: 7 * DAY,
    maxLifetime: 30 * DAY,
    grace: 10 * SECOND,
    confirmBy: 'access',
    confirmWrites: 'batched',
    replayDetection: 'report',
    isSameClient: resolved.isSameClient,
    passwords: {
      peppers: [],
      normalize: null,
      minLength: 8,
      validate: resolved.passwords.validate,
      storedHashes: [],
      maxWait: 3000
    },
    throttle: {
      attempts: null,
      account: {
        freeAttempts: 10,
        maxAttempts: 100,
        wait: SECOND,
        longestWait: HOUR,
        retention: DAY,
        sliding: true
      },
      address: {
        freeAttempts: 100,
        maxAttempts: 100,
        wait: 0,
        longestWait: 0,
        retention: 15 * MINUTE,
        sliding: false
      }
    },
    maxSessions: Infinity,
    storeTimeout: 5 * SECOND,
    sweepInterval: HOUR,
    revocations: { pollInterval: SECOND, failAfter: null, subscribe: undefined },
    startup: { storeDown: 'fail', maxWait: MINUTE, stores: [store] },
    openapi: { hide: false, tags: null, securityScheme: null },
    protection: null,
    decorators: {
      authenticate: 'authenticate',
      requireClaims: 'requireClaims',
      requireFresh: 'requireFresh',
      tokenAuth: 'tokenAuth'
    },
    on: {},
    clock: null
  })
  t.equal(resolved.store, store)
  t.equal(resolved.users, users)
  t.strictSame(
    resolve({ accessToken: {}, refreshToken: {}, sweep: {}, routes: {}, on: {} }),
    resolved
  )
})

t.test('an unknown option is rejected with the valid ones', async t => {
  assertRejected(t, [
    [{ secert: SECRET }, /unknown option "secert"; valid options: store, users, name, secret, /],
    [
      { accessToken: { lifetme: '1m' } },
      new RegExp(
        'unknown option "accessToken\\.lifetme"; ' +
          'valid options: lifetime, renewWithin, secret, cacheSize$'
      )
    ],
    [
      { passwords: { peper: 'x' } },
      /unknown option "passwords\.peper"; valid options: pepper, normalize, minLength, validate, storedHashes, maxWait$/
    ],
    [
      { throttle: { acount: {} } },
      /unknown option "throttle\.acount"; valid options: attempts, account, address$/
    ],
    [
      { throttle: { account: { max: 5 } } },
      /unknown option "throttle\.account\.max"; valid options: freeAttempts, /
    ],
    [
      { refreshToken: { rotate: true } },
      /unknown option "refreshToken\.rotate"; valid options: transport, lifetime, maxLifetime/
    ],
    [{ sweep: { every: '1h' } }, /unknown option "sweep\.every"; valid options: interval$/],
    [
      { revocations: { evry: '1s' } },
      /unknown option "revocations\.evry"; valid options: pollInterval, failAfter, subscribe$/
    ],
    [
      { on: { logout: () => {} } },
      /unknown option "on\.logout"; valid options: login, login-rejected, login-throttled, /
    ],
    [
      { routes: { signin: '/signin' } },
      /unknown option "routes\.signin"; valid options: login, refresh, /
    ],
    [{ routes: { toString: '/x' } }, /unknown option "routes\.toString"/],
    [{ constructor: 1 }, /unknown option "constructor"/]
  ])
})

t.test('a group that is not an object is rejected', async t => {
  assertRejected(t, [
    [{ accessToken: '15m' }, /"accessToken" must be an object$/],
    [{ refreshToken: null }, /"refreshToken" must be an object$/],
    [{ sweep: true }, /"sweep" must be an object$/],
    [{ on: () => {} }, /"on" must be an object$/],
    [{ routes: '/login' }, /"routes" must be an object$/],
    [{ throttle: true }, /"throttle" must be an object$/],
    [{ throttle: null }, /"throttle" must be an object$/],
    ...[null, true, 'false', 0].map(refreshToken =>
      [{ refreshToken }, /"refreshToken" must be an object$/] as const
    )
  ])
})

t.test('a value that is not a store is rejected with what it is', async t => {
  const message = '"store" must be a TokenStore, such as new MemoryStore() from ' +
    'fastify-token-auth/memory, but '
  const url = 'postgres://user:hunter2@db/app'
  const client = (...methods: string[]): object =>
    Object.fromEntries(methods.map(method => [method, () => {}]))
  assertRejected(
    t,
    ([
      [undefined, 'is missing'],
      [null, 'is missing'],
      [MemoryStore, 'is a function or class; for a class, write new MemoryStore(...)'],
      [url, 'is a string; create a client of the database, and pass a store for it'],
      [without('revocations'), 'has no method "revocations"'],
      [without('sweep'), 'has no method "sweep"'],
      [
        client('query', 'connect'),
        'is a client of a database; pass new PostgresStore(client) from fastify-token-auth/postgres'
      ],
      [
        client('query', 'execute', 'getConnection'),
        'is a client of a database; pass new MysqlStore(client) from fastify-token-auth/mysql'
      ],
      [
        client('prepare', 'exec'),
        'is a client of a database; pass new SqliteStore(client) from fastify-token-auth/sqlite'
      ],
      ...[client('evalsha'), client('sendCommand')].map(redis =>
        [
          redis,
          'is a client of a database; pass new RedisStore(client) from fastify-token-auth/redis'
        ] as const
      )
    ] as const).map(([store, difference]) => [{ store }, message + difference] as const)
  )
})

t.test('users without the required callbacks are rejected', async t => {
  const message = '"users" must be an object with the functions findByLogin(login) and findById(id)'
  assertRejected(
    t,
    [undefined, null, { findByLogin: () => null }, { findById: () => null }].map(users =>
      [{ users }, message] as const
    )
  )
})

t.test('an optional callback of users that is not a function is rejected', async t => {
  for (const callback of ['savePasswordHash', 'claims', 'present']) {
    t.match(
      findError({ users: { ...users, [callback]: {} } }),
      `"users.${callback}" must be a function`
    )
  }
})

t.test('a name that does not fit into a cookie name is rejected', async t => {
  const rule = /"name" must be a letter, followed by at most 63 letters/
  assertRejected(t, [
    [{ name: 'my app' }, /"-" and "_", not "my app"$/],
    ...['', '1st', 'a"b', 'a'.repeat(65), 5, null, true, ['auth']].map(name =>
      [{ name }, rule] as const
    )
  ])
})

t.test('a clock or a listener that is not a function is rejected', async t => {
  assertRejected(t, [
    [
      { clock: Date.now() },
      /"clock" must be a function, or an object with the functions wall\(\) and monotonic\(\)$/
    ],
    [{ clock: null }, /"clock" must be a function/],
    [{ clock: { wall: Date.now } }, /"clock" must be a function, or an object/],
    [{ clock: { wall: Date.now, monotonic: 1 } }, /"clock" must be a function, or an object/],
    [{ on: { login: 'log' } }, /"on\.login" must be a function$/],
    [{ on: { reuse: undefined } }, /"on\.reuse" must be a function$/]
  ])
})

t.test('a clock is a function or the two clocks of an instance', async t => {
  const clock = (): number => 0
  const clocks = { wall: clock, monotonic: clock }
  t.equal(resolve({ clock }).clock, clock)
  t.equal(resolve({ clock: clocks }).clock, clocks)
  t.equal(resolve({ clock: undefined }).clock, null, 'the clock of the store')
})

t.test('a timeout of 0 or over 24 days is rejected', async t => {
  assertRejected(t, [
    [{ storeTimeout: 0 }, /"storeTimeout" must be from 1ms to 24d, not 0$/],
    [{ storeTimeout: '25d' }, /"storeTimeout" must be from 1ms to 24d, not "25d"$/]
  ])
})

t.test('no message contains a secret', async t => {
  const weakSecrets = [
    'Qx7#correct-horse-31-bytes-long',
    'Qx7#'.repeat(20),
    'Qx7#-change-me-to-something-random'
  ]

  for (const secret of weakSecrets) {
    for (
      const given of [
        { secret },
        { secret: [SECRET, secret] },
        { accessToken: { secret } },
        { refreshToken: { secret } },
        { passwords: { pepper: secret } }
      ]
    ) {
      const message = findError(given)
      t.match(message, /(secret|pepper)" must be at least 32 random bytes, but (is|has)/)
      t.notMatch(message, 'Qx7#')
    }
  }

  const same = findError({ refreshToken: { secret: SECRET } })
  t.match(same, 'must differ')
  t.notMatch(same, SECRET)
  t.notMatch(same, Buffer.from(SECRET).toString('base64'))
  t.notMatch(findError({ secert: SECRET }), SECRET)
})

t.test('no message contains a string that may be a secret', async t => {
  for (
    const given of [
      { rotation: SECRET },
      { accessToken: { lifetime: SECRET } },
      { refreshToken: { confirmBy: SECRET } },
      { name: `${SECRET} ` },
      { maxSessions: { secret: SECRET } }
    ]
  ) {
    const message = findError(given)
    t.match(message, ' must be ')
    t.notMatch(message, SECRET)
  }
})
