import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { authenticate, requireClaims, requireFresh } from '../../../src/index.js'
import type { Authenticate, ClaimRequirements } from '../../../src/index.js'
import * as verifierEntry from '../../../src/verifier/index.js'
import { MINUTE } from '../../helpers/clock.js'
import { bearer } from '../host-apps/host-app.js'
import { plugins, preparePlugin, start } from './plugins.js'

const admin = { role: 'admin' } as ClaimRequirements

async function read (app: FastifyInstance, url: string, token?: string): Promise<unknown> {
  const response = await app.inject({ url, headers: token === undefined ? {} : bearer(token) })
  return response.statusCode === 200 ? 200 : response.json().code
}

/** Adds a route for each way in which an app calls a hook. */
function addRoutes (app: FastifyInstance, name: string, ...hooks: Authenticate[]): void {
  app.get(`/${name}/array`, { onRequest: hooks }, () => 'in')
  app.get(`/${name}/awaited`, {
    onRequest: async (request, reply) => {
      for (const hook of hooks) {
        await hook(request, reply)
      }
    }
  }, () => 'in')
}

for (const plugin of plugins) {
  t.test(`${plugin}: exported hooks protect routes declared before register`, async t => {
    const app = start(t)
    const source = await preparePlugin(t, app, plugin)
    addRoutes(app, 'early', authenticate)
    source.register(app)
    addRoutes(app, 'late', authenticate)
    const { access_token: token } = await source.login()

    for (const url of ['/early/array', '/early/awaited', '/late/array', '/late/awaited']) {
      t.equal(await read(app, url), 'AUTH_ACCESS_MISSING', url)
      t.equal(await read(app, url, 'garbage'), 'AUTH_ACCESS_INVALID', url)
      t.equal(await read(app, url, token), 200, url)
    }
  })

  t.test(`${plugin}: authenticate works in every hook, also if it needs time`, async t => {
    const app = start(t)
    // The verifier needs time for its first token, because it reads the key set.
    const source = await preparePlugin(t, app, plugin, {
      own: { accessToken: { lifetime: '15m', renewWithin: '5m' } }
    })
    await source.register(app)
    const hooks = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

    for (const hook of hooks) {
      app.get(`/${hook}`, { [hook]: [authenticate] }, () => 'in')
    }

    const { access_token: token } = await source.login()

    for (const age of ['new', 'due for renewal']) {
      for (const hook of hooks) {
        t.equal(await read(app, `/${hook}`), 'AUTH_ACCESS_MISSING', hook)
        t.equal(await read(app, `/${hook}`, token), 200, `${hook}, ${age}`)
      }

      source.clock.advance(11 * MINUTE)
    }
  })

  t.test(`${plugin}: exported hooks find the registration of a parent scope`, async t => {
    const app = start(t)
    const source = await preparePlugin(t, app, plugin)
    await app.register(async scope => {
      addRoutes(scope, 'child', authenticate)
    })
    await source.register(app)
    const { access_token: token } = await source.login()
    t.equal(await read(app, '/child/array'), 'AUTH_ACCESS_MISSING')
    t.equal(await read(app, '/child/array', token), 200)
  })

  t.test(`${plugin}: exported hooks use the registration of the scope of the route`, async t => {
    const app = start(t)
    const staff = await preparePlugin(t, app, plugin, { audience: 'staff' })
    const guests = await preparePlugin(t, app, plugin, { audience: 'guests' })

    for (const [name, source] of Object.entries({ staff, guests })) {
      await app.register(async scope => {
        addRoutes(scope, name, authenticate)
        await source.register(scope, { name })
      })
    }

    const { access_token: token } = await staff.login()
    t.equal(await read(app, '/staff/array', token), 200)
    t.equal(await read(app, '/guests/array', token), 'AUTH_ACCESS_INVALID')
  })

  t.test(`${plugin}: a route outside of the scope gets 500 and a log line`, async t => {
    const lines: string[] = []
    const app = start(t, {
      logger: { level: 'error', stream: { write: line => lines.push(line) } }
    })
    const source = await preparePlugin(t, app, plugin)
    // A plugin file without fastify-plugin.
    await app.register(async scope => {
      await source.register(scope)
    })
    addRoutes(app, 'open', authenticate)
    addRoutes(app, 'claims', requireClaims(admin))
    addRoutes(app, 'fresh', requireFresh('5m'))
    const { access_token: token } = await source.login()

    for (const name of ['open', 'claims', 'fresh']) {
      for (const way of ['array', 'awaited']) {
        const url = `/${name}/${way}`
        const response = await app.inject({ url, headers: bearer(token) })
        t.equal(response.statusCode, 500, url)
        t.match(response.json(), {
          code: 'AUTH_NOT_REGISTERED',
          message: 'tokenAuth or tokenVerifier is not registered in this scope'
        }, url)
      }
    }

    t.match(lines[0], /is registered in the scope of this route; .* with fastify-plugin/)
    t.notMatch(lines.join(''), token)
  })

  t.test(`${plugin}: exported guards follow the exported authenticate`, async t => {
    const app = start(t)
    const source = await preparePlugin(t, app, plugin)
    addRoutes(app, 'pay', authenticate, requireFresh('5m'))
    addRoutes(app, 'admin', authenticate, requireClaims(admin))
    addRoutes(app, 'alone', requireClaims(admin))
    await source.register(app)
    const { access_token: ann } = await source.login()
    const { access_token: bob } = await source.login('bob')

    for (const way of ['array', 'awaited']) {
      t.equal(await read(app, `/pay/${way}`, ann), 200)
      t.equal(await read(app, `/admin/${way}`, ann), 200)
      t.equal(await read(app, `/admin/${way}`, bob), 'AUTH_CLAIMS_INSUFFICIENT')
      t.equal(await read(app, `/alone/${way}`, ann), 'AUTH_ACCESS_MISSING')
    }

    source.clock.advance(6 * MINUTE)
    t.equal(await read(app, '/pay/array', ann), 'AUTH_REAUTHENTICATION_REQUIRED')
    t.throws(() => requireFresh('soon'), TypeError)
    t.throws(() => requireClaims({}), TypeError)
  })

  t.test(`${plugin}: a list with an undefined hook fails at startup`, async t => {
    const app = start(t)
    const source = await preparePlugin(t, app, plugin)
    source.register(app)
    // Not awaited, and misspelled: both are undefined.
    const { authenticate, authentciate } = app as unknown as Record<string, Authenticate>
    t.equal(authenticate, undefined)

    for (const hook of [authenticate, authentciate] as Authenticate[]) {
      t.throws(() => app.get('/open', { onRequest: [hook] }, () => 'in'), {
        code: 'FST_ERR_HOOK_INVALID_HANDLER'
      })
      t.throws(() => app.addHook('onRequest', hook), { code: 'FST_ERR_HOOK_INVALID_HANDLER' })
    }
  })
}

t.test('both entries export the same hooks', async t => {
  t.equal(verifierEntry.authenticate, authenticate)
  t.equal(verifierEntry.requireClaims, requireClaims)
  t.equal(verifierEntry.requireFresh, requireFresh)
})
