// These tests protect routes with the hooks of the package, and sign in users with `fakeAuth`.

import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { authenticate, requireClaims, requireFresh, tokenAuth } from '../../src/index.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { fakeAuth } from '../../src/testing/index.js'
import type { FakeUser, GetFakeUser } from '../../src/testing/index.js'
import { SECRET } from '../helpers/app.js'
import { MINUTE } from '../helpers/clock.js'
import { createLog } from '../helpers/log.js'

/** Plugin file of an app that uses the imported hooks. */
async function routes (app: FastifyInstance): Promise<void> {
  app.get('/auth', { onRequest: [authenticate] }, request => request.auth)
  app.get('/open', request => ({ auth: request.auth }))
  app.get('/public', { onRequest: [authenticate], config: { tokenAuth: 'public' } }, request => ({
    auth: request.auth
  }))
  app.get(
    '/admin',
    { onRequest: [authenticate, requireClaims({ role: 'admin' } as object)] },
    () => 'ok'
  )
  app.get('/fresh', { onRequest: [authenticate, requireFresh('5m')] }, () => 'ok')
}

async function createApp (t: Test, user: FakeUser | GetFakeUser | null): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fakeAuth(user))
  await app.register(routes)
  return app
}

t.test('protected routes see the user, without a token', async t => {
  const app = await createApp(t, { userId: '1' })
  const startedAt = Math.floor(Date.now() / 1000) * 1000
  const response = await app.inject('/auth')
  t.match(response.json(), {
    userId: '1',
    sessionId: 'fake-session',
    amr: ['pwd'],
    clientId: null,
    claims: {}
  })
  const { authenticatedAt, expiresAt } = response.json()
  t.ok(authenticatedAt >= startedAt && authenticatedAt <= Date.now())
  t.ok(expiresAt > Date.now())
  t.strictSame((await app.inject('/open')).json(), { auth: null })
  t.strictSame((await app.inject('/public')).json(), { auth: null })
})

t.test('a test can set every member', async t => {
  const user = {
    userId: 12n,
    sessionId: 's-1',
    amr: ['otp'],
    authenticatedAt: 1_000,
    clientId: 'app',
    claims: { role: 'member' }
  }
  const app = await createApp(t, user)
  t.match((await app.inject('/auth')).json(), { ...user, userId: '12' })
})

t.test('the auth of a request is frozen, like that of tokenAuth', async t => {
  const app = await createApp(t, { userId: '1', claims: { role: 'member' } as object })
  app.get(
    '/frozen',
    { onRequest: [authenticate] },
    ({ auth }) => [auth, auth?.claims, auth?.amr].every(value => Object.isFrozen(value))
  )
  t.equal((await app.inject('/frozen')).json(), true)
})

t.test('guards check the user', async t => {
  const admin = await createApp(t, { userId: '1', claims: { role: 'admin' } as object })
  t.equal((await admin.inject('/admin')).statusCode, 200)
  t.equal((await admin.inject('/fresh')).statusCode, 200)
  const delayed = await createApp(t, { userId: '1', authenticatedAt: Date.now() - 6 * MINUTE })
  t.equal((await delayed.inject('/admin')).json().code, 'AUTH_CLAIMS_INSUFFICIENT')
  t.equal((await delayed.inject('/fresh')).json().code, 'AUTH_REAUTHENTICATION_REQUIRED')
})

t.test('without a user, the response is that of a request without a token', async t => {
  const fake = await createApp(t, null)
  const real = Fastify()
  t.teardown(() => real.close())
  await real.register(tokenAuth, {
    secret: SECRET,
    store: new MemoryStore(),
    users: { findByLogin: () => null, findById: () => null }
  })
  await real.register(routes)
  const [actual, expected] = await Promise.all([fake.inject('/auth'), real.inject('/auth')])
  t.equal(actual.statusCode, 401)
  t.strictSame(actual.json(), expected.json())
  t.strictSame({ ...actual.headers, date: '' }, { ...expected.headers, date: '' })
  t.ok(actual.headers['www-authenticate'])
  t.equal((await fake.inject('/open')).statusCode, 200)
})

t.test('a function returns the user of each request', async t => {
  const app = await createApp(t, ({ headers }) => {
    const userId = headers['x-user']
    return typeof userId === 'string' ? { userId } : null
  })
  t.equal((await app.inject({ url: '/auth', headers: { 'x-user': '2' } })).json().userId, '2')
  t.equal((await app.inject('/auth')).statusCode, 401)
})

t.test('the decorators work, with and without done', async t => {
  const app = await createApp(t, { userId: '1', claims: { role: 'admin' } as object })
  app.get('/decorators', {
    onRequest: [
      app.authenticate,
      app.requireClaims({ role: 'admin' } as object),
      app.requireFresh('5m')
    ]
  }, request => request.auth?.userId)
  app.get('/awaited', {
    onRequest: async (request, reply) => {
      await app.authenticate(request, reply)
    }
  }, request => request.auth?.userId)
  t.equal((await app.inject('/decorators')).body, '1')
  t.equal((await app.inject('/awaited')).body, '1')
})

t.test('a scope may have a user of its own', async t => {
  const app = Fastify()
  t.teardown(() => app.close())

  for (const userId of ['1', '2']) {
    void app.register(async scope => {
      await scope.register(fakeAuth({ userId }))
      await scope.register(routes)
    }, { prefix: `/${userId}` })
  }

  t.equal((await app.inject('/1/auth')).json().userId, '1')
  t.equal((await app.inject('/2/auth')).json().userId, '2')
})

t.test('optional routes see the user if there is one', async t => {
  const optional = {
    onRequest: [authenticate],
    config: { tokenAuth: 'optional' as const }
  }
  const app = await createApp(t, ({ url }) => url === '/visitor' ? null : { userId: '1' })
  app.get('/visitor', optional, request => ({ auth: request.auth }))
  app.get('/member', optional, request => ({ auth: request.auth }))
  t.strictSame((await app.inject('/visitor')).json(), { auth: null })
  t.match((await app.inject('/member')).json(), { auth: { userId: '1' } })
})

t.test('protects the scope and renames decorators like tokenAuth', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorate('authenticate', () => 'mine')
  await app.register(fakeAuth(({ headers }) => headers.authorization ? { userId: '1' } : null, {
    protect: { except: ['/docs'] },
    decorators: { authenticate: 'requireToken', requireFresh: false }
  }))
  app.get('/', request => request.auth?.userId)
  app.get('/docs', () => 'docs')
  app.get('/health', { config: { tokenAuth: 'public' } }, () => 'ok')
  await app.ready()
  t.equal((await app.inject('/')).json().code, 'AUTH_ACCESS_MISSING')
  t.equal((await app.inject({ url: '/', headers: { authorization: 'any' } })).body, '1')
  t.equal((await app.inject('/docs')).statusCode, 200)
  t.equal((await app.inject('/health')).statusCode, 200)
  t.ok(app.hasDecorator('requireToken'))
  t.notOk(app.hasDecorator('requireFresh'))
  t.throws(() => fakeAuth(null, { protected: 'all' } as object), {
    name: 'TypeError',
    message: /unknown option "fakeAuth.protected"; valid options: protect, decorators/
  })
})

t.test('app.tokenAuth lists the routes without protection', async t => {
  const app = await createApp(t, { userId: '1' })
  await app.ready()
  t.strictSame(
    app.tokenAuth.unprotectedRoutes().filter(({ method }) => method === 'GET'),
    [{ method: 'GET', path: '/open' }]
  )
})

t.test('app.tokenAuth has no sessions, and says so', async t => {
  const app = await createApp(t, { userId: '1' })
  t.throws(() => app.tokenAuth.listSessions('1'), {
    message: 'fastify-token-auth: app.tokenAuth.listSessions does not work with fakeAuth; ' +
      'register tokenAuth with a MemoryStore, and use signIn'
  })
})

t.test('the registration fails in production, before anything is decorated', async t => {
  const before = process.env.NODE_ENV
  t.teardown(() => {
    if (before === undefined) {
      delete process.env.NODE_ENV
    } else {
      process.env.NODE_ENV = before
    }
  })
  const plugin = fakeAuth({ userId: '1' })
  process.env.NODE_ENV = 'production '
  const app = Fastify()
  void app.register(plugin)
  await t.rejects(async () => app.ready(), {
    message: 'fastify-token-auth: fakeAuth cannot be used if NODE_ENV is "production", because ' +
      'it accepts every request; register tokenAuth'
  })
  t.notOk(app.hasDecorator('authenticate'))
})

t.test('a scope has either fakeAuth or tokenAuth', async t => {
  const options = {
    secret: SECRET,
    store: new MemoryStore(),
    users: { findByLogin: () => null, findById: () => null }
  }
  const app = Fastify()
  await app.register(tokenAuth, options)
  void app.register(fakeAuth({ userId: '1' }))
  await t.rejects(async () => app.ready(), {
    message: /fakeAuth replaces tokenAuth and tokenVerifier/
  })

  const other = Fastify()
  await other.register(fakeAuth({ userId: '1' }))
  void other.register(tokenAuth, options)
  await t.rejects(async () => other.ready(), {
    message: /this scope already has the registration "fakeAuth"/
  })
})

t.test('a decorator of the app is an error that names the option', async t => {
  const app = Fastify()
  app.decorate('authenticate', () => 'mine')
  void app.register(fakeAuth({ userId: '1' }))
  await t.rejects(async () => app.ready(), {
    message: /decorator "authenticate" of its own; set "decorators" of fakeAuth to rename ours/
  })
})

t.test('invalid users are errors of the test', async t => {
  t.throws(() => fakeAuth({ userId: '1', role: 'admin' } as FakeUser), {
    name: 'TypeError',
    message: /unknown option "fakeAuth.role"; valid options: userId, claims, /
  })
  t.throws(() => fakeAuth({} as FakeUser), {
    name: 'TypeError',
    message:
      /^fastify-token-auth: "userId" of fakeAuth must be a non-empty string, a safe integer or/
  })
  const app = await createApp(t, () => ({}) as FakeUser)
  const response = await app.inject('/auth')
  t.equal(response.statusCode, 500)
  t.match(
    response.json().message,
    /^fastify-token-auth: "userId" of fakeAuth must be a non-empty string/
  )
})

t.test('a server that listens logs a warning', async t => {
  const log = createLog()
  const app = Fastify(log.fastify)
  t.teardown(() => app.close())
  await app.register(fakeAuth({ userId: '1' }))
  await app.ready()
  t.strictSame(log.takeWarnings(), [])
  await app.listen({ port: 0 })
  t.match(log.takeWarnings(), [{ msg: /^fakeAuth accepts requests without tokens/ }])
})
