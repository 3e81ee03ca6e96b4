import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { PassThrough } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import { inspect } from 'node:util'
import * as jose from 'jose'
import t from 'tap'
import type { TestApp } from '../../helpers/app.js'
import { decodePart, ed, getStatus, JWKS, open, own, scope, secret } from './key-app.js'
import type { Keys } from './key-app.js'

t.test('64 clients keep working during a key rotation, and a retired key is rejected', async t => {
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
    clients.every(({ access_token: token }) => decodePart(token, 0).alg === alg)

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
  t.ok(isSignedBy('EdDSA'), 'an announced key does not sign')
  test.app.tokenAuth.rotateKeys([next, old])
  t.equal(
    (await test.get('/protected', clients[0]?.first)).statusCode,
    200,
    'a token of the old key is good meanwhile'
  )
  await goOn(() => isSignedBy('ES256'))
  t.strictSame(
    await Promise.all(clients.map(({ first }) => getStatus(test, first))),
    clients.map(() => 200),
    'all of them are, and remembered'
  )
  test.app.tokenAuth.rotateKeys([next])
  const afterwards = clients.map(({ first }) => getStatus(test, first))
  t.strictSame(
    await Promise.all(afterwards),
    clients.map(() => 401),
    'all tokens are rejected immediately'
  )
  await goOn(another())
  load.abort()
  await Promise.all(runs)
  t.strictSame(refused, [])
  t.strictSame((await test.get(JWKS)).json().keys.map(({ alg }: { alg: string }) => alg), ['ES256'])
})

t.test('a key with a changed kid retires its cached tokens', async t => {
  const replacements: Record<string, [Keys, Keys]> = {
    'another of its kind': [[{ key: ed(), kid: 'k' }], [{ key: ed(), kid: 'k' }]],
    'another kind': [[{ key: ed(), kid: 'k' }], [{ key: own.RS256, kid: 'k' }]],
    'a secret for a pair': [[{ key: ed(), kid: 'k' }], [{ key: secret(), kid: 'k' }]],
    'the same under another kid': [[{ key: own.EdDSA, kid: 'k' }], [own.EdDSA]]
  }

  for (const [name, [before, after]] of Object.entries(replacements)) {
    const test = await open(t, before, { accessToken: { cacheSize: 2 } })
    const { access_token: token, refresh_token: refresh } = await test.login()
    t.equal(await getStatus(test, token), 200)
    t.equal(
      await getStatus(test, (await test.login()).access_token),
      200,
      'so that the first is in the older half of what is remembered'
    )
    test.app.tokenAuth.rotateKeys(after)
    t.equal(await getStatus(test, token), 401, name)
    const response = await test.refresh(refresh)
    t.equal(response.statusCode, 200, 'its refresh token is still valid')
    t.equal(await getStatus(test, response.json().access_token), 200)
    test.app.tokenAuth.rotateKeys(before)
    t.equal(await getStatus(test, token), 200, 'the new key was removed')
  }
})

t.test('the same key with another alg retires its tokens', async t => {
  const test = await open(t, [{ key: own.RS256, alg: 'RS256' }])
  const { access_token: token } = await test.login()
  t.equal(await getStatus(test, token), 200)
  test.app.tokenAuth.rotateKeys([{ key: own.RS256, alg: 'PS256' }])
  t.equal(await getStatus(test, token), 401)
})

t.test('invalid keys change nothing', async t => {
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
    t.equal(await getStatus(test, token), 200)
    t.equal(decodePart((await test.login()).access_token, 0).alg, 'EdDSA', 'the same one signs')
  }

  const without = await open(t, undefined)
  t.throws(() => {
    without.app.tokenAuth.rotateKeys([other])
  }, {
    name: 'TypeError',
    message: 'fastify-token-auth: rotateKeys requires the option "keys" at startup'
  })
})

t.test('invalid keys fail at startup without a trace of key material', async t => {
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
  const unreadable = 'fastify-token-auth: "keys[0]" must be PEM (SPKI or PKCS #8, not encrypted)'
  t.equal(
    await start([{ key: pem, alg: 'ES256' }]),
    'fastify-token-auth: "keys[0]" cannot be used with this alg; valid: EdDSA'
  )
  t.match(
    await start([`${String(pem).slice(0, -40)}\n-----END PRIVATE KEY-----`]),
    unreadable
  )
  t.match(await start([{ ...jwk, crv: 'P-256' }]), unreadable)
  t.equal(
    await start([]),
    'fastify-token-auth: "keys[0]" must be a private key or a secret, because it signs'
  )
  t.match(await start([pem, jwk]), 'fastify-token-auth: "keys" must not contain a kid twice')
  t.match(await start(null), 'fastify-token-auth: "keys" must be an array')
  t.match(
    await start([pem], { accessToken: { secret: randomBytes(32) } }),
    /"accessToken\.secret" cannot be combined with "keys"; remove one of them, or add "secret" to "keys"$/
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
