import { generateKeyPairSync, randomUUID } from 'node:crypto'
import fastifyCors from '@fastify/cors'
import type { FastifyInstance, InjectOptions } from 'fastify'
import t from 'tap'
import { authenticate, tokenAuth } from '../../../src/index.js'
import { createTestApp } from '../../helpers/app.js'
import { signIn, start as startDpop } from '../dpop/dpop-app.js'
import { bearer, expectWorkingRoutes, getOptions } from '../host-apps/host-app.js'
import { ann, createProof, startIssuer, startVerifier } from '../verifier/dpop-setup.js'
import { plugins, preparePlugin, start } from './plugins.js'

async function getStatus (app: FastifyInstance, request: InjectOptions | string): Promise<number> {
  return (await app.inject(request)).statusCode
}

const preflight = {
  method: 'OPTIONS',
  headers: { origin: 'https://a.example', 'access-control-request-method': 'GET' }
} as const

for (const plugin of plugins) {
  t.test(`${plugin}: protect covers routes declared before and after register`, async t => {
    const app = start(t)
    const source = await preparePlugin(t, app, plugin)
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
    source.register(app, { protect: 'all' })
    app.get('/not-awaited', request => request.auth)
    app.register(async scope => {
      scope.get('/child-after', request => request.auth)
    })
    await app.after()
    app.get('/after', request => request.auth)
    app.get('/hooked', { onRequest: [authenticate] }, request => request.auth)
    const { access_token: token } = await source.login()

    for (
      const url of [
        '/before',
        '/v1/child-before',
        '/v1/grandchild',
        '/loaded-before',
        '/not-awaited',
        '/child-after',
        '/after',
        '/hooked'
      ]
    ) {
      t.equal(await getStatus(app, url), 401, url)
      t.equal(await getStatus(app, { method: 'HEAD', url }), 401, url)
      const response = await app.inject({ url, headers: bearer(token) })
      t.equal(response.json().userId, 'u-ann', url)
    }
  })

  t.test(`${plugin}: protect covers only the scope that registers the plugin`, async t => {
    const app = start(t)
    const source = await preparePlugin(t, app, plugin)
    app.get('/outside', () => 'out')
    await app.register(async scope => {
      scope.get('/inside', () => 'in')
      await source.register(scope, { protect: 'all' })
    })
    await app.register(async scope => {
      scope.get('/sibling', () => 'out')
    })
    t.equal(await getStatus(app, '/inside'), 401)
    t.equal(await getStatus(app, '/outside'), 200)
    t.equal(await getStatus(app, '/sibling'), 200)
  })

  t.test(`${plugin}: protect passes unknown paths, not replaced handlers`, async t => {
    const app = start(t)
    const source = await preparePlugin(t, app, plugin)
    await source.register(app, { protect: 'all' })
    app.setNotFoundHandler((_request, reply) => reply.code(404).send({ page: 'not found' }))
    app.get('/gone', (_request, reply) => {
      reply.callNotFound()
    })
    t.match((await app.inject('/nowhere')).json(), { page: 'not found' })
    t.equal(await getStatus(app, '/gone'), 401)
  })

  for (const order of ['before', 'after']) {
    t.test(`${plugin}: preflights pass with @fastify/cors ${order} the plugin`, async t => {
      const app = start(t)
      const source = await preparePlugin(t, app, plugin)
      const plugins = [
        async () => app.register(fastifyCors, { origin: 'https://a.example' }),
        async () => source.register(app, { protect: 'all' })
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

  t.test(`${plugin}: protect does not take other OPTIONS requests for preflights`, async t => {
    const app = start(t)
    const source = await preparePlugin(t, app, plugin)
    await source.register(app, { protect: 'all' })
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

  t.test(`${plugin}: protect reads the config of a route when a request arrives`, async t => {
    const app = start(t)
    const source = await preparePlugin(t, app, plugin)
    app.addHook('onRoute', route => {
      route.config = { ...route.config, tokenAuth: route.url === '/late' ? 'public' : undefined }
    })
    app.get('/late', () => 'in')
    app.get('/closed', { config: { tokenAuth: 'public' } }, () => 'in')
    await source.register(app, { protect: 'all' })
    app.get('/optional', { config: { tokenAuth: 'optional' } }, () => 'in')
    t.equal(await getStatus(app, '/late'), 200)
    t.equal(await getStatus(app, '/closed'), 401, 'a hook of the app has removed the mark')
  })

  t.test(`${plugin}: except opens the named routes and no other spelling or route`, async t => {
    const app = start(t, { routerOptions: { caseSensitive: false, ignoreDuplicateSlashes: true } })
    const source = await preparePlugin(t, app, plugin)
    app.get('/docs', () => 'docs')
    app.get('/docs/static/*', () => 'docs')
    app.get('/docs-internal', () => 'internal')
    app.get('/documents/:id', () => 'document')
    app.get('/health', () => 'up')
    app.get('/health/details', () => 'details')
    app.get('/*', () => 'files')
    app.get('/:page/private', () => 'private')
    await source.register(app, { protect: { except: ['/docs', '/docs/*', '/health'] } })
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
}

t.test('protect leaves the routes of the plugin usable', async t => {
  const test = await createTestApp({ options: { protect: 'all' } })
  t.teardown(() => test.app.close())
  await expectWorkingRoutes(t, test)
})

t.test('protect leaves public keys and OAuth endpoints open', async t => {
  const app = start(t)
  await app.register(
    tokenAuth,
    getOptions({
      protect: 'all',
      issuer: 'https://a.example',
      audience: 'api',
      keys: [{ key: generateKeyPairSync('ed25519').privateKey }],
      oauth: { clients: [{ clientId: 'phone' }] }
    })
  )
  t.equal(await getStatus(app, '/.well-known/jwks.json'), 200)
  t.equal(await getStatus(app, '/.well-known/oauth-authorization-server'), 200)
  t.equal(await getStatus(app, { method: 'POST', url: '/auth/token' }), 400)
  t.equal(await getStatus(app, '/auth/me'), 401)
})

t.test('tokenAuth: protect and authenticate on one route accept one DPoP proof, once', async t => {
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

t.test('tokenVerifier: protect and authenticate accept one DPoP proof, once', async t => {
  const issuer = await startIssuer(t)
  const { access_token: token } = await issuer.login(ann)
  const { ask } = await startVerifier(t, issuer, { nonces: false }, { protect: 'all' })
  const proof = await createProof(ann, token)
  t.equal(await ask('DPoP', token, proof), 200)
  t.equal(await ask('DPoP', token, proof), 'AUTH_DPOP_INVALID', 'again')
  t.equal(await ask('DPoP', token), 'AUTH_DPOP_INVALID', 'no proof')
})
