import cookie from '@fastify/cookie'
import { generateKeyPairSync, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import * as jose from 'jose'
import t from 'tap'
import { tokenAuth } from '../../../src/index.js'
import type { TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { PASSWORD, SECRET } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createClock, MINUTE } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'
import { decodePart, ed, getStatus, JWKS, open, own, scope, secret } from './key-app.js'
import type { Keys } from './key-app.js'

const pairs = [own.EdDSA, own.ES256, own.RS256, {
  key: own.RS256,
  alg: 'PS256',
  kid: 'ps'
}] as const

t.test('the JWKS contains the public parts of all keys in order', async t => {
  const test = await open(t, pairs)
  const response = await test.get(JWKS)
  t.equal(response.statusCode, 200)
  t.match(response.headers, {
    'cache-control': 'public, max-age=300',
    'content-type': /^application\/jwk-set\+json/
  })
  t.notOk(response.headers['set-cookie'])
  t.strictSame(Object.keys(response.json()), ['keys'])
  const { keys } = response.json<{ keys: Array<Record<string, string>> }>()
  t.strictSame(keys.map(({ kty, alg, use, kid }) => ({ kty, alg, use, kid })), [
    {
      kty: 'OKP',
      alg: 'EdDSA',
      use: 'sig',
      kid: await jose.calculateJwkThumbprint(own.EdDSA.export({ format: 'jwk' }) as jose.JWK)
    },
    {
      kty: 'EC',
      alg: 'ES256',
      use: 'sig',
      kid: await jose.calculateJwkThumbprint(own.ES256.export({ format: 'jwk' }) as jose.JWK)
    },
    {
      kty: 'RSA',
      alg: 'RS256',
      use: 'sig',
      kid: await jose.calculateJwkThumbprint(own.RS256.export({ format: 'jwk' }) as jose.JWK)
    },
    { kty: 'RSA', alg: 'PS256', use: 'sig', kid: 'ps' }
  ])
  const members = new Set(['kty', 'alg', 'use', 'kid', 'crv', 'x', 'y', 'n', 'e'])
  t.strictSame(
    keys.flatMap(key => Object.keys(key)).filter(member => !members.has(member)),
    [],
    'no private member'
  )
  t.equal((await test.app.inject({ method: 'HEAD', url: JWKS })).statusCode, 200)
  t.equal((await test.app.inject({ method: 'POST', url: JWKS })).statusCode, 404)
})

t.test('the JWKS is public at the path of routes.jwks', async t => {
  const statuses = async (test: TestApp, ...urls: string[]): Promise<number[]> =>
    Promise.all(urls.map(async url => (await test.get(url)).statusCode))
  t.strictSame(await statuses(await open(t, pairs), JWKS, `/auth${JWKS}`), [200, 404], 'by default')
  t.strictSame(
    await statuses(
      await open(t, pairs, { routes: { jwks: '/keys' }, prefix: '/x' }),
      '/keys',
      '/x/keys',
      JWKS
    ),
    [200, 404, 404],
    'moved'
  )
  t.strictSame(
    await statuses(await open(t, pairs, { routes: { jwks: false } }), JWKS),
    [404],
    'false'
  )
  t.strictSame(await statuses(await open(t, undefined), JWKS), [404], 'without keys')
  t.strictSame(
    (await (await open(t, [secret()])).get(JWKS)).json(),
    { keys: [] },
    'secrets are nobody else\'s'
  )

  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(tokenAuth, {
    ...scope,
    secret: SECRET,
    store: new MemoryStore(),
    sweep: false,
    users: { findByLogin: () => null, findById: () => null },
    keys: pairs
  })
  app.addHook('onRequest', app.authenticate)
  t.equal((await app.inject(JWKS)).statusCode, 200)
})

t.test('a service with only the JWKS can verify tokens of RFC 9068', async t => {
  for (const key of pairs) {
    const test = await open(t, [key], {}, { clock: createClock(Date.now()) })
    const base = await test.app.listen({ host: '127.0.0.1', port: 0 })
    const { access_token: token } = await test.login()
    const { payload, protectedHeader } = await jose.jwtVerify(
      token,
      jose.createRemoteJWKSet(new URL(JWKS, base)),
      { ...scope, typ: 'at+jwt' }
    )
    t.match(payload, {
      sub: 'u-ann',
      iss: scope.issuer,
      aud: scope.audience,
      jti: /./,
      iat: Number,
      exp: Number
    }, protectedHeader.alg)
  }
})

t.test('tokens signed by a key pair have a unique jti', async t => {
  const test = await open(t, [own.EdDSA])
  const first = await test.login()
  const next = (await test.refresh(first.refresh_token)).json<TokenResponse>()
  const again = (await test.refresh(first.refresh_token)).json<TokenResponse>()
  const jtis = [first, next, again, await test.login()].map(({ access_token: token }) =>
    decodePart(token, 1).jti
  )
  t.equal(jtis[1], jtis[2], 'a replay within the grace period returns the same token')
  t.equal(again.access_token, next.access_token, 'as the same string')
  t.equal(new Set(jtis).size, 3, 'other generations and sessions have other tokens')
  t.equal(
    decodePart((await (await open(t, undefined)).login()).access_token, 1).jti,
    undefined,
    'none without keys'
  )
})

t.test('no header member makes the server load another key', async t => {
  const seen: string[] = []
  const trap = createServer((request, response) => {
    seen.push(request.url ?? '')
    response.end(JSON.stringify({ keys: [mine] }))
  }).on('connection', () => {
    seen.push('a connection')
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => {
    trap.once('listening', resolve)
  })
  t.teardown(() => trap.close())
  const at = `http://127.0.0.1:${(trap.address() as AddressInfo).port}`
  const thief = ed()
  const mine: object = {
    ...generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }),
    kid: 'thief',
    alg: 'EdDSA'
  }

  for (const key of [...pairs, secret()]) {
    const test = await open(t, [key])
    const { access_token: token } = await test.login()
    const head = decodePart(token, 0)
    const heads = [
      { jku: `${at}/jku` },
      { x5u: `${at}/x5u` },
      { jwk: mine },
      { x5c: [`${at}/x5c`] },
      { kid: `${at}/kid` },
      { kid: { jku: at } },
      { crit: ['b64'], b64: false },
      { kid: ['thief'] },
      { kid: '__proto__' },
      { alg: 'none' },
      { jku: `${at}/jku`, kid: 'thief', alg: 'EdDSA' },
      { alg: 'EdDSA', jwk: mine },
      { typ: 'JWT' }
    ]

    for (const members of heads) {
      const input = `${
        Buffer.from(JSON.stringify({ ...head, ...members })).toString('base64url')
      }.${token.split('.')[1] ?? ''}`

      for (
        const last of [
          sign(null, Buffer.from(input), thief).toString('base64url'),
          token.split('.')[2] ?? '',
          ''
        ]
      ) {
        t.equal(
          await getStatus(test, `${input}.${last}`),
          401,
          `${String(head.alg)} ${JSON.stringify(members).slice(0, 60)}`
        )
      }
    }

    t.equal(await getStatus(test, token), 200)
  }

  t.strictSame(seen, [])
})

t.test('logout accepts an access token until its key is retired', async t => {
  for (const key of [...pairs, secret()]) {
    const test = await open(t, [key])
    const logOut = async (token: string): Promise<number> =>
      (await test.post('/auth/logout', undefined, { authorization: `Bearer ${token}` })).statusCode
    const [one, other] = [await test.login(), await test.login()]
    t.equal(await logOut(one.access_token), 204)
    t.equal((await test.get('/protected', one.access_token)).json().code, 'AUTH_SESSION_REVOKED')
    t.equal((await test.refresh(one.refresh_token)).json().code, 'AUTH_REFRESH_REVOKED')
    test.app.tokenAuth.rotateKeys([ed()])
    await logOut(other.access_token)
    t.equal(
      (await test.refresh(other.refresh_token)).statusCode,
      200,
      'a token that proves nothing ends nothing'
    )
  }
})

t.test('cookies carry tokens that are signed by a key pair', async t => {
  const options = { refreshToken: { transport: 'cookie' }, cookie: { accessToken: true } } as const
  const test = await open(t, [own.ES256, own.RS256], options, {
    before: app => app.register(cookie)
  })
  const jar = new Map<string, string>()

  const send = async (url: string, payload?: object): Promise<number> => {
    const headers = {
      cookie: Array.from(jar, ([name, value]) => `${name}=${value}`).join('; '),
      'sec-fetch-site': 'same-origin'
    }
    const response = await test.app.inject({
      url,
      headers,
      ...(payload && { method: 'POST', payload })
    })

    for (const { name, value } of response.cookies) {
      jar.set(name, value)
    }

    return response.statusCode
  }

  const algorithm = (): unknown => decodePart(jar.get('__Host-auth-access') ?? '', 0).alg
  t.equal(await send('/auth/login', { username: 'ann', password: PASSWORD }), 200)
  t.equal(algorithm(), 'ES256')
  t.equal(await send('/protected'), 200)
  test.app.tokenAuth.rotateKeys([own.EdDSA])
  t.equal(await send('/protected'), 401)
  t.equal(await send('/auth/refresh', {}), 200)
  t.strictSame([algorithm(), await send('/protected')], ['EdDSA', 200])
  t.strictSame([await send('/auth/logout', {}), await send('/auth/refresh', {})], [204, 401])
})

t.test('a renewed token is derived from its predecessor', async t => {
  const deterministic = { EdDSA: true, RS256: true, HS512: true, ES256: false, PS256: false }
  const keys = {
    ...own,
    PS256: { key: own.RS256, alg: 'PS256' },
    HS512: { key: secret(), alg: 'HS512' }
  } as const

  for (const [alg, key] of Object.entries(keys) as Array<[keyof typeof keys, Keys[0]]>) {
    const [store, clock]: [MemoryStore, TestClock] = [new MemoryStore(), createClock()]
    const options = {
      accessToken: { lifetime: '15m', renewWithin: '5m' },
      revocations: false
    } as const
    const [here, there] = [
      await open(t, [key], options, { store, clock }),
      await open(t, [key], options, { store, clock })
    ]
    const { access_token: token } = await here.login()
    clock.advance(11 * MINUTE)
    const renew = async (test: TestApp): Promise<string> =>
      (await test.get('/protected', token)).headers['x-new-token'] as string
    const [one, same] = await Promise.all([renew(here), renew(here)])
    clock.advance(2 * MINUTE)
    const [later, elsewhere] = [await renew(here), await renew(there)]
    t.equal(one, same, `${alg}: at once`)
    t.strictSame(
      [later, elsewhere].map(text => decodePart(text, 1)),
      [decodePart(one, 1), decodePart(one, 1)],
      `${alg}: the claims`
    )
    t.not(decodePart(one, 1).jti, decodePart(token, 1).jti, `${alg}: another jti than before`)
    t.equal(later === one && elsewhere === one, deterministic[alg], `${alg}: the text`)
    t.equal(await getStatus(there, elsewhere), 200)
  }
})
