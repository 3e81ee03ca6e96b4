import { connect as connect2 } from 'node:http2'
import type { OutgoingHttpHeaders } from 'node:http2'
import t from 'tap'
import type { TestAppOptions } from '../../helpers/app.js'
import {
  ACCESS,
  assertRejected,
  listen,
  logInWithCookies,
  SAME,
  withCookies
} from './raw-server.js'

const REFRESH = '__Host-auth-refresh'

t.test('a cookie that is sent twice is rejected, even in two headers [65]', async t => {
  const server = await listen(t, { options: withCookies })
  const { refresh, access } = await logInWithCookies(server)
  server.writes.length = 0

  for (const tossed of [`${REFRESH}=x`, refresh, `${REFRESH}=`]) {
    for (const [first, second] of [[tossed, refresh], [refresh, tossed]]) {
      const answer = await server.raw(
        'POST /auth/refresh',
        SAME,
        `Cookie: a=b; ${first}`,
        'X-Between: 1',
        `cookie: ${second}; c=d`
      )
      assertRejected(t, answer, 400, 'AUTH_REQUEST_INVALID', tossed.slice(0, 24))
    }
  }

  const twice = await server.raw('GET /protected', `Cookie: ${access}`, `COOKIE: ${ACCESS}=x`)
  assertRejected(t, twice, 400, 'AUTH_REQUEST_INVALID', 'access')
  t.equal(
    (await server.raw('GET /protected', 'Cookie: a=b', `Cookie: ${access}`)).status,
    200,
    'two headers of other cookies are one'
  )
  t.strictSame(server.writes, [])
})

t.test('repeated Origin or Sec-Fetch-Site headers are rejected [66]', async t => {
  const server = await listen(t, {
    options: { ...withCookies, cookie: { accessToken: true, origins: ['https://app.example.org'] } }
  })
  const { refresh, access } = await logInWithCookies(server)
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
      assertRejected(t, answer, 403, 'AUTH_ORIGIN_REJECTED', `${line} ${headers.join()}`)
    }
  }

  t.strictSame(server.writes, [])
  t.equal((await server.raw('POST /auth/logout/all', `Cookie: ${access}`, SAME)).status, 204)
})

t.test('repeated headers and cookies are rejected over HTTP/2 [14, 65, 66]', async t => {
  const fastify = { http2: true } as TestAppOptions['fastify']
  const server = await listen(t, { ...(fastify && { fastify }), options: withCookies })
  const { refresh, access } = await logInWithCookies(server)
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

t.test('GET and HEAD requests write nothing to the store [67]', async t => {
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
  const { refresh, access } = await logInWithCookies(server)
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
