// A service that issues nothing, and asks the issuer about tokens: what it is told, for how long it believes it, and that an
// issuer that cannot be asked signs nobody in or out.

import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import type { FastifyServerOptions, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import type { TokenVerifierOptions } from '../../../src/verifier/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createClock, MINUTE, SECOND } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'

const scope = { issuer: 'https://a.example', audience: 'api' }
// Encoded as in a form before it is sent, or the issuer reads another one.
const client = { clientId: 'orders:100%+', clientSecret: 'Zt5v+k2mQx8Lw4%n7Bc1Jd6Hf9Gs3:a0&=/' }
const key = generateKeyPairSync('ed25519').privateKey

// An issuer whose app is a real one, on a real port

interface Issuer extends TestApp {
  readonly uri: string
  /** One for each question. */
  readonly hits: string[]
  loginAs(clientId: string): Promise<TokenResponse>
}

async function issue (
  t: Test,
  clock: TestClock,
  options: Partial<TokenAuthOptions> = {}
): Promise<Issuer> {
  const hits: string[] = []
  const test = await createTestApp({
    clock,
    options: {
      ...scope,
      oauth: { clients: [{ clientId: 'phone' }, client] },
      users: {
        findByLogin: login => test.users.get(`u-${login}`),
        findById: id => test.users.get(id),
        claims: ({ id }) => ({ role: id === 'u-ann' ? 'admin' : 'member', groups: ['a'] })
      },
      ...options
    },
    before: app => {
      app.addHook('onRequest', async ({ url }) => {
        if (url === '/auth/introspect') {
          hits.push(url)
        }
      })
    }
  })
  t.teardown(() => test.app.close())
  const uri = `${await test.app.listen({ host: '127.0.0.1', port: 0 })}/auth/introspect`

  const loginAs: Issuer['loginAs'] = async clientId => {
    const body = { username: 'ann', password: PASSWORD, client_id: clientId }
    return (await test.post('/auth/login', body)).json()
  }

  return { ...test, hits, uri, loginAs }
}

// An issuer that says what the test wants it to say

type Answer = (response: ServerResponse) => void

interface Question {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

interface Oracle {
  readonly uri: string
  readonly asked: Question[]
  /** Of connections that are open. */
  readonly sockets: Set<Socket>
  answer: Answer
}

async function answering (t: Test, answer: Answer): Promise<Oracle> {
  const asked: Question[] = []
  const sockets = new Set<Socket>()
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += String(chunk)
    }).on('end', () => {
      asked.push({ headers: request.headers, body })
      oracle.answer(response)
    })
  }).listen(0, '127.0.0.1')
  server.on('connection', socket => {
    sockets.add(socket)
    socket.once('close', () => {
      sockets.delete(socket)
    })
  })
  await new Promise(resolve => {
    server.once('listening', resolve)
  })
  t.teardown(() => {
    server.close().closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const oracle: Oracle = {
    uri: `http://127.0.0.1:${port}/auth/introspect?key=hidden`,
    asked,
    sockets,
    answer
  }
  return oracle
}

const saying =
  (body: unknown, status = 200, headers: Record<string, string> = {}): Answer => response => {
    response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body))
  }

const down: Answer = response => {
  response.socket?.destroy()
}

const silent: Answer = () => {}

const now = createClock()() / 1000
const claims = {
  active: true,
  token_type: 'Bearer',
  ...scope,
  iss: scope.issuer,
  aud: scope.audience,
  sub: 'u-ann',
  sid: 's1',
  gen: 0,
  jti: 's1.0.1',
  type: 'access',
  auth_time: now,
  iat: now,
  exp: now + 900
}
const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url')
/** What an oracle is asked about need only look like a token. */
const textOf = (name: string, typ = 'at+jwt'): string =>
  `${encode({ alg: 'HS256', typ, kid: 'k' })}.${encode({ name })}.c2ln`

// The service that asks

interface Verifier {
  readonly clock: TestClock
  get(url: string, token: string): Promise<LightMyRequestResponse>
  status(token: string): Promise<number>
}

type Introspection = NonNullable<TokenVerifierOptions['introspection']>

async function verify (
  t: Test,
  clock: TestClock,
  uri: string,
  introspection: Partial<Introspection> = {},
  { timeout = '5s', fastify = {} }: { timeout?: string, fastify?: FastifyServerOptions } = {}
): Promise<Verifier> {
  const app = Fastify(fastify)
  t.teardown(() => app.close())
  await app.register(tokenVerifier, {
    introspection: { uri, ...client, ...introspection },
    ...scope,
    clock,
    timeout
  })
  app.get('/protected', { onRequest: app.authenticate }, request => request.auth)
  app.get('/admin', {
    onRequest: [app.authenticate, app.requireClaims({ role: 'admin' } as object)]
  }, () => 'admin')
  app.get('/pay', { onRequest: [app.authenticate, app.requireFresh('5m')] }, () => 'paid')
  const get: Verifier['get'] = async (url, token) =>
    app.inject({ url, headers: { authorization: `Bearer ${token}` } })
  return { clock, get, status: async token => (await get('/protected', token)).statusCode }
}

async function until (is: () => boolean): Promise<void> {
  while (!is()) {
    await setTimeout(5)
  }
}

t.test('a good token says here what it says at its issuer, whatever signs it there', async t => {
  for (const options of [{}, { keys: [key] as const }]) {
    const clock = createClock()
    const issuer = await issue(t, clock, options)
    const verifier = await verify(t, clock, issuer.uri)
    const phone = await issuer.loginAs('phone')
    const [here, there] = [
      await verifier.get('/protected', phone.access_token),
      await issuer.get('/protected', phone.access_token)
    ]
    t.equal(here.statusCode, 200)
    t.strictSame(here.json(), there.json())
    t.strictSame(
      here.json().claims,
      { role: 'admin', groups: ['a'] },
      'nothing of the answer but claims of the app'
    )
    t.match(here.json(), {
      userId: 'u-ann',
      clientId: 'phone',
      amr: ['pwd'],
      authenticatedAt: clock()
    })
    t.equal((await verifier.get('/protected', phone.access_token)).body, here.body, 'remembered')

    const [ann, bob] = [await issuer.login('ann'), await issuer.login('bob')]
    t.strictSame((await verifier.get('/protected', ann.access_token)).json(), {
      ...(await issuer.get('/protected', ann.access_token)).json(),
      clientId: 'auth'
    }, 'the app is a client with a name')
    t.equal((await verifier.get('/admin', ann.access_token)).statusCode, 200)
    t.equal(
      (await verifier.get('/admin', bob.access_token)).json().code,
      'AUTH_CLAIMS_INSUFFICIENT'
    )
    clock.advance(6 * MINUTE)
    t.equal(
      (await verifier.get('/pay', ann.access_token)).json().code,
      'AUTH_REAUTHENTICATION_REQUIRED'
    )
  }
})

t.test('the question is as RFC 7662 has it, the client proves who it is, and the token is in no URL', async t => {
  const oracle = await answering(t, saying(claims))
  const { status } = await verify(t, createClock(), oracle.uri)
  const token = textOf('it')
  t.equal(await status(token), 200)
  const [{ headers, body } = { headers: {}, body: '' }] = oracle.asked
  t.match(headers, {
    'content-type': /^application\/x-www-form-urlencoded/,
    accept: 'application/json'
  })
  t.strictSame(Object.fromEntries(new URLSearchParams(body)), {
    token,
    token_type_hint: 'access_token'
  })
  const [id = '', secret = ''] = Buffer.from(
    String(headers.authorization).slice('Basic '.length),
    'base64'
  ).toString().split(':')
  t.strictSame([id, secret].map(decodeURIComponent), [client.clientId, client.clientSecret])
})

t.test('an answer is believed for maxAge and no longer: then what was ended at the issuer is refused', async t => {
  const ends: Record<string, (issuer: Issuer, session: TokenResponse) => unknown> = {
    'a logout': (issuer, { refresh_token: token }) =>
      issuer.post('/auth/logout', { refresh_token: token }),
    'a user who is disabled': ({ users }) => {
      Object.assign(users.get('u-ann') as object, { disabled: true })
    },
    'a user who is gone': ({ users }) => users.delete('u-ann')
  }

  for (const [name, end] of Object.entries(ends)) {
    for (const [maxAge, millis] of [[undefined, 10 * SECOND], ['1m', MINUTE]] as const) {
      const clock = createClock()
      const issuer = await issue(t, clock)
      const { status, get } = await verify(
        t,
        clock,
        issuer.uri,
        maxAge === undefined ? {} : { maxAge }
      )
      const session = await issuer.login()
      t.equal(await status(session.access_token), 200)
      clock.advance(millis - 1)
      t.equal(await status(session.access_token), 200)
      t.equal(issuer.hits.length, 1, 'remembered')
      clock.advance(1)
      t.equal(await status(session.access_token), 200)
      t.equal(issuer.hits.length, 2, 'asked again')
      await end(issuer, session)
      clock.advance(millis - 1)
      t.equal(await status(session.access_token), 200, 'not known yet')
      clock.advance(1)
      const late = await get('/protected', session.access_token)
      t.match(late.json(), { statusCode: 401, code: 'AUTH_ACCESS_INVALID' }, name)
      t.match(late.headers['www-authenticate'], /^Bearer realm="auth", error="invalid_token"/)
      t.equal(
        await status(session.access_token),
        401,
        'a refusal is not remembered, nor what was before it'
      )
      t.equal(issuer.hits.length, 4)
    }
  }
})

t.test('with maxAge 0 each request asks, and a logout is known at once', async t => {
  const clock = createClock()
  const issuer = await issue(t, clock)
  const { status } = await verify(t, clock, issuer.uri, { maxAge: 0 })
  const { access_token: token, refresh_token: refresh } = await issuer.login()
  t.strictSame([await status(token), await status(token)], [200, 200])
  t.strictSame(await Promise.all([token, token, token].map(status)), [200, 200, 200])
  t.equal(issuer.hits.length, 5)
  await issuer.post('/auth/logout', { refresh_token: refresh })
  t.equal(await status(token), 401)
})

t.test('of many at once one asks, for each token', async t => {
  const clock = createClock()
  const issuer = await issue(t, clock)
  const { status } = await verify(t, clock, issuer.uri)
  const tokens = [
    (await issuer.login('ann')).access_token,
    (await issuer.login('bob')).access_token
  ]
  const statuses = await Promise.all(
    Array.from({ length: 100 }, (_, i) => status(tokens[i % 2] ?? ''))
  )
  t.strictSame([...new Set(statuses)], [200])
  t.equal(issuer.hits.length, 2)
})

t.test('an answer that is late is as old as its question: who comes maxAge after that asks anew', async t => {
  const held: ServerResponse[] = []
  const oracle = await answering(t, response => {
    held.push(response)
  })
  const { clock, status } = await verify(t, createClock(), oracle.uri, { maxAge: '10s' })
  const token = textOf('it')
  const first = status(token)
  await until(() => held.length === 1)
  clock.advance(10 * SECOND - 1)
  const joins = status(token)
  // It has nothing to be seen by but that nobody asks.
  await setTimeout(50)
  t.equal(held.length, 1)
  clock.advance(1)
  const later = status(token)
  await until(() => held.length === 2)
  saying(claims)(held[0] as ServerResponse)
  t.strictSame(await Promise.all([first, joins]), [200, 200])
  const last = status(token)
  await setTimeout(50)
  t.equal(
    held.length,
    2,
    'the late answer is not remembered as if it were of now, and the newer question is joined'
  )
  saying({ active: false })(held[1] as ServerResponse)
  t.strictSame(await Promise.all([later, last]), [401, 401], 'it was ended meanwhile')
})

t.test('a token ends to the second, though an answer is believed longer; a clock that was ahead is not believed', async t => {
  const oracle = await answering(t, saying({ ...claims, exp: now + 30 }))
  const { clock, get, status } = await verify(t, createClock(), oracle.uri, { maxAge: '1m' })
  const token = textOf('it')
  clock.advance(30 * SECOND - 1)
  t.equal(await status(token), 200)
  clock.advance(1)
  t.equal((await get('/protected', token)).json().code, 'AUTH_ACCESS_EXPIRED')
  t.equal(oracle.asked.length, 1)
  t.equal(
    (await get('/protected', textOf('another'))).json().code,
    'AUTH_ACCESS_EXPIRED',
    'also where the issuer is behind'
  )
  oracle.answer = saying(claims)
  t.equal(await status(textOf('third')), 200)
  clock.advance(-SECOND)
  oracle.answer = saying({ active: false })
  t.equal(await status(textOf('third')), 401)
})

t.test('what is not good at the issuer is 401: a refresh token, another audience or issuer, ended, forged', async t => {
  const clock = createClock()
  const issuer = await issue(t, clock)
  const other = await issue(t, clock, { issuer: 'https://b.example' })
  const elsewhere = await issue(t, clock, { audience: 'others' })
  const { get } = await verify(t, clock, issuer.uri)

  const codeOf = async (token: string, verifier = { get }): Promise<unknown> => {
    const { statusCode, headers, ...response } = await verifier.get('/protected', token)

    return statusCode === 200
      ? 200
      : { statusCode, challenged: 'www-authenticate' in headers, code: response.json().code }
  }

  const invalid = { statusCode: 401, challenged: true, code: 'AUTH_ACCESS_INVALID' }
  const { access_token: token, refresh_token: refresh = '' } = await issuer.login()
  const own = await issuer.loginAs('phone')
  const wrong = [
    refresh,
    own.refresh_token ?? '',
    (await other.login()).access_token,
    `${token}A`,
    token.replace('.', '..'),
    textOf('x'),
    'garbage',
    'a.b.c',
    `${textOf('x')}${'A'.repeat(9000)}`
  ]

  for (const text of wrong) {
    t.strictSame(await codeOf(text), invalid, text.slice(0, 40))
  }

  t.equal(issuer.hits.length, 3, 'what does not look like an access token makes no question')
  t.strictSame(
    await codeOf((await other.login()).access_token, await verify(t, clock, other.uri)),
    invalid,
    'its issuer says another name'
  )
  t.strictSame(
    await codeOf((await elsewhere.login()).access_token, await verify(t, clock, elsewhere.uri)),
    invalid,
    'it is for others'
  )
  t.equal(await codeOf(token), 200)
  clock.advance(15 * MINUTE)
  t.strictSame(await codeOf(token), invalid)
})

t.test('each claim of an answer is looked at', async t => {
  const oracle = await answering(t, silent)
  const { get } = await verify(t, createClock(), oracle.uri)

  const codeOf = async (name: string, members: object): Promise<unknown> => {
    oracle.answer = saying({ ...claims, ...members })
    const response = await get('/protected', textOf(name))
    return response.statusCode === 200 ? 200 : response.json().code
  }

  const good: Record<string, object> = {
    'an audience among others': { aud: ['x', 'api'] },
    'no client': { client_id: undefined },
    'no jti': { jti: undefined }
  }

  for (const [name, members] of Object.entries(good)) {
    t.equal(await codeOf(name, members), 200, name)
  }

  const wrong: Record<string, unknown[]> = {
    active: [false],
    iss: [undefined, 'https://b.example', [scope.issuer]],
    aud: [undefined, 'others', [], ['others']],
    sub: [undefined, '', 1],
    sid: [undefined],
    type: [undefined, 'refresh'],
    exp: [undefined, `${now + 900}`],
    iat: [now + 61],
    nbf: [now + 61],
    auth_time: [undefined],
    client_id: [5, ''],
    cnf: [{ jkt: 'x' }, null, { jkt: 'x', other: 1 }, { other: 1 }]
  }

  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      t.equal(
        await codeOf(`${name} ${inspect(value)}`, { [name]: value }),
        'AUTH_ACCESS_INVALID',
        `${name} ${inspect(value)}`
      )
    }
  }
})

t.test('an issuer that cannot be asked is 503, never 401 and never 200; the log says why, and neither secret nor token', async t => {
  let log = ''
  const stream = new PassThrough().on('data', chunk => {
    log += String(chunk)
  })
  const elsewhere = await answering(t, saying(claims))
  const oracle = await answering(t, saying(claims))
  const fastify = { logger: { level: 'trace', stream } }
  const clock = createClock()
  const patient = await verify(t, clock, oracle.uri, {}, { fastify })
  const hasty = await verify(t, clock, oracle.uri, {}, { fastify, timeout: '200ms' })
  const token = textOf('it')
  t.equal(await patient.status(token), 200)
  const answers: Array<[string, Answer, string | RegExp, Verifier?]> = [
    ['down', down, /^TypeError (UND_ERR_SOCKET|ECONNRESET)$/],
    ['silent', silent, 'TimeoutError', hasty],
    [
      'a body that never ends',
      response => {
        response.writeHead(200).write('{"active":true,')
      },
      'TimeoutError',
      hasty
    ],
    ['another secret', saying({ error: 'invalid_client' }, 401), 'status 401'],
    ['a failure', saying(claims, 500), 'status 500'],
    ['an outage', saying(claims, 503), 'status 503'],
    ['a success of another kind', saying(claims, 201), 'status 201'],
    ['a redirect', saying(claims, 307, { location: elsewhere.uri }), 'status 307'],
    ['a page', saying('<html>walnut', 200, { 'content-type': 'text/html' }), 'SyntaxError'],
    ['nothing', saying(''), 'SyntaxError'],
    ...[null, [claims], 'true', {}, { ...claims, active: 'true' }, { ...claims, active: 1 }].map((
      body
    ): [string, Answer, string] => [
      inspect(body).slice(0, 40),
      saying(JSON.stringify(body)),
      'it does not say whether the token is active'
    ])
  ]

  for (const [name, answer, cause, { get } = patient] of answers) {
    oracle.answer = answer
    clock.advance(10 * SECOND)
    log = ''
    const response = await get('/protected', token)
    t.match(response.json(), { statusCode: 503, code: 'AUTH_STORE_UNAVAILABLE' }, name)
    t.match(response.headers, { 'retry-after': '1' })
    t.notOk(response.headers['www-authenticate'])
    const lines = log.split('\n').filter(line =>
      line.includes('the issuer cannot be asked about tokens')
    )
    t.match(lines.map(line => JSON.parse(line)), [{
      level: 50,
      registration: 'auth',
      introspection: oracle.uri.split('?')[0],
      cause
    }], name)
    const secrets = [
      ...token.split('.').slice(1),
      client.clientSecret,
      encodeURIComponent(client.clientSecret),
      'hidden',
      'walnut',
      'u-ann',
      String(oracle.asked[0]?.headers.authorization).slice('Basic '.length)
    ]

    for (const secret of secrets) {
      t.notOk(`${log}${response.body}`.includes(secret), `${name}: ${secret}`)
    }
  }

  t.strictSame(elsewhere.asked, [])
  oracle.answer = saying(claims)
  t.equal(await patient.status(token), 200, 'all is well when it is up again')
  oracle.answer = down
  clock.advance(10 * SECOND - 1)
  t.equal(await patient.status(token), 200, 'what is remembered goes on meanwhile')
})

t.test('an answer that is not read keeps no connection open', async t => {
  const oracle = await answering(t, saying('x'.repeat(1_000_000), 500))
  const { status } = await verify(t, createClock(), oracle.uri)

  for (let i = 0; i < 30; i++) {
    t.equal(await status(textOf('it')), 503)
  }

  t.ok(oracle.sockets.size < 10, `${oracle.sockets.size} of 30`)
})

t.test('a client that the issuer does not know is 503 too', async t => {
  const clock = createClock()
  const issuer = await issue(t, clock)
  const { access_token: token } = await issuer.login()

  for (
    const wrong of [{ clientSecret: `${client.clientSecret}x` }, { clientId: 'nobody' }, {
      clientId: 'phone'
    }]
  ) {
    t.equal(await (await verify(t, clock, issuer.uri, wrong)).status(token), 503, inspect(wrong))
  }
})

t.test('an invalid option fails at startup with its fix', async t => {
  const uri = 'https://a.example/auth/introspect'
  const introspection = { uri, ...client }
  const wrong: Array<[object, RegExp]> = [
    [
      { jwksUri: 'https://a.example/jwks' },
      /"introspection" cannot be combined with "jwksUri"; remove one of them$/
    ],
    ...Object.entries({ algorithms: ['EdDSA'], maxAge: '1m', cooldown: '1m' }).map((
      [name, value]
    ): [object, RegExp] => [
      { [name]: value },
      new RegExp(`"introspection" cannot be combined with "${name}"; remove one of them$`)
    ]),
    [{ introspection: null }, /"introspection" must be an object$/],
    [{ introspection: uri }, /"introspection" must be an object$/],
    [
      { introspection: { ...introspection, secret: 'x' } },
      /unknown option "introspection\.secret"; valid options: uri, clientId, clientSecret, maxAge$/
    ],
    ...[undefined, '', 5].flatMap((value): Array<[object, RegExp]> => [
      [
        { introspection: { ...introspection, clientSecret: value } },
        /"introspection\.clientSecret" must be a non-empty string; set it to that of one of the issuer's/
      ],
      [
        { introspection: { ...introspection, clientId: value } },
        /"introspection\.clientId" must be a non-empty string; set it to that of one of the issuer's/
      ],
      [
        { introspection: { ...introspection, uri: value } },
        /"introspection\.uri" must be the URL of the issuer's route, such as "https:/
      ]
    ]),
    ...[
      'http://a.example/',
      'http://10.0.0.1/',
      'http://localhost.evil.example/',
      'ftp://localhost/'
    ].map((
      uri
    ): [object, RegExp] => [
      { introspection: { ...introspection, uri } },
      /"introspection\.uri" must be https, because .*; http works for localhost only$/
    ]),
    [
      { introspection: { ...introspection, uri: 'https://a:b@a.example/' } },
      /"introspection\.uri" must not contain a user name or a password$/
    ],
    [
      { introspection: { ...introspection, maxAge: '61s' } },
      /"introspection\.maxAge" must be at most 1m, not "61s"$/
    ],
    [
      { introspection: { ...introspection, maxAge: 'soon' } },
      /"introspection\.maxAge" must be a number of seconds or a string such as/
    ],
    [
      { issuer: undefined },
      /"issuer" must be a non-empty string; set it to the option "issuer" of/
    ],
    [{ audience: '' }, /"audience" must be a non-empty string; set it to the option "audience" of/],
    ...[
      'http://a.example',
      'https://a.example/',
      'https://a.example/api/',
      'https://a.example?x=1',
      'https://a.example#x',
      'a.example',
      '',
      5
    ]
      .map((
        publicUrl
      ): [object, RegExp] => [
        { publicUrl },
        /"publicUrl" must be an https URL without query, fragment and final "\/", such as "https:/
      ]),
    [
      { dpop: { secret: 'short' } },
      /"dpop\.secret" must be at least 32 random bytes, but .*; create one with `openssl rand -base64 48`$/
    ],
    [
      { dpop: { secret: new Uint8Array(16) } },
      /"dpop\.secret" must be .*, but .*; create one with/
    ],
    [
      { dpop: { secret: 'change-me-change-me-change-me-change-me' } },
      /"dpop\.secret" must be .*, but .*; create one with/
    ],
    [
      { dpop: { require: true } },
      /unknown option "dpop\.require"; valid options: required, nonces, replays, secret$/
    ],
    [{ dpop: { required: 'yes' } }, /"dpop\.required" must be true or false, not "yes"$/],
    [{ dpop: { replays: {} } }, /"dpop\.replays" must be an AttemptStore/],
    [{ dpop: null }, /"dpop" must be an object$/],
    [{ dpop: 'yes' }, /"dpop" must be an object$/]
  ]

  for (const [options, message] of wrong) {
    const app = Fastify()
    const registered = async (): Promise<unknown> =>
      app.register(tokenVerifier, { introspection, ...scope, ...options } as never)
    await t.rejects(registered, { name: 'TypeError', message }, inspect(options))
  }

  for (
    const options of [{ publicUrl: 'https://a.example/api' }, {
      publicUrl: 'http://127.0.0.1:3000'
    }, { introspection: { ...introspection, uri: new URL(uri) } }]
  ) {
    const app = Fastify()
    await app.register(tokenVerifier, { introspection, ...scope, ...options })
    t.ok(app.hasDecorator('authenticate'), inspect(options))
    await app.close()
  }
})
