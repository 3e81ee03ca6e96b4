// Silent renewal: when an access token that is about to end is answered with the next one, what that one says, and that nothing
// which goes wrong about it harms the request.

import cors from '@fastify/cors'
import cookie from '@fastify/cookie'
import fastifyAuth from '@fastify/auth'
import { PassThrough } from 'node:stream'
import type { FastifyServerOptions, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthOptions, TokenResponse, TokenStore } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { createClock, DAY, HOUR, MINUTE, SECOND } from '../../helpers/clock.js'

const GRACE = 10 * SECOND
const ACCESS = '__Host-auth-access'
const renewing = {
  accessToken: { lifetime: '15m', renewWithin: '5m' },
  revocations: false
} as const

interface Subject extends TestApp {
  /** How often the store and the users were asked. */
  readonly asked: { find: number, findById: number, others: string[] }
}

async function open (
  t: Test,
  options: Partial<TokenAuthOptions> = {},
  given: TestAppOptions = {}
): Promise<Subject> {
  const asked = { find: 0, findById: 0, others: [] as string[] }
  const store = new Proxy<TokenStore>(given.store ?? new MemoryStore(), {
    get: (target, verb: keyof TokenStore) => (...args: unknown[]): unknown => {
      if (verb === 'find') {
        asked.find++
      } else {
        asked.others.push(verb)
      }

      return Reflect.apply(Reflect.get(target, verb), target, args)
    }
  })
  const test: TestApp = await createTestApp({
    ...given,
    store,
    options: {
      ...renewing,
      users: {
        findByLogin: login => [...test.users.values()].find(user => user.username === login),
        findById: id => {
          asked.findById++
          return test.users.get(id)
        },
        claims: user => ({ role: test.users.get(user.id)?.role })
      },
      ...options
    }
  })
  t.teardown(() => test.app.close())
  return { ...test, asked }
}

function newTokenOf ({ headers }: LightMyRequestResponse): string | undefined {
  return headers['x-new-token'] as string | undefined
}

function claimsOf (token: string | undefined): Record<string, unknown> {
  return JSON.parse(Buffer.from(token?.split('.')[1] ?? '', 'base64url').toString() || '{}')
}

/** A request that is answered as if nothing were to be renewed. */
function untouched (t: Test, response: LightMyRequestResponse, statusCode = 200, about = ''): void {
  const {
    'x-new-token': token,
    'cache-control': caching,
    'access-control-expose-headers': exposed
  } = response.headers
  t.strictSame([response.statusCode, token, caching, exposed], [
    statusCode,
    undefined,
    undefined,
    undefined
  ], about)
  t.equal(response.headers['set-cookie'], undefined)
}

t.test('a token is renewed inside the window alone, to the millisecond, and only there anything is looked up', async t => {
  const { login, get, clock, asked } = await open(t)
  clock.advance(321)
  const { access_token: token } = await login()
  const end = Number(claimsOf(token).exp) * SECOND

  const look = async (at: number): Promise<string | undefined> => {
    clock.set(at)
    asked.find = asked.findById = asked.others.length = 0
    return newTokenOf(await get('/protected', token))
  }

  for (const at of [end - 15 * MINUTE + 321, end - 10 * MINUTE, end - 5 * MINUTE - 1]) {
    t.equal(await look(at), undefined)
    t.strictSame(asked, { find: 0, findById: 0, others: [] })
  }

  const texts = new Set<string | undefined>()

  for (const at of [end - 5 * MINUTE, end - 4 * MINUTE, end - 1]) {
    texts.add(await look(at))
    t.strictSame(
      asked,
      { find: 1, findById: 1, others: [] },
      'one look at each, and nothing is written'
    )
  }

  t.equal(texts.size, 1, 'one after the other, they are given the same text')
  const [next] = texts
  t.not(next, undefined)
  t.equal(await look(end), undefined)
  t.equal((await get('/protected', token)).json().code, 'AUTH_ACCESS_EXPIRED')
  t.strictSame(asked, { find: 0, findById: 0, others: [] })
})

t.test('the new token is the old one with new times: a window later, and never past the end of the session', async t => {
  const { login, get, clock, users } = await open(t, { issuer: 'us', audience: 'them' })
  const { access_token: token } = await login()
  const before = claimsOf(token)
  clock.advance(12 * MINUTE)
  const ann = users.get('u-ann')

  if (ann) {
    ann.role = 'admin'
  }

  const next = newTokenOf(await get('/protected', token))
  const iat = Number(before.exp) - 300
  t.strictSame(
    claimsOf(next),
    { ...before, role: 'admin', iat, exp: iat + 900 },
    'with fresh claims'
  )
  t.equal((await get('/protected', next)).json().claims.role, 'admin')
  t.equal(
    (await get('/protected', token)).json().claims.role,
    undefined,
    'the old one is good until its end'
  )

  clock.advance(8 * MINUTE)
  const third = newTokenOf(await get('/protected', next))
  t.equal(claimsOf(third).exp, Number(before.exp) + 1200)
  clock.advance(9 * MINUTE)
  t.equal((await get('/protected', third)).statusCode, 200, 'and so on')
})

t.test('a session lasts as long as ever: its last token ends with it', async t => {
  const { login, get, clock } = await open(t, { refreshToken: { lifetime: '22m', grace: 0 } })
  let { access_token: token } = await login()
  const start = clock()
  const ends: number[] = []

  for (let minute = 1; minute <= 21; minute++) {
    clock.set(start + minute * MINUTE)
    const response = await get('/protected', token)
    t.equal(response.statusCode, 200, `minute ${minute}`)
    const next = newTokenOf(response)

    if (next === undefined) {
      continue
    }

    token = next
    ends.push((Number(claimsOf(next).exp) * SECOND - start) / MINUTE)
  }

  t.strictSame(ends, [22], 'and once it ends with its session, it is not renewed again')
  clock.set(start + 22 * MINUTE)
  t.equal((await get('/protected', token)).json().code, 'AUTH_ACCESS_EXPIRED')
})

t.test('a session that is about to end, or has ended, renews nothing', async t => {
  for (const lifetime of ['15m', '15.01m']) {
    const { login, get, clock } = await open(t, { refreshToken: { lifetime, grace: 0 } })
    const { access_token: token } = await login()
    clock.advance(12 * MINUTE)
    untouched(t, await get('/protected', token), 200, lifetime)
  }
})

t.test('requests at once share one look, and are given the same text; so are those at another instance', async t => {
  const [store, clock] = [new MemoryStore(), createClock()]
  const [one, other] = [await open(t, {}, { store, clock }), await open(t, {}, { store, clock })]
  const { access_token: token } = await one.login()
  clock.advance(11 * MINUTE)
  one.asked.findById = 0
  const many = await Promise.all(Array.from({ length: 30 }, () => one.get('/protected', token)))
  t.strictSame([one.asked.find, one.asked.findById], [1, 1])
  clock.advance(MINUTE)
  const later = await Promise.all(
    [one, other].flatMap(test => [test.get('/protected', token), test.get('/auth/me', token)])
  )
  const texts = new Set([...many, ...later].map(newTokenOf))
  t.equal(texts.size, 1)
  t.type([...texts][0], 'string')
})

t.test('`gen` is that of the token presented, so that renewal confirms nothing that was not received', async t => {
  const { login, get, refresh, clock, store } = await open(t)
  const first = await login()
  clock.advance(11 * MINUTE)
  const second = (await refresh(first.refresh_token)).json<TokenResponse>()
  const next = newTokenOf(await get('/protected', first.access_token))
  t.strictSame([claimsOf(second.access_token).gen, claimsOf(next).gen], [1, 0])
  t.equal((await get('/protected', next)).statusCode, 200)
  clock.advance(GRACE)
  const recovered = await refresh(first.refresh_token)
  t.equal(
    recovered.json().refresh_token,
    second.refresh_token,
    'the answer with generation 1 was lost, and it is recovered'
  )

  clock.advance(11 * MINUTE)
  const after = newTokenOf(await get('/protected', recovered.json().access_token))
  t.equal(claimsOf(after).gen, 1)
  const { code } = (await refresh(first.refresh_token)).json()
  t.equal(
    code,
    'AUTH_REFRESH_REUSED',
    'whereas the token that was renewed last was of generation 1'
  )
  t.equal((await store.find(String(claimsOf(after).sid)))?.revokedFor, 'reuse')
})

t.test('a session that another instance has ended: 401, no token, and from then on without a look', async t => {
  const [store, clock] = [new MemoryStore(), createClock()]
  const [one, other] = [await open(t, {}, { store, clock }), await open(t, {}, { store, clock })]
  const { access_token: token, refresh_token: refreshToken } = await one.login()
  clock.advance(11 * MINUTE)
  await other.post('/auth/logout', { refresh_token: refreshToken })

  for (const looks of [1, 1]) {
    const response = await one.get('/protected', token)
    t.equal(response.json().code, 'AUTH_SESSION_REVOKED')
    t.match(response.headers['www-authenticate'], /error="invalid_token"/)
    t.equal(newTokenOf(response), undefined)
    t.equal(one.asked.find, looks)
  }

  t.equal((await other.get('/protected', token)).json().code, 'AUTH_SESSION_REVOKED')
  t.equal(other.asked.find, 0)
})

t.test('a session that ends while it is looked up gives no token that is good', async t => {
  const inner = new MemoryStore()

  let proceed: () => void = () => {}

  const waiting = new Promise<void>(resolve => {
    proceed = resolve
  })
  const store = Object.assign(Object.create(inner), {
    find: async (id: string) => {
      const found = await inner.find(id)
      await waiting
      return found
    }
  })

  for (
    const verb of ['create', 'rotate', 'list', 'revoke', 'touch', 'revocations', 'sweep'] as const
  ) {
    store[verb] = (...args: unknown[]): unknown => Reflect.apply(inner[verb], inner, args)
  }

  const { login, get, post, clock } = await open(t, {}, { store })
  const { access_token: token, refresh_token: refreshToken } = await login()
  clock.advance(11 * MINUTE)
  const answer = get('/protected', token)
  t.equal((await post('/auth/logout', { refresh_token: refreshToken })).statusCode, 204)
  proceed()
  const next = newTokenOf(await answer)

  if (next !== undefined) {
    t.equal((await get('/protected', next)).json().code, 'AUTH_SESSION_REVOKED')
  }

  t.equal((await get('/protected', token)).json().code, 'AUTH_SESSION_REVOKED')
})

t.test('a user who is disabled or gone gets no token, and the request passes', async t => {
  const { login, get, clock, users } = await open(t)
  const { access_token: token } = await login()
  clock.advance(11 * MINUTE)
  const ann = users.get('u-ann')

  if (ann) {
    ann.disabled = true
  }

  untouched(t, await get('/protected', token))
  users.delete('u-ann')
  untouched(t, await get('/protected', token))

  if (ann) {
    users.set('u-ann', { ...ann, disabled: false })
  }

  t.ok(newTokenOf(await get('/protected', token)))
})

t.test('a store that is down, or hangs, costs the token and not the request', async t => {
  const { store, break: breakStore } = createBreakableStore(new MemoryStore())
  const words: string[] = []
  const logger = {
    level: 'warn',
    stream: {
      write: (line: string) => {
        words.push(line)
      }
    }
  }
  const test = await open(t, { storeTimeout: '20ms' }, {
    store,
    fastify: { logger } as FastifyServerOptions
  })
  const { access_token: token } = await test.login()
  test.clock.advance(11 * MINUTE)

  for (const fault of ['throws', 'hangs'] as const) {
    breakStore(fault)
    untouched(t, await test.get('/protected', token), 200, fault)
    breakStore(null)
    t.ok(newTokenOf(await test.get('/protected', token)), 'the next request asks again')
  }

  t.match(words.join(''), /an access token could not be renewed/)
  t.notMatch(words.join(''), token)
})

t.test('users that are down, or hang, or talk nonsense, cost the token and not the request', async t => {
  let findById: () => unknown = () => ({ id: 'u-ann' })
  let claims: () => object = () => ({})
  const users = {
    findByLogin: () => null,
    findById: () => findById(),
    claims: () => claims()
  } as unknown as TokenAuthOptions['users']
  const { app, get, clock } = await open(t, { users, storeTimeout: '20ms' })
  const { access_token: token } = await app.tokenAuth.openSession('u-ann', {
    headers: {},
    raw: { rawHeaders: [] }
  })
  clock.advance(11 * MINUTE)
  const faults: ReadonlyArray<() => void> = [
    () => {
      findById = () => {
        throw new Error('down')
      }
    },
    () => {
      findById = () => new Promise(() => {})
    },
    () => {
      findById = () => ({ id: 7 })
    },
    () => {
      claims = () => ({ sub: 'root' })
    },
    () => {
      claims = () => Promise.reject(new Error('down'))
    }
  ]

  for (const breakUsers of faults) {
    breakUsers()
    untouched(t, await get('/protected', token), 200, String(breakUsers))
    findById = () => ({ id: 'u-ann' })
    claims = () => ({})
    t.ok(newTokenOf(await get('/protected', token)))
  }
})

const endings: TestAppOptions = {
  after: app => {
    const guarded = { onRequest: app.authenticate }
    app.get(
      '/cached',
      guarded,
      (_request, reply) => reply.header('cache-control', 'public, max-age=60').send('x')
    )
    app.get('/stream', guarded, (_request, reply) => {
      const stream = new PassThrough()
      stream.end('streamed')
      return reply.send(stream)
    })
    app.get('/fails', guarded, () => {
      throw new Error('failed')
    })
    app.get('/rejects', guarded, async () => {
      throw Object.assign(new Error('teapot'), { statusCode: 418 })
    })
    app.get('/absent', guarded, (_request, reply) => reply.callNotFound())
    app.get('/moved', guarded, (_request, reply) => reply.redirect('/elsewhere'))
    app.get('/nothing', guarded, (_request, reply) => reply.code(204).send())
    app.get(
      '/exposing',
      guarded,
      (_request, reply) =>
        reply.header('access-control-expose-headers', ['ETag', 'X-Total']).send('x')
    )
    app.register(async child => {
      child.get('/child', guarded, () => 'child')
    })
  }
}
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

t.test('however a request ends, the token is on its answer, and no cache may keep that', async t => {
  const { login, get, clock, post, app } = await open(t, {}, endings)
  const { access_token: token } = await login()
  clock.advance(11 * MINUTE)

  for (const [url, status] of Object.entries(statuses)) {
    const response = await get(url, token)
    t.equal(response.statusCode, status, url)
    t.type(newTokenOf(response), 'string', url)
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
  t.type(newTokenOf(removed), 'string')
  untouched(t, await app.inject({ url: '/nowhere' }), 404)
  t.equal(
    (await post('/auth/refresh', undefined, { authorization: `Bearer ${token}` }))
      .headers['x-new-token'],
    undefined
  )
})

t.test('a whole app behind the hook: 404 and public routes', async t => {
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
  t.type(newTokenOf(unmatched), 'string')
  t.equal(unmatched.headers['cache-control'], 'no-store')
  untouched(t, await get('/open', token))
})

t.test('in @fastify/auth, alone or beside another way in', async t => {
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
  t.type(newTokenOf(response), 'string')
  await store.revoke({ sessionId: String(claimsOf(token).sid) }, { at: clock(), reason: 'revoked' })
  t.strictSame(
    (await get('/anyway', token)).json(),
    { auth: null },
    'who is let in otherwise is nobody'
  )
})

for (const order of ['before', 'after'] as const) {
  t.test(`@fastify/cors ${order} the plugin: the header is exposed beside those of the app`, async t => {
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

t.test('a token that came in a cookie is renewed in its cookie, and one that came as bearer in the header', async t => {
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
    t.equal(newTokenOf(response), undefined)
    t.equal(response.headers['cache-control'], 'no-store')
    t.equal(response.headers['access-control-expose-headers'], undefined)
    const set = [response.headers['set-cookie']].flat().map(String)
    t.strictSame(
      set.map(text => text.split('=')[0]).sort(),
      url === '/own' ? [ACCESS, 'plain', 'seen'].sort() : [ACCESS]
    )
    const renewed = set.find(text => text.startsWith(ACCESS)) ?? ''
    t.match(
      renewed,
      /^__Host-auth-access=[\w-]+\.[\w-]+\.[\w-]+; Path=\/; HttpOnly; Secure; SameSite=Lax$/
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
  t.strictSame([typeof newTokenOf(asBearer), asBearer.headers['set-cookie']], ['string', undefined])
  const foreign = await app.inject({
    method: 'POST',
    url: '/auth/logout/all',
    headers: { cookie: `${ACCESS}=${token}` }
  })
  t.strictSame([foreign.statusCode, foreign.headers['set-cookie']], [403, undefined])
})

t.test('where logout/all is asked for with a token that is due, the cookies are taken back and none is given', async t => {
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
  t.match(last, /^__Host-auth-access=; .*Max-Age=0$/, 'a browser keeps the last one that is set')
})

t.test('a request that ends its own session is not answered with another token of it', async t => {
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
    t.equal(newTokenOf(response), undefined, url)
  }
})

t.test('a session that a handler opens is not overwritten by a renewed token of the one before', async t => {
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
  // The access cookie alone: a refresh cookie with a path of its own would not be sent here.
  const held = login.cookies.find(({ name }) => name === ACCESS)?.value ?? ''
  const response = await app.inject({ url: '/switch', headers: { cookie: `${ACCESS}=${held}` } })
  const last = response.cookies.filter(({ name }) => name === ACCESS).at(-1)
  t.equal(claimsOf(last?.value).sub, 'u-bob')
})

t.test('a renewed cookie outlives the browser where the login said so', async t => {
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
  t.match(response.headers['set-cookie'], /Max-Age=\d+$/)
})

t.test('a token of a day, renewed within its last two hours, keeps a client signed in that never refreshes', async t => {
  const { login, get, clock } = await open(t, {
    rotation: false,
    accessToken: { lifetime: '1d', renewWithin: '2h' },
    refreshToken: { lifetime: '30d' }
  })
  let { access_token: token } = await login()

  for (let day = 1; day < 30; day++) {
    clock.set(Date.UTC(2026, 0, 1) + day * 22 * HOUR)
    const next = newTokenOf(await get('/protected', token))
    t.type(next, 'string', `day ${day}`)
    token = String(next)
  }

  clock.set(Date.UTC(2026, 0, 1) + 30 * DAY)
  t.equal((await get('/protected', token)).statusCode, 401)
})

t.test('off by default: no header, no hook, no look', async t => {
  const { login, get, clock, asked } = await open(t, { accessToken: {} }, endings)
  const { access_token: token } = await login()
  asked.findById = 0

  for (const minutes of [1, 9, 4.9]) {
    clock.advance(minutes * MINUTE)
    untouched(t, await get('/protected', token))
    t.notOk('x-new-token' in (await get('/fails', token)).headers)
  }

  t.strictSame([asked.find, asked.findById], [0, 0])
})
