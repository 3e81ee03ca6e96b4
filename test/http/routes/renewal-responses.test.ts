import cors from '@fastify/cors'
import cookie from '@fastify/cookie'
import fastifyAuth from '@fastify/auth'
import t from 'tap'
import { PASSWORD, REALM } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { MINUTE } from '../../helpers/clock.js'
import { sortCookieAttributes } from '../../helpers/set-cookie.js'
import { assertNotRenewed, decodeClaims, endings, getNewToken, open } from './renewal-app.js'

const ACCESS = '__Host-auth-access'

const statuses = {
  '/protected': 200,
  '/cached': 200,
  '/stream': 200,
  '/fails': 500,
  '/rejects': 418,
  '/absent': 404,
  '/moved': 302,
  '/nothing': 204,
  '/exposing': 200,
  '/child': 200,
  '/auth/me': 200,
  '/auth/sessions': 200
}

t.test('every response has the renewed token and is not cached', async t => {
  const { login, get, clock, post, app } = await open(t, {}, endings)
  const { access_token: token } = await login()
  clock.advance(11 * MINUTE)

  for (const [url, status] of Object.entries(statuses)) {
    const response = await get(url, token)
    t.equal(response.statusCode, status, url)
    t.type(getNewToken(response), 'string', url)
    t.equal(response.headers['cache-control'], 'no-store', url)
    t.match(response.headers['access-control-expose-headers'], /(^|, )x-new-token$/i, url)
  }

  t.equal((await get('/stream', token)).body, 'streamed')
  const { headers } = await get('/exposing', token)
  t.equal(headers['access-control-expose-headers'], 'ETag, X-Total, x-new-token')
  const removed = await app.inject({
    method: 'DELETE',
    url: '/auth/sessions/none',
    headers: { authorization: `Bearer ${token}` }
  })
  t.type(getNewToken(removed), 'string')
  assertNotRenewed(t, await app.inject({ url: '/nowhere' }), 404)
  t.equal(
    (await post('/auth/refresh', undefined, { authorization: `Bearer ${token}` }))
      .headers['x-new-token'],
    undefined
  )
})

t.test('renewal works for 404 and skips public routes', async t => {
  const { login, get, clock } = await open(t, {}, {
    after: app => {
      app.addHook('onRequest', app.authenticate)
      app.get('/open', { config: { tokenAuth: 'public' } }, () => 'open')
    }
  })
  const { access_token: token } = await login()
  clock.advance(11 * MINUTE)
  const unmatched = await get('/nowhere', token)
  t.equal(unmatched.statusCode, 404)
  t.type(getNewToken(unmatched), 'string')
  t.equal(unmatched.headers['cache-control'], 'no-store')
  assertNotRenewed(t, await get('/open', token))
})

t.test('renewal works as a function of @fastify/auth', async t => {
  const { login, get, clock, store } = await open(t, {}, {
    before: app => app.register(fastifyAuth),
    after: app => {
      const never = (_request: unknown, _reply: unknown, done: (error?: Error) => void): void => {
        done(new Error('no key'))
      }

      const always = (_request: unknown, _reply: unknown, done: () => void): void => {
        done()
      }

      app.get(
        '/either',
        { onRequest: app.auth([never, app.authenticate]) },
        request => request.auth
      )
      app.get(
        '/anyway',
        { onRequest: app.auth([app.authenticate, always]) },
        request => ({ auth: request.auth })
      )
    }
  })
  const { access_token: token } = await login()
  clock.advance(11 * MINUTE)
  const response = await get('/either', token)
  t.strictSame([response.statusCode, response.json().userId], [200, 'u-ann'])
  t.type(getNewToken(response), 'string')
  await store.revoke({ realm: REALM, sessionId: String(decodeClaims(token).sid) }, {
    at: clock(),
    reason: 'revoked'
  })
  t.strictSame(
    (await get('/anyway', token)).json(),
    { auth: null },
    'who is let in otherwise is nobody'
  )
})

for (const order of ['before', 'after'] as const) {
  t.test(`@fastify/cors ${order} the plugin exposes the header of renewed tokens`, async t => {
    for (
      const exposedHeaders of [['ETag', 'X-Total'], 'ETag,X-Total', undefined, ['X-New-Token'], '*']
    ) {
      const { login, app, clock } = await open(t, {}, {
        [order]: (app: TestApp['app']) =>
          app.register(cors, {
            origin: 'https://app.example.org',
            credentials: true,
            ...(exposedHeaders && { exposedHeaders })
          })
      })
      const { access_token: token } = await login()
      const headers = { authorization: `Bearer ${token}`, origin: 'https://app.example.org' }
      const before =
        (await app.inject({ url: '/protected', headers })).headers['access-control-expose-headers']
      t.equal(before, Array.isArray(exposedHeaders) ? exposedHeaders.join(', ') : exposedHeaders)
      clock.advance(11 * MINUTE)
      const response = await app.inject({ url: '/protected', headers })
      const exposed = String(response.headers['access-control-expose-headers']).split(', ').map(
        name => name.toLowerCase()
      )
      t.equal(
        exposed.filter(name => name === 'x-new-token').length,
        1,
        `${exposed}: with credentials "*" stands for itself alone`
      )

      if (exposedHeaders?.includes('ETag')) {
        t.match(exposed, ['etag', 'x-total', 'x-new-token'])
      }

      t.equal(response.headers['access-control-allow-origin'], 'https://app.example.org')
    }
  })
}

t.test('a token is renewed the way it was sent', async t => {
  const { app, post, clock } = await open(t, {
    refreshToken: { transport: 'both' },
    cookie: { accessToken: true }
  }, {
    before: app => app.register(cookie),
    after: app => {
      app.get(
        '/own',
        { onRequest: app.authenticate },
        (_request, reply) =>
          reply.setCookie('seen', 'yes').header('set-cookie', 'plain=1').header(
            'cache-control',
            'public'
          ).send('x')
      )
    }
  })
  const site = { 'sec-fetch-site': 'same-origin' }
  const credentials = { username: 'ann', password: PASSWORD }
  const login = await post('/auth/login', credentials, { ...site, 'x-token-transport': 'cookie' })
  const token = login.cookies.find(({ name }) => name === ACCESS)?.value ?? ''
  clock.advance(11 * MINUTE)

  for (const url of ['/protected', '/own', '/auth/me']) {
    const response = await app.inject({ url, headers: { cookie: `${ACCESS}=${token}` } })
    t.equal(getNewToken(response), undefined)
    t.equal(response.headers['cache-control'], 'no-store')
    t.equal(response.headers['access-control-expose-headers'], undefined)
    const set = [response.headers['set-cookie']].flat().map(String)
    t.strictSame(
      set.map(text => text.split('=')[0]).sort(),
      url === '/own' ? [ACCESS, 'plain', 'seen'].sort() : [ACCESS]
    )
    const renewed = set.find(text => text.startsWith(ACCESS)) ?? ''
    t.match(
      sortCookieAttributes(renewed),
      /^__Host-auth-access=[\w-]+\.[\w-]+\.[\w-]+; HttpOnly; Path=\/; SameSite=Lax; Secure$/
    )
    const next = renewed.slice(ACCESS.length + 1).split(';')[0]
    t.not(next, token)
    clock.advance(1)
    t.equal(
      (await app.inject({ url: '/protected', headers: { cookie: `${ACCESS}=${next}` } }))
        .statusCode,
      200
    )
  }

  const both = { authorization: `Bearer ${token}`, cookie: `${ACCESS}=${token}` }
  const asBearer = await app.inject({ url: '/protected', headers: both })
  t.strictSame([typeof getNewToken(asBearer), asBearer.headers['set-cookie']], [
    'string',
    undefined
  ])
  const foreign = await app.inject({
    method: 'POST',
    url: '/auth/logout/all',
    headers: { cookie: `${ACCESS}=${token}` }
  })
  t.strictSame([foreign.statusCode, foreign.headers['set-cookie']], [403, undefined])
})

t.test('logout/all with a token that is due clears the cookies', async t => {
  const { app, post, clock } = await open(t, {
    refreshToken: { transport: 'cookie' },
    cookie: { accessToken: true }
  })
  const site = { 'sec-fetch-site': 'same-origin' }
  const login = await post('/auth/login', { username: 'ann', password: PASSWORD }, site)
  clock.advance(11 * MINUTE)
  const held = login.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  const response = await app.inject({
    method: 'POST',
    url: '/auth/logout/all',
    headers: { ...site, cookie: held }
  })
  t.equal(response.statusCode, 204)
  const last = [response.headers['set-cookie']].flat().map(String).filter(text =>
    text.startsWith(ACCESS)
  ).at(-1)
  t.equal(
    sortCookieAttributes(last ?? ''),
    '__Host-auth-access=; HttpOnly; Max-Age=0; Path=/; SameSite=Lax; Secure',
    'a browser keeps the last one that is set'
  )
})

t.test('a request that revokes its own session gets no renewed token', async t => {
  for (
    const [method, url] of [['POST', '/auth/logout/all'], ['DELETE', '/auth/sessions/own'], [
      'POST',
      '/leave'
    ]] as const
  ) {
    const { app, login, get, clock } = await open(t, {}, {
      after: app => {
        app.post(
          '/leave',
          { onRequest: app.authenticate },
          async request => app.tokenAuth.revokeUser(request.auth?.userId ?? '')
        )
      }
    })
    const { access_token: token } = await login()
    clock.advance(11 * MINUTE)
    const { sessionId } = (await get('/protected', token)).json()
    const headers = { authorization: `Bearer ${token}` }
    const response = await app.inject({ method, url: url.replace('own', sessionId), headers })
    t.ok(response.statusCode < 300)
    t.equal(getNewToken(response), undefined, url)
  }
})

t.test('a session that a handler opens wins over a renewed token', async t => {
  const { app, post, clock } = await open(t, {
    refreshToken: { transport: 'cookie' },
    cookie: { accessToken: true }
  }, {
    after: app => {
      app.get(
        '/switch',
        { onRequest: app.authenticate },
        async (request, reply) => app.tokenAuth.openSession('u-bob', request, { reply })
      )
    }
  })
  const login = await post('/auth/login', { username: 'ann', password: PASSWORD }, {
    'sec-fetch-site': 'same-origin'
  })
  clock.advance(11 * MINUTE)
  // Only the access cookie, because a refresh cookie with another path would not be sent here.
  const held = login.cookies.find(({ name }) => name === ACCESS)?.value ?? ''
  const response = await app.inject({ url: '/switch', headers: { cookie: `${ACCESS}=${held}` } })
  const last = response.cookies.filter(({ name }) => name === ACCESS).at(-1)
  t.equal(decodeClaims(last?.value).sub, 'u-bob')
})

t.test('a renewed cookie stays persistent', async t => {
  const { app, post, clock } = await open(t, {
    refreshToken: { transport: 'cookie' },
    cookie: { accessToken: true }
  })
  const credentials = { username: 'ann', password: PASSWORD, remember_me: true }
  const login = await post('/auth/login', credentials, { 'sec-fetch-site': 'same-origin' })
  const token = login.cookies.find(({ name }) => name === ACCESS)?.value ?? ''
  clock.advance(11 * MINUTE)
  const response = await app.inject({
    url: '/protected',
    headers: { cookie: `${ACCESS}=${token}` }
  })
  t.match(response.headers['set-cookie'], /; Max-Age=\d+(?:;|$)/)
})
