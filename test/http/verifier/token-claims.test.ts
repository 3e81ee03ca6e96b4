import { inspect } from 'node:util'
import t from 'tap'
import { TokenAuthError } from '../../../src/errors.js'
import { HOUR, MINUTE, SECOND } from '../../helpers/clock.js'
import {
  claims,
  createHeader,
  createSignature,
  createSystemClock,
  createToken,
  encode,
  JWKS,
  now,
  pairs,
  scope,
  startIssuer,
  startKeyServer,
  startVerifier,
  toJwk
} from './jwks-setup.js'

t.test('a token with a claim of the wrong type or value is rejected', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const { get } = await startVerifier(t, keys.uri)

  const codeOf = async (payload: unknown): Promise<unknown> => {
    const response = await get('/protected', createToken('EdDSA', createHeader('EdDSA'), payload))
    return response.statusCode === 200 ? 200 : response.json().code
  }

  const good: Record<string, object> = {
    'an audience among others': { aud: ['x', 'api'] },
    'nbf of now': { nbf: now },
    'a clock a minute ahead': { iat: now + 60, nbf: now + 60 },
    'no amr': { amr: undefined }
  }

  for (const [name, members] of Object.entries(good)) {
    t.equal(await codeOf({ ...claims, ...members }), 200, name)
  }

  const numbers = [undefined, null, '1', -1, 1.5, 1e308, 2 ** 53, [now], {}, true]
  const texts = [undefined, null, '', 1, {}, ['u-ann'], true]
  const wrong: Record<string, unknown[]> = {
    iss: [...texts, 'https://b.example', 'https://a.example/', [scope.issuer]],
    aud: [...texts, 'API', 'api ', [], ['x'], ['api', 1], ['api', ''], [['api']], { api: 'api' }],
    sub: texts,
    sid: texts,
    jti: texts,
    type: [...texts, 'refresh', 'Access'],
    gen: numbers,
    auth_time: numbers,
    exp: numbers,
    iat: [...numbers, now + 61],
    nbf: [...numbers.slice(1), now + 61],
    amr: [null, 'pwd', [1], [''], {}],
    cnf: [{ jkt: 'x' }, null]
  }

  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      t.equal(
        await codeOf({ ...claims, [name]: value }),
        'AUTH_ACCESS_INVALID',
        `${name} ${inspect(value)}`
      )
    }
  }

  for (const value of [now, now - 1, 0]) {
    t.equal(await codeOf({ ...claims, exp: value }), 'AUTH_ACCESS_EXPIRED', `exp ${value}`)
  }

  for (
    const payload of [
      'null',
      '[]',
      '""',
      '1',
      `\uFEFF${JSON.stringify(claims)}`,
      '{',
      `{"__proto__":${JSON.stringify(claims)}}`
    ]
  ) {
    t.equal(await codeOf(payload), 'AUTH_ACCESS_INVALID', payload.slice(0, 20))
  }

  const input = `${encode(createHeader('EdDSA'))}.${
    Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url')
  }`
  t.equal(
    (await get('/protected', `${input}.${createSignature('EdDSA', input, pairs.EdDSA)}`))
      .statusCode,
    401,
    'no UTF-8'
  )
})

t.test('a token expires to the second, cached or not, also after the clock was ahead', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const { clock, get, status } = await startVerifier(t, keys.uri)
  const token = createToken('EdDSA', createHeader('EdDSA'), { ...claims, exp: now + 90 })
  t.equal(await status(token), 200)
  clock.advance(90 * SECOND - 1)
  t.equal(await status(token), 200)
  clock.advance(1)
  const late = await get('/protected', token)
  t.equal(late.json().code, 'AUTH_ACCESS_EXPIRED')
  const { message } = new TokenAuthError('AUTH_ACCESS_EXPIRED')
  t.equal(
    late.headers['www-authenticate'],
    `Bearer realm="auth", error="invalid_token", error_description="${message}"`
  )
  t.equal((await get('/protected', token)).json().code, 'AUTH_ACCESS_EXPIRED')
  clock.advance(HOUR)
  const future = createToken('EdDSA', createHeader('EdDSA'), {
    ...claims,
    iat: now + 3600,
    exp: now + 7200
  })
  t.equal(await status(future), 200)
  clock.set(now * 1000)
  t.equal(await status(future), 401)
  t.equal(await status(createToken('EdDSA')), 200)
  clock.advance(4 * MINUTE)
  const ahead = createToken('EdDSA', createHeader('EdDSA'), { ...claims, iat: now + 240 })
  t.equal(await status(ahead), 200)
  clock.advance(-3 * MINUTE)
  t.equal(await status(ahead), 401, 'despite the old key set')
})

t.test('a token of a revoked session is accepted until the token expires', async t => {
  const clock = createSystemClock(t)
  const issuer = await startIssuer(t, clock, [pairs.EdDSA])
  const { status } = await startVerifier(t, issuer.base + JWKS, { clock })
  const { access_token: token, refresh_token: refresh } = await issuer.login()
  await issuer.post('/auth/logout', { refresh_token: refresh })
  t.equal((await issuer.get('/protected', token)).statusCode, 401)
  t.equal(await status(token), 200)
  clock.advance(15 * MINUTE)
  t.equal(await status(token), 401)
})
