import Fastify from 'fastify'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { authenticate, requireClaims, requireFresh, tokenAuth } from '../../../src/index.js'
import type { Authenticate, ClaimRequirements } from '../../../src/index.js'
import * as verifierEntry from '../../../src/verifier/index.js'
import { createClock, MINUTE } from '../../helpers/clock.js'
import { bearer, getOptions, loginAt } from '../host-apps/host-app.js'

const admin = { role: 'admin' } as ClaimRequirements

function start (t: Test, options: FastifyServerOptions = {}): FastifyInstance {
  const app = Fastify(options)
  t.teardown(() => app.close())
  return app
}

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

t.test('exported hooks protect routes that the app declares before register', async t => {
  const app = start(t)
  addRoutes(app, 'early', authenticate)
  app.register(tokenAuth, getOptions())
  addRoutes(app, 'late', authenticate)
  const { access_token: token } = await loginAt(app, '/auth')

  for (const url of ['/early/array', '/early/awaited', '/late/array', '/late/awaited']) {
    t.equal(await read(app, url), 'AUTH_ACCESS_MISSING', url)
    t.equal(await read(app, url, 'garbage'), 'AUTH_ACCESS_INVALID', url)
    t.equal(await read(app, url, token), 200, url)
  }
})

t.test('authenticate works in every hook before the handler, also if it needs time', async t => {
  const app = start(t)
  const clock = createClock()
  await app.register(
    tokenAuth,
    getOptions({ clock, accessToken: { lifetime: '15m', renewWithin: '5m' } })
  )
  const hooks = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

  for (const hook of hooks) {
    app.get(`/${hook}`, { [hook]: [authenticate] }, () => 'in')
  }

  const { access_token: token } = await loginAt(app, '/auth')

  for (const age of ['new', 'due for renewal']) {
    for (const hook of hooks) {
      t.equal(await read(app, `/${hook}`), 'AUTH_ACCESS_MISSING', hook)
      t.equal(await read(app, `/${hook}`, token), 200, `${hook}, ${age}`)
    }

    clock.advance(11 * MINUTE)
  }
})

t.test('exported hooks find the registration of a parent scope', async t => {
  const app = start(t)
  await app.register(async scope => {
    addRoutes(scope, 'child', authenticate)
  })
  await app.register(tokenAuth, getOptions())
  const { access_token: token } = await loginAt(app, '/auth')
  t.equal(await read(app, '/child/array'), 'AUTH_ACCESS_MISSING')
  t.equal(await read(app, '/child/array', token), 200)
})

t.test('exported hooks use the registration of the scope of the route', async t => {
  const app = start(t)

  for (const name of ['staff', 'guests']) {
    await app.register(async scope => {
      addRoutes(scope, name, authenticate)
      await scope.register(tokenAuth, getOptions({ name, prefix: `/${name}/auth` }))
    })
  }

  const staff = await loginAt(app, '/staff/auth')
  t.equal(await read(app, '/staff/array', staff.access_token), 200)
  t.equal(await read(app, '/guests/array', staff.access_token), 'AUTH_ACCESS_INVALID')
})

t.test('a route outside of the scope of a registration gets 500 and a log line', async t => {
  const lines: string[] = []
  const app = start(t, { logger: { level: 'error', stream: { write: line => lines.push(line) } } })
  // A plugin file without fastify-plugin.
  await app.register(async scope => {
    await scope.register(tokenAuth, getOptions())
  })
  addRoutes(app, 'open', authenticate)
  addRoutes(app, 'claims', requireClaims(admin))
  addRoutes(app, 'fresh', requireFresh('5m'))
  const { access_token: token } = await loginAt(app, '/auth')

  for (const name of ['open', 'claims', 'fresh']) {
    for (const way of ['array', 'awaited']) {
      const url = `/${name}/${way}`
      const response = await app.inject({ url, headers: bearer(token) })
      t.equal(response.statusCode, 500, url)
      t.match(response.json(), {
        code: 'AUTH_NOT_REGISTERED',
        message: 'tokenAuth is not registered in this scope'
      }, url)
    }
  }

  t.match(lines[0], /is not registered in the scope of this route; .* with fastify-plugin/)
  t.notMatch(lines.join(''), token)
})

t.test('exported guards follow the exported authenticate', async t => {
  const clock = createClock()
  const app = start(t)
  addRoutes(app, 'pay', authenticate, requireFresh('5m'))
  addRoutes(app, 'admin', authenticate, requireClaims(admin))
  addRoutes(app, 'alone', requireClaims(admin))
  await app.register(
    tokenAuth,
    getOptions({
      clock,
      users: {
        ...getOptions().users,
        claims: ({ id }) => ({ role: id === 'u-ann' ? 'admin' : 'member' })
      }
    })
  )
  const { access_token: ann } = await loginAt(app, '/auth')

  for (const way of ['array', 'awaited']) {
    t.equal(await read(app, `/pay/${way}`, ann), 200)
    t.equal(await read(app, `/admin/${way}`, ann), 200)
    t.equal(await read(app, `/alone/${way}`, ann), 'AUTH_ACCESS_MISSING')
  }

  clock.advance(6 * MINUTE)
  t.equal(await read(app, '/pay/array', ann), 'AUTH_REAUTHENTICATION_REQUIRED')
  t.throws(() => requireFresh('soon'), TypeError)
  t.throws(() => requireClaims({}), TypeError)
})

t.test('both entries export the same hooks', async t => {
  t.equal(verifierEntry.authenticate, authenticate)
  t.equal(verifierEntry.requireClaims, requireClaims)
  t.equal(verifierEntry.requireFresh, requireFresh)
})

t.test('a list with an undefined hook fails at startup', async t => {
  const app = start(t)
  app.register(tokenAuth, getOptions())
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
