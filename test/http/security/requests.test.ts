// Requests as no client library writes them, byte by byte to a server that listens: what a parser or a router makes of them
// must open nothing. Numbers are those of the security requirements; README.md says where each of them is tested.

import { createCipheriv, createHmac, randomBytes } from 'node:crypto'
import { connect as connect2 } from 'node:http2'
import type { OutgoingHttpHeaders } from 'node:http2'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { deriveKey } from '../../../src/tokens/key-derivation.js'
import type { TokenStore } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD, SECRET } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'

interface Answer {
  readonly status: number
  readonly head: string
  readonly body: string
  /** Of an error. */
  readonly code?: string
}

interface Server extends TestApp {
  readonly port: number
  /** Routes that were entered: what comes before a handler had let the request pass. */
  readonly entered: string[]
  /** What wrote to the store. */
  readonly writes: string[]
  /** `raw('GET /me', 'Authorization: ..', ..)`; the target is sent as it stands. */
  raw(line: string, ...headers: string[]): Promise<Answer>
  rawWith(body: string, line: string, ...headers: string[]): Promise<Answer>
}

const REFRESH = '__Host-auth-refresh'
const ACCESS = '__Host-auth-access'
const JSON_TYPE = 'Content-Type: application/json'
const FORM_TYPE = 'Content-Type: application/x-www-form-urlencoded'
const SAME = 'Sec-Fetch-Site: same-origin'
const withCookies: TestAppOptions['options'] = {
  refreshToken: { transport: 'both' },
  cookie: { accessToken: true },
  revocations: false
}

async function listen (t: Test, { before, ...given }: TestAppOptions = {}): Promise<Server> {
  const entered: string[] = []
  const writes: string[] = []
  const store = new Proxy<TokenStore>(new MemoryStore(), {
    get: (target, verb: keyof TokenStore) => (...args: unknown[]): unknown => {
      if (['create', 'rotate', 'revoke', 'sweep'].includes(verb)) {
        writes.push(verb)
      }

      return Reflect.apply(Reflect.get(target, verb), target, args)
    }
  })
  const test = await createTestApp({
    store,
    ...given,
    async before (app) {
      app.addHook('preHandler', async request => {
        if (!request.is404) {
          entered.push(request.url)
        }
      })
      await before?.(app)
    }
  })
  await test.app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => test.app.close())
  const { port } = test.app.server.address() as AddressInfo
  const rawWith: Server['rawWith'] = (body, line, ...headers) =>
    exchange(
      port,
      [`${line} HTTP/1.1`, 'Host: localhost', 'Connection: close', ...headers, '', body].join(
        '\r\n'
      )
    )

  return {
    ...test,
    port,
    entered,
    writes,
    rawWith,
    raw: (line, ...headers) => rawWith('', line, ...headers)
  }
}

function exchange (port: number, text: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect(port, '127.0.0.1')
    socket
      .on('data', chunk => {
        chunks.push(chunk)
      })
      .on('error', reject)
      .on('end', () => {
        socket.end()
        const [head = '', ...rest] = Buffer.concat(chunks).toString().split('\r\n\r\n')
        const body = rest.join('\r\n\r\n')
        const code = body.startsWith('{') ? (JSON.parse(body) as { code?: string }).code : undefined
        resolve({
          status: Number(head.split(' ')[1]),
          head,
          body,
          ...(code !== undefined && { code })
        })
      })
      .write(text, 'latin1')
  })
}

function refused (
  t: Test,
  { status, code, body, head }: Answer,
  ...[wanted, wantedCode, about]: [number, string, string]
): void {
  t.strictSame([status, code], [wanted, wantedCode], `${about} ${status} ${body}`)
  t.notMatch(head, /set-cookie/i, about)
}

/** Signs in with cookies; `<name>=<token>`. */
async function cookiesOf (
  server: Server,
  username = 'ann'
): Promise<{ refresh: string, access: string }> {
  const credentials = { username, password: PASSWORD }
  const { cookies } = await server.post('/auth/login', credentials, {
    'x-token-transport': 'cookie',
    'sec-fetch-site': 'same-origin'
  })
  const [refresh = '', access = ''] = cookies.map(({ name, value }) => `${name}=${value}`)
  return { refresh, access }
}

const lengthOf = (body: string): string => `Content-Length: ${Buffer.byteLength(body)}`

t.test('1: no header and no parameter makes a POST of another method', async t => {
  const server = await listen(t, { options: withCookies })
  const { refresh } = await cookiesOf(server)
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
        lengthOf(body)
      )
      t.notMatch([200, 201, 204], [answer.status], `${method} ${path}`)
      t.notMatch(answer.head, /set-cookie/i, method)
    }
  }

  t.strictSame(server.writes, [])
})

t.test('2: an empty token is an absent one beside another, and unknown parameters are ignored once and refused twice', async t => {
  const server = await listen(t, { options: withCookies })
  const { refresh: cookie } = await cookiesOf(server)
  const { refresh_token: token = '' } = await server.login('bob')
  const post = (body: string, ...headers: string[]): Promise<Answer> =>
    server.rawWith(
      body,
      'POST /auth/refresh',
      body.startsWith('{') ? JSON_TYPE : FORM_TYPE,
      lengthOf(body),
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
    refused(t, await post(`${twice}&refresh_token=${token}`), 400, 'AUTH_REQUEST_INVALID', twice)
  }

  for (
    const other of [
      `refresh_token[]=${token}`,
      `refresh_token%00=${token}`,
      `Refresh_Token=${token}`,
      `refresh_token;=${token}`
    ]
  ) {
    refused(t, await post(other), 401, 'AUTH_REFRESH_MISSING', other)
  }
})

t.test('12: spaces around the header are none of its value, and no other header or line is Authorization', async t => {
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
    refused(
      t,
      await server.raw('GET /protected', `${name}: Bearer ${token}`),
      401,
      'AUTH_ACCESS_MISSING',
      name
    )
  }

  // An HTTP parser that is strict does not even hand these over.
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
    'POST /auth/logout/all',
    'Transfer-Encoding: chunked',
    'Trailer: Authorization'
  )
  refused(t, late, 401, 'AUTH_ACCESS_MISSING', 'a trailer comes too late')
})

t.test('13: an access token counts as bearer alone, wherever else it stands', async t => {
  const server = await listen(t)
  const { access_token: token } = await server.login()
  server.entered.length = 0
  const form = `access_token=${token}`
  const json = JSON.stringify({ access_token: token, authorization: `Bearer ${token}` })
  const requests: Array<Promise<Answer>> = [
    server.rawWith(form, 'POST /auth/logout/all', FORM_TYPE, lengthOf(form)),
    server.rawWith(json, 'POST /auth/logout/all', JSON_TYPE, lengthOf(json)),
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
    refused(t, await request, 401, 'AUTH_ACCESS_MISSING', `way ${i}`)
  }

  t.strictSame(server.entered, [])
})

t.test('14: two Authorization headers are refused in any spelling, order and company', async t => {
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
  refused(t, joined, 401, 'AUTH_ACCESS_INVALID', 'as a proxy may join them')
  t.equal((await server.refresh(refresh)).statusCode, 200, 'nothing of this has ended the session')
})

t.test('14: two refresh tokens are refused wherever the two are, and neither is used up', async t => {
  const server = await listen(t, { options: withCookies })
  const { refresh: cookie } = await cookiesOf(server)
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
      const type = body === '' ? [] : [JSON_TYPE, lengthOf(body as string)]
      refused(
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

const targets = (path: string, host: string): string[] => {
  const at = path.slice(0, path.lastIndexOf('/') + 1)
  const name = path.slice(at.length)
  const escaped = `%${name.charCodeAt(0).toString(16)}${name.slice(1)}`

  return [
    path,
    `${path}?`,
    `${path}?x=/public`,
    `${path}#/public`,
    `/${path}`,
    `//${host}${path}`,
    `${path}/`,
    `${path}//`,
    `${path};x`,
    `${path};/public`,
    `${path}.`,
    `${path}/.`,
    `${at}./${name}`,
    `/public/..${path}`,
    `/public/%2e%2e${path}`,
    `/public/..;${path}`,
    `/public%2f..${path}`,
    `${at}${escaped}`,
    `${at}${escaped.toUpperCase()}`,
    `${at}%25${escaped.slice(1)}`,
    `${path}%2F`,
    `${path}%2f`,
    `${path}%3F`,
    `${path}%3B`,
    `${path}%23`,
    `${path}%00`,
    `${path}%20`,
    `${path}%0a`,
    `${path}%`,
    `${path}%zz`,
    `${path}%c0%af`,
    path.toUpperCase(),
    `${at}${name[0]?.toUpperCase()}${name.slice(1)}`,
    path.replaceAll('/', '\\'),
    `\\${path.slice(1)}`,
    path.slice(1),
    '*',
    '/public',
    `http://${host}${path}`,
    `HTTP://${host}${path}/`,
    `https://u:p@${host}${path}?x`,
    `http://${host}/${path}`,
    `http:${path}`,
    `${path}\u00a0`,
    `${path}\u0131`
  ]
}

const routers: Record<string, TestAppOptions['fastify']> = {
  strict: {},
  lenient: {
    useSemicolonDelimiter: true,
    routerOptions: { caseSensitive: false, ignoreTrailingSlash: true, ignoreDuplicateSlashes: true }
  },
  'that rewrites': { rewriteUrl: ({ url = '' }) => url.replace(/^\/+(?:public\/\.\.)?/, '/') }
}

for (const [name, fastify] of Object.entries(routers)) {
  for (const guard of ['of each route', 'of the whole app'] as const) {
    t.test(`18: with a router ${name} and a hook ${guard}, what is reached by a token is not reached without, however it is written`, async t => {
      const server = await listen(t, {
        ...(fastify && { fastify }),
        after (app) {
          const onRequest = guard === 'of each route' ? [app.authenticate] : []

          if (guard === 'of the whole app') {
            app.addHook('onRequest', app.authenticate)
          }

          app.get('/public', { config: { tokenAuth: 'public' } }, () => 'open to all')
          app.all('/secret', { onRequest }, () => 'treasure')
          app.get('/files/*', { onRequest }, () => 'treasure')
        }
      })
      const { access_token: token } = await server.login()
      const authorization = `Authorization: Bearer ${token}`
      const { entered } = server
      const leaks: string[] = []
      const reached = new Set<string>()

      for (const path of ['/secret', '/files/secret', '/auth/me']) {
        for (const target of targets(path, `127.0.0.1:${server.port}`)) {
          for (
            const method of ['GET', 'HEAD', ...(path === '/secret' ? ['POST', 'OPTIONS'] : [])]
          ) {
            entered.length = 0
            const without = await server.raw(`${method} ${target}`)
            const stray = entered.filter(url =>
              !/^(?:http:\/\/[^/]*)?\/+public(?:$|[?;])/i.test(url)
            )
            entered.length = 0
            const { status } = await server.raw(`${method} ${target}`, authorization)

            if (entered.length > 0 && target !== '/public') {
              reached.add(target)
            }

            const isRight = stray.length === 0 && !/treasure|u-ann/.test(without.body) &&
              (status !== 200 || without.status === 401 || target === '/public')

            if (!isRight) {
              leaks.push(`${method} ${target}: ${without.status} without, ${status} with a token`)
            }
          }
        }
      }

      t.strictSame(leaks, [])
      t.ok(reached.size >= 40, `${reached.size} spellings reach a handler with a token`)
    })
  }
}

t.test('18: a handler that does not exist, and one of a wrong method, opens nothing either', async t => {
  const server = await listen(t, {
    after: app => {
      app.addHook('onRequest', app.authenticate)
    }
  })

  for (
    const line of [
      'GET /nowhere',
      'POST /protected',
      'DELETE /auth/me',
      'GET /auth/login',
      'OPTIONS *',
      'PUT /auth/sessions'
    ]
  ) {
    const { status } = await server.raw(line)
    t.ok(status === 401 || status === 404, `${line} ${status}`)
  }
})

t.test('19: an encrypted, nested or JSON-serialised token is refused, though our own key made it', async t => {
  const server = await listen(t)
  const { access_token: token } = await server.login()
  const [head = '', payload = '', signature = ''] = token.split('.')
  const { id: kid, key } = deriveKey(SECRET, 'auth', 'access')
  const encode = (part: unknown): string =>
    Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')

  const sign = (header: object, body: string): string => {
    const input = `${encode(header)}.${body}`
    return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
  }

  const encrypt = (header: object, text: string): string => {
    const [protectedHeader, iv] = [encode(header), randomBytes(12)]
    const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(protectedHeader))
    const sealed = Buffer.concat([cipher.update(text), cipher.final()])

    return [
      protectedHeader,
      '',
      ...[iv, sealed, cipher.getAuthTag()].map(part => part.toString('base64url'))
    ].join('.')
  }

  const own = { alg: 'HS256', typ: 'at+jwt', kid }
  const jwe = { alg: 'dir', enc: 'A256GCM', typ: 'at+jwt', kid }
  const claims = Buffer.from(payload, 'base64url').toString()
  const flattened = JSON.stringify({ payload, protected: head, signature })
  const others = {
    JWE: encrypt(jwe, claims),
    'a JWT in a JWE': encrypt({ ...jwe, cty: 'JWT' }, token),
    'a JWT in a JWT': sign(own, encode(token)),
    'a JWT in a JWT, marked': sign({ ...own, cty: 'JWT' }, encode(token)),
    'a quoted JWT in a JWT': sign(own, encode(JSON.stringify(token))),
    'a JWT that says that it holds another': sign({ ...own, cty: 'JWT' }, payload),
    'a JWT that says that it is encrypted': sign({ ...own, enc: 'A256GCM' }, payload),
    'a JWT of another type': sign({ ...own, typ: 'JWT' }, payload),
    'flattened JSON': flattened,
    'flattened JSON, encoded': encode(flattened),
    'general JSON': JSON.stringify({ payload, signatures: [{ protected: head, signature }] }),
    'a detached payload': `${head}..${signature}`
  }
  t.equal(
    (await server.raw('GET /protected', `Authorization: Bearer ${sign(own, payload)}`)).status,
    200,
    'the key is ours'
  )

  for (const [name, other] of Object.entries(others)) {
    refused(
      t,
      await server.raw('GET /protected', `Authorization: Bearer ${other}`),
      401,
      'AUTH_ACCESS_INVALID',
      name
    )
    refused(
      t,
      await server.raw('GET /auth/me', `Authorization: Bearer ${other}`),
      401,
      'AUTH_ACCESS_INVALID',
      name
    )
    refused(
      t,
      await server.raw('POST /auth/refresh', `Authorization: Bearer ${other}`),
      401,
      'AUTH_REFRESH_INVALID',
      name
    )
  }
})

t.test('65: a cookie that comes twice is refused also in two headers, and so is an access cookie', async t => {
  const server = await listen(t, { options: withCookies })
  const { refresh, access } = await cookiesOf(server)
  server.writes.length = 0

  for (const tossed of [`${REFRESH}=x`, refresh, `${REFRESH}=`]) {
    for (const [first, second] of [[tossed, refresh], [refresh, tossed]]) {
      for (const path of ['/auth/refresh', '/auth/logout']) {
        const answer = await server.raw(
          `POST ${path}`,
          SAME,
          `Cookie: a=b; ${first}`,
          'X-Between: 1',
          `cookie: ${second}; c=d`
        )
        refused(t, answer, 400, 'AUTH_REQUEST_INVALID', `${path} ${tossed.slice(0, 24)}`)
      }
    }
  }

  const twice = await server.raw('GET /protected', `Cookie: ${access}`, `COOKIE: ${ACCESS}=x`)
  refused(t, twice, 400, 'AUTH_REQUEST_INVALID', 'access')
  t.equal(
    (await server.raw('GET /protected', 'Cookie: a=b', `Cookie: ${access}`)).status,
    200,
    'two headers of other cookies are one'
  )
  t.strictSame(server.writes, [])
})

t.test('66: two headers that tell of the page are none that can be believed', async t => {
  const server = await listen(t, {
    options: { ...withCookies, cookie: { accessToken: true, origins: ['https://app.example.org'] } }
  })
  const { refresh, access } = await cookiesOf(server)
  const foreign = [
    [SAME, 'Sec-Fetch-Site: cross-site'],
    ['Sec-Fetch-Site: cross-site', SAME],
    [SAME, 'sec-fetch-site: same-origin'],
    ['Origin: https://app.example.org', 'Origin: https://evil.com'],
    ['Origin: https://evil.com', 'Origin: https://app.example.org'],
    ['Origin: null', 'X-Token-Transport: cookie'],
    ['Sec-Fetch-Site: none'],
    ['Referer: http://localhost/'],
    []
  ]
  server.writes.length = 0

  for (const headers of foreign) {
    for (
      const line of [
        'POST /auth/refresh',
        'POST /auth/logout',
        'POST /auth/logout/all',
        'DELETE /auth/sessions/x'
      ]
    ) {
      const answer = await server.raw(line, `Cookie: ${refresh}; ${access}`, ...headers)
      refused(t, answer, 403, 'AUTH_ORIGIN_REJECTED', `${line} ${headers.join()}`)
    }
  }

  t.strictSame(server.writes, [])
  t.equal((await server.raw('POST /auth/logout/all', `Cookie: ${access}`, SAME)).status, 204)
})

t.test('14, 65, 66: the same over HTTP/2, where a cookie comes in crumbs and the host is a pseudo-header', async t => {
  const fastify = { http2: true } as TestAppOptions['fastify']
  const server = await listen(t, { ...(fastify && { fastify }), options: withCookies })
  const { refresh, access } = await cookiesOf(server)
  const session = connect2(`http://127.0.0.1:${server.port}`)
  t.teardown(() => {
    session.close()
  })
  const send = (method: string, path: string, headers: OutgoingHttpHeaders): Promise<number> =>
    new Promise((resolve, reject) => {
      const stream = session.request({ ':method': method, ':path': path, ...headers })
      stream.on('response', head => {
        resolve(head[':status'] as number)
      }).on('error', reject).resume().end()
    })
  const own = { origin: `http://127.0.0.1:${server.port}` }
  t.equal(await send('GET', '/protected', { cookie: ['a=b', access] }), 200)
  t.equal(await send('GET', '/protected', { cookie: [access, `${ACCESS}=x`] }), 400)
  t.equal(await send('POST', '/auth/refresh', { ...own, cookie: [`${REFRESH}=x`, refresh] }), 400)
  t.equal(await send('POST', '/auth/refresh', { origin: 'http://127.0.0.1', cookie: refresh }), 403)
  t.equal(
    await send('POST', '/auth/refresh', { ...own, 'sec-fetch-site': 'same-site', cookie: refresh }),
    403
  )
  t.equal(await send('POST', '/auth/refresh', { ...own, cookie: refresh }), 200)
  t.equal(
    await send('POST', '/auth/refresh', {
      ...own,
      cookie: refresh,
      authorization: `Bearer ${refresh.split('=')[1]}`
    }),
    400
  )
})

t.test('67: no route of ours that GET or HEAD reaches writes anything, whatever it is sent', async t => {
  const routes: Array<[string, string]> = []
  const server = await listen(t, {
    options: withCookies,
    before: app => {
      app.addHook('onRoute', ({ method, url }) => {
        routes.push(...[method].flat().map((one): [string, string] => [one, url]))
      })
    }
  })
  const ours = routes.filter(([, url]) => url.startsWith('/auth/'))
  const reading = ours.filter(([method]) => !['POST', 'DELETE'].includes(method))
  t.strictSame(reading.map(route => route.join(' ')).sort(), [
    'GET /auth/me',
    'GET /auth/sessions',
    'HEAD /auth/me',
    'HEAD /auth/sessions'
  ])
  const { refresh, access } = await cookiesOf(server)
  const { access_token: token } = await server.login()
  server.writes.length = 0

  for (const [, url] of ours) {
    for (const method of ['GET', 'HEAD']) {
      for (
        const credential of [`Authorization: Bearer ${token}`, `Cookie: ${refresh}; ${access}`]
      ) {
        const { status, head } = await server.raw(
          `${method} ${url.replace(':id', 'x')}`,
          SAME,
          credential
        )
        t.equal(
          status,
          reading.some(route => route.join() === [method, url].join()) ? 200 : 404,
          `${method} ${url}`
        )
        t.notMatch(head, /set-cookie/i)
      }
    }
  }

  t.strictSame(server.writes, [])
})

t.test('70: the address of a client is that of the socket, or what a configured proxy says, never what a client says', async t => {
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
      lengthOf(login),
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
