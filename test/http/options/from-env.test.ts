// Options out of the environment: each variable alone, what is missing or wrong in one message that holds no value, and an app
// that runs on them.

import t from 'tap'
import { optionsFromEnv } from '../../../src/index.js'
import type { TokenAuthEnv, TokenAuthOptions } from '../../../src/index.js'
import { resolveOptions } from '../../../src/options/resolve.js'
import type { ResolvedOptions } from '../../../src/options/resolve.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, SECRET } from '../../helpers/app.js'
import { DAY, MINUTE } from '../../helpers/clock.js'

const OTHER = 'Zr4Kp9Xs2Wd7Vf1Bg6Nh3Mj8Qk5Tl0Yc'
const required = {
  store: new MemoryStore(),
  users: { findByLogin: () => null, findById: () => null }
}

function resolve (env: TokenAuthEnv): ResolvedOptions {
  return resolveOptions({ ...required, ...optionsFromEnv({ SECRET_KEY: SECRET, ...env }) })
}

function messageOf (work: () => unknown): string {
  try {
    work()
  } catch (error) {
    if (!(error instanceof TypeError)) {
      throw error
    }

    return error.message
  }

  return 'nothing is wrong'
}

t.test('each variable stands for an option, and one that is empty or absent for its default', async t => {
  t.strictSame(optionsFromEnv({ SECRET_KEY: SECRET }), { secret: SECRET, refreshToken: {} })
  t.strictSame(resolve({}), resolveOptions({ ...required, secret: SECRET }))
  t.strictSame(
    resolve({
      REFRESH_SECRET_KEY: '',
      ALGORITHM: '',
      ACCESS_TOKEN_EXPIRE_MINUTES: '',
      REFRESH_TOKEN_EXPIRE_DAYS: '',
      REFRESH_TOKEN_ENABLED: ''
    }),
    resolve({})
  )
  t.equal(resolve({ ALGORITHM: 'HS256' }).accessLifetime, 15 * MINUTE)
  t.strictSame(resolve({ REFRESH_SECRET_KEY: OTHER }).secrets, {
    base: [SECRET],
    access: [SECRET],
    refresh: [OTHER]
  })
  t.equal(resolve({ ACCESS_TOKEN_EXPIRE_MINUTES: '30' }).accessLifetime, 30 * MINUTE)
  t.equal(resolve({ ACCESS_TOKEN_EXPIRE_MINUTES: '0.5' }).accessLifetime, MINUTE / 2)

  for (const [days, absolute] of [['7', 30], ['30', 30], ['45', 45], ['0.5', 30]] as const) {
    const { refreshLifetime, maxLifetime: longest } = resolve({ REFRESH_TOKEN_EXPIRE_DAYS: days })
    t.strictSame([refreshLifetime, longest], [Number(days) * DAY, absolute * DAY], `${days} days`)
  }
})

t.test('REFRESH_TOKEN_ENABLED is understood in the usual spellings', async t => {
  for (const no of ['false', 'False', 'FALSE', '0', 'no', 'off']) {
    const options = optionsFromEnv({
      SECRET_KEY: SECRET,
      REFRESH_SECRET_KEY: OTHER,
      REFRESH_TOKEN_EXPIRE_DAYS: '7',
      REFRESH_TOKEN_ENABLED: no
    })
    t.strictSame(options, { secret: SECRET, refreshToken: false }, no)
    t.equal(resolve({ REFRESH_TOKEN_ENABLED: no }).transport.kind, 'none')
  }

  for (const yes of ['true', 'True', '1', 'yes', 'on']) {
    t.equal(resolve({ REFRESH_TOKEN_ENABLED: yes }).transport.kind, 'body', yes)
  }

  for (const neither of ['maybe', 'null', '2', ' ', 'truefalse']) {
    t.match(
      messageOf(() => resolve({ REFRESH_TOKEN_ENABLED: neither })),
      /REFRESH_TOKEN_ENABLED must be true or false$/,
      neither
    )
  }
})

const noNumbers = [
  '0',
  '0.0',
  '-5',
  '+5',
  '1e3',
  '15m',
  'fifteen',
  ' ',
  ' 15',
  '15 ',
  '1,5',
  '0x10',
  'NaN',
  'Infinity',
  '.5',
  '5.',
  '١٥'
]

t.test('what is no number is refused, with the unit in the message', async t => {
  for (const text of noNumbers) {
    t.equal(
      messageOf(() => resolve({ ACCESS_TOKEN_EXPIRE_MINUTES: text })),
      'fastify-token-auth: ACCESS_TOKEN_EXPIRE_MINUTES must be a number of minutes, more than 0',
      text
    )
    t.equal(
      messageOf(() => resolve({ REFRESH_TOKEN_EXPIRE_DAYS: text })),
      'fastify-token-auth: REFRESH_TOKEN_EXPIRE_DAYS must be a number of days, more than 0',
      text
    )
  }
})

t.test('a number that is too large or too small is refused when the app starts', async t => {
  for (const text of ['0.001', '99999999999', '1'.repeat(400), '0.1234567']) {
    t.match(
      messageOf(() => resolve({ ACCESS_TOKEN_EXPIRE_MINUTES: text })),
      /accessToken\.lifetime must be/,
      text
    )
  }

  for (const text of ['0.000001', '99999999', '1'.repeat(400)]) {
    t.match(
      messageOf(() => resolve({ REFRESH_TOKEN_EXPIRE_DAYS: text })),
      /refreshToken\.(lifetime|absolute|grace) must/,
      text
    )
  }
})

t.test('all that is missing or wrong is in one message, and no value is', async t => {
  const values = {
    ALGORITHM: 'RS256-v4lue',
    ACCESS_TOKEN_EXPIRE_MINUTES: 'v4lue',
    REFRESH_TOKEN_EXPIRE_DAYS: '-v4lue',
    REFRESH_TOKEN_ENABLED: 'v4lue'
  }
  const message = messageOf(() =>
    optionsFromEnv({ SECRET_KEY: '', REFRESH_SECRET_KEY: 'v4lue', ...values })
  )

  for (
    const name of [
      'SECRET_KEY is missing',
      ...Object.keys(values).map(name => `${name} must be`)
    ]
  ) {
    t.match(message, name)
  }

  t.match(message, /REFRESH_SECRET_KEY is 5 bytes long/)
  t.equal(message.split('; ').length, 6)
  t.notMatch(message, 'v4lue')
  t.match(
    messageOf(() => optionsFromEnv({})),
    /^fastify-token-auth: SECRET_KEY is missing: set it to what `openssl rand -base64 48` prints$/
  )

  for (const ALGORITHM of ['RS256', 'HS512', 'none', 'hs256']) {
    t.match(
      messageOf(() => resolve({ ALGORITHM })),
      /ALGORITHM must be HS256, or not be set$/,
      ALGORITHM
    )
  }
})

t.test('secrets that are weak or equal are refused by the names of their variables, and not shown', async t => {
  for (
    const env of [{ SECRET_KEY: 'Qx7#short' }, { SECRET_KEY: 'Qx7#'.repeat(20) }, {
      REFRESH_SECRET_KEY: 'Qx7#short'
    }, { REFRESH_SECRET_KEY: SECRET }]
  ) {
    const message = messageOf(() => resolve(env))
    t.match(message, /SECRET_KEY (is|has)/)
    t.notMatch(message, 'Qx7#')
    t.notMatch(message, SECRET)
  }
})

t.test('process.env is read where nothing else is given, and variables of other things are left alone', async t => {
  const before = { ...process.env }
  t.teardown(() => {
    process.env = before
  })
  Object.assign(process.env, {
    SECRET_KEY: SECRET,
    ACCESS_TOKEN_EXPIRE_MINUTES: '5',
    DATABASE_URL: 'postgres://',
    SECRET: 'x'
  })
  t.match(optionsFromEnv(), { secret: SECRET, accessToken: { lifetime: '5m' } })
  t.strictSame(Object.keys(optionsFromEnv()).sort(), ['accessToken', 'refreshToken', 'secret'])
  delete process.env.SECRET_KEY
  t.match(messageOf(() => optionsFromEnv()), /SECRET_KEY is missing/)
})

t.test('an app runs on them', async t => {
  const env = {
    SECRET_KEY: SECRET,
    REFRESH_SECRET_KEY: OTHER,
    ALGORITHM: 'HS256',
    ACCESS_TOKEN_EXPIRE_MINUTES: '30',
    REFRESH_TOKEN_EXPIRE_DAYS: '45'
  }
  const { app, login, get, refresh, clock, store } = await createTestApp({
    options: optionsFromEnv(env)
  })
  t.teardown(() => app.close())
  const pair = await login()
  t.equal(pair.expires_in, 1800)
  const other = await createTestApp({
    store,
    clock,
    options: { secret: SECRET } as Partial<TokenAuthOptions>
  })
  t.teardown(() => other.app.close())
  t.equal((await other.get('/protected', pair.access_token)).statusCode, 200)
  t.equal(
    (await other.refresh(pair.refresh_token)).statusCode,
    401,
    'refresh tokens have a key of their own'
  )
  clock.advance(45 * DAY - 1)
  t.equal((await refresh(pair.refresh_token)).json().code, undefined)
  clock.advance(1)
  t.equal((await refresh(pair.refresh_token)).json().code, 'AUTH_REFRESH_EXPIRED')
  t.equal((await get('/protected', pair.access_token)).statusCode, 401)

  const without = await createTestApp({
    options: optionsFromEnv({ ...env, REFRESH_TOKEN_ENABLED: 'false' })
  })
  t.teardown(() => without.app.close())
  t.notOk('refresh_token' in await without.login())
})
