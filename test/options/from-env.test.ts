import t from 'tap'
import { optionsFromEnv } from '../../src/index.js'
import type { TokenAuthEnv } from '../../src/index.js'
import { resolveOptions } from '../../src/options/resolve.js'
import type { ResolvedOptions } from '../../src/options/resolve.js'
import { SECRET } from '../helpers/app.js'
import { DAY, MINUTE } from '../helpers/clock.js'
import { findMessage, OTHER_SECRET, required } from './resolve.js'

function resolve (env: TokenAuthEnv): ResolvedOptions {
  return resolveOptions({ ...required, ...optionsFromEnv({ SECRET_KEY: SECRET, ...env }) })
}

t.test('a variable sets its option, an empty or missing one keeps the default', async t => {
  t.strictSame(optionsFromEnv({ SECRET_KEY: SECRET }), { secret: SECRET, refreshToken: {} })
  t.strictSame(resolve({}), resolveOptions(required))
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
  t.strictSame(resolve({ REFRESH_SECRET_KEY: OTHER_SECRET }).secrets, {
    base: [SECRET],
    access: [SECRET],
    refresh: [OTHER_SECRET]
  })
  t.equal(resolve({ ACCESS_TOKEN_EXPIRE_MINUTES: '30' }).accessLifetime, 30 * MINUTE)
  t.equal(resolve({ ACCESS_TOKEN_EXPIRE_MINUTES: '0.5' }).accessLifetime, MINUTE / 2)

  for (const [days, maxDays] of [['7', 30], ['30', 30], ['45', 45], ['0.5', 30]] as const) {
    const { refreshLifetime, maxLifetime } = resolve({ REFRESH_TOKEN_EXPIRE_DAYS: days })
    t.strictSame(
      [refreshLifetime, maxLifetime],
      [Number(days) * DAY, maxDays * DAY],
      `${days} days`
    )
  }
})

t.test('REFRESH_TOKEN_ENABLED accepts the usual spellings', async t => {
  for (const no of ['false', 'False', 'FALSE', '0', 'no', 'off']) {
    const options = optionsFromEnv({
      SECRET_KEY: SECRET,
      REFRESH_SECRET_KEY: OTHER_SECRET,
      REFRESH_TOKEN_EXPIRE_DAYS: '7',
      REFRESH_TOKEN_ENABLED: no
    })
    t.strictSame(options, { secret: SECRET, refreshToken: false }, no)
    t.equal(resolve({ REFRESH_TOKEN_ENABLED: no }).transport.kind, 'none')
  }

  for (const yes of ['true', 'True', '1', 'yes', 'on']) {
    t.equal(resolve({ REFRESH_TOKEN_ENABLED: yes }).transport.kind, 'both', yes)
  }

  for (const neither of ['maybe', 'null', '2', ' ', 'truefalse']) {
    t.match(
      findMessage(() => resolve({ REFRESH_TOKEN_ENABLED: neither })),
      /"REFRESH_TOKEN_ENABLED" must be true or false$/,
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

t.test('a value that is not a positive number is rejected with its unit', async t => {
  for (const text of noNumbers) {
    t.equal(
      findMessage(() => resolve({ ACCESS_TOKEN_EXPIRE_MINUTES: text })),
      'fastify-token-auth: "ACCESS_TOKEN_EXPIRE_MINUTES" must be a positive number of minutes',
      text
    )
    t.equal(
      findMessage(() => resolve({ REFRESH_TOKEN_EXPIRE_DAYS: text })),
      'fastify-token-auth: "REFRESH_TOKEN_EXPIRE_DAYS" must be a positive number of days',
      text
    )
  }
})

t.test('a number that is too large or too small is rejected by its option', async t => {
  for (const text of ['0.001', '99999999999', '1'.repeat(400), '0.1234567']) {
    t.match(
      findMessage(() => resolve({ ACCESS_TOKEN_EXPIRE_MINUTES: text })),
      /"accessToken\.lifetime" must be/,
      text
    )
  }

  for (const text of ['0.000001', '99999999', '1'.repeat(400)]) {
    t.match(
      findMessage(() => resolve({ REFRESH_TOKEN_EXPIRE_DAYS: text })),
      /"refreshToken\.(lifetime|maxLifetime|grace)" must be/,
      text
    )
  }
})

t.test('one message names every invalid variable and contains no value', async t => {
  const values = {
    ALGORITHM: 'RS256-v4lue',
    ACCESS_TOKEN_EXPIRE_MINUTES: 'v4lue',
    REFRESH_TOKEN_EXPIRE_DAYS: '-v4lue',
    REFRESH_TOKEN_ENABLED: 'v4lue'
  }
  const message = findMessage(() =>
    optionsFromEnv({ SECRET_KEY: '', REFRESH_SECRET_KEY: 'v4lue', ...values })
  )

  for (
    const name of [
      '"SECRET_KEY" must be at least 32 random bytes, but is missing',
      ...Object.keys(values).map(name => `"${name}" must be`)
    ]
  ) {
    t.match(message, name)
  }

  t.match(message, /"REFRESH_SECRET_KEY" must be at least 32 random bytes, but is 5 bytes long/)
  t.equal(message?.split('\n').length, 6)
  t.notMatch(message, 'v4lue')
  t.match(
    findMessage(() => optionsFromEnv({})),
    new RegExp(
      '^fastify-token-auth: "SECRET_KEY" must be .*, but is missing; ' +
        'create one with `openssl rand -base64 48`$'
    )
  )

  for (const ALGORITHM of ['RS256', 'HS512', 'none', 'hs256']) {
    t.match(
      findMessage(() => resolve({ ALGORITHM })),
      /"ALGORITHM" must be "HS256"; change it or remove it$/,
      ALGORITHM
    )
  }
})

t.test('weak and equal secrets are rejected by the names of their variables', async t => {
  for (
    const env of [{ SECRET_KEY: 'Qx7#short' }, { SECRET_KEY: 'Qx7#'.repeat(20) }, {
      REFRESH_SECRET_KEY: 'Qx7#short'
    }, { REFRESH_SECRET_KEY: SECRET }]
  ) {
    const message = findMessage(() => resolve(env))
    t.match(message, /SECRET_KEY" must (differ|be .*, but (is|has))/)
    t.notMatch(message, 'Qx7#')
    t.notMatch(message, SECRET)
  }
})

t.test('process.env is the default, and other variables are ignored', async t => {
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
  t.match(findMessage(() => optionsFromEnv()), /"SECRET_KEY" must be .*, but is missing/)
})
