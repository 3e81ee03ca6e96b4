import { randomUUID } from 'node:crypto'
import fastifyCors from '@fastify/cors'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyServerOptions, InjectOptions } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { authenticate, tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions } from '../../../src/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import { createTestApp } from '../../helpers/app.js'
import { createClock } from '../../helpers/clock.js'
import { signIn, start as startDpop } from '../dpop/dpop-app.js'
import { bearer, expectWorkingRoutes, getOptions, loginAt } from '../host-apps/host-app.js'
import {
  createToken,
  pairs,
  scope as issuerScope,
  startKeyServer,
  toJwk
} from '../verifier/jwks-setup.js'

function start (t: Test, options: FastifyServerOptions = {}): FastifyInstance {
  const app = Fastify(options)
  t.teardown(() => app.close())
  return app
}

function protectAll (given: Partial<TokenAuthOptions> = {}): TokenAuthOptions {
  return getOptions({ protect: 'all', ...given })
}

async function getStatus (app: FastifyInstance, request: InjectOptions | string): Promise<number> {
  return (await app.inject(request)).statusCode
}

const preflight = {
  method: 'OPTIONS',
  headers: { origin: 'https://a.example', 'access-control-request-method': 'GET' }
} as const

t.test('protect covers routes that were declared before and after register', async t => {
  const app = start(t)
  app.get('/before', request => request.auth)
  app.register(async scope => {
    scope.get('/child-before', request => request.auth)
    await scope.register(async child => {
      child.get('/grandchild', request => request.auth)
    })
  }, { prefix: '/v1' })
  await app.register(async scope => {
    scope.get('/loaded-before', request => request.auth)
  })
  app.register(tokenAuth, protectAll())
  app.get('/not-awaited', request => request.auth)
  app.register(async scope => {
    scope.get('/child-after', request => request.auth)
  })
  await app.after()
  app.get('/after', request => request.auth)
  const { access_token: token } = await loginAt(app, '/auth')

  for (
    const url of [
      '/before',
      '/v1/child-before',
      '/v1/grandchild',
      '/loaded-before',
      '/not-awaited',
      '/child-after',
      '/after'
    ]
  ) {
    t.equal(await getStatus(app, url), 401, url)
    t.equal(await getStatus(app, { method: 'HEAD', url }), 401, url)
    const response = await app.inject({ url, headers: bearer(token) })
    t.equal(response.json().userId, 'u-ann', url)
  }
})

t.test('protect covers only the scope that registers the plugin', async t => {
  const app = start(t)
  app.get('/outside', () => 'out')
  await app.register(async scope => {
    scope.get('/inside', () => 'in')
    await scope.register(tokenAuth, protectAll())
  })
  await app.register(async scope => {
    scope.get('/sibling', () => 'out')
  })
  t.equal(await getStatus(app, '/inside'), 401)
  t.equal(await getStatus(app, '/outside'), 200)
  t.equal(await getStatus(app, '/sibling'), 200)
})

t.test('protect leaves the routes of the plugin usable', async t => {
  const test = await createTestApp({ options: { protect: 'all' } })
  t.teardown(() => test.app.close())
  await expectWorkingRoutes(t, test)
})

t.test('protect leaves public keys and OAuth endpoints open', async t => {
  const app = start(t)
  await app.register(
    tokenAuth,
    protectAll({
      issuer: 'https://a.example',
      audience: 'api',
      keys: [{ key: pairs.EdDSA }],
      oauth: { clients: [{ clientId: 'phone' }] }
    })
  )
  t.equal(await getStatus(app, '/.well-known/jwks.json'), 200)
  t.equal(await getStatus(app, '/.well-known/oauth-authorization-server'), 200)
  t.equal(await getStatus(app, { method: 'POST', url: '/auth/token' }), 400)
  t.equal(await getStatus(app, '/auth/me'), 401)
})

t.test('protect passes unknown paths, but not a handler that another hook replaces', async t => {
  const app = start(t)
  await app.register(tokenAuth, protectAll())
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ page: 'not found' }))
  app.get('/gone', (_request, reply) => {
    reply.callNotFound()
  })
  t.match((await app.inject('/nowhere')).json(), { page: 'not found' })
  t.equal(await getStatus(app, '/gone'), 401)
})

for (const order of ['before', 'after']) {
  t.test(`protect passes preflights with @fastify/cors ${order} the plugin`, async t => {
    const app = start(t)
    const plugins = [
      async () => app.register(fastifyCors, { origin: 'https://a.example' }),
      async () => app.register(tokenAuth, protectAll())
    ]

    for (const register of order === 'before' ? plugins : plugins.reverse()) {
      await register()
    }

    app.get('/orders', () => 'in')
    const response = await app.inject({ ...preflight, url: '/orders' })
    t.equal(response.statusCode, 204)
    t.equal(response.headers['access-control-allow-origin'], 'https://a.example')
    t.equal(await getStatus(app, '/orders'), 401)
  })
}

t.test('protect does not take other OPTIONS requests for preflights', async t => {
  const app = start(t)
  await app.register(tokenAuth, protectAll())
  let calls = 0
  app.all('/all', () => {
    calls++
    return 'in'
  })
  app.options('/options', () => 'in')
  t.equal(await getStatus(app, { ...preflight, url: '/all' }), 401)
  t.equal(calls, 0)
  t.equal(await getStatus(app, { ...preflight, url: '/options' }), 200)
  t.equal(await getStatus(app, { method: 'OPTIONS', url: '/options' }), 401)
  t.equal(await getStatus(app, { method: 'GET', url: '/all', headers: preflight.headers }), 401)
})

t.test('protect reads the config of a route when a request arrives', async t => {
  const app = start(t)
  app.addHook('onRoute', route => {
    route.config = { ...route.config, tokenAuth: route.url === '/late' ? 'public' : undefined }
  })
  app.get('/late', () => 'in')
  app.get('/closed', { config: { tokenAuth: 'public' } }, () => 'in')
  await app.register(tokenAuth, protectAll({ routes: { logout: false } }))
  app.get('/optional', { config: { tokenAuth: 'optional' } }, () => 'in')
  t.equal(await getStatus(app, '/late'), 200)
  t.equal(await getStatus(app, '/closed'), 401, 'a hook of the app has removed the mark')
})

t.test('except opens the named routes and no other spelling or route', async t => {
  const app = start(t, { routerOptions: { caseSensitive: false, ignoreDuplicateSlashes: true } })
  app.get('/docs', () => 'docs')
  app.get('/docs/static/*', () => 'docs')
  app.get('/docs-internal', () => 'internal')
  app.get('/documents/:id', () => 'document')
  app.get('/health', () => 'up')
  app.get('/health/details', () => 'details')
  app.get('/*', () => 'files')
  app.get('/:page/private', () => 'private')
  await app.register(
    tokenAuth,
    protectAll({ protect: { except: ['/docs', '/docs/*', '/health'] } })
  )
  const open = ['/docs', '/DOCS', '/docs?x=1', '/docs/static/a.css', '/health']
  const closed = [
    '/docs-internal',
    '/docs/../docs-internal',
    '/docs/%2e%2e/docs-internal',
    '/docs%2f..%2fdocs-internal',
    '/docs/private',
    '/docs/other',
    '/documents/1',
    '/health/',
    '/health/details',
    '/healthy',
    '/HEALTH/details',
    '/docs%00'
  ]

  for (const url of open) {
    t.equal(await getStatus(app, url), 200, url)
  }

  for (const url of closed) {
    t.equal(await getStatus(app, url), 401, url)
  }
})

t.test('protect and authenticate on one route accept one DPoP proof, once', async t => {
  const { app, holder } = await startDpop(t, { protect: 'all' })
  const { access_token: token } = await signIn(holder)

  for (const url of ['/protected', '/auth/me']) {
    const jti = randomUUID()
    t.equal((await holder.send('GET', url, { token, claims: { jti } })).statusCode, 200, url)
    t.equal((await holder.send('GET', url, { token, claims: { jti } })).statusCode, 401, url)
    const headers = { authorization: `DPoP ${token}` }
    t.equal(await getStatus(app, { url, headers }), 401, 'no proof')
  }
})

t.test('protect of tokenVerifier requires a token for every route', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const app = start(t)
  app.get('/before', request => request.auth)
  await app.register(tokenVerifier, {
    jwksUri: keys.uri,
    ...issuerScope,
    clock: createClock(),
    protect: { except: ['/docs'] }
  })
  app.get('/docs', () => 'in')
  app.get('/both', { onRequest: [authenticate] }, request => request.auth)
  app.get('/news', { config: { tokenAuth: 'optional' } }, () => 'in')
  t.equal(await getStatus(app, '/before'), 401)
  t.equal(await getStatus(app, '/both'), 401)
  t.equal(await getStatus(app, '/docs'), 200)
  t.equal(await getStatus(app, '/news'), 200)
  t.equal(await getStatus(app, '/nowhere'), 404)

  for (const url of ['/before', '/both']) {
    t.equal(await getStatus(app, { url, headers: bearer(createToken('EdDSA')) }), 200)
  }
})
