import * as jose from 'jose'
import t from 'tap'
import type { Auth, TokenResponse } from '../../../src/index.js'
import { MINUTE, SECOND } from '../../helpers/clock.js'
import {
  algorithms,
  claims,
  createEd25519Key,
  createHeader,
  createSystemClock,
  createToken,
  JWKS,
  pairs,
  startIssuer,
  startKeyServer,
  startVerifier,
  toJwk,
  toKeySet,
  until
} from './jwks-setup.js'

t.test('a token of every algorithm has the same content as at its issuer', async t => {
  for (const alg of algorithms) {
    const clock = createSystemClock(t)
    const issuer = await startIssuer(t, clock, [{ key: pairs[alg], alg }])
    const verifier = await startVerifier(t, issuer.base + JWKS, { clock })
    const { access_token: token } = await issuer.login()
    const [here, there] = [
      await verifier.get('/protected', token),
      await issuer.get('/protected', token)
    ]
    t.equal(here.statusCode, 200, alg)
    t.strictSame(here.json(), there.json(), alg)
    t.equal((await verifier.get('/protected', token)).body, here.body, 'from the cache')
    t.match(here.json(), {
      userId: 'u-ann',
      claims: { role: 'admin' },
      amr: ['pwd'],
      authenticatedAt: clock()
    })
    t.equal(issuer.hits.length, 1)
  }
})

t.test('a cached token is accepted synchronously, with a frozen `auth`', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const { app, clock } = await startVerifier(t, keys.uri)
  const authorization = `Bearer ${createToken('EdDSA')}`

  const ask = (): { auth: Auth | null, done: boolean, result: Promise<void> } => {
    const request = {
      routeOptions: { config: {} },
      headers: { authorization },
      raw: { rawHeaders: [] },
      auth: null as Auth | null
    }
    const asked = { auth: null as Auth | null, done: false, result: Promise.resolve() }
    asked.result = new Promise((resolve, reject) => {
      app.authenticate(request as never, null, error => {
        Object.assign(asked, { done: true, auth: request.auth })

        if (error === undefined) {
          resolve()
        } else {
          reject(error)
        }
      })
    })
    return asked
  }

  const first = ask()
  t.notOk(first.done)
  await first.result
  const second = ask()
  t.ok(second.done)
  t.equal(second.auth, first.auth)
  t.throws(() => {
    Object.assign(second.auth?.amr ?? [], ['otp'])
  })
  clock.advance(9 * MINUTE)
  t.ok(ask().done, 'while the key set is read again')
  await until(() => keys.hits.length === 2)
})

t.test('a key rotation under load rejects only tokens of the removed key', async t => {
  const clock = createSystemClock(t)
  const [old, next] = [createEd25519Key(), pairs.ES256]
  const issuer = await startIssuer(t, clock, [old], { accessToken: { lifetime: '12h' } })
  const verifier = await startVerifier(t, issuer.base + JWKS, { clock, cacheSize: 1000 })
  const base = await verifier.app.listen({ host: '127.0.0.1', port: 0 })
  const refused: string[] = []
  const clients = await Promise.all(
    Array.from({ length: 64 }, async () => ({ first: '', ...await issuer.login() }))
  )
  const load = new AbortController()
  let rounds = 0
  const runs = clients.map(async client => {
    client.first = client.access_token

    while (!load.signal.aborted) {
      for (const path of ['/protected', '/admin']) {
        const response = await fetch(base + path, {
          headers: { authorization: `Bearer ${client.access_token}` }
        })

        if (response.status !== 200) {
          refused.push(`${path} ${response.status}`)
        }

        await response.arrayBuffer()
      }

      const response = await issuer.refresh(client.refresh_token)

      if (response.statusCode === 200) {
        Object.assign(client, response.json<TokenResponse>())
      } else {
        refused.push(`refresh ${response.statusCode}`)
      }

      rounds++
    }
  })
  const goOn = (is: () => boolean): Promise<void> => until(() => is() || refused.length > 0)
  const another = (): () => boolean => (target => () => rounds >= target)(rounds + 128)
  const isSignedBy = (alg: string): boolean =>
    clients.every(({ access_token: token }) => jose.decodeProtectedHeader(token).alg === alg)

  await goOn(another())
  issuer.app.tokenAuth.rotateKeys([old, next])
  clock.advance(MINUTE)
  await goOn(another())
  t.equal(issuer.hits.length, 1, 'no token has an unknown kid yet')
  issuer.app.tokenAuth.rotateKeys([next, old])
  clock.advance(MINUTE)
  await goOn(() => isSignedBy('ES256'))
  await goOn(another())
  t.equal(issuer.hits.length, 2, 'because of the new kid')
  issuer.app.tokenAuth.rotateKeys([next])
  t.equal(await verifier.status(clients[0]?.first ?? ''), 200, 'the verifier does not know yet')
  clock.advance(10 * MINUTE)
  const statuses = await Promise.all(clients.map(({ first }) => verifier.status(first)))
  t.strictSame([...new Set(statuses)], [401])
  await goOn(another())
  load.abort()
  await Promise.all(runs)
  t.strictSame(refused, [])
  t.equal(issuer.hits.length, 3)
})

t.test('tokens of a removed key are rejected after maxAge until it returns', async t => {
  const replacements: Record<string, object[]> = {
    'the key is gone': [toJwk(pairs.ES256)],
    'another key has its kid': [
      toJwk(pairs.ES256),
      toJwk(createEd25519Key(), 'EdDSA', String(createHeader('EdDSA').kid))
    ],
    'two keys have its kid': [
      toJwk(pairs.ES256),
      toJwk(createEd25519Key(), 'EdDSA', String(createHeader('EdDSA').kid)),
      toJwk(pairs.EdDSA)
    ],
    'the key is for encryption now': [toJwk(pairs.ES256), { ...toJwk(pairs.EdDSA), use: 'enc' }]
  }

  for (const [name, after] of Object.entries(replacements)) {
    const keys = await startKeyServer(t, toJwk(pairs.EdDSA), toJwk(pairs.ES256))
    const { clock, status, get } = await startVerifier(t, keys.uri, { maxAge: '2m' })
    const [retired, kept, other] = [
      createToken('EdDSA'),
      createToken('ES256'),
      createToken('EdDSA', createHeader('EdDSA'), { ...claims, jti: 'x' })
    ]
    t.strictSame([await status(retired), await status(kept)], [200, 200])
    keys.response = toKeySet(...after)
    clock.advance(2 * MINUTE)
    t.equal(await status(kept), 200, 'after a new read')
    t.equal((await get('/protected', retired)).json().code, 'AUTH_ACCESS_INVALID', name)
    t.strictSame([await status(other), await status(kept)], [401, 200])
    keys.response = toKeySet(toJwk(pairs.EdDSA))
    clock.advance(2 * MINUTE)
    t.strictSame([await status(retired), await status(other), await status(kept)], [200, 200, 401])
    t.equal(keys.hits.length, 3)
  }
})

t.test('the key set is read in the background after half of maxAge', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const { clock, status } = await startVerifier(t, keys.uri)
  const token = createToken('EdDSA')
  await status(token)
  clock.advance(5 * MINUTE - 1)
  t.equal(await status(token), 200)
  t.equal(keys.hits.length, 1)
  clock.advance(1)
  keys.response = 'silent'
  t.strictSame(
    await Promise.all(Array.from({ length: 50 }, () => status(token))),
    Array(50).fill(200)
  )
  await until(() => keys.hits.length === 2)
})

t.test('tokens with unknown kids cause one read of the key set per cooldown', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const { clock, get, status } = await startVerifier(t, keys.uri)
  const unknown = (i: number): string =>
    createToken('EdDSA', { ...createHeader('EdDSA'), kid: `unknown-${i}` })

  const storm = async (): Promise<void> => {
    const responses = await Promise.all(
      Array.from({ length: 100 }, (_, i) => get('/protected', unknown(i)))
    )
    t.strictSame([...new Set(responses.map(response => response.json().code))], [
      'AUTH_ACCESS_INVALID'
    ])

    for (let i = 0; i < 100; i++) {
      t.equal(await status(unknown(i)), 401)
    }
  }

  await storm()
  t.equal(keys.hits.length, 1)
  clock.advance(30 * SECOND)
  await storm()
  t.equal(keys.hits.length, 2)
  keys.response = toKeySet(toJwk(pairs.EdDSA), toJwk(pairs.ES256))
  t.equal(await status(createToken('ES256')), 401, 'within the cooldown')
  clock.advance(30 * SECOND)
  t.strictSame(
    await Promise.all([createToken('ES256'), createToken('ES256'), unknown(1)].map(status)),
    [
      200,
      200,
      401
    ]
  )
  t.equal(keys.hits.length, 3)
  clock.advance(30 * SECOND)
  keys.response = 'down'
  t.strictSame(
    await Promise.all(Array.from({ length: 100 }, (_, i) => status(unknown(i)))),
    Array(100).fill(503)
  )

  for (let i = 0; i < 20; i++) {
    t.equal(await status(unknown(i)), 503)
  }

  t.equal(keys.hits.length, 4, 'no second read within 1 s of a failure')
  t.equal(await status(createToken('ES256')), 200)
})
