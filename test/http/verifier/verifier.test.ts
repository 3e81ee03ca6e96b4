// A service that issues nothing: it admits by the public keys of the service that issues, and by nothing else. What jose lets
// through is closed before it; an issuer that cannot be reached signs nobody in or out; and a key that is gone is gone here too.

import fastifyAuth from '@fastify/auth'
import { constants, createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { createServer, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyServerOptions, LightMyRequestResponse } from 'fastify'
import * as jose from 'jose'
import t from 'tap'
import type { Test } from 'tap'
import { readKey } from '../../../src/tokens/keys.js'
import type { KeyInput } from '../../../src/tokens/keys.js'
import { tokenAuth } from '../../../src/index.js'
import type {
  Auth,
  ClaimRequirements,
  TokenAuthOptions,
  TokenResponse
} from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import type { PublicAlgorithm, TokenVerifierOptions } from '../../../src/verifier/index.js'
import { createTestApp, PASSWORD, SECRET } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createClock, HOUR, MINUTE, SECOND } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'
import { respellings } from '../../helpers/respellings.js'

const JWKS = '/.well-known/jwks.json'
const scope = { issuer: 'https://a.example', audience: 'api' }
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const pairs: Record<PublicAlgorithm, KeyObject> = {
  EdDSA: generateKeyPairSync('ed25519').privateKey,
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  RS256: rsa,
  PS256: rsa
}
const algorithms = Object.keys(pairs) as PublicAlgorithm[]
const ed = (): KeyObject => generateKeyPairSync('ed25519').privateKey
const demanding = (claims: object): ClaimRequirements => claims

// An issuer whose app is a real one, on a real port

interface Issuer extends TestApp {
  readonly base: string
  readonly hits: string[]
}

async function issue (
  t: Test,
  clock: TestClock,
  keys: readonly [KeyInput, ...KeyInput[]],
  options: Partial<TokenAuthOptions> = {}
): Promise<Issuer> {
  const hits: string[] = []
  const test = await createTestApp({
    clock,
    options: {
      ...scope,
      keys,
      users: {
        findByLogin: login => test.users.get(`u-${login}`),
        findById: id => test.users.get(id),
        claims: ({ id }) => ({ role: id === 'u-ann' ? 'admin' : 'member' })
      },
      ...options
    },
    before: app => {
      app.addHook('onRequest', async ({ url }) => {
        if (url === JWKS) {
          hits.push(url)
        }
      })
    }
  })
  t.teardown(() => test.app.close())
  return { ...test, hits, base: await test.app.listen({ host: '127.0.0.1', port: 0 }) }
}

// An issuer that says what the test wants it to say

type Answer = 'down' | 'silent' | {
  readonly status?: number
  readonly headers?: Record<string, string>
  readonly body: string
}

interface KeyServer {
  readonly uri: string
  readonly hits: string[]
  answer: Answer
}

async function showing (t: Test, ...keys: object[]): Promise<KeyServer> {
  const hits: string[] = []
  const server = createServer((request, response) => {
    hits.push(request.url ?? '')
    const { answer } = shown

    if (answer === 'down') {
      request.socket.destroy()
    } else if (answer !== 'silent') {
      response.writeHead(answer.status ?? 200, { connection: 'close', ...answer.headers }).end(
        answer.body
      )
    }
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => {
    server.once('listening', resolve)
  })
  t.teardown(() => {
    server.close().closeAllConnections()
  })
  const shown: KeyServer = {
    uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}${JWKS}`,
    hits,
    answer: setOf(...keys)
  }
  return shown
}

const setOf = (...keys: object[]): Answer => ({ body: JSON.stringify({ keys }) })
const jwkOf = (key: KeyObject, alg?: PublicAlgorithm, kid?: string): object =>
  readKey({ key, ...(alg && { alg }), ...(kid && { kid }) }).publicJwk as object

// Tokens by hand, so that the right key signs what no library would

const now = createClock()() / 1000
const claims = {
  iss: scope.issuer,
  aud: scope.audience,
  sub: 'u-ann',
  sid: 's1',
  gen: 0,
  jti: 's1.0.1',
  type: 'access',
  auth_time: now,
  amr: ['pwd'],
  iat: now,
  exp: now + 900
}
const encode = (part: unknown): string =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')
const details: Partial<Record<PublicAlgorithm, object>> = {
  ES256: { dsaEncoding: 'ieee-p1363' },
  PS256: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
}
const signWith = (alg: PublicAlgorithm, input: string, key: KeyObject): string =>
  sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(input), { key, ...details[alg] }).toString(
    'base64url'
  )
const headOf = (alg: PublicAlgorithm): Record<string, unknown> => ({
  alg,
  typ: 'at+jwt',
  kid: readKey({ key: pairs[alg], alg }).kid
})

function write (
  alg: PublicAlgorithm,
  head: unknown = headOf(alg),
  payload: unknown = claims,
  key = pairs[alg]
): string {
  const input = `${encode(head)}.${encode(payload)}`
  return `${input}.${signWith(alg, input, key)}`
}

// The service that verifies

interface Verifier {
  readonly app: FastifyInstance
  readonly clock: TestClock
  get(url: string, token?: string): Promise<LightMyRequestResponse>
  status(token: string): Promise<number>
}

async function verify (
  t: Test,
  jwksUri: string,
  options: Partial<TokenVerifierOptions> = {},
  fastify: FastifyServerOptions = {}
): Promise<Verifier> {
  const clock = (options.clock ?? createClock()) as TestClock
  const app = Fastify(fastify)
  t.teardown(() => app.close())
  await app.register(tokenVerifier, { jwksUri, ...scope, clock, ...options })
  app.get('/protected', { onRequest: app.authenticate }, request => request.auth)
  app.get('/admin', {
    onRequest: [app.authenticate, app.requireClaims(demanding({ role: 'admin' }))]
  }, () => 'admin')
  app.get('/pay', { onRequest: [app.authenticate, app.requireFresh('5m')] }, () => 'paid')
  app.get(
    '/public',
    { onRequest: app.authenticate, config: { tokenAuth: 'public' } },
    request => ({ auth: request.auth })
  )
  await app.ready()
  const get: Verifier['get'] = async (url, token) =>
    app.inject({ url, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } })
  return { app, clock, get, status: async token => (await get('/protected', token)).statusCode }
}

async function until (is: () => boolean): Promise<void> {
  while (!is()) {
    await setTimeout(5)
  }
}

t.test('a token of every algorithm says here what it says at its issuer', async t => {
  for (const alg of algorithms) {
    const clock = createClock()
    const issuer = await issue(t, clock, [{ key: pairs[alg], alg }])
    const verifier = await verify(t, issuer.base + JWKS, { clock })
    const { access_token: token } = await issuer.login()
    const [here, there] = [
      await verifier.get('/protected', token),
      await issuer.get('/protected', token)
    ]
    t.equal(here.statusCode, 200, alg)
    t.strictSame(here.json(), there.json(), alg)
    t.equal((await verifier.get('/protected', token)).body, here.body, 'remembered')
    t.match(here.json(), {
      userId: 'u-ann',
      claims: { role: 'admin' },
      amr: ['pwd'],
      authenticatedAt: clock()
    })
    t.equal(issuer.hits.length, 1)
  }
})

t.test('a remembered token is admitted at once, and what it says is frozen', async t => {
  const keys = await showing(t, jwkOf(pairs.EdDSA))
  const { app, clock } = await verify(t, keys.uri)
  const authorization = `Bearer ${write('EdDSA')}`

  const ask = (): { auth: Auth | null, done: boolean, answer: Promise<void> } => {
    const request = {
      routeOptions: { config: {} },
      headers: { authorization },
      raw: { rawHeaders: [] },
      auth: null as Auth | null
    }
    const asked = { auth: null as Auth | null, done: false, answer: Promise.resolve() }
    asked.answer = new Promise((resolve, reject) => {
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
  await first.answer
  const second = ask()
  t.ok(second.done)
  t.equal(second.auth, first.auth)
  t.throws(() => {
    Object.assign(second.auth?.amr ?? [], ['otp'])
  })
  clock.advance(9 * MINUTE)
  t.ok(ask().done, 'also while the set is read again')
  await until(() => keys.hits.length === 2)
})

t.test('keys change under the load of 64 clients: nobody is refused; maxAge later nothing of the retired key is good', async t => {
  const clock = createClock()
  const [old, next] = [ed(), pairs.ES256]
  const issuer = await issue(t, clock, [old], { accessToken: { lifetime: '12h' } })
  const verifier = await verify(t, issuer.base + JWKS, { clock, cacheSize: 1000 })
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
  t.equal(issuer.hits.length, 1, 'nothing makes it look yet')
  issuer.app.tokenAuth.rotateKeys([next, old])
  clock.advance(MINUTE)
  await goOn(() => isSignedBy('ES256'))
  await goOn(another())
  t.equal(issuer.hits.length, 2, 'the new kid did')
  issuer.app.tokenAuth.rotateKeys([next])
  t.equal(await verifier.status(clients[0]?.first ?? ''), 200, 'here it is not known yet')
  clock.advance(10 * MINUTE)
  const statuses = await Promise.all(clients.map(({ first }) => verifier.status(first)))
  t.strictSame([...new Set(statuses)], [401])
  await goOn(another())
  load.abort()
  await Promise.all(runs)
  t.strictSame(refused, [])
  t.equal(issuer.hits.length, 3)
})

t.test('after maxAge a retired key is refused, remembered or not; one that stays, or comes back, is not', async t => {
  const replacements: Record<string, object[]> = {
    'it is gone': [jwkOf(pairs.ES256)],
    'another one has its kid': [
      jwkOf(pairs.ES256),
      jwkOf(ed(), 'EdDSA', String(headOf('EdDSA').kid))
    ],
    'its kid is there twice': [
      jwkOf(pairs.ES256),
      jwkOf(ed(), 'EdDSA', String(headOf('EdDSA').kid)),
      jwkOf(pairs.EdDSA)
    ],
    'it is for encryption now': [jwkOf(pairs.ES256), { ...jwkOf(pairs.EdDSA), use: 'enc' }]
  }

  for (const [name, after] of Object.entries(replacements)) {
    const keys = await showing(t, jwkOf(pairs.EdDSA), jwkOf(pairs.ES256))
    const { clock, status, get } = await verify(t, keys.uri, { maxAge: '2m' })
    const [retired, kept, other] = [
      write('EdDSA'),
      write('ES256'),
      write('EdDSA', headOf('EdDSA'), { ...claims, jti: 'x' })
    ]
    t.strictSame([await status(retired), await status(kept)], [200, 200])
    keys.answer = setOf(...after)
    clock.advance(2 * MINUTE)
    t.equal(await status(kept), 200, 'for which the set is read')
    t.equal((await get('/protected', retired)).json().code, 'AUTH_ACCESS_INVALID', name)
    t.strictSame([await status(other), await status(kept)], [401, 200])
    keys.answer = setOf(jwkOf(pairs.EdDSA))
    clock.advance(2 * MINUTE)
    t.strictSame([await status(retired), await status(other), await status(kept)], [200, 200, 401])
    t.equal(keys.hits.length, 3)
  }
})

t.test('from half of maxAge on the set is read with nobody waiting', async t => {
  const keys = await showing(t, jwkOf(pairs.EdDSA))
  const { clock, status } = await verify(t, keys.uri)
  const token = write('EdDSA')
  await status(token)
  clock.advance(5 * MINUTE - 1)
  t.equal(await status(token), 200)
  t.equal(keys.hits.length, 1)
  clock.advance(1)
  keys.answer = 'silent'
  t.strictSame(
    await Promise.all(Array.from({ length: 50 }, () => status(token))),
    Array(50).fill(200)
  )
  await until(() => keys.hits.length === 2)
})

t.test('the issuer is down at start: 503, nobody is signed in, and all is well when it is up', async t => {
  let log = ''
  const stream = new PassThrough().on('data', chunk => {
    log += String(chunk)
  })
  const keys = await showing(t, jwkOf(pairs.EdDSA))
  keys.answer = 'down'
  const { clock, get, status } = await verify(t, `${keys.uri}?key=hidden`, {}, {
    logger: { level: 'trace', stream }
  })
  const token = write('EdDSA')
  const responses = await Promise.all(Array.from({ length: 100 }, () => get('/protected', token)))

  for (const response of responses) {
    t.match(response.json(), { statusCode: 503, code: 'AUTH_KEYS_UNAVAILABLE' })
  }

  t.match(responses[0]?.headers, { 'retry-after': '1' })
  t.notOk(responses[0]?.headers['www-authenticate'])

  for (let i = 0; i < 20; i++) {
    t.equal(await status(token), 503)
  }

  t.ok(keys.hits.length <= 2, 'a failure is not tried again at once')
  t.equal((await get('/public')).statusCode, 200)
  t.equal((await get('/protected')).statusCode, 401, 'no token is no token')
  t.equal(await status('no.token.this'), 401)
  t.match(log, /the key set of the issuer cannot be read/)
  t.notOk(log.includes('hidden') || log.includes(token.split('.')[2] as string))
  keys.answer = setOf(jwkOf(pairs.EdDSA))
  clock.advance(SECOND)
  t.equal(await status(token), 200)
})

t.test('the issuer goes down later: what is known goes on until maxAge, then 503; up again, all goes on', async t => {
  const keys = await showing(t, jwkOf(pairs.EdDSA))
  const { clock, get, status } = await verify(t, keys.uri)
  const long = { ...claims, exp: now + 7200 }
  const token = write('EdDSA', headOf('EdDSA'), long)
  await status(token)
  keys.answer = 'down'

  for (let minute = 1; minute < 10; minute++) {
    clock.advance(MINUTE)
    t.equal(await status(token), 200, `remembered, minute ${minute}`)
    t.equal(
      await status(write('EdDSA', headOf('EdDSA'), { ...long, jti: `${minute}` })),
      200,
      `not remembered, minute ${minute}`
    )
  }

  const other = await get('/protected', write('EdDSA', { ...headOf('EdDSA'), kid: 'unknown' }))
  t.equal(
    other.json().code,
    'AUTH_KEYS_UNAVAILABLE',
    'whether the issuer has that key cannot be told'
  )
  t.ok(keys.hits.length > 2 && keys.hits.length < 20, `${keys.hits.length} hits`)
  clock.advance(MINUTE)
  t.equal((await get('/protected', token)).json().code, 'AUTH_KEYS_UNAVAILABLE')
  t.equal((await get('/protected', write('EdDSA'))).json().code, 'AUTH_KEYS_UNAVAILABLE')
  keys.answer = setOf(jwkOf(pairs.EdDSA))
  clock.advance(SECOND)
  t.equal(await status(token), 200)
})

t.test('the issuer is slow: one question for all, 503 after timeout', async t => {
  const keys = await showing(t, jwkOf(pairs.EdDSA))
  keys.answer = 'silent'
  const { clock, get, status } = await verify(t, keys.uri, { timeout: '1s' })
  const begin = performance.now()
  const statuses = await Promise.all(Array.from({ length: 64 }, () => status(write('EdDSA'))))
  t.strictSame([...new Set(statuses)], [503])
  t.ok(performance.now() - begin < 4000)
  t.equal(keys.hits.length, 1)
  keys.answer = setOf(jwkOf(pairs.EdDSA))
  clock.advance(SECOND)
  t.equal((await get('/protected', write('EdDSA'))).statusCode, 200)
})

t.test('what is no key set, or holds no key that can be used, is 503', async t => {
  const keys = await showing(t)
  const elsewhere = await showing(t, jwkOf(pairs.EdDSA))
  const { clock, get } = await verify(t, keys.uri)
  const token = write('EdDSA')
  const good = jwkOf(pairs.EdDSA)
  const kid = String(headOf('EdDSA').kid)
  const answers: Record<string, Answer> = {
    'not found': { status: 404, body: JSON.stringify({ keys: [good] }) },
    'no 200': { status: 203, body: JSON.stringify({ keys: [good] }) },
    'a redirect': { status: 302, headers: { location: elsewhere.uri }, body: '' },
    'a page': { body: '<html>' },
    empty: { body: '' },
    null: { body: 'null' },
    'a list': { body: JSON.stringify([good]) },
    'no keys': setOf(),
    'no list of keys': { body: JSON.stringify({ keys: { 0: good } }) },
    'a key that is a text': { body: JSON.stringify({ keys: ['x', good] }) },
    'a private key': setOf({ ...pairs.EdDSA.export({ format: 'jwk' }), kid, alg: 'EdDSA' }),
    'a secret': setOf({ kty: 'oct', k: randomBytes(32).toString('base64url'), kid, alg: 'HS256' }),
    'RSA of 1024 bits': setOf({
      ...generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' }),
      kid,
      alg: 'RS256'
    }),
    'P-384': setOf({
      ...generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' }),
      kid,
      alg: 'ES384'
    }),
    'no kid': setOf({ ...good, kid: undefined }),
    'a kid that is a list': setOf({ ...good, kid: [kid] }),
    'a key for encryption': setOf({ ...good, use: 'enc' }),
    'a key for another operation': setOf({ ...good, key_ops: ['encrypt'] }),
    'operations that are no list': setOf({ ...good, key_ops: 1 }),
    'another alg than the key is': setOf({ ...good, alg: 'RS256' }),
    'alg none': setOf({ ...good, alg: 'none' })
  }

  for (const [name, answer] of Object.entries(answers)) {
    clock.advance(SECOND)
    keys.answer = answer
    t.match((await get('/protected', token)).json(), {
      statusCode: 503,
      code: 'AUTH_KEYS_UNAVAILABLE'
    }, name)
  }

  t.strictSame(elsewhere.hits, [])
  clock.advance(SECOND)
  keys.answer = setOf({ kty: 'new' }, {
    ...good,
    use: undefined,
    key_ops: ['verify'],
    alg: undefined,
    x5u: elsewhere.uri
  })
  t.equal(
    (await get('/protected', token)).statusCode,
    200,
    'beside one of a kind that is not known yet'
  )
  t.strictSame(elsewhere.hits, [])
})

t.test('a token has one spelling under every algorithm', async t => {
  const keys = await showing(t, ...algorithms.map(alg => jwkOf(pairs[alg], alg, alg)))
  const { status } = await verify(t, keys.uri)

  for (const alg of algorithms) {
    const head = { ...headOf(alg), kid: alg }
    let token = write(alg, head)

    for (let n = 0; !/-.*_|_.*-/.test(token.split('.')[2] as string); n++) {
      token = write(alg, head, { ...claims, n })
    }

    t.equal(await status(token), 200, `${alg}: on which the rest rests`)
    const [first, second, third] = token.split('.') as [string, string, string]
    const { '" " before': _spaces, ...texts } = respellings(token)
    t.ok(Object.keys(texts).some(name => name.startsWith('unused bits')))
    texts['the standard alphabet'] = `${first}.${second}.${
      third.replaceAll('-', '+').replaceAll('_', '/')
    }`
    texts['too long'] = write(alg, head, { ...claims, long: 'x'.repeat(8192) })

    if (alg === 'ES256') {
      texts.DER = `${first}.${second}.${
        sign('sha256', Buffer.from(`${first}.${second}`), pairs.ES256).toString('base64url')
      }`
    }

    for (const [name, text] of Object.entries(texts)) {
      t.equal(await status(text), 401, `${alg}: ${name}`)
    }
  }

  t.equal(keys.hits.length, 1)
})

t.test('of both signatures of ES256 either is accepted: issuers need not know that ours have the low s', async t => {
  const keys = await showing(t, jwkOf(pairs.ES256))
  const { status } = await verify(t, keys.uri)
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
  const [head, payload, text = ''] = write('ES256').split('.')
  const bytes = Buffer.from(text, 'base64url')
  const other = (order - BigInt(`0x${bytes.toString('hex', 32)}`)).toString(16).padStart(64, '0')

  for (const s of [bytes.toString('hex', 32), other]) {
    t.equal(
      await status(
        `${head}.${payload}.${
          Buffer.concat([bytes.subarray(0, 32), Buffer.from(s, 'hex')]).toString('base64url')
        }`
      ),
      200
    )
  }
})

t.test('the header holds alg, typ and kid alone, and nothing in it makes the server look elsewhere', async t => {
  const keys = await showing(t, ...algorithms.map(alg => jwkOf(pairs[alg], alg, alg)))
  const trap = await showing(t, jwkOf(pairs.EdDSA))
  const { clock, status } = await verify(t, keys.uri)
  const thief = ed()

  for (const alg of algorithms) {
    const head = { ...headOf(alg), kid: alg }
    const jwk = thief.export({ format: 'jwk' })
    const heads: unknown[] = [
      { jku: trap.uri },
      { x5u: trap.uri },
      { x5c: [trap.uri] },
      { jwk: { ...jwk, d: undefined } },
      { jwk },
      { x5t: '' },
      { cty: 'JWT' },
      { zip: 'DEF' },
      { crit: ['b64'], b64: false },
      { b64: false },
      { crit: [] },
      { kid: trap.uri },
      { kid: [alg] },
      { kid: { jku: trap.uri } },
      { kid: '__proto__' },
      { kid: 'toString' },
      { kid: '' },
      { kid: null },
      { kid: undefined },
      { kid: 0 },
      { kid: `${alg} ` },
      { kid: `${alg}\0` },
      { kid: '../../dev/null' },
      { typ: 'JWT' },
      { typ: undefined },
      { typ: 'rt+jwt' },
      { typ: 'dpop+jwt' },
      { typ: 'at+jwt ' },
      { typ: ['at+jwt'] },
      { typ: null },
      ...[
        ...algorithms.filter(other => other !== alg),
        'none',
        'None',
        '',
        alg.toLowerCase(),
        'HS256',
        'ES384',
        'Ed25519',
        [alg],
        { alg },
        null,
        undefined
      ]
        .map(other => ({ alg: other }))
    ].map(members => ({ ...head, ...members as object }))
    const text = JSON.stringify(head).slice(1, -1)
    heads.push(
      `{${text},"kid":"x"}`,
      `{${text},"typ":"JWT"}`,
      `{${text},"alg":"none"}`,
      `{"__proto__":{${text}}}`,
      `[{${text}}]`,
      'null',
      '""',
      `\uFEFF{${text}}`
    )

    for (const wrong of heads) {
      const token = write(alg, wrong)
      const input = token.slice(0, token.lastIndexOf('.'))

      for (const last of [token.slice(input.length + 1), signWith('EdDSA', input, thief), '']) {
        t.equal(await status(`${input}.${last}`), 401, `${alg}: ${inspect(wrong).slice(0, 80)}`)
      }
    }

    t.equal(await status(write(alg, { ...head, typ: 'application/AT+jwt' })), 200, alg)
    clock.advance(10 * SECOND)
  }

  t.strictSame(trap.hits, [])
})

t.test('a public key is no secret: HS256 by any text of it is refused', async t => {
  for (const alg of algorithms) {
    const jwk = jwkOf(pairs[alg], alg)
    const { status } = await verify(t, (await showing(t, jwk)).uri)
    const { verifying, kid } = readKey({ key: pairs[alg], alg })
    const pem = String(verifying.export({ format: 'pem', type: 'spki' }))
    const der = verifying.export({ format: 'der', type: 'spki' })
    const { x, n } = jwk as Record<string, string>
    const secrets = [
      pem,
      pem.trim(),
      `${pem}\n`,
      der,
      der.toString('base64'),
      JSON.stringify(jwk),
      x ?? n ?? '',
      kid,
      Buffer.alloc(32)
    ]

    for (const hs of ['HS256', 'HS384', 'HS512']) {
      for (const head of [{ ...headOf(alg), alg: hs }, headOf(alg)]) {
        const input = `${encode(head)}.${encode(claims)}`

        for (const secret of secrets) {
          t.equal(
            await status(
              `${input}.${
                createHmac(`sha${hs.slice(2)}`, secret).update(input).digest('base64url')
              }`
            ),
            401,
            `${alg} ${hs}`
          )
        }
      }
    }
  }
})

t.test('RS256 and PS256 of one key are two things, and a key that is not allowed is not there', async t => {
  const keys = await showing(t, jwkOf(rsa, 'PS256', 'k'), jwkOf(pairs.EdDSA))
  const { status } = await verify(t, keys.uri)
  const own = { kid: 'k', typ: 'at+jwt' }
  const input = `${encode({ ...own, alg: 'PS256' })}.${encode(claims)}`
  t.equal(await status(write('PS256', { ...own, alg: 'PS256' })), 200)
  t.equal(await status(write('RS256', { ...own, alg: 'RS256' })), 401)
  t.equal(await status(`${input}.${signWith('RS256', input, rsa)}`), 401)
  const picky = await verify(t, keys.uri, { algorithms: ['ES256', 'EdDSA'] })
  t.equal(await picky.status(write('EdDSA')), 200)
  t.equal(await picky.status(write('PS256', { ...own, alg: 'PS256' })), 401)
  t.equal(
    await (await verify(t, keys.uri, { algorithms: ['ES256'] })).status(write('ES256')),
    503,
    'nothing is left'
  )
})

t.test('each claim is of its type, and as the issuer writes it', async t => {
  const keys = await showing(t, jwkOf(pairs.EdDSA))
  const { get } = await verify(t, keys.uri)

  const codeOf = async (payload: unknown): Promise<unknown> => {
    const response = await get('/protected', write('EdDSA', headOf('EdDSA'), payload))
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

  const input = `${encode(headOf('EdDSA'))}.${
    Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url')
  }`
  t.equal(
    (await get('/protected', `${input}.${signWith('EdDSA', input, pairs.EdDSA)}`)).statusCode,
    401,
    'no UTF-8'
  )
})

t.test('a token ends to the second, remembered or not, and a clock that was ahead is not believed', async t => {
  const keys = await showing(t, jwkOf(pairs.EdDSA))
  const { clock, get, status } = await verify(t, keys.uri)
  const token = write('EdDSA', headOf('EdDSA'), { ...claims, exp: now + 90 })
  t.equal(await status(token), 200)
  clock.advance(90 * SECOND - 1)
  t.equal(await status(token), 200)
  clock.advance(1)
  const late = await get('/protected', token)
  t.equal(late.json().code, 'AUTH_ACCESS_EXPIRED')
  t.match(
    late.headers['www-authenticate'],
    /^Bearer realm="auth", error="invalid_token", error_description="Access token has expired"$/
  )
  t.equal((await get('/protected', token)).json().code, 'AUTH_ACCESS_EXPIRED')
  clock.advance(HOUR)
  const future = write('EdDSA', headOf('EdDSA'), { ...claims, iat: now + 3600, exp: now + 7200 })
  t.equal(await status(future), 200)
  clock.set(now * 1000)
  t.equal(await status(future), 401)
  t.equal(await status(write('EdDSA')), 200)
  clock.advance(4 * MINUTE)
  const ahead = write('EdDSA', headOf('EdDSA'), { ...claims, iat: now + 240 })
  t.equal(await status(ahead), 200)
  clock.advance(-3 * MINUTE)
  t.equal(await status(ahead), 401, 'though the key set is of before')
})

t.test('kids that nobody knows are 401, and do not become a storm at the issuer', async t => {
  const keys = await showing(t, jwkOf(pairs.EdDSA))
  const { clock, get, status } = await verify(t, keys.uri)
  const unknown = (i: number): string => write('EdDSA', { ...headOf('EdDSA'), kid: `unknown-${i}` })

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
  keys.answer = setOf(jwkOf(pairs.EdDSA), jwkOf(pairs.ES256))
  t.equal(await status(write('ES256')), 401, 'it has just looked')
  clock.advance(30 * SECOND)
  t.strictSame(await Promise.all([write('ES256'), write('ES256'), unknown(1)].map(status)), [
    200,
    200,
    401
  ])
  t.equal(keys.hits.length, 3)
  clock.advance(30 * SECOND)
  keys.answer = 'down'
  t.strictSame(
    await Promise.all(Array.from({ length: 100 }, (_, i) => status(unknown(i)))),
    Array(100).fill(503)
  )

  for (let i = 0; i < 20; i++) {
    t.equal(await status(unknown(i)), 503)
  }

  t.equal(keys.hits.length, 4, 'neither while it is down')
  t.equal(await status(write('ES256')), 200)
})

t.test('routes that are public, guards and challenges are as in the main plugin; cookies are not read', async t => {
  const clock = createClock()
  const issuer = await issue(t, clock, [pairs.EdDSA])
  const { app, get } = await verify(t, issuer.base + JWKS, { clock, name: 'orders' })
  const [ann, bob] = [await issuer.login('ann'), await issuer.login('bob')]
  t.strictSame((await get('/public', 'no token')).json(), { auth: null })
  t.equal((await get('/admin', ann.access_token)).statusCode, 200)
  const other = await get('/admin', bob.access_token)
  t.equal(other.json().code, 'AUTH_CLAIMS_INSUFFICIENT')
  t.match(other.headers['www-authenticate'], /^Bearer realm="orders", error="insufficient_scope"/)
  t.equal((await get('/pay', ann.access_token)).statusCode, 200)
  clock.advance(6 * MINUTE)
  const late = await get('/pay', ann.access_token)
  t.equal(late.json().code, 'AUTH_REAUTHENTICATION_REQUIRED')
  t.match(late.headers['www-authenticate'], /error="insufficient_user_authentication"/)
  const none = await get('/protected')
  t.match(none.json(), { statusCode: 401, code: 'AUTH_ACCESS_MISSING' })
  t.match(none.headers, {
    'www-authenticate': 'Bearer realm="orders"',
    'access-control-expose-headers': 'www-authenticate'
  })
  t.equal(
    (await get('/protected', ann.refresh_token)).json().code,
    'AUTH_ACCESS_INVALID',
    'a refresh token'
  )
  const cookie = `__Host-auth-access=${ann.access_token}`
  t.equal(
    (await app.inject({ url: '/protected', headers: { cookie } })).json().code,
    'AUTH_ACCESS_MISSING'
  )
  const base = await app.listen({ host: '127.0.0.1', port: 0 })
  const authorization = [ann, bob].map(({ access_token: token }) => `Bearer ${token}`)
  const twice = await new Promise<IncomingMessage>((resolve, reject) => {
    request(`${base}/protected`, { headers: { authorization } as never }, resolve).on(
      'error',
      reject
    ).end()
  })
  t.equal(twice.resume().statusCode, 400)
})

t.test('the token of a session that was ended is accepted until it ends itself', async t => {
  const clock = createClock()
  const issuer = await issue(t, clock, [pairs.EdDSA])
  const { status } = await verify(t, issuer.base + JWKS, { clock })
  const { access_token: token, refresh_token: refresh } = await issuer.login()
  await issuer.post('/auth/logout', { refresh_token: refresh })
  t.equal((await issuer.get('/protected', token)).statusCode, 401)
  t.equal(await status(token), 200)
  clock.advance(15 * MINUTE)
  t.equal(await status(token), 401)
})

t.test('in @fastify/auth', async t => {
  const keys = await showing(t, jwkOf(pairs.EdDSA))
  const own = Fastify()
  t.teardown(() => own.close())
  await own.register(fastifyAuth)
  await own.register(tokenVerifier, { jwksUri: keys.uri, ...scope, clock: createClock() })

  const byKey = (
    request: { headers: Record<string, unknown> },
    _reply: unknown,
    done: (error?: Error) => void
  ): void => {
    done(request.headers['x-key'] === 'k' ? undefined : new Error('no key'))
  }

  own.get(
    '/either',
    { onRequest: own.auth([own.authenticate, byKey]) },
    request => ({ auth: request.auth })
  )
  own.get('/both', {
    onRequest: own.auth([[own.authenticate, own.requireClaims(demanding({ role: 'admin' }))]])
  }, () => 'both')
  const ask = async (url: string, headers: Record<string, string>): Promise<number> =>
    (await own.inject({ url, headers })).statusCode
  const authorization = `Bearer ${write('EdDSA', headOf('EdDSA'), { ...claims, role: 'admin' })}`
  t.equal(await ask('/either', { authorization }), 200)
  t.equal(await ask('/either', { authorization: 'Bearer x', 'x-key': 'k' }), 200)
  t.notOk(
    (await own.inject({ url: '/either', headers: { authorization: 'Bearer x', 'x-key': 'k' } }))
      .headers['www-authenticate']
  )
  t.equal(await ask('/either', { authorization: 'Bearer x' }), 401)
  t.equal(await ask('/both', { authorization }), 200)
  t.equal(await ask('/both', { authorization: `Bearer ${write('EdDSA')}` }), 403)
})

t.test('in sibling scopes beside the main plugin and another verifier; a second on one instance fails with that advice', async t => {
  const keys = await showing(t, jwkOf(pairs.EdDSA))
  const clock = createClock()
  const app = Fastify()
  t.teardown(() => app.close())
  const main = {
    secret: SECRET,
    store: new MemoryStore(),
    clock,
    sweep: false,
    users: { findByLogin: () => null, findById: () => ({ id: 'u' }) }
  } as const
  const options = { jwksUri: keys.uri, ...scope, clock }
  await app.register(async own => {
    await own.register(tokenAuth, main)
    own.get('/own', { onRequest: own.authenticate }, request => request.auth)
    own.post('/in', request => own.tokenAuth.openSession('u', request))
  })
  await app.register(async theirs => {
    await theirs.register(tokenVerifier, options)
    theirs.get('/theirs', { onRequest: theirs.authenticate }, request => request.auth)
  })
  await app.register(async others => {
    await others.register(tokenVerifier, { ...options, audience: 'other' })
    others.get('/others', { onRequest: others.authenticate }, request => request.auth)
  })
  const own = (await app.inject({ method: 'POST', url: '/in' })).json().access_token
  const statuses = (token: string): Promise<number[]> =>
    Promise.all(
      ['/own', '/theirs', '/others'].map(async url =>
        (await app.inject({ url, headers: { authorization: `Bearer ${token}` } })).statusCode
      )
    )
  t.strictSame(await statuses(own), [200, 401, 401])
  t.strictSame(await statuses(write('EdDSA')), [401, 200, 401])

  const ours = async (app: FastifyInstance): Promise<unknown> => app.register(tokenAuth, main)
  const verifier = async (app: FastifyInstance): Promise<unknown> =>
    app.register(tokenVerifier, options)

  for (
    const [first, second] of [[ours, verifier], [verifier, ours], [verifier, verifier]] as const
  ) {
    const app = Fastify()
    await first(app)
    await t.rejects(second(app), { message: /already\. Register each in a sibling scope/ })
  }
})

t.test('an invalid option fails at startup with its fix', async t => {
  const uri = 'https://a.example/jwks'
  const wrong: Array<[object, RegExp]> = [
    [{ jwksUri: undefined }, /"jwksUri" or "introspection" is required; set one of them$/],
    ...['', '/jwks', 5, {}, null].map(jwksUri =>
      [{ jwksUri }, /"jwksUri" must be the URL of the issuer's keys, such as "https:/] as [
        object,
        RegExp
      ]
    ),
    ...[
      'http://a.example/jwks',
      'http://127.0.0.1.evil.example/',
      'http://localhost.evil.example/',
      'http://[::ffff:127.0.0.1]/',
      'http://10.0.0.1/',
      'ftp://localhost/',
      'file:///jwks',
      'data:,{}'
    ].map(jwksUri =>
      [{ jwksUri }, /"jwksUri" must be https, because .*; http works for localhost only$/] as [
        object,
        RegExp
      ]
    ),
    [{ jwksUri: 'https://user:word@a.example/' }, /"jwksUri" must not contain a user name/],
    [
      { issuer: undefined },
      /"issuer" must be a non-empty string; set it to the option "issuer" of/
    ],
    [{ issuer: '' }, /"issuer" must be a non-empty string/],
    [{ audience: ['api'] }, /"audience" must be a non-empty string/],
    ...['HS256', 'none', 'ES384'].map(alg =>
      [
        { algorithms: ['EdDSA', alg] },
        /"algorithms" must be a non-empty array of "EdDSA", "ES256", "PS256", "RS256"$/
      ] as [object, RegExp]
    ),
    [{ algorithms: [] }, /"algorithms" must be/],
    [{ algorithms: 'EdDSA' }, /"algorithms" must be/],
    [{ name: 'a b' }, /"name" must be a letter, followed by/],
    [{ cacheSize: 1 }, /"cacheSize" must be an integer of at least 2, not 1$/],
    [{ clock: 5 }, /"clock" must be a function/],
    [{ timeout: 0 }, /"timeout" must be from 1ms to 1m, not 0$/],
    [{ timeout: '2m' }, /"timeout" must be from 1ms to 1m, not "2m"$/],
    [{ maxAge: '9s' }, /"maxAge" must be at least twice "timeout" \(5s by default\)$/],
    [{ maxAge: '2d' }, /"maxAge" must be at most 1d, not "2d"$/],
    [{ cooldown: '500ms' }, /"cooldown" must be at least 1s, not "500ms"$/],
    [{ cooldown: '11m' }, /"cooldown" must be at most "maxAge" \(10m by default\)$/],
    [{ cooldown: 'soon' }, /"cooldown" must be a number of seconds/],
    [{ secret: 'x' }, /unknown option "secret"; valid options: jwksUri, introspection, /]
  ]

  for (const [options, message] of wrong) {
    const app = Fastify()
    const registered = async (): Promise<unknown> =>
      app.register(tokenVerifier, { jwksUri: uri, ...scope, ...options } as never)
    await t.rejects(registered, { name: 'TypeError', message }, inspect(options))
  }

  for (
    const jwksUri of [
      uri,
      new URL(uri),
      'http://localhost:1/',
      'http://127.1.2.3:1/',
      'http://[::1]:1/'
    ]
  ) {
    const app = Fastify()
    await app.register(tokenVerifier, { jwksUri, ...scope })
    t.ok(app.hasDecorator('authenticate') && !app.hasDecorator('tokenAuth'), String(jwksUri))
    await app.close()
  }
})

t.test('neither log nor answer holds anything of a token', async t => {
  let log = ''
  const stream = new PassThrough().on('data', chunk => {
    log += String(chunk)
  })
  const clock = createClock()
  const issuer = await issue(t, clock, [pairs.ES256])
  const { get } = await verify(t, issuer.base + JWKS, { clock }, {
    logger: { level: 'trace', stream }
  })
  const { access_token: token } = await issuer.login()

  for (const text of [token, `${token}A`, token.replace('.', '..')]) {
    const { body } = await get('/protected', text)
    log += body
  }

  t.match(log, /"req"/)

  for (const part of [...token.split('.'), PASSWORD]) {
    t.notOk(log.includes(part))
  }
})
