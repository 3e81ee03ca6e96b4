import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { authenticate, tokenAuth } from '../../../src/index.js'
import type { Authenticate, TokenAuthOptions } from '../../../src/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import type { TokenVerifierOptions } from '../../../src/verifier/index.js'
import { bearer, getOptions, getStatus, loginAt } from '../host-apps/host-app.js'
import { plugins, preparePlugin, start } from './plugins.js'
import type { PluginName } from './plugins.js'

const verifier: TokenVerifierOptions = {
  jwksUri: 'http://127.0.0.1:9/jwks.json',
  issuer: 'https://a.example',
  audience: 'api'
}

/** Registers a plugin and returns the message it fails with, or `null`. */
async function findFailure (
  app: FastifyInstance,
  plugin: PluginName,
  given: object = {}
): Promise<string | null> {
  try {
    if (plugin === 'tokenAuth') {
      await app.register(tokenAuth, getOptions(given as Partial<TokenAuthOptions>))
    } else {
      await app.register(tokenVerifier, { ...verifier, ...given })
    }

    return null
  } catch (error) {
    return (error as Error).message
  }
}

t.test('decorators can be renamed or omitted', async t => {
  const app = start(t)
  const names = {
    authenticate: false,
    requireClaims: 'needClaims',
    requireFresh: false,
    tokenAuth: 'auth'
  } as const
  t.equal(await findFailure(app, 'tokenAuth', { decorators: names }), null)
  t.strictSame(
    ['authenticate', 'requireClaims', 'needClaims', 'requireFresh', 'tokenAuth', 'auth']
      .filter(name => app.hasDecorator(name)),
    ['needClaims', 'auth']
  )
  app.get('/x', { onRequest: [authenticate] }, () => 'in')
  const { access_token: token } = await loginAt(app, '/auth')
  t.equal((await app.inject({ url: '/x', headers: bearer(token) })).statusCode, 200)

  const other = start(t)
  t.equal(
    await findFailure(other, 'tokenVerifier', { decorators: { authenticate: 'check' } }),
    null
  )
  t.ok(other.hasDecorator('check'))
  t.notOk(other.hasDecorator('authenticate'))
})

for (const plugin of plugins) {
  t.test(`${plugin} tells a decorator of the app from a second registration`, async t => {
    for (const name of ['authenticate', 'requireClaims', 'requireFresh']) {
      const app = start(t)
      app.decorate(name, () => {})
      t.match(
        await findFailure(app, plugin),
        new RegExp(
          `has a decorator "${name}" of its own; set "decorators" of ${plugin} .*` +
            `\\{ ${name}: 'other' \\}.*\\{ ${name}: false \\}`
        )
      )
      const other = start(t)
      other.decorate(name, () => {})
      t.equal(await findFailure(other, plugin, { decorators: { [name]: false } }), null)
    }

    const taken = start(t)
    t.match(
      await findFailure(taken, plugin, { decorators: { authenticate: 'register' } }),
      /has a decorator "register" of its own/
    )

    const request = start(t)
    request.decorateRequest('auth', null)
    t.match(await findFailure(request, plugin), /has a request decorator "auth" of its own/)

    const twice = start(t)
    t.equal(await findFailure(twice, plugin, { name: 'staff' }), null)
    const message = await findFailure(twice, plugin, { name: 'other' })
    t.match(message, /already has the registration "staff"; .* a scope of its own/)
    t.notMatch(message, 'decorators')
  })
}

for (const plugin of plugins) {
  t.test(`${plugin}: an app keeps its own authenticate decorator beside the plugin`, async t => {
    const app = start(t)
    const source = await preparePlugin(t, app, plugin)
    // The style of @fastify/jwt.
    app.decorate(
      'authenticate',
      (async () => {
        throw Object.assign(new Error('the old way'), { statusCode: 418 })
      }) as never
    )
    await app.register(async scope => {
      await source.register(scope, { decorators: { authenticate: 'requireToken' } })
      const { requireToken } = scope as unknown as { readonly requireToken: Authenticate }
      scope.get('/renamed', { onRequest: [requireToken] }, () => 'in')
      scope.get('/exported', { onRequest: [authenticate] }, () => 'in')
      scope.get('/fresh', { onRequest: [authenticate, scope.requireFresh('5m')] }, () => 'in')
      scope.get('/old', { onRequest: [scope.authenticate] }, () => 'in')
    })
    const { access_token: token } = await source.login()

    for (const url of ['/renamed', '/exported', '/fresh']) {
      t.equal(await getStatus(app, url), 401, url)
      t.equal(await getStatus(app, url, token), 200, url)
    }

    t.equal(await getStatus(app, '/old', token), 418)
  })

  t.test(`${plugin}: a second registration fails also with other decorators`, async t => {
    const app = start(t)
    const decorators = {
      authenticate: 'b',
      requireClaims: 'c',
      requireFresh: 'd',
      ...(plugin === 'tokenAuth' && { tokenAuth: 'e' })
    }
    t.equal(await findFailure(app, plugin), null)
    await t.rejects(
      async () => {
        await app.register(async scope => {
          await findFailure(scope, plugin, { name: 'other', decorators })
        })
      },
      { message: /already has the registration "auth"/ }
    )
  })
}
