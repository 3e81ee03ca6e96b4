import { PassThrough } from 'node:stream'
import { inspect } from 'node:util'
import t from 'tap'
import { createClock, MINUTE, SECOND } from '../../helpers/clock.js'
import {
  claims,
  client,
  createFakeToken,
  down,
  now,
  respondWith,
  scope,
  silent,
  startIntrospectionServer,
  startIssuer,
  startVerifier
} from './introspection-setup.js'
import type { Respond, Verifier } from './introspection-setup.js'

t.test('a token that the issuer does not accept as an access token gets 401', async t => {
  const clock = createClock()
  const issuer = await startIssuer(t, clock)
  const other = await startIssuer(t, clock, { issuer: 'https://b.example' })
  const elsewhere = await startIssuer(t, clock, { audience: 'others' })
  const { get } = await startVerifier(t, clock, issuer.uri)

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
    createFakeToken('x'),
    'garbage',
    'a.b.c',
    `${createFakeToken('x')}${'A'.repeat(9000)}`
  ]

  for (const text of wrong) {
    t.strictSame(await codeOf(text), invalid, text.slice(0, 40))
  }

  t.equal(issuer.hits.length, 2, 'only plausible tokens cause a request')
  t.strictSame(
    await codeOf((await other.login()).access_token, await startVerifier(t, clock, other.uri)),
    invalid,
    'another issuer'
  )
  t.strictSame(
    await codeOf(
      (await elsewhere.login()).access_token,
      await startVerifier(t, clock, elsewhere.uri)
    ),
    invalid,
    'another audience'
  )
  t.equal(await codeOf(token), 200)
  clock.advance(15 * MINUTE)
  t.strictSame(await codeOf(token), { ...invalid, code: 'AUTH_ACCESS_EXPIRED' })
})

t.test('a token that its own content rules out causes no request', async t => {
  const server = await startIntrospectionServer(t, respondWith(claims))
  const { get } = await startVerifier(t, createClock(), server.uri)
  const read = async (token: string): Promise<unknown> =>
    (await get('/protected', token)).json().code

  const headers = [
    { typ: 'rt+jwt' },
    { typ: undefined },
    { alg: 'none' },
    { alg: 'NONE' },
    { alg: '' },
    { alg: undefined },
    { jku: 'https://b.example' }
  ]
  const payloads = [
    { iss: 'https://b.example' },
    { iss: undefined },
    { aud: 'others' },
    { aud: ['others'] },
    { type: 'refresh' },
    { nbf: now + 61 },
    { iat: now + 61 },
    { exp: '9e9' },
    { sub: undefined }
  ]

  for (const header of headers) {
    t.equal(await read(createFakeToken('x', header)), 'AUTH_ACCESS_INVALID', inspect(header))
  }

  for (const payload of payloads) {
    const token = createFakeToken('x', {}, payload)
    t.equal(await read(token), 'AUTH_ACCESS_INVALID', inspect(payload))
  }

  t.equal(await read(createFakeToken('x', {}, { exp: now })), 'AUTH_ACCESS_EXPIRED')
  const [head, , signature] = createFakeToken('x').split('.')
  t.equal(
    await read(`${head}.${Buffer.from('[]').toString('base64url')}.${signature}`),
    'AUTH_ACCESS_INVALID'
  )
  t.strictSame(server.requests, [])
  server.respond = respondWith({ active: false })
  t.equal(await read(createFakeToken('x')), 'AUTH_ACCESS_INVALID', 'plausible, but not active')
  t.equal(server.requests.length, 1)
})

t.test('a response with a claim of the wrong type or value is rejected', async t => {
  const server = await startIntrospectionServer(t, silent)
  const { get } = await startVerifier(t, createClock(), server.uri)

  const codeOf = async (name: string, members: object): Promise<unknown> => {
    server.respond = respondWith({ ...claims, ...members })
    const response = await get('/protected', createFakeToken(name))
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

t.test('a failed introspection results in 503 and logs the cause without secrets', async t => {
  let log = ''
  const stream = new PassThrough().on('data', chunk => {
    log += String(chunk)
  })
  const elsewhere = await startIntrospectionServer(t, respondWith(claims))
  const server = await startIntrospectionServer(t, respondWith(claims))
  const fastify = { logger: { level: 'trace', stream } }
  const clock = createClock()
  const patient = await startVerifier(t, clock, server.uri, {}, { fastify })
  const hasty = await startVerifier(t, clock, server.uri, {}, { fastify, timeout: '200ms' })
  const token = createFakeToken('it')
  t.equal(await patient.status(token), 200)
  const responses: Array<[string, Respond, string | RegExp, Verifier?]> = [
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
    ['another secret', respondWith({ error: 'invalid_client' }, 401), 'status 401'],
    ['a failure', respondWith(claims, 500), 'status 500'],
    ['an outage', respondWith(claims, 503), 'status 503'],
    ['a success of another kind', respondWith(claims, 201), 'status 201'],
    ['a redirect', respondWith(claims, 307, { location: elsewhere.uri }), 'status 307'],
    ['a page', respondWith('<html>walnut', 200, { 'content-type': 'text/html' }), 'SyntaxError'],
    ['nothing', respondWith(''), 'SyntaxError'],
    ...[null, [claims], 'true', {}, { ...claims, active: 'true' }, { ...claims, active: 1 }].map((
      body
    ): [string, Respond, string] => [
      inspect(body).slice(0, 40),
      respondWith(JSON.stringify(body)),
      'response without a boolean "active"'
    ])
  ]

  for (const [name, respond, cause, { get } = patient] of responses) {
    server.respond = respond
    clock.advance(10 * SECOND)
    log = ''
    const response = await get('/protected', token)
    t.match(response.json(), { statusCode: 503, code: 'AUTH_STORE_UNAVAILABLE' }, name)
    t.match(response.headers, { 'retry-after': '1' })
    t.notOk(response.headers['www-authenticate'])
    const lines = log.split('\n').filter(line => line.includes('failed to introspect a token'))
    t.match(lines.map(line => JSON.parse(line)), [{
      level: 50,
      registration: 'auth',
      url: server.uri.split('?')[0],
      cause
    }], name)
    const secrets = [
      ...token.split('.').slice(1),
      client.clientSecret,
      encodeURIComponent(client.clientSecret),
      'hidden',
      'walnut',
      'u-ann',
      String(server.requests[0]?.headers.authorization).slice('Basic '.length)
    ]

    for (const secret of secrets) {
      t.notOk(`${log}${response.body}`.includes(secret), `${name}: ${secret}`)
    }
  }

  t.strictSame(elsewhere.requests, [])
  server.respond = respondWith(claims)
  t.equal(await patient.status(token), 200, 'after the issuer is up again')
  server.respond = down
  clock.advance(10 * SECOND - 1)
  t.equal(await patient.status(token), 200, 'from the cache')
})

t.test('an outage of the issuer logs 10 failures in 10 s and counts the others', async t => {
  const failures: object[] = []
  const stream = new PassThrough().on('data', chunk => {
    const line = JSON.parse(String(chunk)) as { readonly msg: string }

    if (line.msg === 'failed to introspect a token') {
      failures.push(line)
    }
  })
  const server = await startIntrospectionServer(t, respondWith(claims, 503))
  const clock = createClock()
  const verifier = await startVerifier(t, clock, server.uri, {}, {
    fastify: { logger: { level: 'error', stream } }
  })

  for (let i = 0; i < 13; i++) {
    t.equal(await verifier.status(createFakeToken(`it${i}`)), 503)
  }

  t.equal(failures.length, 10)
  t.notOk(failures.some(failure => 'skipped' in failure))
  clock.advance(10 * SECOND)
  t.equal(await verifier.status(createFakeToken('later')), 503)
  t.match(failures.slice(10), [{ skipped: 3, cause: 'status 503' }])
})

t.test('an unread response does not keep its connection open', async t => {
  const server = await startIntrospectionServer(t, respondWith('x'.repeat(1_000_000), 500))
  const { status } = await startVerifier(t, createClock(), server.uri)

  for (let i = 0; i < 30; i++) {
    t.equal(await status(createFakeToken('it')), 503)
  }

  t.ok(server.sockets.size < 10, `${server.sockets.size} of 30`)
})

t.test('invalid client credentials result in 503', async t => {
  const clock = createClock()
  const issuer = await startIssuer(t, clock)
  const { access_token: token } = await issuer.login()

  for (
    const wrong of [{ clientSecret: `${client.clientSecret}x` }, { clientId: 'nobody' }, {
      clientId: 'phone'
    }]
  ) {
    t.equal(
      await (await startVerifier(t, clock, issuer.uri, wrong)).status(token),
      503,
      inspect(wrong)
    )
  }
})
