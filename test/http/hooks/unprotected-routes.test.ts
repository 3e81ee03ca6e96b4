import { generateKeyPairSync } from 'node:crypto'
import fastifyCors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { findUnprotectedRoutes } from '../../../src/http/unprotected-routes.js'
import { authenticate, requireClaims } from '../../../src/index.js'
import type { ClaimRequirements, TokenAuthOptions } from '../../../src/index.js'
import { unprotectedRoutes } from '../../../src/verifier/index.js'
import { plugins, preparePlugin, start } from './plugins.js'
import type { PluginName, SharedOptions } from './plugins.js'

const handler = (): string => 'in'

/** Options of an issuer with every route that the plugin can have. */
const withAllRoutes: Partial<TokenAuthOptions> = {
  issuer: 'https://a.example',
  audience: 'api',
  keys: [{ key: generateKeyPairSync('ed25519').privateKey }, 'secret'],
  oauth: { clients: [{ clientId: 'service', clientSecret: 'q7Yk2mVx0TzRb5Wn8Ls3Jd6Hf9Gc1Pa4' }] }
}

async function register (
  t: Test,
  plugin: PluginName,
  scope: FastifyInstance,
  options?: SharedOptions
): Promise<void> {
  const source = await preparePlugin(t, scope, plugin, { own: withAllRoutes })
  await source.register(scope, options)
}

async function list (app: FastifyInstance): Promise<string[]> {
  await app.ready()
  const routes = unprotectedRoutes(app)

  // The verifier has no `app.tokenAuth`, so its entry point exports a function.
  if (app.hasDecorator('tokenAuth')) {
    t.strictSame(app.tokenAuth.unprotectedRoutes(), routes)
  }

  return routes.map(({ method, path }) => `${method} ${path}`)
}

for (const plugin of plugins) {
  t.test(`${plugin}: unprotectedRoutes lists routes without a hook anywhere`, async t => {
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
    await register(t, plugin, app)
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
      ...['DELETE', 'GET', 'PATCH', 'POST', 'PUT', 'QUERY', 'TRACE'].map(method =>
        `${method} /all`
      ),
      'GET /before',
      'GET /child',
      'GET /child/',
      'GET /child/assets/*',
      'GET /child/assets/:name(^\\w+$)/raw',
      'GET /child/files/*',
      'HEAD /head'
    ])
  })

  t.test(`${plugin}: unprotectedRoutes does not take a hook of the app for ours`, async t => {
    const app = start(t)
    // A method, because esbuild renames a function that shadows an import.
    const own = { authenticate: () => Promise.resolve() }
    app.decorate('authenticate', own.authenticate as never)
    await register(t, plugin, app, { decorators: { authenticate: false } })
    app.get('/old', { onRequest: [app.authenticate] }, handler)
    app.get('/wrapped', {
      onRequest: [async function tokenAuthAuthenticate () {}]
    }, handler)
    app.get('/too-late', { onSend: [async (_request, _reply, payload) => payload] }, handler)
    t.strictSame(await list(app), ['GET /old', 'GET /too-late', 'GET /wrapped'])
  })

  t.test(`${plugin}: unprotectedRoutes with protect lists routes outside of the scope`, async t => {
    const app = start(t)
    await app.register(fastifyCors)
    app.get('/before', handler)
    await register(t, plugin, app, { protect: 'all' })
    app.get('/public', { config: { tokenAuth: 'public' } }, handler)
    t.strictSame(await list(app), [])

    const outer = start(t)
    outer.get('/outside', handler)
    await outer.register(async scope => {
      await register(t, plugin, scope, { protect: 'all' })
      scope.get('/inside', handler)
      scope.addHook('onReady', async () => {
        t.strictSame(unprotectedRoutes(scope), [{ method: 'GET', path: '/outside' }])
      })
    }, { prefix: '/v1' })
    await outer.ready()
  })

  t.test(`${plugin}: unprotectedRoutes reads the hooks of a route and not its config`, async t => {
    const app = start(t)
    await register(t, plugin, app, { protect: { except: ['/excepted'] } })
    app.get('/excepted', handler)
    app.get('/optional', { config: { tokenAuth: 'optional' } }, handler)
    t.strictSame(await list(app), [])

    const unhooked = start(t)
    await register(t, plugin, unhooked)
    const config = { tokenAuth: 'public' } as const
    unhooked.get('/hooked', { config, onRequest: [authenticate] }, handler)
    unhooked.get('/marked', { config }, handler)
    t.strictSame(await list(unhooked), ['GET /marked'])
  })

  t.test(`${plugin}: unprotectedRoutes tells routes with constraints apart`, async t => {
    const app = start(t)
    await register(t, plugin, app)
    const constraints = { host: 'a.example' }
    app.get('/x', { constraints }, handler)
    app.get('/x', { constraints: { host: 'b.example' }, onRequest: [authenticate] }, handler)
    app.get('/x', { onRequest: [authenticate] }, handler)
    app.get('/we ird/é', handler)
    app.get('/we(GET)', handler)
    t.strictSame(await list(app), ['GET /we ird/é', 'GET /we(GET)', 'GET /x'])
  })

  t.test(`${plugin}: unprotectedRoutes requires an app that is ready`, async t => {
    const app = start(t)
    t.throws(() => unprotectedRoutes(app), /tokenVerifier is not registered in this scope/)
    await register(t, plugin, app)
    t.throws(() => unprotectedRoutes(app), /call "await app\.ready\(\)" first/)
  })
}

t.test('a tree of an unknown format throws', async t => {
  t.throws(() => findUnprotectedRoutes('└── /a (GET)\n    something new\n'), /unknown format/)
  t.throws(() => findUnprotectedRoutes('/a GET\n'), /unknown format/)
  t.strictSame(findUnprotectedRoutes(''), [])
})
