// A service that issues nothing, and demands proofs of possession (DPoP, RFC 9449): a token that is bound to a key is worth
// nothing without it, a proof is for one request, once, and one whose clock is wrong is told a nonce.

import { createHash, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { mock } from 'node:test'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import type { LightMyRequestResponse } from 'fastify'
import * as jose from 'jose'
import * as oauth from 'oauth4webapi'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse } from '../../../src/index.js'
import { MemoryAttempts } from '../../../src/stores/memory/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import type { TokenVerifierOptions } from '../../../src/verifier/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import { createClock, HOUR, MINUTE, SECOND } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'

const scope = { issuer: 'https://a.example', audience: 'api' }
const client = { clientId: 'orders', clientSecret: 'Zt5vRk2mQx8Lw4Yn7Bc1Jd6Hf9Gs3Pa0' }
const signing = generateKeyPairSync('ed25519').privateKey
const HERE = 'http://localhost/protected'

// Whoever holds a key

interface Holder {
  readonly publicKey: jose.CryptoKey
  readonly privateKey: jose.CryptoKey
}

/** What a proof says, beside what it says by itself. `undefined` takes a claim away. */
type Says = Readonly<Record<string, unknown>>

async function prove (
  holder: Holder,
  token: string | null,
  says: Says = {},
  alg = 'ES256'
): Promise<string> {
  const ath = token === null ? undefined : createHash('sha256').update(token).digest('base64url')
  const payload = {
    jti: randomUUID(),
    htm: 'GET',
    htu: HERE,
    ath,
    iat: createClock()() / 1000,
    ...says
  }

  return new jose.SignJWT(payload)
    .setProtectedHeader({ alg, typ: 'dpop+jwt', jwk: await jose.exportJWK(holder.publicKey) })
    .sign(holder.privateKey)
}

const [ann, thief] = await Promise.all([
  oauth.generateKeyPair('ES256'),
  oauth.generateKeyPair('ES256')
])

// An issuer whose app is a real one, on a real port

interface Issuer {
  readonly base: string
  /** @param holder To whose key the tokens are bound; `null` for none. */
  login(holder: Holder | null): Promise<TokenResponse>
}

async function issue (t: Test, clock: TestClock | (() => number) = createClock()): Promise<Issuer> {
  const { app } = await createTestApp({
    clock: clock as TestClock,
    options: { ...scope, keys: [signing], oauth: { clients: [client] }, dpop: { nonces: false } }
  })
  t.teardown(() => app.close())
  const base = await app.listen({ host: '127.0.0.1', port: 0 })

  return {
    base,
    async login (holder) {
      const says = { htm: 'POST', htu: `${base}/auth/login`, iat: Math.floor(clock() / 1000) }
      const response = await fetch(`${base}/auth/login`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(holder !== null && { dpop: await prove(holder, null, says) })
        },
        body: JSON.stringify({ username: 'ann', password: PASSWORD })
      })
      return await response.json() as TokenResponse
    }
  }
}

// The service that verifies

interface Verifier {
  get(headers: Record<string, string>, url?: string): Promise<LightMyRequestResponse>
  /** 200, or the code of the error. */
  ask(scheme: string, token: string, proof?: string): Promise<unknown>
}

async function verify (
  t: Test,
  { base }: Issuer,
  dpop?: TokenVerifierOptions['dpop'],
  options: Partial<TokenVerifierOptions> = {}
): Promise<Verifier> {
  const app = Fastify()
  t.teardown(() => app.close())
  const source = options.introspection === undefined
    ? { jwksUri: `${base}/.well-known/jwks.json` }
    : {}
  const given = dpop === undefined ? {} : { dpop }
  await app.register(tokenVerifier, {
    ...source,
    ...scope,
    clock: createClock(),
    ...given,
    ...options
  })
  app.get('/protected', { onRequest: app.authenticate }, request => request.auth)
  app.get('/twice', { onRequest: [app.authenticate, app.authenticate] }, () => 'twice')
  app.get(
    '/public',
    { onRequest: app.authenticate, config: { tokenAuth: 'public' } },
    () => 'public'
  )
  await app.ready()
  const get: Verifier['get'] = async (headers, url = '/protected') =>
    app.inject({ url, headers: { host: 'localhost', ...headers } })

  return {
    get,
    async ask (scheme, token, proof) {
      const response = await get({
        authorization: `${scheme} ${token}`,
        ...(proof !== undefined && { dpop: proof })
      })

      if (response.statusCode === 200) {
        return 200
      }

      return response.statusCode === 401 ? response.json().code : response.statusCode
    }
  }
}

t.test('a token that is bound to a key is good with a proof of it, once, and with nothing else', async t => {
  const issuer = await issue(t)
  const { access_token: token, token_type: type } = await issuer.login(ann)
  const { access_token: other } = await issuer.login(ann)
  t.equal(type, 'DPoP')
  const asking = { uri: `${issuer.base}/auth/introspect`, ...client }
  const verifiers: Record<string, Verifier> = {
    'by keys': await verify(t, issuer, { nonces: false }),
    'by asking': await verify(t, issuer, { nonces: false }, { introspection: asking }),
    required: await verify(t, issuer, { nonces: false, required: true })
  }

  for (const [name, { ask, get }] of Object.entries(verifiers)) {
    const invalid = 'AUTH_ACCESS_INVALID'
    t.equal(await ask('Bearer', token), invalid, `${name}: as bearer, before it was ever seen`)
    const proof = await prove(ann, token)
    t.equal(await ask('DPoP', token, proof), 200, name)
    t.equal(await ask('dpop', token, await prove(ann, token)), 200, `${name}: a scheme has no case`)
    t.match((await get({ authorization: `DPoP ${token}`, dpop: await prove(ann, token) })).json(), {
      userId: 'u-ann',
      claims: {}
    })
    t.equal(await ask('DPoP', token, proof), 'AUTH_DPOP_INVALID', `${name}: the proof again`)
    t.equal(await ask('Bearer', token), invalid, `${name}: as bearer`)
    t.equal(
      await ask('Bearer', token, await prove(ann, token)),
      invalid,
      `${name}: as bearer with a proof`
    )
    t.equal(await ask('DPoP', token), 'AUTH_DPOP_INVALID', `${name}: without a proof`)
    t.equal(await ask('DPoP', token, await prove(thief, token)), invalid, `${name}: of another key`)
    const wrong: Record<string, string> = {
      'another token': await prove(ann, other),
      'no token': await prove(ann, null),
      'another method': await prove(ann, token, { htm: 'POST' }),
      'another address': await prove(ann, token, { htu: 'http://localhost/public' }),
      'another host': await prove(ann, token, { htu: 'http://example.org/protected' }),
      'another scheme': await prove(ann, token, { htu: 'https://localhost/protected' }),
      'no jti': await prove(ann, token, { jti: undefined }),
      'a minute and a second ago': await prove(ann, token, { iat: createClock()() / 1000 - 61 }),
      'a minute and a second ahead': await prove(ann, token, { iat: createClock()() / 1000 + 61 }),
      'two proofs': `${await prove(ann, token)}, ${await prove(ann, token)}`,
      'no proof': 'x',
      empty: ''
    }

    for (const [what, text] of Object.entries(wrong)) {
      t.equal(await ask('DPoP', token, text), 'AUTH_DPOP_INVALID', `${name}: of ${what}`)
    }

    t.equal(
      await ask('DPoP', token, await prove(ann, token, { htu: `${HERE}?x#y` })),
      200,
      'query and fragment are of no matter'
    )
  }
})

t.test('two hooks that ask of one request see one proof, which was sent once', async t => {
  const issuer = await issue(t)
  const { access_token: token } = await issuer.login(ann)
  const { get } = await verify(t, issuer, { nonces: false })
  const headers = {
    authorization: `DPoP ${token}`,
    dpop: await prove(ann, token, { htu: 'http://localhost/twice' })
  }
  t.equal((await get(headers, '/twice')).body, 'twice')
  t.equal((await get(headers, '/twice')).statusCode, 401)
})

t.test('proofs of every algorithm', async t => {
  const issuer = await issue(t)
  const { ask } = await verify(t, issuer, { nonces: false })

  for (const alg of ['ES256', 'EdDSA', 'PS256', 'RS256']) {
    const pair = await jose.generateKeyPair(alg, { extractable: true })
    const says = { htm: 'POST', htu: `${issuer.base}/auth/login` }
    const response = await fetch(says.htu, {
      method: 'POST',
      headers: { 'content-type': 'application/json', dpop: await prove(pair, null, says, alg) },
      body: JSON.stringify({ username: 'ann', password: PASSWORD })
    })
    const { access_token: token } = await response.json() as TokenResponse
    t.equal(await ask('DPoP', token, await prove(pair, token, {}, alg)), 200, alg)
  }
})

t.test('a token that is bound to none is good as bearer, unless proofs are required, and never under the scheme DPoP', async t => {
  const issuer = await issue(t)
  const { access_token: token } = await issuer.login(null)
  const expected: Array<[TokenVerifierOptions['dpop'], unknown]> = [
    [{ nonces: false }, 200],
    [true, 200],
    [undefined, 200],
    [false, 200],
    [{ required: true }, 'AUTH_ACCESS_INVALID']
  ]

  for (const [dpop, asBearer] of expected) {
    const { ask } = await verify(t, issuer, dpop)
    const invalid = dpop === undefined || dpop === false
      ? 'AUTH_ACCESS_MISSING'
      : 'AUTH_ACCESS_INVALID'

    for (const when of ['at first', 'remembered']) {
      t.equal(await ask('Bearer', token), asBearer, `${inspect(dpop)} ${when}`)
      t.equal(
        await ask('DPoP', token, await prove(ann, token)),
        invalid,
        `${inspect(dpop)} ${when}`
      )
      t.equal(await ask('DPoP', token), invalid)
    }
  }
})

t.test('where there are no proofs, a token that is bound to a key is refused', async t => {
  const issuer = await issue(t)
  const { access_token: token } = await issuer.login(ann)
  const asking = { introspection: { uri: `${issuer.base}/auth/introspect`, ...client } }

  for (
    const verifier of [
      await verify(t, issuer),
      await verify(t, issuer, false),
      await verify(t, issuer, undefined, asking)
    ]
  ) {
    for (const when of ['at first', 'remembered']) {
      t.equal(await verifier.ask('Bearer', token), 'AUTH_ACCESS_INVALID', when)
      t.equal(
        await verifier.ask('DPoP', token, await prove(ann, token)),
        'AUTH_ACCESS_MISSING',
        when
      )
    }

    const { headers } = await verifier.get({ authorization: `Bearer ${token}` })
    t.match(headers['www-authenticate'], /^Bearer realm="auth", error="invalid_token"[^D]*$/)
  }
})

t.test('the challenge names DPoP and what proofs may be signed with', async t => {
  const issuer = await issue(t)
  const { access_token: token } = await issuer.login(ann)
  const { get } = await verify(t, issuer, { nonces: false }, { name: 'orders' })
  const challenge = async (headers: Record<string, string>): Promise<unknown> =>
    (await get(headers)).headers['www-authenticate']
  const dpop = 'DPoP realm="orders", algs="ES256 Ed25519 EdDSA PS256 RS256"'
  t.equal(await challenge({}), `Bearer realm="orders", ${dpop}`)
  t.match(
    await challenge({ authorization: `Bearer ${token}` }),
    new RegExp(`^Bearer realm="orders", error="invalid_token", [^,]*, ${dpop}$`)
  )
  t.match(
    await challenge({ authorization: `DPoP ${token}`, dpop: 'x' }),
    new RegExp(`^${dpop}, error="invalid_dpop_proof"`)
  )
  t.match(
    await challenge({ authorization: `DPoP ${token}`, dpop: await prove(thief, token) }),
    new RegExp(`^${dpop}, error="invalid_token"`)
  )
  const { body } = await get({ authorization: `DPoP ${token}`, dpop: 'x' }, '/public')
  t.equal(body, 'public')
})

t.test('a proof without a nonce is told one, with which it is good until the nonce is old, whatever its clock says', async t => {
  const clock = createClock()
  const issuer = await issue(t, clock)
  const { access_token: token } = await issuer.login(ann)
  const { get, ask } = await verify(t, issuer, { secret: randomBytes(48) }, { clock })
  const first = await get({ authorization: `DPoP ${token}`, dpop: await prove(ann, token) })
  t.match(first.json(), { statusCode: 401, code: 'AUTH_DPOP_NONCE' })
  t.match(first.headers['www-authenticate'], /^DPoP .*error="use_dpop_nonce"/)
  t.match(first.headers, {
    'cache-control': 'no-store',
    'access-control-expose-headers': /dpop-nonce/
  })
  const nonce = String(first.headers['dpop-nonce'])
  const wrongClock = { iat: clock() / 1000 - HOUR, nonce }
  const proof = await prove(ann, token, wrongClock)
  const second = await get({ authorization: `DPoP ${token}`, dpop: proof })
  t.equal(second.statusCode, 200)
  t.notOk(second.headers['dpop-nonce'], 'it has the newest')
  t.equal(await ask('DPoP', token, proof), 'AUTH_DPOP_INVALID', 'the proof again')
  t.equal(
    await ask(
      'DPoP',
      token,
      await prove(ann, token, { nonce: randomBytes(32).toString('base64url') })
    ),
    'AUTH_DPOP_NONCE'
  )
  clock.advance(MINUTE)
  const later = await get({
    authorization: `DPoP ${token}`,
    dpop: await prove(ann, token, wrongClock)
  })
  t.equal(later.statusCode, 200)
  t.type(later.headers['dpop-nonce'], 'string')
  t.not(later.headers['dpop-nonce'], nonce, 'told of the next one ahead of time')
  clock.advance(MINUTE)
  t.equal(await ask('DPoP', token, await prove(ann, token, wrongClock)), 'AUTH_DPOP_NONCE')
  t.equal(
    await ask('DPoP', token, proof),
    'AUTH_DPOP_NONCE',
    'by when a proof is forgotten, it is too old'
  )
  t.equal(
    await ask(
      'DPoP',
      token,
      await prove(ann, token, { nonce: String(later.headers['dpop-nonce']) })
    ),
    200
  )
})

t.test('nonces of one instance are good at another with the same secret, and at no other; without a secret there are none', async t => {
  const issuer = await issue(t)
  const { access_token: token } = await issuer.login(ann)
  const secret = randomBytes(48).toString('base64')
  const one = await verify(t, issuer, { secret })
  const { headers } = await one.get({
    authorization: `DPoP ${token}`,
    dpop: await prove(ann, token)
  })
  const nonce = String(headers['dpop-nonce'])
  const others: Array<[TokenVerifierOptions['dpop'], string, unknown]> = [
    [{ secret }, 'auth', 200],
    [{ secret: randomBytes(48) }, 'auth', 'AUTH_DPOP_NONCE'],
    [true, 'auth', 200],
    [{ secret }, 'orders', 'AUTH_DPOP_NONCE']
  ]

  for (const [dpop, name, expected] of others) {
    const other = await verify(t, issuer, dpop, { name })
    t.equal(
      await other.ask('DPoP', token, await prove(ann, token, { nonce })),
      expected,
      `${inspect(dpop)} ${name}`
    )
  }

  t.equal(await one.ask('DPoP', token, await prove(ann, token, { nonce })), 200)

  for (const instance of [await verify(t, issuer, true), await verify(t, issuer, true)]) {
    t.equal(
      await instance.ask('DPoP', token, await prove(ann, token)),
      200,
      'without a secret none is asked for: another would refuse it'
    )
  }

  const introspection = { uri: `${issuer.base}/auth/introspect`, ...client }
  const asking = await verify(t, issuer, true, { introspection })
  const told = await asking.get({ authorization: `DPoP ${token}`, dpop: await prove(ann, token) })
  const proof = await prove(ann, token, { nonce: told.headers['dpop-nonce'] })
  t.equal(
    await (await verify(t, issuer, true, { introspection })).ask('DPoP', token, proof),
    200,
    'whoever asks the issuer has one'
  )
})

t.test('a proof that was used at one instance is refused at another that shares replays, also at once', async t => {
  const issuer = await issue(t)
  const { access_token: token } = await issuer.login(ann)
  const replays = new MemoryAttempts()

  for (const dpop of [{ nonces: false }, { secret: randomBytes(32) }]) {
    const instances = [
      await verify(t, issuer, { ...dpop, replays }),
      await verify(t, issuer, { ...dpop, replays })
    ] as const
    const { headers } = await instances[0].get({
      authorization: `DPoP ${token}`,
      dpop: await prove(ann, token)
    })
    const nonce = headers['dpop-nonce']
    const proof = await prove(ann, token, { nonce })
    t.equal(await instances[0].ask('DPoP', token, proof), 200)
    t.equal(await instances[1].ask('DPoP', token, proof), 'AUTH_DPOP_INVALID')
    const another = await prove(ann, token, { nonce })
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => instances[i % 2 as 0 | 1].ask('DPoP', token, another))
    )
    t.equal(answers.filter(answer => answer === 200).length, 1, 'exactly one of fifty')
    t.equal(answers.filter(answer => answer === 'AUTH_DPOP_INVALID').length, 49)

    const apart = await verify(t, issuer, dpop)
    t.equal(
      await apart.ask('DPoP', token, another),
      200,
      'an instance that remembers by itself does not know of it'
    )
  }
})

t.test('replays that cannot be asked are 503, also where they do not answer', async t => {
  const issuer = await issue(t)
  const { access_token: token } = await issuer.login(ann)

  for (
    const take of [async () => {
      throw new Error('down')
    }, () => new Promise<never>(() => {})]
  ) {
    const replays = Object.assign(new MemoryAttempts(), { take })
    const { ask } = await verify(t, issuer, { nonces: false, replays }, { timeout: '1s' })
    t.equal(await ask('DPoP', token, await prove(ann, token)), 503)
    t.equal(await ask('DPoP', token), 'AUTH_DPOP_INVALID')
  }
})

t.test('who holds no key spends nothing: a proof that came with a wrong token is good with the right one', async t => {
  const issuer = await issue(t)
  const { access_token: token } = await issuer.login(ann)
  const taken: string[] = []
  const replays = new MemoryAttempts()
  const take = replays.consume.bind(replays)

  replays.consume = (key, ...rest) => {
    taken.push(key)
    return take(key, ...rest)
  }

  const { ask } = await verify(t, issuer, { nonces: false, replays })

  for (let i = 0; i < 10; i++) {
    t.equal(await ask('DPoP', token, await prove(thief, token)), 'AUTH_ACCESS_INVALID')
  }

  const proof = await prove(ann, token)

  for (const text of [`${token}A`, (await issuer.login(ann)).access_token]) {
    t.not(await ask('DPoP', text, proof), 200)
  }

  t.strictSame(taken, [])
  t.equal(await ask('DPoP', token, proof), 200)
  t.equal(taken.length, 1)
})

t.test('a bound token that ends, or whose issuer is gone, is as any other', async t => {
  const clock = createClock()
  const issuer = await issue(t, clock)
  const { access_token: token } = await issuer.login(ann)
  const { ask } = await verify(t, issuer, { nonces: false }, { clock })
  clock.advance(15 * MINUTE - SECOND)
  const iat = (): number => clock() / 1000
  t.equal(await ask('DPoP', token, await prove(ann, token, { iat: iat() })), 200)
  clock.advance(SECOND)
  t.equal(await ask('DPoP', token, await prove(ann, token, { iat: iat() })), 'AUTH_ACCESS_EXPIRED')
  const nowhere = await verify(t, { ...issuer, base: 'http://127.0.0.1:1' }, { nonces: false })
  t.equal(await nowhere.ask('DPoP', token, await prove(ann, token)), 503)
})

t.test('behind a proxy, publicUrl says what the client has asked', async t => {
  const issuer = await issue(t)
  const { access_token: token } = await issuer.login(ann)
  const { ask } = await verify(t, issuer, { nonces: false }, {
    publicUrl: 'https://example.org/api'
  })
  t.equal(
    await ask('DPoP', token, await prove(ann, token, { htu: 'https://example.org/api/protected' })),
    200
  )

  for (const htu of [HERE, 'https://example.org/protected', 'https://example.org/api//protected']) {
    t.equal(await ask('DPoP', token, await prove(ann, token, { htu })), 'AUTH_DPOP_INVALID', htu)
  }
})

t.test('a stock client, over a real port: it is told the nonce, and tries again', async t => {
  const issuer = await issue(t, Date.now)
  const { access_token: token } = await issuer.login(ann)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(tokenVerifier, {
    jwksUri: `${issuer.base}/.well-known/jwks.json`,
    ...scope,
    dpop: { required: true, secret: randomBytes(48) }
  })
  app.get('/orders', { onRequest: app.authenticate }, request => request.auth)
  const url = new URL(`${await app.listen({ host: '127.0.0.1', port: 0 })}/orders?of=today`)

  const ask = (keys: oauth.CryptoKeyPair): () => Promise<Response> => {
    const DPoP = oauth.DPoP({}, keys)

    return () =>
      oauth.protectedResourceRequest(token, 'GET', url, new Headers(), null, {
        DPoP,
        [oauth.allowInsecureRequests]: true
      })
  }

  const byAnn = ask(ann)
  const error = await byAnn().catch((error: unknown) => error)
  t.ok(oauth.isDPoPNonceError(error))

  for (let i = 0; i < 3; i++) {
    const response = await byAnn()
    t.match(await response.json(), { userId: 'u-ann' })
  }

  const byThief = ask(thief)
  await byThief().catch(() => {})
  const refused = await byThief().catch((error: unknown) =>
    error
  ) as oauth.WWWAuthenticateChallengeError
  t.equal(refused.status, 401)
  t.match(refused.cause, [{
    scheme: 'dpop',
    parameters: { error: 'invalid_token', algs: 'ES256 Ed25519 EdDSA PS256 RS256' }
  }])
})

t.test('what was seen is forgotten: no table of it grows for ever', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => {
    mock.timers.reset()
  })
  const swept: number[] = []
  const replays = new MemoryAttempts()
  const watched = {
    consume: replays.consume.bind(replays),
    refund: replays.refund.bind(replays),
    reset: replays.reset.bind(replays),
    async sweep (batch: { readonly now: number, readonly limit: number }) {
      const count = await replays.sweep(batch)
      swept.push(count)
      return count
    }
  }
  const app = Fastify()
  const clock = createClock()
  await app.register(tokenVerifier, {
    introspection: { uri: 'http://localhost/introspect', ...client },
    ...scope,
    clock,
    dpop: { replays: watched }
  })
  await app.ready()
  await replays.consume('seen', clock(), {
    freeAttempts: 1,
    maxAttempts: 1,
    wait: 0,
    longestWait: 0,
    retention: MINUTE,
    sliding: false
  })
  clock.advance(MINUTE)
  mock.timers.tick(HOUR)
  await new Promise(resolve => setImmediate(resolve))
  t.strictSame(swept, [1])
  await app.close()
})
