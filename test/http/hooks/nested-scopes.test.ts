import Fastify from 'fastify'
import t from 'tap'
import { authenticate, getAuth, tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { PASSWORD } from '../../helpers/app.js'
import { bearer, getOptions } from '../host-apps/host-app.js'
import { plugins, preparePlugin, start } from './plugins.js'

const optional = { config: { tokenAuth: 'optional' } } as const
const cookies: Partial<TokenAuthOptions> = { cookie: { accessToken: true } }

t.test('a scope registered before its parent does not see users of the parent', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(async scope => {
    await scope.register(tokenAuth, getOptions({ ...cookies, name: 'staff', prefix: '/auth' }))
    scope.get('/optional', optional, request => ({ userId: request.auth?.userId ?? null }))
    scope.get('/hook', { ...optional, onRequest: [authenticate] }, request => ({
      userId: request.auth?.userId ?? null
    }))
    scope.get('/closed', request => ({ userId: getAuth(request).userId }))
  }, { prefix: '/staff' })
  await app.register(
    tokenAuth,
    getOptions({ ...cookies, store: new MemoryStore(), protect: 'all' })
  )
  app.get('/optional', optional, request => ({ userId: request.auth?.userId ?? null }))

  const login = async (prefix: string): Promise<string> => {
    const response = await app.inject({
      method: 'POST',
      url: `${prefix}/auth/login`,
      headers: { 'x-token-transport': 'cookie', 'sec-fetch-site': 'same-origin' },
      payload: { username: 'ann', password: PASSWORD }
    })
    return response.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  }

  const read = async (url: string, cookie: string): Promise<unknown> => {
    const response = await app.inject({ url, headers: { cookie } })
    const { userId, code } = response.json<{ userId?: string | null, code?: string }>()
    return code ?? userId
  }

  const [parent, child] = [await login(''), await login('/staff')]
  t.equal(await read('/optional', parent), 'u-ann')
  t.equal(await read('/optional', child), null)

  for (const path of ['/staff/optional', '/staff/hook']) {
    t.equal(await read(path, parent), null, path)
    t.equal(await read(path, child), 'u-ann', path)
    t.equal(await read(path, `${parent}; ${child}`), 'u-ann', path)
  }

  t.equal(await read('/staff/closed', parent), 'AUTH_ACCESS_MISSING')
  t.equal(await read('/staff/closed', child), 'u-ann')
  t.equal(await read('/staff/auth/me', child), undefined, 'the routes of the child work')
})

for (const outer of plugins) {
  for (const inner of plugins) {
    t.test(`${inner} in a child scope accepts no token of ${outer} in its parent`, async t => {
      const app = start(t)
      const staff = await preparePlugin(t, app, inner, { audience: 'staff' })
      const main = await preparePlugin(t, app, outer, { audience: 'main' })
      const own = { onRequest: [authenticate] }
      await app.register(async scope => {
        await staff.register(scope, { name: 'staff' })
        scope.get('/optional', optional, request => request.auth)
        scope.get('/hook', { ...optional, ...own }, request => request.auth)
        scope.get('/closed', request => request.auth)
      }, { prefix: '/staff' })
      await main.register(app, { protect: 'all' })
      app.get('/closed', request => request.auth)
      const { access_token: parent } = await main.login('bob')
      const { access_token: child } = await staff.login()

      const read = async (url: string, token?: string): Promise<string | null> => {
        const response = await app.inject({ url, headers: token ? bearer(token) : {} })
        const body = response.body === '' ? null : response.json()
        return body?.code ?? body?.userId ?? null
      }

      t.equal(await read('/closed', parent), 'u-bob')
      t.equal(await read('/closed', child), 'AUTH_ACCESS_INVALID')
      t.equal(await read('/staff/closed'), 'AUTH_ACCESS_MISSING')
      t.equal(await read('/staff/optional'), null)

      for (const path of ['/staff/optional', '/staff/hook', '/staff/closed']) {
        t.equal(await read(path, parent), 'AUTH_ACCESS_INVALID', path)
        t.equal(await read(path, child), 'u-ann', path)
      }
    })
  }
}
