import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { resolveOptions } from '../../../src/options/resolve.js'
import type { ResolvedOptions } from '../../../src/options/resolve.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, SECRET } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createClock, DAY, HOUR, MINUTE, SECOND } from '../../helpers/clock.js'

const OTHER = 'Zr4Kp9Xs2Wd7Vf1Bg6Nh3Mj8Qk5Tl0Yc'
const THIRD = 'u8Ei3Oa6Pw1Ld4Fj9Gh2Sk7Vn5Mb0Xzq'

const users = { findByLogin: () => null, findById: () => null }
const store = new MemoryStore()
const required = { secret: SECRET, store, users }

function resolve (given: object): ResolvedOptions {
  return resolveOptions({ ...required, ...given } as TokenAuthOptions)
}

function messageOf (given: object): string {
  try {
    resolve(given)
  } catch (error) {
    return (error as Error).message
  }

  return 'nothing is wrong'
}

function without (verb: keyof MemoryStore): object {
  return Object.assign(new MemoryStore(), { [verb]: undefined })
}

const durations = {
  'accessToken.lifetime': (value: unknown) => ({ accessToken: { lifetime: value } }),
  'refreshToken.lifetime': (value: unknown) => ({ refreshToken: { lifetime: value } }),
  'refreshToken.maxLifetime': (value: unknown) => ({ refreshToken: { maxLifetime: value } }),
  'refreshToken.grace': (value: unknown) => ({ refreshToken: { grace: value } }),
  'sweep.interval': (value: unknown) => ({ sweep: { interval: value } }),
  storeTimeout: (value: unknown) => ({ storeTimeout: value })
}

const noDurations = [
  '',
  'm',
  '15',
  '15 minutes',
  '15min',
  '15M',
  '1y',
  '-5m',
  '1e3s',
  ' 15m',
  '15m ',
  '1h30m',
  -1,
  NaN,
  Infinity,
  true,
  {},
  [60]
]

const wrong: ReadonlyArray<readonly [given: object, message: RegExp]> = [
  [{ secert: SECRET }, /secert is no option; there are secret, store, users, name/],
  [
    { accessToken: { lifetme: '1m' } },
    /accessToken\.lifetme is no option; there are accessToken\.lifetime/
  ],
  [{ passwords: { peper: 'x' } }, /passwords\.peper is no option; there are passwords\.pepper/],
  [{ passwords: { pepper: 'short' } }, /passwords\.pepper is 5 bytes long/],
  [{ passwords: { pepper: undefined } }, /passwords\.pepper is missing/],
  [{ passwords: { normalize: 'NFKC' } }, /passwords\.normalize must be "NFC"/],
  [{ passwords: { minLength: 0 } }, /passwords\.minLength must be a whole number/],
  [{ passwords: { validate: true } }, /passwords\.validate must be a function/],
  ...[0, -1, 1.5, 101, '3', null, NaN].map(maxSessions =>
    [{ maxSessions }, /maxSessions must be a whole number from 1 to 100/] as const
  ),
  [
    { refreshToken: { replayDetection: 'end' } },
    /refreshToken\.replayDetection must be "report", "revoke" or false/
  ],
  [{ refreshToken: { isSameClient: 'address' } }, /refreshToken\.isSameClient must be a function/],
  [
    { rotation: false, refreshToken: { replayDetection: 'revoke' } },
    /without rotation there are none/
  ],
  [
    { throttle: { acount: {} } },
    /throttle\.acount is no option; there are throttle\.attempts, throttle\.account, throttle\.address/
  ],
  [
    { throttle: { attempts: {} } },
    /throttle\.attempts must be an AttemptStore, such as new PostgresAttempts\(pool\)/
  ],
  [{ throttle: { attempts: null } }, /throttle\.attempts must be an AttemptStore/],
  [{ throttle: true }, /throttle must be an object/],
  [{ throttle: null }, /throttle must be an object/],
  [
    { throttle: { account: { maxAttempts: 5, freeAttempts: 6 } } },
    /throttle\.account\.freeAttempts must not be more than throttle\.account\.maxAttempts/
  ],
  [
    { throttle: { account: { resetAfter: '5m' } } },
    /throttle\.account\.resetAfter must be from 1h/
  ],
  [{ throttle: { account: { max: 5 } } }, /throttle\.account\.max is no option/],
  [{ throttle: { address: { window: 0 } } }, /throttle\.address\.window must be from 1s to 365d/],
  ...[0, -1, 1.5, '3', null, NaN].flatMap(count =>
    [
      [
        { throttle: { account: { freeAttempts: count } } },
        /throttle\.account\.freeAttempts must be a whole number, 1 or more/
      ],
      [
        { throttle: { account: { maxAttempts: count } } },
        /throttle\.account\.(maxAttempts must be a whole number, 1 or more|freeAttempts must not be more)/
      ],
      [
        { throttle: { address: { maxAttempts: count } } },
        /throttle\.address\.maxAttempts must be a whole number, 1 or more/
      ]
    ] as const
  ),
  [
    { refreshToken: { rotate: true } },
    /refreshToken\.rotate is no option; there are refreshToken\.transport, refreshToken\.lifetime/
  ],
  [{ sweep: { every: '1h' } }, /sweep\.every is no option; there are sweep\.interval/],
  [
    { on: { logout: () => {} } },
    /on\.logout is no option; there are on\.login, on\.login-rejected/
  ],
  [{ routes: { signin: '/signin' } }, /routes\.signin is no option; there are routes\.login/],

  [{ accessToken: '15m' }, /accessToken must be an object/],
  [{ refreshToken: null }, /refreshToken must be an object/],
  [{ sweep: true }, /sweep must be an object/],
  [{ on: () => {} }, /on must be an object/],
  [{ routes: '/login' }, /routes must be an object/],

  [{ secret: undefined }, /secret is missing: set it to 32 random bytes or more/],
  [{ secret: null }, /secret is missing: set it to 32 random bytes or more/],
  [{ secret: 12345678901234567890n }, /secret is missing: set it to 32 random bytes or more/],
  [{ secret: '' }, /secret is 0 bytes long, 32 are needed: use a random one/],
  [{ secret: SECRET.slice(1) }, /secret is 31 bytes long, 32 are needed: use a random one/],
  [{ secret: new Uint8Array(31) }, /secret is 31 bytes long, 32 are needed: use a random one/],
  [
    { secret: 'abcabcabc'.repeat(8) },
    /secret has fewer than 10 distinct characters: use a random one/
  ],
  [
    { secret: new Uint8Array(64) },
    /secret has fewer than 10 distinct characters: use a random one/
  ],
  [{ secret: [SECRET, 'short'] }, /secret is 5 bytes long/],
  [{ secret: [SECRET, undefined] }, /secret is missing/],
  [{ accessToken: { secret: 'short' } }, /accessToken\.secret is 5 bytes long/],
  [{ refreshToken: { secret: 'short' } }, /refreshToken\.secret is 5 bytes long/],
  [{ refreshToken: { secret: null } }, /refreshToken\.secret is missing/],
  [{ secret: [SECRET, SECRET] }, /secret holds a secret twice: every one must be another/],
  [
    { accessToken: { secret: SECRET } },
    /accessToken\.secret is the same as secret: every secret must be another/
  ],
  [{ refreshToken: { secret: [OTHER, OTHER] } }, /refreshToken\.secret holds a secret twice/],
  [
    { accessToken: { secret: OTHER }, refreshToken: { secret: OTHER } },
    /refreshToken\.secret is the same as accessToken\.secret/
  ],
  [{ accessToken: { secret: Buffer.from(SECRET) } }, /accessToken\.secret is the same as secret/],

  [{ store: undefined }, /store must be a TokenStore, such as new MemoryStore\(\)/],
  [{ store: null }, /store must be a TokenStore/],
  [{ store: MemoryStore }, /store must be a TokenStore/],
  [{ store: without('revocations') }, /store must be a TokenStore/],
  [{ store: without('sweep') }, /store must be a TokenStore/],
  [{ users: undefined }, /users must have the functions findByLogin\(login\) and findById\(id\)/],
  [{ users: null }, /users must have the functions/],
  [{ users: { findByLogin: () => null } }, /users must have the functions/],
  [{ users: { findById: () => null } }, /users must have the functions/],

  [{ name: '' }, /name must be letters, digits, "-" and "_", beginning with a letter/],
  [{ name: 'my app' }, /name must be letters/],
  [{ name: '1st' }, /name must be letters/],
  [{ name: 'a"b' }, /name must be letters/],
  [{ name: 5 }, /name must be letters/],
  [{ prefix: 'auth' }, /prefix must begin with "\/" and not end with it, such as "\/auth"/],
  [{ prefix: '/auth/' }, /prefix must begin with/],
  [{ prefix: '/' }, /prefix must begin with/],
  [{ prefix: null }, /prefix must begin with/],
  [{ routes: { login: 'login' } }, /routes\.login must begin with "\/", or be false/],
  [{ routes: { login: true } }, /routes\.login must begin with/],
  [{ routes: { me: null } }, /routes\.me must begin with/],
  [
    { routes: { session: '/sessions/:key' } },
    /routes\.session must hold ":id", such as "\/sessions\/:id"/
  ],

  [{ issuer: '' }, /issuer must be a text that is not empty/],
  [{ issuer: new URL('https://example.org') }, /issuer must be a text/],
  [{ audience: '' }, /audience must be a text that is not empty/],
  [{ audience: ['a', 'b'] }, /audience must be a text/],
  [{ rotation: 'false' }, /rotation must be true or false/],
  [{ rotation: null }, /rotation must be true or false/],
  [
    { refreshToken: { confirmBy: 'both' } },
    /refreshToken\.confirmBy must be "access" or "refresh"/
  ],
  ...[1, 0, -1, 2.5, '10', Infinity, null].map(cacheSize =>
    [
      { accessToken: { cacheSize } },
      /accessToken\.cacheSize must be a whole number, 2 or more/
    ] as const
  ),
  [{ clock: Date.now() }, /clock must be a function that gives milliseconds/],
  [{ clock: null }, /clock must be a function/],
  [{ on: { login: 'log' } }, /on\.login must be a function/],
  [{ on: { reuse: undefined } }, /on\.reuse must be a function/],

  [{ accessToken: { lifetime: 0 } }, /accessToken\.lifetime must be whole seconds, 1 or more/],
  [{ accessToken: { lifetime: '500ms' } }, /accessToken\.lifetime must be whole seconds/],
  [{ accessToken: { lifetime: 1.5 } }, /accessToken\.lifetime must be whole seconds/],
  [{ refreshToken: { lifetime: 0, grace: 0 } }, /refreshToken\.lifetime must be a second or more/],
  [
    { refreshToken: { lifetime: '31d' } },
    /refreshToken\.lifetime must not be longer than refreshToken\.maxLifetime \(30d/
  ],
  [
    { refreshToken: { lifetime: '2d', maxLifetime: '1d' } },
    /refreshToken\.lifetime must not be longer/
  ],
  [
    { refreshToken: { maxLifetime: '6d' } },
    /refreshToken\.lifetime must not be longer than refreshToken\.maxLifetime/
  ],
  [
    { refreshToken: { lifetime: 60, grace: 60 } },
    /refreshToken\.grace must be .* shorter than refreshToken\.lifetime/
  ],
  [{ storeTimeout: 0 }, /storeTimeout must be more than 0 and at most 24d/],
  [{ storeTimeout: '25d' }, /storeTimeout must be more than 0 and at most 24d/],
  [{ sweep: { interval: '999ms' } }, /sweep\.interval must be from 1s to 24d/],
  [{ sweep: { interval: '25d' } }, /sweep\.interval must be from 1s to 24d/],

  ...Object.entries(durations).flatMap(([option, set]) =>
    noDurations.map(value =>
      [
        set(value),
        new RegExp(
          `${option.replace('.', '\\.')} must be a number of seconds, or a text such as "90s"`
        )
      ] as const
    )
  )
]

t.test('a wrong option is refused with a message that names it and the fix', async t => {
  for (const [given, message] of wrong) {
    t.match(messageOf(given), message, message.source)
  }
})

t.test('the messages are told apart from other errors by their beginning and their type', async t => {
  t.match(messageOf({ rotation: 'no' }), /^fastify-token-auth: /)
  t.throws(() => resolve({ rotation: 'no' }), TypeError)
})

t.test('a wrong option fails at start', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(
    async () => {
      await app.register(tokenAuth, { ...required, accessToken: { lifetime: '15 minutes' } })
    },
    { name: 'TypeError', message: /accessToken\.lifetime must be a number of seconds/ }
  )
  t.notOk(app.hasDecorator('authenticate'))
})

t.test('a plugin without options fails at start', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(async () => {
    await app.register(tokenAuth, {} as TokenAuthOptions)
  }, /store must be a TokenStore/)
})

t.test('a secret that people copy from examples is refused', async t => {
  const examples = {
    'jwt.io': 'a-string-secret-at-least-256-bits-long',
    Supabase: 'your-super-secret-jwt-token-with-at-least-32-characters-long',
    'the tutorial of FastAPI': '09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7',
    'a README': 'please-change-this-secret-in-production',
    'another README': 'my-secret-key-that-nobody-will-guess',
    'a Buffer of a text': Buffer.from('please-change-this-secret-in-production')
  }

  for (const [source, secret] of Object.entries(examples)) {
    t.match(messageOf({ secret }), /secret is a known placeholder: use a random one/, source)
  }
})

t.test('a list of no secrets is refused', async t => {
  t.match(messageOf({ secret: [] }), /secret is missing/)
  t.match(messageOf({ accessToken: { secret: [] } }), /accessToken\.secret is missing/)
})

t.test('a name that is no text is refused, whatever it would be as text', async t => {
  for (const name of [null, true, ['auth']]) {
    t.match(messageOf({ name }), /name must be letters/, String(name))
  }
})

t.test('a prefix that is no text is refused, whatever it would be as text', async t => {
  t.match(messageOf({ prefix: ['/auth'] }), /prefix must begin with/)
})

t.test('a session path whose parameter only begins with ":id" is refused', async t => {
  t.match(
    messageOf({ routes: { session: '/sessions/:identity' } }),
    /routes\.session must hold ":id"/
  )
})

t.test('callbacks of users that are there must be functions', async t => {
  for (const callback of ['savePasswordHash', 'claims', 'present']) {
    t.match(
      messageOf({ users: { ...users, [callback]: {} } }),
      new RegExp(`users\\.${callback} must be a function`)
    )
  }
})

t.test('a duration that is no safe number of milliseconds is refused', async t => {
  for (const [option, set] of Object.entries(durations)) {
    t.match(messageOf(set(Number.MAX_VALUE)), new RegExp(option.replace('.', '\\.')), option)
  }
})

t.test('no message holds a secret', async t => {
  const weak = [
    'Qx7#correct-horse-31-bytes-long',
    'Qx7#'.repeat(20),
    'Qx7#-change-me-to-something-random'
  ]

  for (const secret of weak) {
    for (
      const given of [{ secret }, { secret: [SECRET, secret] }, { accessToken: { secret } }, {
        refreshToken: { secret }
      }]
    ) {
      const message = messageOf(given)
      t.match(message, /secret (is|has)/)
      t.notMatch(message, 'Qx7#')
    }
  }

  const same = messageOf({ refreshToken: { secret: SECRET } })
  t.notMatch(same, SECRET)
  t.notMatch(same, Buffer.from(SECRET).toString('base64'))
  t.notMatch(messageOf({ secert: SECRET }), SECRET)
})

t.test('defaults are as documented', async t => {
  const resolved = resolve({})
  t.strictSame(resolved, {
    name: 'auth',
    prefix: '/auth',
    paths: {
      login: '/login',
      refresh: '/refresh',
      logout: '/logout',
      logoutAll: '/logout/all',
      sessions: '/sessions',
      otherSessions: '/sessions',
      session: '/sessions/:id',
      me: '/me',
      token: '/token',
      revoke: '/revoke',
      introspect: '/introspect',
      jwks: '/.well-known/jwks.json',
      metadata: '/.well-known/oauth-authorization-server'
    },
    transport: {
      kind: 'body',
      refreshCookie: null,
      accessCookie: null,
      deviceCookie: null,
      origins: new Set(),
      clearSiteData: false
    },
    secrets: { base: [SECRET], access: [SECRET], refresh: [SECRET] },
    store,
    users,
    keys: null,
    issuer: undefined,
    audience: undefined,
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
    replayDetection: false,
    isSameClient: resolved.isSameClient,
    passwords: { peppers: [], normalize: null, minLength: 8, accept: resolved.passwords.validate },
    throttle: {
      attempts: null,
      account: {
        freeAttempts: 10,
        most: 100,
        wait: SECOND,
        longestWait: HOUR,
        memory: DAY,
        slides: true
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
    on: {},
    clock: Date.now
  })
  t.equal(resolved.store, store)
  t.equal(resolved.users, users)
  t.strictSame(
    resolve({ accessToken: {}, refreshToken: {}, sweep: {}, routes: {}, on: {} }),
    resolved
  )
})

t.test('durations are numbers of seconds, or texts in any of the units', async t => {
  const absolute = (value: string | number): number =>
    resolve({ refreshToken: { maxLifetime: value, lifetime: '1s', grace: 0 } }).maxLifetime
  const millis = {
    '90000ms': 90 * SECOND,
    '90s': 90 * SECOND,
    '15m': 15 * MINUTE,
    '12h': 12 * HOUR,
    '7d': 7 * DAY,
    '2w': 14 * DAY,
    '1.5h': 90 * MINUTE,
    '1 d': DAY
  }

  for (const [text, expected] of Object.entries(millis)) {
    t.equal(absolute(text), expected, text)
  }

  t.equal(absolute(90), 90 * SECOND)
  t.equal(absolute(1.5), 1500)
})

t.test('the limits themselves are allowed', async t => {
  t.equal(resolve({ refreshToken: { grace: 0 } }).grace, 0)
  t.equal(resolve({ refreshToken: { lifetime: '30d' } }).refreshLifetime, 30 * DAY)
  t.equal(resolve({ refreshToken: { lifetime: '90d', maxLifetime: '90d' } }).maxLifetime, 90 * DAY)
  t.equal(resolve({ accessToken: { lifetime: 1, cacheSize: 2 } }).accessLifetime, SECOND)
  t.equal(resolve({ sweep: false }).sweepInterval, null)
  t.equal(resolve({ sweep: { interval: '24d' } }).sweepInterval, 24 * DAY)
  t.equal(resolve({ prefix: '' }).prefix, '')
  t.equal(resolve({ prefix: '/api/v1/auth' }).prefix, '/api/v1/auth')
  t.equal(resolve({ routes: { me: false } }).paths.me, false)
})

t.test('each kind of token has the secrets that it was given', async t => {
  t.strictSame(resolve({ secret: [OTHER, SECRET] }).secrets, {
    base: [OTHER, SECRET],
    access: [OTHER, SECRET],
    refresh: [OTHER, SECRET]
  })
  t.strictSame(
    resolve({ accessToken: { secret: OTHER }, refreshToken: { secret: [THIRD] } }).secrets,
    { base: [SECRET], access: [OTHER], refresh: [THIRD] }
  )
})

/** Apps that differ in their options alone: one store, one clock. */
function createDeployments (t: Test): (options: Partial<TokenAuthOptions>) => Promise<TestApp> {
  const store = new MemoryStore()
  const clock = createClock()

  return async options => {
    const test = await createTestApp({ store, clock, options })
    t.teardown(() => test.app.close())
    return test
  }
}

type Pair = Required<TokenResponse>

async function refreshed (test: TestApp, { refresh_token: token }: TokenResponse): Promise<Pair> {
  const response = await test.refresh(token)

  if (response.statusCode !== 200) {
    throw new Error(`refresh failed: ${response.body}`)
  }

  return response.json()
}

async function outcomes (
  test: TestApp,
  pair: TokenResponse
): Promise<{ access: unknown, refresh: unknown }> {
  const access = await test.get('/protected', pair.access_token)
  const refresh = await test.refresh(pair.refresh_token)

  return {
    access: access.json().code ?? access.statusCode,
    refresh: refresh.json().code ?? refresh.statusCode
  }
}

const good = { access: 200, refresh: 200 }
const refused = { access: 'AUTH_ACCESS_INVALID', refresh: 'AUTH_REFRESH_INVALID' }

t.test('a secret is changed without signing anybody out', async t => {
  const deploy = createDeployments(t)
  const before = await deploy({ secret: SECRET })
  const between = await deploy({ secret: [OTHER, SECRET] })
  const after = await deploy({ secret: OTHER })

  const byOld = await before.login()
  t.strictSame(
    await outcomes(after, byOld),
    refused,
    'the new secret alone refuses what the old one signed'
  )
  t.equal((await between.get('/protected', byOld.access_token)).statusCode, 200)
  const byNew = await refreshed(between, byOld)
  t.strictSame(
    await outcomes(before, byNew),
    refused,
    'the old secret alone refuses what the new one signed'
  )
  t.strictSame(
    await outcomes(after, byNew),
    good,
    'what was issued in between is signed with the new secret'
  )
  t.strictSame(await outcomes(after, await between.login()), good)
  t.strictSame(
    before.events.concat(after.events).filter(event =>
      event.name === 'revoke' || event.name === 'reuse'
    ),
    []
  )
})

t.test('the secret of one kind of token is changed without touching the other', async t => {
  const deploy = createDeployments(t)
  const before = await deploy({ refreshToken: { secret: OTHER } })
  const between = await deploy({ refreshToken: { secret: [THIRD, OTHER] } })
  const after = await deploy({ refreshToken: { secret: THIRD } })
  const pair = await before.login()
  t.strictSame(await outcomes(after, pair), { access: 200, refresh: 'AUTH_REFRESH_INVALID' })
  t.strictSame(await outcomes(after, await refreshed(between, pair)), good)
})

t.test('without rotation a refresh gives an access token alone, and the refresh token stays good', async t => {
  const { login, refresh, get, clock } = await createDeployments(t)({ rotation: false })
  const { refresh_token: token } = await login()

  for (let i = 0; i < 3; i++) {
    clock.advance(DAY)
    const response = await refresh(token)
    t.equal(response.statusCode, 200)
    t.notOk('refresh_token' in response.json())
    t.equal((await get('/protected', response.json().access_token)).statusCode, 200)
  }

  clock.advance(4 * DAY)
  t.equal((await refresh(token)).json().code, 'AUTH_REFRESH_EXPIRED')
})

t.test('rotation is switched off and on again without signing anybody out', async t => {
  const deploy = createDeployments(t)
  const rotating = await deploy({ rotation: true })
  const { clock } = rotating
  const first = await refreshed(rotating, await rotating.login())
  clock.advance(HOUR)

  const keeping = await deploy({ rotation: false })

  for (let i = 0; i < 2; i++) {
    t.notOk('refresh_token' in await refreshed(keeping, first))
    clock.advance(HOUR)
  }

  const again = await deploy({ rotation: true })
  const second = await refreshed(again, first)
  t.not(second.refresh_token, first.refresh_token)
  clock.advance(HOUR)
  t.not((await refreshed(again, second)).refresh_token, second.refresh_token)
  t.strictSame(await again.app.tokenAuth.listSessions('u-ann').then(sessions => sessions.length), 1)
})

t.test('a refresh that is repeated where rotation is off already gets the successor that it missed', async t => {
  const deploy = createDeployments(t)
  const rotating = await deploy({ rotation: true })
  const keeping = await deploy({ rotation: false })
  const first = await rotating.login()
  const missed = await refreshed(rotating, first)
  t.equal((await refreshed(keeping, first)).refresh_token, missed.refresh_token)
  t.strictSame(await outcomes(keeping, missed), good)
})

t.test('a grace beyond what clocks are trusted for is refused', async t => {
  t.match(messageOf({ refreshToken: { grace: '121s' } }), /refreshToken\.grace must be at most 2m/)
  t.equal(messageOf({ refreshToken: { grace: '2m' } }), messageOf({}))
})

t.test('the secret that was shared until now may stay as a previous one of a kind of token', async t => {
  t.equal(
    messageOf({
      refreshToken: { secret: [OTHER, SECRET] },
      accessToken: { secret: [`${OTHER}!`, SECRET] }
    }),
    messageOf({})
  )
})

t.test('revocations: wrong values', async t => {
  t.match(
    messageOf({ revocations: { pollInterval: '5ms' } }),
    /revocations\.pollInterval must be from 10ms to 1m/
  )
  t.match(
    messageOf({ revocations: { pollInterval: '2m' } }),
    /revocations\.pollInterval must be from 10ms to 1m/
  )
  t.match(
    messageOf({ revocations: { failAfter: '1s' } }),
    /revocations\.failAfter must be storeTimeout or more/
  )
  t.match(
    messageOf({ revocations: { subscribe: true } }),
    /revocations\.subscribe must be a function/
  )
  t.match(messageOf({ revocations: { evry: '1s' } }), /revocations\.evry is no option/)
  t.strictSame(resolve({ revocations: false }).revocations, {
    pollInterval: null,
    failAfter: null,
    subscribe: undefined
  })
})
