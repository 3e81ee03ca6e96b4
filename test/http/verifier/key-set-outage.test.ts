import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { readKey } from '../../../src/tokens/keys.js'
import { MINUTE, SECOND } from '../../helpers/clock.js'
import {
  claims,
  createEd25519Key,
  createHeader,
  createToken,
  now,
  pairs,
  startKeyServer,
  startVerifier,
  toJwk,
  toKeySet,
  until
} from './jwks-setup.js'
import type { KeyResponse } from './jwks-setup.js'

t.test('requests get 503 until the issuer is up after a failed startup', async t => {
  let log = ''
  const stream = new PassThrough().on('data', chunk => {
    log += String(chunk)
  })
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  keys.response = 'down'
  const { clock, get, status } = await startVerifier(t, `${keys.uri}?key=hidden`, {}, {
    logger: { level: 'trace', stream }
  })
  const token = createToken('EdDSA')
  const responses = await Promise.all(Array.from({ length: 100 }, () => get('/protected', token)))

  for (const response of responses) {
    t.match(response.json(), { statusCode: 503, code: 'AUTH_KEYS_UNAVAILABLE' })
  }

  t.match(responses[0]?.headers, { 'retry-after': '1' })
  t.notOk(responses[0]?.headers['www-authenticate'])

  for (let i = 0; i < 20; i++) {
    t.equal(await status(token), 503)
  }

  t.ok(keys.hits.length <= 2, 'a failed read is not repeated within 1 s')
  t.equal((await get('/public')).statusCode, 200)
  t.equal((await get('/protected')).statusCode, 401, 'without a token')
  t.equal(await status('no.token.this'), 401)
  t.match(log, /failed to read the key set of the issuer/)
  t.notOk(log.includes('hidden') || log.includes(token.split('.')[2] as string))
  keys.response = toKeySet(toJwk(pairs.EdDSA))
  clock.advance(SECOND)
  t.equal(await status(token), 200)
})

t.test('an outage of the issuer has no effect until maxAge, then requests get 503', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const { clock, get, status } = await startVerifier(t, keys.uri)
  const long = { ...claims, exp: now + 7200 }
  const token = createToken('EdDSA', createHeader('EdDSA'), long)
  await status(token)
  keys.response = 'down'

  for (let minute = 1; minute < 10; minute++) {
    clock.advance(MINUTE)
    t.equal(await status(token), 200, `cached, minute ${minute}`)
    t.equal(
      await status(createToken('EdDSA', createHeader('EdDSA'), { ...long, jti: `${minute}` })),
      200,
      `not cached, minute ${minute}`
    )
  }

  const other = await get(
    '/protected',
    createToken('EdDSA', { ...createHeader('EdDSA'), kid: 'unknown' })
  )
  t.equal(
    other.json().code,
    'AUTH_KEYS_UNAVAILABLE',
    'the issuer may have that key'
  )
  t.ok(keys.hits.length > 2 && keys.hits.length < 20, `${keys.hits.length} hits`)
  clock.advance(MINUTE)
  t.equal((await get('/protected', token)).json().code, 'AUTH_KEYS_UNAVAILABLE')
  t.equal((await get('/protected', createToken('EdDSA'))).json().code, 'AUTH_KEYS_UNAVAILABLE')
  keys.response = toKeySet(toJwk(pairs.EdDSA))
  clock.advance(SECOND)
  t.equal(await status(token), 200)
})

t.test('concurrent requests share one request to a slow issuer', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  keys.response = 'silent'
  const { clock, get, status } = await startVerifier(t, keys.uri, { timeout: '1s' })
  const statuses = await Promise.all(Array.from({ length: 64 }, () => status(createToken('EdDSA'))))
  t.strictSame([...new Set(statuses)], [503])
  t.equal(keys.hits.length, 1)
  keys.response = toKeySet(toJwk(pairs.EdDSA))
  clock.advance(SECOND)
  t.equal((await get('/protected', createToken('EdDSA'))).statusCode, 200)
})

t.test('a response without a usable key results in 503', async t => {
  const keys = await startKeyServer(t)
  const elsewhere = await startKeyServer(t, toJwk(pairs.EdDSA))
  const { clock, get } = await startVerifier(t, keys.uri)
  const token = createToken('EdDSA')
  const valid = toJwk(pairs.EdDSA)
  const kid = String(createHeader('EdDSA').kid)
  const responses: Record<string, KeyResponse> = {
    'not found': { status: 404, body: JSON.stringify({ keys: [valid] }) },
    'another success': { status: 203, body: JSON.stringify({ keys: [valid] }) },
    'a redirect': { status: 302, headers: { location: elsewhere.uri }, body: '' },
    'a page': { body: '<html>' },
    empty: { body: '' },
    null: { body: 'null' },
    'an array': { body: JSON.stringify([valid]) },
    'no keys': toKeySet(),
    'keys that are not an array': { body: JSON.stringify({ keys: { 0: valid } }) },
    'a key that is a string': { body: JSON.stringify({ keys: ['x', valid] }) },
    'a private key': toKeySet({ ...pairs.EdDSA.export({ format: 'jwk' }), kid, alg: 'EdDSA' }),
    'a secret': toKeySet({
      kty: 'oct',
      k: randomBytes(32).toString('base64url'),
      kid,
      alg: 'HS256'
    }),
    'RSA of 1024 bits': toKeySet({
      ...generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' }),
      kid,
      alg: 'RS256'
    }),
    'P-384': toKeySet({
      ...generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' }),
      kid,
      alg: 'ES384'
    }),
    'no kid': toKeySet({ ...valid, kid: undefined }),
    'a kid that is an array': toKeySet({ ...valid, kid: [kid] }),
    'a key for encryption': toKeySet({ ...valid, use: 'enc' }),
    'a key for another operation': toKeySet({ ...valid, key_ops: ['encrypt'] }),
    'operations that are not an array': toKeySet({ ...valid, key_ops: 1 }),
    'an alg of another key type': toKeySet({ ...valid, alg: 'RS256' }),
    'alg none': toKeySet({ ...valid, alg: 'none' })
  }

  for (const [name, response] of Object.entries(responses)) {
    clock.advance(SECOND)
    keys.response = response
    t.match((await get('/protected', token)).json(), {
      statusCode: 503,
      code: 'AUTH_KEYS_UNAVAILABLE'
    }, name)
  }

  t.strictSame(elsewhere.hits, [])
  clock.advance(SECOND)
  keys.response = toKeySet({ kty: 'new' }, {
    ...valid,
    use: undefined,
    key_ops: ['verify'],
    alg: undefined,
    x5u: elsewhere.uri
  })
  t.equal(
    (await get('/protected', token)).statusCode,
    200,
    'beside a key of an unknown type'
  )
  t.strictSame(elsewhere.hits, [])
})

t.test('an unusable key set leaves the previous keys in use until maxAge', async t => {
  const other = createEd25519Key()
  const unusable: Record<string, KeyResponse> = {
    'no keys': toKeySet(),
    'a key of an unknown type': toKeySet({ kty: 'new' }),
    'a malformed key beside a usable one': {
      body: JSON.stringify({ keys: ['x', toJwk(other)] })
    }
  }

  for (const [name, response] of Object.entries(unusable)) {
    const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
    const { clock, get, status } = await startVerifier(t, keys.uri)
    const long = { ...claims, exp: now + 7200 }
    const tokens = ['1', '2'].map(jti =>
      createToken('EdDSA', createHeader('EdDSA'), { ...long, jti })
    ) as [string, string]
    t.equal(await status(tokens[0]), 200)
    keys.response = response
    clock.advance(9 * MINUTE)
    t.equal(await status(tokens[0]), 200)
    await until(() => keys.hits.length === 2)
    t.strictSame(await Promise.all(tokens.map(status)), [200, 200], name)
    const header = { alg: 'EdDSA', typ: 'at+jwt', kid: readKey(other).kid }
    const foreign = await get('/protected', createToken('EdDSA', header, long, other))
    t.equal(foreign.json().code, 'AUTH_KEYS_UNAVAILABLE', name)
    clock.advance(MINUTE)
    t.equal((await get('/protected', tokens[0])).json().code, 'AUTH_KEYS_UNAVAILABLE', name)
  }
})
