// The option `keys` from outside: what others read and verify by, that a change of keys under load refuses nobody and leaves no
// token good that a retired key signed, and that all else (refresh, logout, cookies, renewal) goes on as with a secret.

import cookie from '@fastify/cookie'
import { createSecretKey, generateKeyPairSync, KeyObject, randomBytes, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import * as jose from 'jose'
import t from 'tap'
import type { Test } from 'tap'
import { tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD, SECRET } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { createClock, MINUTE } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'

type Keys = NonNullable<TokenAuthOptions['keys']>

const JWKS = '/.well-known/jwks.json'
const scope = { issuer: 'https://a.example', audience: 'api' }
const ed = (): KeyObject => generateKeyPairSync('ed25519').privateKey
const secret = (): KeyObject => createSecretKey(randomBytes(64))
const own = {
  EdDSA: ed(),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
}
const pairs = [own.EdDSA, own.ES256, own.RS256, {
  key: own.RS256,
  alg: 'PS256',
  kid: 'ps'
}] as const

async function open (
  t: Test,
  keys: Keys | undefined,
  options: Partial<TokenAuthOptions> = {},
  given: TestAppOptions = {}
): Promise<TestApp> {
  const test = await createTestApp({
    ...given,
    options: { ...scope, ...(keys !== undefined && { keys }), ...options }
  })
  t.teardown(() => test.app.close())
  return test
}

function partOf (token: string, part: 0 | 1): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[part] ?? '', 'base64url').toString())
}

const statusOf = async (test: TestApp, token: string): Promise<number> =>
  (await test.get('/protected', token)).statusCode

t.test('the JWKS shows the public parts of all keys, in order, and may be kept', async t => {
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

t.test('the JWKS is where routes.jwks says, not below the prefix, and public where all routes are guarded', async t => {
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

t.test('a stranger who reads the JWKS verifies our tokens, and finds what RFC 9068 promises', async t => {
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

t.test('jti is there where others verify, one for a token', async t => {
  const test = await open(t, [own.EdDSA])
  const first = await test.login()
  const next = (await test.refresh(first.refresh_token)).json<TokenResponse>()
  const again = (await test.refresh(first.refresh_token)).json<TokenResponse>()
  const jtis = [first, next, again, await test.login()].map(({ access_token: token }) =>
    partOf(token, 1).jti
  )
  t.equal(jtis[1], jtis[2], 'a replay within grace is given the same one')
  t.equal(again.access_token, next.access_token, 'as the same text')
  t.equal(new Set(jtis).size, 3, 'another generation and another session have another')
  t.equal(
    partOf((await (await open(t, undefined)).login()).access_token, 1).jti,
    undefined,
    'none without keys'
  )
})

t.test('no spelling of a header makes the server look elsewhere for a key', async t => {
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
    const head = partOf(token, 0)
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
          await statusOf(test, `${input}.${last}`),
          401,
          `${String(head.alg)} ${JSON.stringify(members).slice(0, 60)}`
        )
      }
    }

    t.equal(await statusOf(test, token), 200)
  }

  t.strictSame(seen, [])
})

t.test('keys change under the load of 64 clients: nobody is refused, and then nothing of the retired key is good', async t => {
  const [old, next] = [ed(), own.ES256]
  const test = await open(t, [old], { clock: Date.now, accessToken: { cacheSize: 1000 } })
  const base = await test.app.listen({ host: '127.0.0.1', port: 0 })
  const remote = jose.createRemoteJWKSet(new URL(JWKS, base))
  const send = (url: string, token: string, body?: object): Promise<Response> =>
    fetch(base + url, {
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body && { method: 'POST', body: JSON.stringify(body) })
    })
  const refused: string[] = []
  const load = new AbortController()
  let rounds = 0
  const clients = await Promise.all(
    Array.from({ length: 64 }, async () => ({ first: '', ...await test.login() }))
  )
  const runs = clients.map(async client => {
    client.first = client.access_token

    while (!load.signal.aborted) {
      for (const url of ['/protected', '/auth/me']) {
        const response = await send(url, client.access_token)

        if (response.status !== 200) {
          refused.push(`${url} ${response.status}`)
        }

        await response.arrayBuffer()
      }

      await jose.jwtVerify(client.access_token, remote, scope).catch((error: Error) =>
        refused.push(`elsewhere: ${error.message}`)
      )
      const response = await send('/auth/refresh', '', { refresh_token: client.refresh_token })

      if (response.status === 200) {
        Object.assign(client, await response.json())
      } else {
        refused.push(`refresh ${response.status}`)
      }

      rounds++
    }
  })
  const isSignedBy = (alg: string): boolean =>
    clients.every(({ access_token: token }) => partOf(token, 0).alg === alg)

  const goOn = async (is: () => boolean): Promise<void> => {
    while (!is() && refused.length === 0) {
      await setTimeout(5)
    }
  }

  const another = (): () => boolean => (target => () => rounds >= target)(rounds + 64)

  await goOn(another())
  test.app.tokenAuth.rotateKeys([old, next])
  await remote.reload()
  await goOn(another())
  t.ok(isSignedBy('EdDSA'), 'announced, it does not sign')
  test.app.tokenAuth.rotateKeys([next, old])
  t.equal(
    (await test.get('/protected', clients[0]?.first)).statusCode,
    200,
    'a token of the old key is good meanwhile'
  )
  await goOn(() => isSignedBy('ES256'))
  t.strictSame(
    await Promise.all(clients.map(({ first }) => statusOf(test, first))),
    clients.map(() => 200),
    'all of them are, and remembered'
  )
  test.app.tokenAuth.rotateKeys([next])
  const afterwards = clients.map(({ first }) => statusOf(test, first))
  t.strictSame(await Promise.all(afterwards), clients.map(() => 401), 'at once none of them is')
  await goOn(another())
  load.abort()
  await Promise.all(runs)
  t.strictSame(refused, [])
  t.strictSame((await test.get(JWKS)).json().keys.map(({ alg }: { alg: string }) => alg), ['ES256'])
})

t.test('a key is retired where another has its kid, or it has another kid itself, also for tokens that were remembered', async t => {
  const replacements: Record<string, [Keys, Keys]> = {
    'another of its kind': [[{ key: ed(), kid: 'k' }], [{ key: ed(), kid: 'k' }]],
    'another kind': [[{ key: ed(), kid: 'k' }], [{ key: own.RS256, kid: 'k' }]],
    'a secret for a pair': [[{ key: ed(), kid: 'k' }], [{ key: secret(), kid: 'k' }]],
    'the same under another kid': [[{ key: own.EdDSA, kid: 'k' }], [own.EdDSA]]
  }

  for (const [name, [before, after]] of Object.entries(replacements)) {
    const test = await open(t, before, { accessToken: { cacheSize: 2 } })
    const { access_token: token, refresh_token: refresh } = await test.login()
    t.equal(await statusOf(test, token), 200)
    t.equal(
      await statusOf(test, (await test.login()).access_token),
      200,
      'so that the first is in the older half of what is remembered'
    )
    test.app.tokenAuth.rotateKeys(after)
    t.equal(await statusOf(test, token), 401, name)
    const response = await test.refresh(refresh)
    t.equal(response.statusCode, 200, 'its refresh token is good all the same')
    t.equal(await statusOf(test, response.json().access_token), 200)
    test.app.tokenAuth.rotateKeys(before)
    t.equal(await statusOf(test, token), 200, 'taken back')
  }
})

t.test('the same key for another alg retires what it signed', async t => {
  const test = await open(t, [{ key: own.RS256, alg: 'RS256' }])
  const { access_token: token } = await test.login()
  t.equal(await statusOf(test, token), 200)
  test.app.tokenAuth.rotateKeys([{ key: own.RS256, alg: 'PS256' }])
  t.equal(await statusOf(test, token), 401)
})

t.test('keys that cannot be used leave everything as it was', async t => {
  const test = await open(t, [own.EdDSA, own.ES256])
  const { access_token: token } = await test.login()
  const before = (await test.get(JWKS)).body
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey
  const other = ed()
  const wrong = [
    undefined,
    null,
    [],
    {},
    'x',
    [null],
    [other, null],
    [other, weak],
    [other, secret()],
    [other, other],
    own.EdDSA
  ]

  for (const keys of wrong) {
    t.throws(
      () => {
        test.app.tokenAuth.rotateKeys(keys as never)
      },
      TypeError,
      inspect(keys).slice(0, 40)
    )
    t.equal((await test.get(JWKS)).body, before)
    t.equal(await statusOf(test, token), 200)
    t.equal(partOf((await test.login()).access_token, 0).alg, 'EdDSA', 'the same one signs')
  }

  const without = await open(t, undefined)
  t.throws(() => {
    without.app.tokenAuth.rotateKeys([other])
  }, { name: 'TypeError', message: /needs an app that began with the option keys/ })
})

t.test('wrong keys fail at start; neither the error nor the log holds anything of them, nor of good ones', async t => {
  let log = ''
  const stream = new PassThrough().on('data', chunk => {
    log += String(chunk)
  })
  const start = (keys: unknown, options: object = {}): Promise<unknown> =>
    open(t, keys as Keys, options, { fastify: { logger: { level: 'trace', stream } } }).catch(
      (error: Error) => {
        log += inspect(error, { depth: 9, showHidden: true })
        return error.message
      }
    )
  const key = ed()
  const pem = key.export({ format: 'pem', type: 'pkcs8' })
  const jwk = key.export({ format: 'jwk' })
  const prefix = 'fastify-token-auth: keys'
  t.equal(
    await start([{ key: pem, alg: 'ES256' }]),
    `${prefix}[0] cannot be used with that alg: there is EdDSA`
  )
  t.match(
    await start([`${String(pem).slice(0, -40)}\n-----END PRIVATE KEY-----`]),
    `${prefix}[0] cannot be read`
  )
  t.match(await start([{ ...jwk, crv: 'P-256' }]), `${prefix}[0] cannot be read`)
  t.equal(await start([]), `${prefix}[0] must be a private key, or a secret: it signs`)
  t.match(await start([pem, jwk]), `${prefix} holds a kid twice`)
  t.match(await start(null), `${prefix} must be an array`)
  t.match(
    await start([pem], { accessToken: { secret: randomBytes(32) } }),
    /"accessToken\.secret" cannot be combined with "keys"; remove one of them$/
  )

  for (const less of [{ issuer: undefined }, { audience: undefined }]) {
    t.match(await start([pem], less), '"keys" requires "issuer" and "audience"; set both')
  }

  t.match(
    await start([pem], { secret: undefined }),
    /"secret" must be at least 32 random bytes, but is missing/,
    'refresh tokens are still signed by the secret'
  )
  const test = await start([pem]) as TestApp
  const { access_token: token } = await test.login()
  await test.get('/protected', `${token}A`)
  t.throws(() => {
    test.app.tokenAuth.rotateKeys([pem as string, { ...jwk, kid: 'x' }])
  })
  t.match(log, /"req"/)

  for (
    const text of [
      jwk.d as string,
      String(pem).split('\n')[1] as string,
      token.split('.')[2] as string
    ]
  ) {
    t.notOk(log.includes(text))
  }
})

t.test('an access token signed by a key logs out, until that key is retired', async t => {
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

t.test('cookies hold tokens of keys as they hold others', async t => {
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

  const algorithm = (): unknown => partOf(jar.get('__Host-auth-access') ?? '', 0).alg
  t.equal(await send('/auth/login', { username: 'ann', password: PASSWORD }), 200)
  t.equal(algorithm(), 'ES256')
  t.equal(await send('/protected'), 200)
  test.app.tokenAuth.rotateKeys([own.EdDSA])
  t.equal(await send('/protected'), 401)
  t.equal(await send('/auth/refresh', {}), 200)
  t.strictSame([algorithm(), await send('/protected')], ['EdDSA', 200])
  t.strictSame([await send('/auth/logout', {}), await send('/auth/refresh', {})], [204, 401])
})

t.test('a renewed token is a function of the one before: its claims always, its text where the algorithm is one too', async t => {
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
      [later, elsewhere].map(text => partOf(text, 1)),
      [partOf(one, 1), partOf(one, 1)],
      `${alg}: the claims`
    )
    t.not(partOf(one, 1).jti, partOf(token, 1).jti, `${alg}: another jti than before`)
    t.equal(later === one && elsewhere === one, deterministic[alg], `${alg}: the text`)
    t.equal(await statusOf(there, elsewhere), 200)
  }
})
