import t from 'tap'
import { PASSWORD } from '../../helpers/app.js'
import {
  ACCESS,
  assertRejected,
  listen,
  logInWithCookies,
  SAME,
  withCookies
} from './raw-server.js'
import type { Answer } from './raw-server.js'

const JSON_TYPE = 'Content-Type: application/json'

const FORM_TYPE = 'Content-Type: application/x-www-form-urlencoded'

const getLengthHeader = (body: string): string => `Content-Length: ${Buffer.byteLength(body)}`

t.test('no header or parameter overrides the method [1]', async t => {
  const server = await listen(t, { options: withCookies })
  const { refresh } = await logInWithCookies(server)
  const [, token = ''] = refresh.split('=')
  server.writes.length = 0
  const body = `_method=POST&refresh_token=${token}`
  const overrides = [
    'X-HTTP-Method-Override: POST',
    'X-HTTP-Method: POST',
    'X-Method-Override: POST'
  ]

  for (
    const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'QUERY', 'post', 'CONNECT']
  ) {
    for (const path of ['/auth/refresh', '/auth/logout', '/auth/login']) {
      const answer = await server.rawWith(
        body,
        `${method} ${path}?_method=POST`,
        ...overrides,
        SAME,
        `Cookie: ${refresh}`,
        FORM_TYPE,
        getLengthHeader(body)
      )
      t.notMatch([200, 201, 204], [answer.status], `${method} ${path}`)
      t.notMatch(answer.head, /set-cookie/i, method)
    }
  }

  t.strictSame(server.writes, [])
})

t.test('empty tokens count as missing, and repeated parameters are rejected [2]', async t => {
  const server = await listen(t, { options: withCookies })
  const { refresh: cookie } = await logInWithCookies(server)
  const { refresh_token: token = '' } = await server.login('bob')
  const post = (body: string, ...headers: string[]): Promise<Answer> =>
    server.rawWith(
      body,
      'POST /auth/refresh',
      body.startsWith('{') ? JSON_TYPE : FORM_TYPE,
      getLengthHeader(body),
      ...headers
    )

  for (
    const empty of [
      'refresh_token=',
      'refresh_token',
      '{"refresh_token":""}',
      '{}',
      '{"refresh_token":"","grant_type":"x"}'
    ]
  ) {
    t.match(
      (await post(empty, `Cookie: ${cookie}`, SAME)).body,
      'u-ann',
      `${empty} beside a cookie`
    )
    t.match(
      (await post(empty, `Authorization: Bearer ${token}`)).body,
      'u-bob',
      `${empty} beside a bearer`
    )
  }

  t.equal(
    (await post(`grant_type=refresh_token&scope=&client_id=x&refresh_token=${token}`)).status,
    200
  )

  for (const twice of ['grant_type=refresh_token&grant_type=x', 'scope=&scope=', 'a&a']) {
    assertRejected(
      t,
      await post(`${twice}&refresh_token=${token}`),
      400,
      'AUTH_REQUEST_INVALID',
      twice
    )
  }

  for (
    const other of [
      `refresh_token[]=${token}`,
      `refresh_token%00=${token}`,
      `Refresh_Token=${token}`,
      `refresh_token;=${token}`
    ]
  ) {
    assertRejected(t, await post(other), 401, 'AUTH_REFRESH_MISSING', other)
  }
})

t.test('only the Authorization header is read, without outer whitespace [12]', async t => {
  const server = await listen(t)
  const { access_token: token } = await server.login()

  for (
    const header of [
      `Authorization:Bearer ${token}`,
      `AUTHORIZATION: \t bearer ${token} \t `,
      `authorization:\tBEARER   ${token}`
    ]
  ) {
    t.equal((await server.raw('GET /protected', header)).status, 200, header.slice(0, 24))
  }

  const others = [
    'Proxy-Authorization',
    'X-Authorization',
    'WWW-Authenticate',
    'Authorization2',
    'X-Access-Token',
    'X-New-Token',
    'Token'
  ]

  for (const name of others) {
    assertRejected(
      t,
      await server.raw('GET /protected', `${name}: Bearer ${token}`),
      401,
      'AUTH_ACCESS_MISSING',
      name
    )
  }

  // A strict HTTP parser rejects these requests itself.
  for (
    const broken of [
      `Authorization : Bearer ${token}`,
      ` Authorization: Bearer ${token}`,
      `Authorization: Bearer\r\n ${token}`,
      `Authorization\0: Bearer ${token}`
    ]
  ) {
    t.equal(
      (await server.raw('GET /protected', broken)).status,
      400,
      JSON.stringify(broken.slice(0, 30))
    )
  }

  const trailer = `0\r\nAuthorization: Bearer ${token}\r\n\r\n`
  const late = await server.rawWith(
    trailer,
    'POST /auth/elevate',
    'Transfer-Encoding: chunked',
    'Trailer: Authorization'
  )
  assertRejected(t, late, 401, 'AUTH_ACCESS_MISSING', 'a trailer comes too late')
})

t.test('an access token is accepted only as bearer token [13]', async t => {
  const server = await listen(t)
  const { access_token: token } = await server.login()
  server.entered.length = 0
  const form = `access_token=${token}`
  const json = JSON.stringify({ access_token: token, authorization: `Bearer ${token}` })
  const requests: Array<Promise<Answer>> = [
    server.rawWith(form, 'POST /auth/elevate', FORM_TYPE, getLengthHeader(form)),
    server.rawWith(json, 'POST /auth/elevate', JSON_TYPE, getLengthHeader(json)),
    server.raw(`GET http://${token}@localhost/protected`),
    server.raw(`GET http://x:${token}@localhost/protected`),
    server.raw(`GET /protected?access_token=${token}&bearer_token=${token}#access_token=${token}`),
    server.raw(
      'GET /protected',
      `Cookie: access_token=${token}; token=${token}; auth-access=${token}; ${ACCESS}=${token}`
    ),
    server.raw(
      'GET /protected',
      `Sec-WebSocket-Protocol: bearer, ${token}`,
      `Referer: http://localhost/?access_token=${token}`
    ),
    server.raw('GET /protected', `Authorization: ${token}`, `From: Bearer ${token}`)
  ]

  for (const [i, request] of requests.entries()) {
    assertRejected(t, await request, 401, 'AUTH_ACCESS_MISSING', `way ${i}`)
  }

  t.strictSame(server.entered, [])
})

t.test('two Authorization headers are rejected in any spelling and order [14]', async t => {
  const server = await listen(t)
  const { access_token: access, refresh_token: refresh = '' } = await server.login()
  const [good, other] = [`Bearer ${access}`, `Bearer ${refresh}`]
  const pairs = [
    [`Authorization: ${good}`, `authorization: ${good}`],
    [`AUTHORIZATION: ${good}`, 'X-Between: 1', 'Authorization:'],
    ['aUTHORIZATION:', `Authorization: ${good}`],
    [`Authorization: ${good}`, `Authorization: DPoP ${access}`],
    [`Authorization: ${other}`, `Authorization: ${good}`, `Authorization: ${good}`]
  ]

  for (const pair of pairs) {
    for (
      const line of [
        'GET /protected',
        'HEAD /auth/me',
        'GET /auth/sessions',
        'POST /auth/refresh',
        'POST /auth/logout',
        'POST /auth/logout/all'
      ]
    ) {
      const answer = await server.raw(line, ...pair)
      t.equal(answer.status, 400, `${line} ${pair.join().slice(0, 40)}`)

      if (!line.startsWith('HEAD')) {
        t.equal(answer.code, 'AUTH_REQUEST_INVALID')
      }
    }
  }

  const joined = await server.raw('GET /protected', `Authorization: ${good}, ${good}`)
  assertRejected(t, joined, 401, 'AUTH_ACCESS_INVALID', 'as a proxy may join them')
  t.equal((await server.refresh(refresh)).statusCode, 200, 'the session is still valid')
})

t.test('two refresh tokens are rejected, and both stay valid [14]', async t => {
  const server = await listen(t, { options: withCookies })
  const { refresh: cookie } = await logInWithCookies(server)
  const { refresh_token: token = '' } = await server.login('bob')
  const inBody = JSON.stringify({ refresh_token: token })
  const places = [`Cookie: ${cookie}`, `Authorization: Bearer ${token}`]
  server.writes.length = 0

  for (const path of ['/auth/refresh', '/auth/logout']) {
    for (
      const [body, ...headers] of [[inBody, places[0]], [inBody, places[1]], ['', ...places], [
        inBody,
        ...places
      ]] as string[][]
    ) {
      const type = body === '' ? [] : [JSON_TYPE, getLengthHeader(body as string)]
      assertRejected(
        t,
        await server.rawWith(body as string, `POST ${path}`, SAME, ...type, ...headers),
        400,
        'AUTH_REQUEST_INVALID',
        path
      )
    }
  }

  t.strictSame(server.writes, [])
})

t.test('the address of a client comes from the socket or a trusted proxy [70]', async t => {
  const forged = [
    'X-Forwarded-For: 203.0.113.7',
    'Forwarded: for=203.0.113.7',
    'X-Real-IP: 203.0.113.7',
    'True-Client-IP: 203.0.113.7'
  ]
  const login = JSON.stringify({ username: 'ann', password: PASSWORD })
  const cases: Array<[string, boolean | string, string[], string]> = [
    ['no proxy', false, forged, '127.0.0.1'],
    ['a proxy elsewhere', '10.0.0.0/8', forged, '127.0.0.1'],
    ['one proxy', 'loopback', ['X-Forwarded-For: 203.0.113.7, 198.51.100.9'], '198.51.100.9'],
    ['two proxies', '127.0.0.1, 198.51.100.9', [
      'X-Forwarded-For: 192.0.2.1, 203.0.113.7',
      'X-Forwarded-For: 198.51.100.9'
    ], '203.0.113.7']
  ]

  for (const [about, trustProxy, headers, address] of cases) {
    const server = await listen(t, { fastify: { trustProxy } })
    const { body } = await server.rawWith(
      login,
      'POST /auth/login',
      JSON_TYPE,
      getLengthHeader(login),
      ...headers
    )
    const { access_token: access, refresh_token: token } = JSON.parse(body) as Record<
      string,
      string
    >
    await server.raw('POST /auth/refresh', `Authorization: Bearer ${token}`, ...headers)
    const { sessions } = (await server.get('/auth/sessions', access)).json()
    t.strictSame([sessions.length, sessions[0].ip], [1, address], about)
    t.match(server.events, [{ name: 'login', address }, { name: 'refresh', address }], about)
  }
})
