import fastifyCors from '@fastify/cors'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { findUnprotectedRoutes } from '../../../src/http/unprotected-routes.js'
import { authenticate, requireClaims, tokenAuth } from '../../../src/index.js'
import type { ClaimRequirements, TokenAuthOptions } from '../../../src/index.js'
import { generateKeyPairSync } from 'node:crypto'
import { tokenVerifier, unprotectedRoutes } from '../../../src/verifier/index.js'
import { getOptions } from '../host-apps/host-app.js'

const handler = (): string => 'in'
const { privateKey: key } = generateKeyPairSync('ed25519')

function start (t: Test): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

/** Options with every route that the plugin can have. */
function withAllRoutes (given: Partial<TokenAuthOptions> = {}): TokenAuthOptions {
  return getOptions({
    issuer: 'https://a.example',
    audience: 'api',
    keys: [{ key }, 'secret'],
    oauth: { clients: [{ clientId: 'service', clientSecret: 'q7Yk2mVx0TzRb5Wn8Ls3Jd6Hf9Gc1Pa4' }] },
    ...given
  })
}

async function list (app: FastifyInstance): Promise<string[]> {
  await app.ready()
  return app.tokenAuth.unprotectedRoutes().map(({ method, path }) => `${method} ${path}`)
}

t.test('unprotectedRoutes lists routes without a hook, wherever they were declared', async t => {
  const app = start(t)
  app.get('/before', handler)
  app.get('/before/closed', { onRequest: [authenticate] }, handler)
  await app.register(async scope => {
    scope.get('/', handler)
    scope.get('/files/*', handler)
    scope.get('/assets/*', handler)
    scope.get('/assets/:name(^\\w+$)/raw', handler)
    scope.post('/', { preHandler: [authenticate] }, handler)
  }, { prefix: '/child' })
  await app.register(tokenAuth, withAllRoutes())
  await app.register(async scope => {
    scope.addHook('onRequest', scope.authenticate)
    scope.get('/inherited', handler)
    scope.all('/inherited/all', handler)
  })
  app.get('/after', { onRequest: [app.authenticate] }, handler)
  app.delete('/after', handler)
  app.all('/all', handler)
  app.head('/head', handler)
  app.get('/admin', {
    onRequest: [requireClaims({ role: 'admin' } as ClaimRequirements)]
  }, handler)
  t.strictSame(await list(app), [
    'GET /admin',
    'DELETE /after',
    ...['DELETE', 'GET', 'PATCH', 'POST', 'PUT', 'QUERY', 'TRACE'].map(method => `${method} /all`),
    'GET /before',
    'GET /child',
    'GET /child/',
    'GET /child/assets/*',
    'GET /child/assets/:name(^\\w+$)/raw',
    'GET /child/files/*',
    'HEAD /head'
  ])
})

t.test('unprotectedRoutes does not take a hook of the app for ours', async t => {
  const app = start(t)
  // A method, because esbuild renames a function that shadows an import.
  const own = { authenticate: () => Promise.resolve() }
  app.decorate('authenticate', own.authenticate as never)
  await app.register(tokenAuth, getOptions({ decorators: { authenticate: false } }))
  app.get('/old', { onRequest: [app.authenticate] }, handler)
  app.get('/wrapped', {
    onRequest: [async function tokenAuthAuthenticate () {}]
  }, handler)
  app.get('/too-late', { onSend: [async (_request, _reply, payload) => payload] }, handler)
  t.strictSame(await list(app), ['GET /old', 'GET /too-late', 'GET /wrapped'])
})

t.test('unprotectedRoutes is empty with protect, but for routes outside of the scope', async t => {
  const app = start(t)
  await app.register(fastifyCors)
  app.get('/before', handler)
  await app.register(tokenAuth, withAllRoutes({ protect: 'all' }))
  app.get('/public', { config: { tokenAuth: 'public' } }, handler)
  t.strictSame(await list(app), [])

  const outer = start(t)
  outer.get('/outside', handler)
  await outer.register(async scope => {
    await scope.register(tokenAuth, withAllRoutes({ protect: 'all' }))
    scope.get('/inside', handler)
    scope.addHook('onReady', async () => {
      t.strictSame(scope.tokenAuth.unprotectedRoutes(), [{ method: 'GET', path: '/outside' }])
    })
  }, { prefix: '/v1' })
  await outer.ready()
})

t.test('unprotectedRoutes reads the hooks of a route and not its config', async t => {
  const app = start(t)
  await app.register(tokenAuth, withAllRoutes({ protect: { except: ['/excepted'] } }))
  app.get('/excepted', handler)
  app.get('/optional', { config: { tokenAuth: 'optional' } }, handler)
  t.strictSame(await list(app), [])

  const unhooked = start(t)
  await unhooked.register(tokenAuth, withAllRoutes())
  const config = { tokenAuth: 'public' } as const
  unhooked.get('/hooked', { config, onRequest: [authenticate] }, handler)
  unhooked.get('/marked', { config }, handler)
  t.strictSame(await list(unhooked), ['GET /marked'])
})

t.test('unprotectedRoutes of the verifier lists routes without a hook', async t => {
  const verifierOptions = {
    jwksUri: 'http://127.0.0.1:9/jwks.json',
    issuer: 'https://a.example',
    audience: 'api'
  }
  const app = start(t)
  t.throws(() => unprotectedRoutes(app), /tokenVerifier is not registered in this scope/)
  app.get('/before', handler)
  await app.register(tokenVerifier, verifierOptions)
  app.get('/after', { onRequest: [app.authenticate] }, handler)
  app.get('/exported', { onRequest: [authenticate] }, handler)
  t.throws(() => unprotectedRoutes(app), /call "await app\.ready\(\)" first/)
  await app.ready()
  t.strictSame(unprotectedRoutes(app), [{ method: 'GET', path: '/before' }])

  const protectedApp = start(t)
  protectedApp.get('/before', handler)
  await protectedApp.register(tokenVerifier, { ...verifierOptions, protect: 'all' })
  await protectedApp.ready()
  t.strictSame(unprotectedRoutes(protectedApp), [])
})

t.test('unprotectedRoutes tells routes with constraints apart', async t => {
  const app = start(t)
  await app.register(tokenAuth, getOptions())
  const constraints = { host: 'a.example' }
  app.get('/x', { constraints }, handler)
  app.get('/x', { constraints: { host: 'b.example' }, onRequest: [authenticate] }, handler)
  app.get('/x', { onRequest: [authenticate] }, handler)
  app.get('/we ird/é', handler)
  app.get('/we(GET)', handler)
  t.strictSame(await list(app), ['GET /we ird/é', 'GET /we(GET)', 'GET /x'])
})

t.test('unprotectedRoutes requires an app that is ready', async t => {
  const app = start(t)
  await app.register(tokenAuth, getOptions())
  t.throws(() => app.tokenAuth.unprotectedRoutes(), /call "await app\.ready\(\)" first/)
})

t.test('a tree of an unknown format throws', async t => {
  t.throws(() => findUnprotectedRoutes('└── /a (GET)\n    something new\n'), /unknown format/)
  t.throws(() => findUnprotectedRoutes('/a GET\n'), /unknown format/)
  t.strictSame(findUnprotectedRoutes(''), [])
})
