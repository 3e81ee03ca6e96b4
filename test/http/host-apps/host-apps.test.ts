import { setImmediate as turn } from 'node:timers/promises'
import { mock } from 'node:test'
import fastifyAuth from '@fastify/auth'
import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import type {
  FastifyError,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  LightMyRequestResponse
} from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { tokenAuth, TokenAuthError } from '../../../src/index.js'
import type { Auth, TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD, PASSWORD_HASH, SECRET } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { HOUR } from '../../helpers/clock.js'

const orders = ['before', 'after'] as const
const form = { 'content-type': 'application/x-www-form-urlencoded' }
const ann = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }

async function start (t: Test, given: TestAppOptions): Promise<TestApp> {
  const test = await createTestApp(given)
  t.teardown(() => test.app.close())
  return test
}

function startEmpty (t: Test): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

function optionsFor (given: Partial<TokenAuthOptions> = {}): TokenAuthOptions {
  return {
    secret: SECRET,
    store: new MemoryStore(),
    users: {
      findByLogin: login => login === ann.username ? ann : null,
      findById: id => id === ann.id ? ann : null
    },
    sweep: false,
    ...given
  }
}

function bearer (token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` }
}

async function loginAt (app: FastifyInstance, prefix: string): Promise<Required<TokenResponse>> {
  const response = await app.inject({
    method: 'POST',
    url: `${prefix}/login`,
    payload: { username: 'ann', password: PASSWORD }
  })

  if (response.statusCode !== 200) {
    throw new Error(`login at ${prefix} failed: ${response.body}`)
  }

  return response.json()
}

async function statusOf (app: FastifyInstance, url: string, token?: string): Promise<number> {
  const response = await app.inject({ url, headers: token === undefined ? {} : bearer(token) })
  return response.statusCode
}

async function refreshAt (app: FastifyInstance, prefix: string, token: string): Promise<number> {
  const response = await app.inject({
    method: 'POST',
    url: `${prefix}/refresh`,
    payload: { refresh_token: token }
  })
  return response.statusCode
}

async function livesAsEver (t: Test, { login, get, refresh, post }: TestApp): Promise<void> {
  const first = await login()
  t.equal((await get('/protected', first.access_token)).json().userId, 'u-ann')
  t.equal((await get('/protected')).json().code, 'AUTH_ACCESS_MISSING')
  const second = (await refresh(first.refresh_token)).json<TokenResponse>()
  t.equal((await get('/auth/me', second.access_token)).json().username, 'ann')
  t.equal((await get('/auth/sessions', second.access_token)).json().sessions.length, 1)
  const byForm = await post(
    '/auth/login',
    Buffer.from(`username=ann&password=${encodeURIComponent(PASSWORD)}`),
    form
  )
  t.equal(byForm.json().token_type, 'bearer')
  const logout = await post('/auth/logout', { refresh_token: second.refresh_token })
  t.equal(logout.statusCode, 204)
  t.equal((await get('/protected', second.access_token)).json().code, 'AUTH_SESSION_REVOKED')
}

t.test('a move from hand-written @fastify/jwt: both kinds of tokens, while both are about', async t => {
  const { app, login, get, post } = await start(t, {
    before: async app => {
      await app.register(fastifyAuth)
      await app.register(fastifyJwt, { secret: 'the secret of before' })
    },
    after: app => {
      const signedIn = app.auth([app.authenticate, request => request.jwtVerify()])
      app.get(
        '/orders',
        { onRequest: signedIn },
        request => ({ owner: request.auth?.userId ?? request.user })
      )
      app.post(
        '/old-refresh',
        { onRequest: request => request.jwtVerify() },
        request => app.tokenAuth.openSession((request.user as { sub: string }).sub, request)
      )
    }
  })
  const old = app.jwt.sign({ sub: 'u-ann' })
  const { access_token: ours } = await login()
  t.strictSame((await get('/orders', ours)).json(), { owner: 'u-ann' })
  t.match((await get('/orders', old)).json(), { owner: { sub: 'u-ann' } })
  t.equal((await get('/orders', 'neither')).statusCode, 401)
  t.equal((await get('/protected', old)).json().code, 'AUTH_ACCESS_INVALID')

  const taken = (await post('/old-refresh', {}, { authorization: `Bearer ${old}` })).json<
    TokenResponse
  >()
  t.strictSame(
    (await get('/orders', taken.access_token)).json(),
    { owner: 'u-ann' },
    'nobody has to sign in anew'
  )
  await app.tokenAuth.revokeUser('u-ann')
  t.equal(
    (await get('/orders', taken.access_token)).statusCode,
    401,
    'and what was revoked is not let in by the other way'
  )
})

for (const order of orders) {
  t.test(`@fastify/jwt ${order} the plugin stays the app's own, even with the same secret`, async t => {
    const test = await start(t, {
      [order]: async (app: FastifyInstance) => {
        await app.register(fastifyJwt, { secret: SECRET })
        app.get('/own', {
          onRequest: async request => {
            await request.jwtVerify()
          }
        }, request => request.user)
        app.get('/user', request => ({ user: request.user }))
      }
    })
    const { app, login, get } = test
    await livesAsEver(t, test)

    const own = app.jwt.sign({ name: 'own' })
    t.match(app.jwt.verify(own), { name: 'own' })
    t.match((await get('/own', own)).json(), { name: 'own' })
    const bare = startEmpty(t)
    await bare.register(fastifyJwt, { secret: SECRET })
    t.strictSame(Object.keys(app.jwt), Object.keys(bare.jwt), 'app.jwt holds nothing of ours')

    const { access_token: ours } = await login()
    t.throws(() => app.jwt.verify(ours))
    t.equal((await get('/own', ours)).statusCode, 401)
    t.equal((await get('/protected', own)).json().code, 'AUTH_ACCESS_INVALID')
    t.strictSame((await get('/user', ours)).json(), { user: null })
  })

  t.test(`@fastify/jwt with a namespace ${order} the plugin stays the app's own`, async t => {
    interface Verifying {
      mineJwtVerify(): Promise<unknown>
    }
    const test = await start(t, {
      [order]: async (app: FastifyInstance) => {
        await app.register(fastifyJwt, { secret: SECRET, namespace: 'mine' })
        app.get('/own', {
          onRequest: async request => {
            await (request as unknown as Verifying).mineJwtVerify()
          }
        }, request => request.user)
      }
    })
    const { app, login, get } = test
    await livesAsEver(t, test)

    const { mine } = app.jwt as unknown as { mine: typeof app.jwt }
    const own = mine.sign({ name: 'own' })
    t.match(mine.verify(own), { name: 'own' })
    t.match((await get('/own', own)).json(), { name: 'own' })
    t.strictSame(Object.keys(app.jwt), ['mine'], 'app.jwt holds nothing of ours')
    t.equal((await get('/own', (await login()).access_token)).statusCode, 401)
    t.equal((await get('/protected', own)).json().code, 'AUTH_ACCESS_INVALID')
  })

  t.test(`@fastify/cookie ${order} the plugin reads and writes the app's cookies`, async t => {
    const test = await start(t, {
      [order]: async (app: FastifyInstance) => {
        await app.register(cookie)
        app.get('/own', (request, reply) => reply.setCookie('seen', 'yes').send(request.cookies))
      }
    })
    await livesAsEver(t, test)
    const response = await test.app.inject({ url: '/own', headers: { cookie: 'theme=dark' } })
    t.strictSame(response.json(), { theme: 'dark' })
    t.match(response.headers['set-cookie'], /^seen=yes/)
    const login = await test.post('/auth/login', { username: 'ann', password: PASSWORD }, {
      cookie: 'theme=dark'
    })
    t.equal(login.statusCode, 200)
  })

  t.test(`@fastify/formbody ${order} the plugin parses the app's forms`, async t => {
    const test = await start(t, {
      [order]: async (app: FastifyInstance) => {
        await app.register(formbody)
        app.post('/own', request => request.body)
      }
    })
    await livesAsEver(t, test)
    t.strictSame((await test.post('/own', Buffer.from('a=1&a=2&b=3'), form)).json(), {
      a: ['1', '2'],
      b: '3'
    })
    t.equal(
      (await test.post('/auth/login', Buffer.from('username=ann&password=a&password=b'), form))
        .statusCode,
      400
    )
  })

  t.test(`@fastify/auth ${order} the plugin takes app.authenticate as one of its functions`, async t => {
    const registerAuth = async (app: FastifyInstance): Promise<void> => {
      await app.register(fastifyAuth)
    }

    const test = await start(t, {
      ...order === 'before' && { before: registerAuth },
      after: async app => {
        if (order === 'after') {
          await registerAuth(app)
        }

        const answer = (request: FastifyRequest): object => ({
          userId: request.auth?.userId ?? null
        })
        app.get('/either', { preHandler: app.auth([app.authenticate, byKey]) }, answer)
        app.get('/either-key-first', { preHandler: app.auth([byKey, app.authenticate]) }, answer)
        app.get(
          '/both',
          { preHandler: app.auth([app.authenticate, byKey], { relation: 'and' }) },
          answer
        )
      }
    })
    await livesAsEver(t, test)
    const { access_token: token } = await test.login()
    const send = (url: string, headers: Record<string, string>): Promise<LightMyRequestResponse> =>
      test.app.inject({ url, headers })
    const byToken = bearer(token)
    const withKey = { 'x-key': 'right' }

    for (const url of ['/either', '/either-key-first']) {
      t.strictSame((await send(url, byToken)).json(), { userId: 'u-ann' }, `${url} by token`)
      t.strictSame((await send(url, withKey)).json(), { userId: null }, `${url} by key`)
    }

    t.equal((await send('/either', {})).statusCode, 403)
    t.equal((await send('/either-key-first', {})).json().code, 'AUTH_ACCESS_MISSING')
    t.strictSame((await send('/both', { ...byToken, ...withKey })).json(), { userId: 'u-ann' })
    t.equal((await send('/both', byToken)).statusCode, 403)
    t.equal((await send('/both', withKey)).json().code, 'AUTH_ACCESS_MISSING')
  })

  t.test(`a request.user of the app's own, decorated ${order} the plugin, is left alone`, async t => {
    const test = await start(t, {
      [order]: (app: FastifyInstance) => {
        app.decorateRequest('user', '')
        app.addHook('preHandler', async request => {
          request.user = 'mine'
        })
        app.get('/own', request => request.user)
      }
    })
    await livesAsEver(t, test)
    t.equal((await test.get('/own')).body, 'mine')
  })

  t.test(`a JSON parser that gives buffers, set ${order} the plugin, is for the app's routes alone`, async t => {
    const test = await start(t, {
      [order]: (app: FastifyInstance) => {
        app.addContentTypeParser(
          'application/json',
          { parseAs: 'buffer' },
          (_request, body, done) => {
            done(null, body)
          }
        )
        app.post('/own', request => ({ isBuffer: Buffer.isBuffer(request.body) }))
      }
    })
    await livesAsEver(t, test)
    t.strictSame((await test.post('/own', { a: 1 })).json(), { isBuffer: true })
  })

  t.test(`a parser for every content type, set ${order} the plugin, is for the app's routes alone`, async t => {
    const test = await start(t, {
      [order]: (app: FastifyInstance) => {
        app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => {
          done(null, body)
        })
        app.post('/own', request => ({ isBuffer: Buffer.isBuffer(request.body) }))
      }
    })
    await livesAsEver(t, test)
    const own = { 'content-type': 'application/x-own' }
    t.strictSame((await test.post('/own', Buffer.from('hello'), own)).json(), { isBuffer: true })
    const login = await test.post(
      '/auth/login',
      Buffer.from(JSON.stringify({ username: 'ann', password: PASSWORD })),
      own
    )
    t.equal(login.statusCode, 415)
  })

  t.test(`compilers of another schema language, set ${order} the plugin, never see a schema of ours`, async t => {
    interface OwnSchema {
      readonly takes: string
      readonly prints: string
    }

    const own = (schema: unknown): OwnSchema => {
      if (!Object.hasOwn(schema as object, 'takes')) {
        throw new Error('this is no schema of mine')
      }

      return schema as OwnSchema
    }

    const test = await start(t, {
      [order]: (app: FastifyInstance) => {
        app.setValidatorCompiler(({ schema }) => {
          const { takes } = own(schema)
          return value => value === takes ? { value } : { error: new Error('not taken') }
        })
        app.setSerializerCompiler(({ schema }) => {
          const { prints } = own(schema)
          return () => JSON.stringify(prints)
        })
        const schema = { takes: 'this', prints: 'that' }
        app.post('/own', { schema: { body: schema, response: { 200: schema } } }, () => ({}))
      }
    })
    await livesAsEver(t, test)
    const send = (word: string): Promise<LightMyRequestResponse> =>
      test.post('/own', Buffer.from(JSON.stringify(word)), { 'content-type': 'application/json' })
    t.equal((await send('this')).body, '"that"')
    t.equal((await send('else')).statusCode, 400)
    t.equal(
      (await test.post('/auth/login', { username: 'ann' })).json().code,
      'AUTH_REQUEST_INVALID'
    )
  })

  t.test(`hooks of the app's own, added ${order} the plugin, run and disturb nothing`, async t => {
    const ran: string[] = []
    const test = await start(t, {
      [order]: (app: FastifyInstance) => {
        app.addHook('preHandler', async request => {
          ran.push(`preHandler ${request.url}`)
        })
        app.addHook('preSerialization', async (request, _reply, payload) => {
          ran.push(`preSerialization ${request.url}`)
          return { ...payload as object }
        })
        app.addHook('onSend', async (request, reply, payload) => {
          ran.push(`onSend ${request.url}`)
          reply.header('x-own', 'yes')
          return payload
        })
        app.get('/own', () => ({ a: 1 }))
      }
    })
    await livesAsEver(t, test)
    t.ok(ran.includes('onSend /auth/login'), 'they run for our routes too')
    ran.length = 0
    const response = await test.get('/own')
    t.strictSame(response.json(), { a: 1 })
    t.equal(response.headers['x-own'], 'yes')
    t.strictSame(ran, ['preHandler /own', 'preSerialization /own', 'onSend /own'])
  })
}

t.test('an error handler of the app\'s own gets our errors as they are', async t => {
  const handled: unknown[] = []
  const test = await start(t, {
    fastify: { schemaErrorFormatter: () => new Error('in words of my own') },
    before: app => {
      app.setErrorHandler<FastifyError>((error, _request, reply) => {
        handled.push(error)
        return reply.code(error.statusCode ?? 500).send({ mine: error.code })
      })
      app.post('/own', { schema: { body: { type: 'object', required: ['a'] } } }, () => ({}))
    }
  })

  const lastHandled = (): TokenAuthError => {
    const error = handled.at(-1)

    if (!(error instanceof TokenAuthError)) {
      throw new Error('the handler got no TokenAuthError')
    }

    return error
  }

  const refusals = {
    AUTH_CREDENTIALS_REJECTED: () =>
      test.post('/auth/login', { username: 'ann', password: 'wrong' }),
    AUTH_REFRESH_INVALID: () => test.refresh('no token'),
    AUTH_REFRESH_MISSING: () => test.post('/auth/logout'),
    AUTH_ACCESS_MISSING: () => test.get('/protected'),
    AUTH_ACCESS_INVALID: () => test.get('/auth/me', 'no token')
  }

  for (const [code, send] of Object.entries(refusals)) {
    const response = await send()
    t.strictSame(response.json(), { mine: code })
    t.match(lastHandled(), { code, statusCode: 401 })
    t.match(response.headers['www-authenticate'], /^Bearer realm="auth"/)
  }

  const malformed = await test.post('/auth/login', { username: 'ann' })
  t.equal(malformed.statusCode, 400)
  t.match(lastHandled(), { code: 'AUTH_REQUEST_INVALID', statusCode: 400 })
  t.equal(malformed.headers['cache-control'], 'no-store')

  await test.post('/own', {})
  t.match(handled.at(-1), { message: 'in words of my own' })
})

t.test('a reply serializer of the app\'s own is for the app\'s routes alone', async t => {
  const test = await start(t, {
    before: app => {
      app.setReplySerializer(payload => JSON.stringify({ mine: payload }))
      app.get('/own', () => ({ a: 1 }))
    }
  })
  t.strictSame((await test.get('/own')).json(), { mine: { a: 1 } })
  const login = await test.post('/auth/login', { username: 'ann', password: PASSWORD })
  t.match(login.json(), { token_type: 'bearer' })
})

t.test('a hook that wraps each payload of the app leaves our wire as it is', async t => {
  const test = await start(t, {
    before: app => {
      app.addHook('preSerialization', async (_request, _reply, payload) => ({ data: payload }))
      app.get('/own', () => ({ a: 1 }))
    }
  })
  t.strictSame((await test.get('/own')).json(), { data: { a: 1 } })
  const login = await test.post('/auth/login', { username: 'ann', password: PASSWORD })
  t.equal(login.statusCode, 200)
  t.match(login.json(), { token_type: 'bearer' })
})

t.test('an app whose AJV coerces types still has no password in ["a"]', async t => {
  const { post } = await start(t, {
    fastify: { ajv: { customOptions: { coerceTypes: 'array' } } },
    after: app => {
      app.post('/own', {
        schema: { body: { type: 'object', properties: { password: { type: 'string' } } } }
      }, request => request.body)
    }
  })
  t.strictSame(
    (await post('/own', { password: [PASSWORD] })).json(),
    { password: PASSWORD },
    'the app itself coerces'
  )
  const refused = await post('/auth/login', { username: 'ann', password: [PASSWORD] })
  t.equal(refused.statusCode, 400)
  t.equal(refused.json().code, 'AUTH_REQUEST_INVALID')
  t.equal((await post('/auth/login', { username: ['ann'], password: PASSWORD })).statusCode, 400)
  t.equal((await post('/auth/refresh', { refresh_token: ['x'] })).statusCode, 400)
})

t.test('an app that lets __proto__ through still has none in our bodies', async t => {
  const { post } = await start(t, {
    fastify: { onProtoPoisoning: 'ignore' },
    after: app => {
      app.post('/own', () => 'let through')
    }
  })
  const poisoned = Buffer.from(
    `{ "username": "ann", "password": "${PASSWORD}", "__proto__": { "device": "x" } }`
  )
  const json = { 'content-type': 'application/json' }
  t.equal((await post('/own', poisoned, json)).body, 'let through')
  t.equal((await post('/auth/login', poisoned, json)).json().code, 'AUTH_REQUEST_INVALID')
})

const guards: Record<string, TestAppOptions> = {
  'by the hook itself, added after the plugin': {
    after: app => {
      app.addHook('onRequest', app.authenticate)
    }
  },
  'by a function that looks the hook up, added before the plugin': {
    before: app => {
      app.addHook('onRequest', (request, reply, done) => {
        app.authenticate(request, reply, done)
      })
    }
  }
}

for (const [how, guard] of Object.entries(guards)) {
  t.test(`an app is guarded as a whole ${how}`, async t => {
    const test = await start(t, {
      ...guard,
      after: async app => {
        await guard.after?.(app)
        app.get('/open', { config: { tokenAuth: 'public' } }, () => 'open')
        app.get('/closed', request => request.auth)
        await app.register(async child => {
          child.get('/closed/child', request => request.auth)
        })
      }
    })
    await livesAsEver(t, test)
    const { app, login, get } = test
    t.equal((await get('/open')).body, 'open')
    t.equal((await get('/open', 'no token')).body, 'open')
    const { access_token: token } = await login()

    for (const url of ['/closed', '/closed/child']) {
      const refused = await get(url)
      t.equal(refused.statusCode, 401)
      t.equal(refused.json().code, 'AUTH_ACCESS_MISSING')
      t.match(refused.headers['www-authenticate'], /^Bearer/)
      t.equal((await get(url, token)).json().userId, 'u-ann')
    }

    t.equal(await statusOf(app, '/auth/me'), 401)
    t.equal(await statusOf(app, '/auth/me', token), 200)
    t.equal(await statusOf(app, '/nowhere'), 401)
    t.equal(await statusOf(app, '/nowhere', token), 404)
  })
}

t.test('two registrations in sibling scopes both work, and neither accepts the tokens of the other', async t => {
  const app = startEmpty(t)

  for (const name of ['staff', 'guests']) {
    await app.register(async scope => {
      await scope.register(tokenAuth, optionsFor({ name, prefix: `/${name}/auth` }))
      scope.get(`/${name}`, { onRequest: scope.authenticate }, request => request.auth)
    })
  }

  const staff = await loginAt(app, '/staff/auth')
  const guest = await loginAt(app, '/guests/auth')
  t.equal(await statusOf(app, '/staff', staff.access_token), 200)
  t.equal(await statusOf(app, '/guests', guest.access_token), 200)
  t.equal(await statusOf(app, '/staff', guest.access_token), 401)
  t.equal(await statusOf(app, '/guests', staff.access_token), 401)
  t.equal(await refreshAt(app, '/staff/auth', guest.refresh_token), 401)
  t.equal(await refreshAt(app, '/guests/auth', staff.refresh_token), 401)
  t.equal(await refreshAt(app, '/staff/auth', staff.refresh_token), 200)
  t.equal(await refreshAt(app, '/guests/auth', guest.refresh_token), 200)
  t.match(
    (await app.inject({ url: '/guests' })).headers['www-authenticate'],
    'Bearer realm="guests"'
  )
})

t.test('a second registration on one instance fails with advice', async t => {
  const app = startEmpty(t)
  await app.register(tokenAuth, optionsFor())
  await t.rejects(
    async () => {
      await app.register(tokenAuth, optionsFor({ name: 'other', prefix: '/other' }))
    },
    { message: /already has the decorator "authenticate".*scope of its own/ }
  )
})

t.test('a registration inside the scope of another fails with advice that helps there', async t => {
  const app = startEmpty(t)
  await app.register(tokenAuth, optionsFor())
  await t.rejects(async () => {
    await app.register(async scope => {
      await scope.register(tokenAuth, optionsFor({ name: 'other', prefix: '/other' }))
    })
  }, { message: /already has the decorator "authenticate".*scope of its own/ })
})

t.test('the same name in two sibling scopes fails with advice', async t => {
  const app = startEmpty(t)
  await app.register(async scope => {
    await scope.register(tokenAuth, optionsFor({ name: 'staff' }))
  })
  await t.rejects(async () => {
    await app.register(async scope => {
      await scope.register(tokenAuth, optionsFor({ name: 'staff', prefix: '/other' }))
    })
  }, { message: /"name" must be unique in an app; "staff" is registered already/ })
})

t.test('in a child with a prefix the routes are below that prefix, and the app has no decorator of ours', async t => {
  const app = startEmpty(t)
  await app.register(async child => {
    await child.register(tokenAuth, optionsFor())
    child.get('/protected', { onRequest: child.authenticate }, request => request.auth)
  }, { prefix: '/api' })
  const { access_token: token, refresh_token: refreshToken } = await loginAt(app, '/api/auth')
  t.equal(await statusOf(app, '/api/protected', token), 200)
  t.equal(await statusOf(app, '/api/protected'), 401)
  t.equal(await refreshAt(app, '/api/auth', refreshToken), 200)
  t.equal(await statusOf(app, '/auth/me', token), 404)
  t.notOk(app.hasDecorator('authenticate'))
  t.notOk(app.hasRequestDecorator('auth'))
})

t.test('two apps in one process with one name and one secret share nothing but the keys', async t => {
  const a = await start(t, {})
  const b = await start(t, {})
  const inA = await a.login()
  const inB = await b.login()
  t.equal(
    (await b.refresh(inA.refresh_token)).json().code,
    'AUTH_REFRESH_INVALID',
    'b has no such session'
  )
  t.equal((await b.app.tokenAuth.listSessions('u-ann')).length, 1)

  t.equal(await a.app.tokenAuth.revokeUser('u-ann'), 1)
  t.equal((await a.get('/protected', inA.access_token)).statusCode, 401)
  t.equal((await b.get('/protected', inB.access_token)).statusCode, 200)
  t.equal(
    (await b.get('/protected', inA.access_token)).statusCode,
    200,
    'what a has revoked is unknown to b'
  )
  t.equal((await b.refresh(inB.refresh_token)).statusCode, 200)
  t.notOk(b.events.some(event => event.name === 'revoke'))

  a.clock.advance(HOUR)
  t.equal(
    (await b.get('/protected', inB.access_token)).statusCode,
    200,
    'each has a clock of its own'
  )
})

t.test('routes are renamed and switched off one by one', async t => {
  const app = startEmpty(t)
  await app.register(
    tokenAuth,
    optionsFor({
      routes: {
        login: '/token',
        refresh: '/token/refresh',
        session: '/devices/:id',
        sessions: '/devices',
        me: false,
        logoutAll: false
      }
    })
  )
  const response = await app.inject({
    method: 'POST',
    url: '/auth/token',
    payload: { username: 'ann', password: PASSWORD }
  })
  const { access_token: token, refresh_token: refreshToken } = response.json()
  t.equal(
    (await app.inject({
      method: 'POST',
      url: '/auth/token/refresh',
      payload: { refresh_token: refreshToken }
    })).statusCode,
    200
  )
  t.equal(await statusOf(app, '/auth/devices', token), 200)

  for (
    const gone of [
      'POST /auth/login',
      'POST /auth/refresh',
      'POST /auth/logout/all',
      'GET /auth/sessions',
      'GET /auth/me'
    ]
  ) {
    const [method, url] = gone.split(' ') as ['GET' | 'POST', string]
    t.equal((await app.inject({ method, url, headers: bearer(token) })).statusCode, 404, gone)
  }

  const [session] = await app.tokenAuth.listSessions('u-ann')
  const ended = await app.inject({
    method: 'DELETE',
    url: `/auth/devices/${session?.id}`,
    headers: bearer(token)
  })
  t.equal(ended.statusCode, 204)
  t.strictSame(await app.tokenAuth.listSessions('u-ann'), [])
  t.equal(
    (await app.inject({ method: 'POST', url: '/auth/logout', headers: bearer(token) })).statusCode,
    204
  )
})

t.test('without a prefix the routes are at the root', async t => {
  const app = startEmpty(t)
  await app.register(tokenAuth, optionsFor({ prefix: '' }))
  const { access_token: token } = await loginAt(app, '')
  t.equal(await statusOf(app, '/me', token), 200)
  t.equal(await statusOf(app, '/auth/me', token), 404)
})

t.test('app.close() writes the notes of use that were pending', async t => {
  const { app, store, clock, login, refresh, get } = await createTestApp()
  const first = await login()
  clock.advance(HOUR)
  const second = (await refresh(first.refresh_token)).json<TokenResponse>()
  clock.advance(1000)
  const { sessionId } = (await get('/protected', second.access_token)).json<Auth>()
  t.match(await store.find(sessionId), { generation: 1, confirmedGeneration: 0 })
  await app.close()
  t.match(await store.find(sessionId), {
    generation: 1,
    confirmedGeneration: 1,
    lastUsedAt: clock()
  })
})

t.test('app.close() stops the sweeper', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => {
    mock.timers.reset()
  })
  let sweeps = 0
  const { app } = await createTestApp({
    options: {
      sweep: { interval: '1h' },
      on: {
        sweep: () => {
          sweeps++
        }
      }
    }
  })

  const pass = async (): Promise<void> => {
    mock.timers.tick(1.1 * HOUR)

    for (let i = 0; i < 5; i++) {
      await turn()
    }
  }

  await pass()
  await pass()
  t.equal(sweeps, 2)
  await app.close()
  await pass()
  t.equal(sweeps, 2)
})

t.test('nothing leaves the plugin but its decorators', async t => {
  const traces = async (
    register: (app: FastifyInstance) => unknown
  ): Promise<Record<string, readonly string[]>> => {
    const app = startEmpty(t)
    await register(app)
    let traces = {}
    app.get('/', (request, reply) => {
      traces = { request: membersOf(request), reply: membersOf(reply) }
      return ''
    })
    await app.inject({ url: '/' })
    return { ...traces, app: membersOf(app), schemas: Object.keys(app.getSchemas()) }
  }

  const without = await traces(() => {})
  const beside = await traces(app => app.register(tokenAuth, optionsFor()))
  const added = Object.fromEntries(
    Object.entries(beside).map(
      ([where, members]) => [where, members.filter(member => !without[where]?.includes(member))]
    )
  )
  t.strictSame(added, {
    app: ['authenticate', 'requireClaims', 'requireFresh', 'tokenAuth'],
    request: ['auth'],
    reply: [],
    schemas: []
  })
})

t.test('the app takes no parser and no plugin of ours for its own', async t => {
  const { app, post } = await start(t, {
    after: app => {
      app.post('/own', () => '')
    }
  })
  t.notOk(app.hasContentTypeParser('application/x-www-form-urlencoded'))
  t.equal((await post('/own', Buffer.from('a=1'), form)).statusCode, 415)
  t.notOk(app.hasPlugin('@fastify/jwt'))
  t.ok(app.hasPlugin('fastify-token-auth'))
  t.equal((await app.inject({ url: '/nowhere' })).headers['cache-control'], undefined)
})

/** The names of an object's own and inherited properties. */
function membersOf (object: object): string[] {
  const members = new Set<string>()

  for (
    let holder = object;
    holder !== null && holder !== Object.prototype;
    holder = Object.getPrototypeOf(holder)
  ) {
    for (const name of Object.getOwnPropertyNames(holder)) {
      members.add(name)
    }
  }

  return [...members].sort()
}

function byKey (
  request: FastifyRequest,
  _reply: FastifyReply,
  done: (error?: Error) => void
): void {
  done(
    request.headers['x-key'] === 'right'
      ? undefined
      : Object.assign(new Error('wrong key'), { statusCode: 403 })
  )
}
