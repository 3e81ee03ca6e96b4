import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { SECRET } from '../helpers/app.js'
import { assertRejected, findError, OTHER_SECRET, resolve, THIRD_SECRET } from './resolve.js'

const MISSING = '"secret" must be at least 32 random bytes, but is missing; ' +
  'create one with `openssl rand -base64 48`'

t.test('a missing secret is rejected with the command that creates one', async t => {
  t.equal(findError({ secret: undefined }), `fastify-token-auth: ${MISSING}`)
  assertRejected(t, [
    [{ secret: null }, MISSING],
    [{ secret: [] }, MISSING],
    [{ secret: [SECRET, undefined] }, MISSING],
    [{ accessToken: { secret: [] } }, /"accessToken\.secret" must be .*, but is missing/],
    [{ refreshToken: { secret: null } }, /"refreshToken\.secret" must be .*, but is missing/]
  ])
})

t.test('a secret of another type is rejected with its type', async t => {
  const rule = (type: string): RegExp =>
    new RegExp(`must be at least 32 .* but has the type ${type} instead of string or Uint8Array;`)
  assertRejected(t, [
    [{ secret: 12345678901234567890n }, rule('bigint')],
    [{ secret: new ArrayBuffer(32) }, rule('object')],
    [{ secret: [SECRET, 7] }, rule('number')],
    [{ accessToken: { secret: true } }, rule('boolean')]
  ])
})

t.test('an invalid key is rejected with the error of the key as cause', async t => {
  try {
    resolve({ keys: [''], issuer: 'https://auth.test', audience: 'https://api.test' })
    t.fail('resolved')
  } catch (error) {
    t.match(error, { message: /^fastify-token-auth: "keys\[0\]" must be PEM/ })
    t.match((error as Error).cause, { message: /^"keys\[0\]" must be PEM/ })
  }
})

t.test('a short or repetitive secret is rejected', async t => {
  assertRejected(t, [
    [{ secret: '' }, /"secret" must be .*, but is 0 bytes long; create one/],
    [{ secret: SECRET.slice(1) }, /but is 31 bytes long; create one/],
    [{ secret: new Uint8Array(31) }, /but is 31 bytes long; create one/],
    [{ secret: 'abcabcabc'.repeat(8) }, /but has fewer than 10 distinct characters; create one/],
    [{ secret: new Uint8Array(64) }, /but has fewer than 10 distinct characters; create one/],
    [{ secret: [SECRET, 'short'] }, /"secret" must be .*, but is 5 bytes long/],
    [{ accessToken: { secret: 'short' } }, /"accessToken\.secret" must be .*, but is 5 bytes long/],
    [
      { refreshToken: { secret: 'short' } },
      /"refreshToken\.secret" must be .*, but is 5 bytes long/
    ],
    [
      { accessToken: { secret: OTHER_SECRET }, refreshToken: { secret: 'short' } },
      /"refreshToken\.secret" must be .*, but is 5 bytes long/
    ]
  ])
})

t.test('a secret that people copy from examples is rejected', async t => {
  const examples = {
    'jwt.io': 'a-string-secret-at-least-256-bits-long',
    Supabase: 'your-super-secret-jwt-token-with-at-least-32-characters-long',
    'the tutorial of FastAPI': '09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7',
    'a README': 'please-change-this-secret-in-production',
    'another README': 'my-secret-key-that-nobody-will-guess',
    'a Buffer': Buffer.from('please-change-this-secret-in-production')
  }

  for (const [source, secret] of Object.entries(examples)) {
    t.match(
      findError({ secret }),
      '"secret" must be at least 32 random bytes, but is a known placeholder; create one',
      source
    )
  }
})

t.test('a secret that is used twice is rejected', async t => {
  assertRejected(t, [
    [
      { secret: [SECRET, SECRET] },
      /"secret" must not contain the same secret twice; remove one of them$/
    ],
    [
      { refreshToken: { secret: [OTHER_SECRET, OTHER_SECRET] } },
      /"refreshToken\.secret" must not contain the same secret twice/
    ],
    [
      { accessToken: { secret: SECRET } },
      /"accessToken\.secret" must differ from "secret"; use a separate secret for each$/
    ],
    [
      { accessToken: { secret: Buffer.from(SECRET) } },
      /"accessToken\.secret" must differ from "secret"/
    ],
    [
      { accessToken: { secret: OTHER_SECRET }, refreshToken: { secret: OTHER_SECRET } },
      /"refreshToken\.secret" must differ from "accessToken\.secret"/
    ]
  ])
})

t.test('a previous secret of a kind of token may equal the shared one', async t => {
  t.equal(
    findError({
      refreshToken: { secret: [OTHER_SECRET, SECRET] },
      accessToken: { secret: [`${OTHER_SECRET}!`, SECRET] }
    }),
    null
  )
})

t.test('each kind of token has its own secrets, or the shared ones', async t => {
  t.strictSame(resolve({ secret: [OTHER_SECRET, SECRET] }).secrets, {
    base: [OTHER_SECRET, SECRET],
    access: [OTHER_SECRET, SECRET],
    refresh: [OTHER_SECRET, SECRET]
  })
  t.strictSame(
    resolve({
      accessToken: { secret: OTHER_SECRET },
      refreshToken: { secret: [THIRD_SECRET] }
    }).secrets,
    { base: [SECRET], access: [OTHER_SECRET], refresh: [THIRD_SECRET] }
  )
})

t.test('an issuer or audience that is not a non-empty string is rejected', async t => {
  assertRejected(t, [
    [{ issuer: '' }, /"issuer" must be a non-empty string$/],
    [{ issuer: new URL('https://example.org') }, /"issuer" must be a non-empty string$/],
    [{ audience: '' }, /"audience" must be a non-empty string$/],
    [{ audience: ['a', ''] }, /"audience\[1\]" must be a non-empty string$/],
    [{ audience: [] }, /"audience" must contain a string; remove it if tokens have no such claim$/],
    [{ issuer: [null] }, /"issuer" must contain a string/],
    [{ issuer: ['a', 'a'] }, /"issuer" must not contain the same value twice; remove one of them$/]
  ])
})

t.test('the first issuer and audience are written, and all of them are accepted', t => {
  const parties = { issuer: ['a', null, 'b'], audience: [null, 'c'] }
  const { issuer, audience, acceptedIssuers, acceptedAudiences } = resolve(parties)
  t.strictSame([issuer, audience], ['a', undefined])
  t.strictSame([acceptedIssuers, acceptedAudiences], [['a', undefined, 'b'], [undefined, 'c']])
  t.end()
})

t.test('"secret" in keys stands for the derived key', t => {
  const key = generateKeyPairSync('ed25519').privateKey
  const parties = { issuer: 'https://auth.test', audience: 'https://api.test' }
  const announced = { issuer: [null, 'https://auth.test'], audience: [null, 'https://api.test'] }
  const accessToken = { secret: OTHER_SECRET }
  t.equal(findError({ ...parties, keys: ['secret', key], accessToken }), null)
  t.equal(findError({ ...announced, keys: ['secret', key.export({ format: 'jwk' })] }), null)
  assertRejected(t, [
    [{ ...announced, keys: [key, 'secret'] }, /"keys" requires "issuer" and "audience"; set both/],
    [{ keys: ['secret', key] }, /"keys" requires "issuer" and "audience"/],
    [
      { ...parties, keys: [key], accessToken },
      /"accessToken\.secret" cannot be .* remove one of them, or add "secret" to "keys"$/
    ],
    [{ ...parties, keys: ['secret', key, 'secret'] }, /"keys" must not contain a kid twice$/]
  ])
  t.end()
})

t.test('a list of secrets may start with the shared secret, which it replaces', t => {
  t.equal(findError({ accessToken: { secret: [SECRET, OTHER_SECRET] } }), null)
  t.equal(findError({ refreshToken: { secret: [SECRET, OTHER_SECRET] } }), null)
  t.end()
})
