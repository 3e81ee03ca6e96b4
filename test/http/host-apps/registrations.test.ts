import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { tokenAuth } from '../../../src/index.js'
import { PASSWORD } from '../../helpers/app.js'
import type { TestAppOptions } from '../../helpers/app.js'
import { HOUR } from '../../helpers/clock.js'
import {
  bearer,
  expectWorkingRoutes,
  getOptions,
  getStatus,
  loginAt,
  start,
  startEmpty
} from './host-app.js'

async function refreshAt (app: FastifyInstance, prefix: string, token: string): Promise<number> {
  const response = await app.inject({
    method: 'POST',
    url: `${prefix}/refresh`,
    payload: { refresh_token: token }
  })
  return response.statusCode
}

const guards: Record<string, TestAppOptions> = {
  'by the hook itself, added after the plugin': {
    after: app => {
      app.addHook('onRequest', app.authenticate)
    }
  },
  'by a function that looks the hook up, added before the plugin': {
    before: app => {
      app.addHook('onRequest', (request, reply, done) => {
        app.authenticate(request, reply, done)
      })
    }
  }
}

for (const [how, guard] of Object.entries(guards)) {
  t.test(`authenticate protects the whole app ${how}`, async t => {
    const test = await start(t, {
      ...guard,
      after: async app => {
        await guard.after?.(app)
        app.get('/open', { config: { tokenAuth: 'public' } }, () => 'open')
        app.get('/closed', request => request.auth)
        await app.register(async child => {
          child.get('/closed/child', request => request.auth)
        })
      }
    })
    await expectWorkingRoutes(t, test)
    const { app, login, get } = test
    t.equal((await get('/open')).body, 'open')
    t.equal((await get('/open', 'no token')).body, 'open')
    const { access_token: token } = await login()

    for (const url of ['/closed', '/closed/child']) {
      const refused = await get(url)
      t.equal(refused.statusCode, 401)
      t.equal(refused.json().code, 'AUTH_ACCESS_MISSING')
      t.match(refused.headers['www-authenticate'], /^Bearer/)
      t.equal((await get(url, token)).json().userId, 'u-ann')
    }

    t.equal(await getStatus(app, '/auth/me'), 401)
    t.equal(await getStatus(app, '/auth/me', token), 200)
    t.equal(await getStatus(app, '/nowhere'), 401)
    t.equal(await getStatus(app, '/nowhere', token), 404)
  })
}

t.test('two registrations in sibling scopes reject the tokens of each other', async t => {
  const app = startEmpty(t)

  for (const name of ['staff', 'guests']) {
    await app.register(async scope => {
      await scope.register(tokenAuth, getOptions({ name, prefix: `/${name}/auth` }))
      scope.get(`/${name}`, { onRequest: scope.authenticate }, request => request.auth)
    })
  }

  const staff = await loginAt(app, '/staff/auth')
  const guest = await loginAt(app, '/guests/auth')
  t.equal(await getStatus(app, '/staff', staff.access_token), 200)
  t.equal(await getStatus(app, '/guests', guest.access_token), 200)
  t.equal(await getStatus(app, '/staff', guest.access_token), 401)
  t.equal(await getStatus(app, '/guests', staff.access_token), 401)
  t.equal(await refreshAt(app, '/staff/auth', guest.refresh_token), 401)
  t.equal(await refreshAt(app, '/guests/auth', staff.refresh_token), 401)
  t.equal(await refreshAt(app, '/staff/auth', staff.refresh_token), 200)
  t.equal(await refreshAt(app, '/guests/auth', guest.refresh_token), 200)
  t.match(
    (await app.inject({ url: '/guests' })).headers['www-authenticate'],
    'Bearer realm="guests"'
  )
})

t.test('a second registration on one instance fails with a fix', async t => {
  const app = startEmpty(t)
  await app.register(tokenAuth, getOptions())
  await t.rejects(
    async () => {
      await app.register(tokenAuth, getOptions({ name: 'other', prefix: '/other' }))
    },
    { message: /already has the registration "auth".*scope of its own/ }
  )
})

t.test('a registration inside the scope of another fails with a fix', async t => {
  const app = startEmpty(t)
  await app.register(tokenAuth, getOptions())
  await t.rejects(async () => {
    await app.register(async scope => {
      await scope.register(tokenAuth, getOptions({ name: 'other', prefix: '/other' }))
    })
  }, { message: /already has the registration "auth".*scope of its own/ })
})

t.test('the same name in two sibling scopes fails', async t => {
  const app = startEmpty(t)
  await app.register(async scope => {
    await scope.register(tokenAuth, getOptions({ name: 'staff' }))
  })
  await t.rejects(async () => {
    await app.register(async scope => {
      await scope.register(tokenAuth, getOptions({ name: 'staff', prefix: '/other' }))
    })
  }, { message: /"name" must be unique in an app; "staff" is registered already/ })
})

t.test('a registration in a child scope stays below the prefix of the child', async t => {
  const app = startEmpty(t)
  await app.register(async child => {
    await child.register(tokenAuth, getOptions())
    child.get('/protected', { onRequest: child.authenticate }, request => request.auth)
  }, { prefix: '/api' })
  const { access_token: token, refresh_token: refreshToken } = await loginAt(app, '/api/auth')
  t.equal(await getStatus(app, '/api/protected', token), 200)
  t.equal(await getStatus(app, '/api/protected'), 401)
  t.equal(await refreshAt(app, '/api/auth', refreshToken), 200)
  t.equal(await getStatus(app, '/auth/me', token), 404)
  t.notOk(app.hasDecorator('authenticate'))
  t.notOk(app.hasRequestDecorator('auth'))
})

t.test('two apps with the same name and secret share only the keys', async t => {
  const a = await start(t, {})
  const b = await start(t, {})
  const inA = await a.login()
  const inB = await b.login()
  t.equal(
    (await b.refresh(inA.refresh_token)).json().code,
    'AUTH_REFRESH_INVALID',
    'b has no such session'
  )
  t.equal((await b.app.tokenAuth.listSessions('u-ann')).length, 1)

  t.equal(await a.app.tokenAuth.revokeUser('u-ann'), 1)
  t.equal((await a.get('/protected', inA.access_token)).statusCode, 401)
  t.equal((await b.get('/protected', inB.access_token)).statusCode, 200)
  t.equal(
    (await b.get('/protected', inA.access_token)).statusCode,
    200,
    'what a has revoked is unknown to b'
  )
  t.equal((await b.refresh(inB.refresh_token)).statusCode, 200)
  t.notOk(b.events.some(event => event.name === 'session-ended'))

  a.clock.advance(HOUR)
  t.equal(
    (await b.get('/protected', inB.access_token)).statusCode,
    200,
    'each has a clock of its own'
  )
})

t.test('each route can be renamed or disabled', async t => {
  const app = startEmpty(t)
  await app.register(
    tokenAuth,
    getOptions({
      routes: {
        login: '/token',
        refresh: '/token/refresh',
        session: '/devices/:id',
        sessions: '/devices',
        me: false,
        logoutAll: false
      }
    })
  )
  const response = await app.inject({
    method: 'POST',
    url: '/auth/token',
    payload: { username: 'ann', password: PASSWORD }
  })
  const { access_token: token, refresh_token: refreshToken } = response.json()
  t.equal(
    (await app.inject({
      method: 'POST',
      url: '/auth/token/refresh',
      payload: { refresh_token: refreshToken }
    })).statusCode,
    200
  )
  t.equal(await getStatus(app, '/auth/devices', token), 200)

  for (
    const gone of [
      'POST /auth/login',
      'POST /auth/refresh',
      'POST /auth/logout/all',
      'GET /auth/sessions',
      'GET /auth/me'
    ]
  ) {
    const [method, url] = gone.split(' ') as ['GET' | 'POST', string]
    t.equal((await app.inject({ method, url, headers: bearer(token) })).statusCode, 404, gone)
  }

  const [session] = await app.tokenAuth.listSessions('u-ann')
  const ended = await app.inject({
    method: 'DELETE',
    url: `/auth/devices/${session?.id}`,
    headers: bearer(token)
  })
  t.equal(ended.statusCode, 204)
  t.strictSame(await app.tokenAuth.listSessions('u-ann'), [])
  t.equal(
    (await app.inject({ method: 'POST', url: '/auth/logout', headers: bearer(token) })).statusCode,
    204
  )
})

t.test('an empty prefix puts the routes at the root', async t => {
  const app = startEmpty(t)
  await app.register(tokenAuth, getOptions({ prefix: '' }))
  const { access_token: token } = await loginAt(app, '')
  t.equal(await getStatus(app, '/me', token), 200)
  t.equal(await getStatus(app, '/auth/me', token), 404)
})
