import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { authenticate, requireClaims, requireFresh } from '../../../src/index.js'
import type { ClaimRequirements, TokenAuthOptions } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { HOUR } from '../../helpers/clock.js'
import {
  ACCESS,
  asCookie,
  foreign,
  logInWithCookies,
  own,
  withCookies
} from '../security/cookie-app.js'
import { plugins, preparePlugin, start } from './plugins.js'
import type { HookPlugin, PluginName } from './plugins.js'

const optional = { tokenAuth: 'optional' } as const
const urls = ['exported', 'decorator', 'awaited', 'global'].map(form => `/news/${form}`)

/** Adds a route `/news` for each way in which an app calls the hook. */
async function addNews (app: FastifyInstance): Promise<void> {
  const hooks = {
    exported: authenticate,
    decorator: app.authenticate,
    awaited: async (...[request, reply]: Parameters<typeof authenticate>) => {
      await authenticate(request, reply)
    }
  }

  for (const [form, hook] of Object.entries(hooks)) {
    app.route({
      method: ['GET', 'POST'],
      url: `/news/${form}`,
      config: optional,
      onRequest: [hook],
      handler: request => ({ auth: request.auth })
    })
  }

  await app.register(async scope => {
    scope.addHook('onRequest', scope.authenticate)
    scope.route({
      method: ['GET', 'POST'],
      url: '/news/global',
      config: optional,
      handler: request => ({ auth: request.auth })
    })
  })
}

async function open (t: Test, given: Partial<TokenAuthOptions> = {}): Promise<TestApp> {
  const test = await createTestApp({ options: { ...withCookies, ...given }, after: addNews })
  t.teardown(() => test.app.close())
  return test
}

async function openEither (
  t: Test,
  plugin: PluginName
): Promise<HookPlugin & { readonly app: FastifyInstance }> {
  const app = start(t)
  const source = await preparePlugin(t, app, plugin)
  await source.register(app)
  await addNews(app)
  return { ...source, app }
}

async function ask (
  { app }: { readonly app: FastifyInstance },
  url: string,
  headers: Record<string, string> = {},
  method: 'GET' | 'HEAD' | 'POST' = 'GET'
): Promise<unknown> {
  const response = await app.inject({ method, url, headers })

  if (response.statusCode !== 200) {
    return response.body === '' ? response.statusCode : response.json().code
  }

  return response.body === '' ? 200 : response.json().auth?.userId ?? null
}

for (const plugin of plugins) {
  t.test(`${plugin}: an optional route accepts requests with and without a token`, async t => {
    const test = await openEither(t, plugin)
    const { access_token: token } = await test.login()

    for (const url of urls) {
      t.equal(await ask(test, url), null, url)
      t.equal(await ask(test, url, {}, 'POST'), null, url)
      t.equal(await ask(test, url, { authorization: 'Basic YTpi' }), null, url)
      t.equal(await ask(test, url, { authorization: `Bearer ${token}` }), 'u-ann', url)
      t.equal(await ask(test, url, { authorization: `Bearer ${token}` }, 'POST'), 'u-ann', url)
    }
  })

  t.test(`${plugin}: an optional route rejects a header that is not accepted`, async t => {
    const test = await openEither(t, plugin)
    const { access_token: token, refresh_token: refreshToken } = await test.login()

    for (const url of urls) {
      for (const invalid of ['garbage', refreshToken, `${token}A`]) {
        const headers = { authorization: `Bearer ${invalid}` }
        t.equal(await ask(test, url, headers), 'AUTH_ACCESS_INVALID', url)
      }

      t.equal(await ask(test, url, { authorization: `DPoP ${token}` }), 'AUTH_ACCESS_MISSING', url)
    }

    test.clock.advance(HOUR)

    for (const url of urls) {
      t.equal(await ask(test, url, { authorization: `Bearer ${token}` }), 'AUTH_ACCESS_EXPIRED')
    }
  })

  t.test(`${plugin}: guards reject requests without a token on an optional route`, async t => {
    const { app } = await openEither(t, plugin)
    const guards = {
      claims: requireClaims({ role: 'admin' } as ClaimRequirements),
      fresh: requireFresh('5m'),
      'own-claims': app.requireClaims({ role: 'admin' } as ClaimRequirements),
      'own-fresh': app.requireFresh('5m')
    }

    for (const [name, guard] of Object.entries(guards)) {
      app.get(`/${name}`, { config: optional, onRequest: [authenticate, guard] }, () => 'in')
    }

    for (const url of ['/claims', '/fresh', '/own-claims', '/own-fresh']) {
      const response = await app.inject(url)
      t.equal(response.statusCode, 401, url)
      t.equal(response.json().code, 'AUTH_ACCESS_MISSING', url)
    }
  })

  t.test(`${plugin}: an unknown, inherited or misspelled value requires a token`, async t => {
    const { app } = await openEither(t, plugin)
    const configs = { Public: { tokenAuth: 'Public' }, none: {}, proto: Object.create(optional) }

    for (const [name, config] of Object.entries(configs)) {
      app.get(`/${name}`, { config: config as object, onRequest: [authenticate] }, () => 'in')
    }

    for (const url of ['/Public', '/none', '/proto']) {
      t.equal((await app.inject(url)).statusCode, 401, url)
    }

    const prototype = Object.prototype as { tokenAuth?: string }
    t.teardown(() => {
      delete prototype.tokenAuth
    })

    for (const value of ['public', 'optional']) {
      prototype.tokenAuth = value
      const { statusCode } = await app.inject('/none')
      delete prototype.tokenAuth
      t.equal(statusCode, 401, `Object.prototype.tokenAuth is ${value}`)
    }
  })
}

for (const url of urls) {
  t.test(`${url}: an optional route rejects the token of a revoked session`, async t => {
    const test = await open(t)
    const { access_token: token, refresh_token: refreshToken } = await test.login()
    await test.post('/auth/logout', { refresh_token: refreshToken })
    t.equal(await ask(test, url, { authorization: `Bearer ${token}` }), 'AUTH_SESSION_REVOKED')
  })

  t.test(`${url}: an optional route reads pages without an old cookie`, async t => {
    const test = await open(t)
    const { access } = await logInWithCookies(test)
    const cookie = { cookie: `${ACCESS}=${access}`, ...own }
    t.equal(await ask(test, url, cookie), 'u-ann')
    t.equal(await ask(test, url, cookie, 'POST'), 'u-ann')
    const [session] = await test.app.tokenAuth.listSessions('u-ann')
    await test.app.tokenAuth.revokeSession(session?.id ?? '')
    t.equal(await ask(test, url, cookie), null, 'revoked')
    t.equal(await ask(test, url, cookie, 'HEAD'), 200)
    t.equal(await ask(test, url, cookie, 'POST'), 'AUTH_SESSION_REVOKED')
    test.clock.advance(HOUR)
    t.equal(await ask(test, url, cookie), null, 'expired')
    t.equal(await ask(test, url, cookie, 'POST'), 'AUTH_ACCESS_EXPIRED')
    t.equal(await ask(test, url, { ...cookie, upgrade: 'websocket' }), 'AUTH_ACCESS_EXPIRED')
    t.equal(await ask(test, url, { ...cookie, ...foreign }, 'POST'), 'AUTH_ORIGIN_REJECTED')
    t.equal(await ask(test, url, { cookie: `${ACCESS}=garbage` }), 'AUTH_ACCESS_INVALID')
  })
}

t.test('an optional route rejects a token without the DPoP proof of its scheme', async t => {
  const test = await open(t, { dpop: true })
  const { access_token: token } = await test.login()
  const headers = { authorization: `DPoP ${token}` }
  t.equal(await ask(test, '/news/exported', headers), 'AUTH_ACCESS_INVALID')
  t.equal(await ask(test, '/news/exported', asCookie), null)
})

t.test('an optional route responds with 503 while the store fails', async t => {
  const breakable = createBreakableStore(new MemoryStore())
  const test = await open(t, {
    store: breakable.store,
    refreshToken: { ...withCookies.refreshToken, confirmWrites: 'immediate' }
  })
  const { access } = await logInWithCookies(test)
  breakable.break('throws')

  for (
    const headers of [{ authorization: `Bearer ${access}` }, { cookie: `${ACCESS}=${access}` }]
  ) {
    t.equal(await ask(test, '/news/exported', headers), 'AUTH_STORE_UNAVAILABLE')
  }
})

for (const tokenAuth of ['public', 'optional'] as const) {
  t.test(`routes of the plugin need a token if the app marks all routes ${tokenAuth}`, async t => {
    const { app, login, get, post } = await createTestApp({
      before: app => {
        app.addHook('onRoute', route => {
          route.config = { ...route.config, tokenAuth }
        })
      }
    })
    t.teardown(() => app.close())
    const { access_token: token } = await login()

    for (const url of ['/auth/me', '/auth/sessions']) {
      t.equal((await get(url)).json().code, 'AUTH_ACCESS_MISSING')
      t.equal((await get(url, token)).statusCode, 200)
    }

    t.equal((await post('/auth/logout/all')).json().code, 'AUTH_ACCESS_MISSING')
  })
}
