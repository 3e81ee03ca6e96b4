import cookie from '@fastify/cookie'
import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { tokenAuth } from '../../../src/index.js'
import { PASSWORD, SECRET } from '../../helpers/app.js'
import {
  bearer,
  expectWorkingRoutes,
  getOptions,
  getStatus,
  loginAt,
  orders,
  start,
  startEmpty
} from './host-app.js'

const REFRESH = '__Host-auth-refresh'
const credentials = { username: 'ann', password: PASSWORD }
const inCookie = { refreshToken: { transport: 'cookie' } } as const
const page = { 'sec-fetch-site': 'same-origin' }

t.test('a frozen app.jwt of the app is unchanged', async t => {
  const test = await start(t, {
    before: async app => {
      await app.register(fastifyJwt, { secret: SECRET })
      Object.freeze(app.jwt)
    }
  })
  await expectWorkingRoutes(t, test)
  t.ok(Object.isFrozen(test.app.jwt))
  t.match(test.app.jwt.verify(test.app.jwt.sign({ name: 'own' })), { name: 'own' })
})

t.test('an app.jwt and a request.user that are not of @fastify/jwt are unchanged', async t => {
  const jwt = Object.freeze({ own: true })
  const test = await start(t, {
    before: app => {
      app.decorate('jwt', jwt as never)
      app.decorateRequest('user', 'nobody')
      app.get('/own', request => request.user)
    }
  })
  await expectWorkingRoutes(t, test)
  t.equal(test.app.jwt as unknown, jwt)
  t.equal((await test.get('/own', (await test.login()).access_token)).body, 'nobody')
})

const ownJwt = { own: true }
const jwtDecorators: Record<string, (app: FastifyInstance) => unknown> = {
  'a getter': app => app.decorate('jwt', { getter: () => ownJwt } as never),
  'a read-only property': app => Object.defineProperty(app, 'jwt', { value: ownJwt })
}

for (const [form, before] of Object.entries(jwtDecorators)) {
  t.test(`an app.jwt of the app that is ${form} is unchanged`, async t => {
    const test = await start(t, { before })
    await expectWorkingRoutes(t, test)
    t.equal(test.app.jwt as unknown, ownJwt)
  })
}

for (const order of orders) {
  t.test(`@fastify/cookie ${order} the plugin is unchanged by cookies with tokens`, async t => {
    const { app, get, post } = await start(t, {
      options: inCookie,
      [order]: async (app: FastifyInstance) => {
        await app.register(cookie, { secret: 'of the app', parseOptions: { domain: 'host.test' } })
        app.get(
          '/own',
          (request, reply) =>
            reply.setCookie('seen', 'yes', { signed: true }).send({ cookies: request.cookies })
        )
        app.post('/open', async (request, reply) => {
          reply.setCookie('seen', 'yes')
          return app.tokenAuth.openSession('u-ann', request, { reply })
        })
      }
    })
    const login = await post('/auth/login', credentials, page)
    const [token] = login.cookies
    t.equal(login.statusCode, 200)
    t.strictSame(login.cookies.map(cookie => ({ ...cookie })), [{
      name: REFRESH,
      value: token?.value,
      path: '/',
      httpOnly: true,
      secure: true,
      sameSite: 'Strict'
    }])

    const refresh = await post('/auth/refresh', {}, {
      ...page,
      cookie: `theme=dark; ${REFRESH}=${token?.value}`
    })
    t.equal(refresh.statusCode, 200)
    t.equal((await get('/protected', refresh.json().access_token)).statusCode, 200)

    const own = await app.inject({ url: '/own', headers: { cookie: 'theme=dark' } })
    t.strictSame(own.json(), { cookies: { theme: 'dark' } })
    t.match(own.cookies, [{ name: 'seen', value: /^yes\./, domain: 'host.test' }])

    const opened = await post('/open', {}, page)
    t.strictSame(opened.cookies.map(({ name }) => name).sort(), [REFRESH, 'seen'])
  })
}

t.test('an app without @fastify/jwt and @fastify/cookie gets no decorator of them', async t => {
  const { app, post } = await start(t, {
    options: inCookie,
    after: app => {
      app.post(
        '/open',
        async (request, reply) => app.tokenAuth.openSession('u-ann', request, { reply })
      )
    }
  })
  t.notOk(app.hasDecorator('jwt'))
  t.notOk(app.hasDecorator('serializeCookie'))
  t.notOk(app.hasRequestDecorator('user'))
  t.notOk(app.hasRequestDecorator('cookies'))
  t.notOk(app.hasReplyDecorator('setCookie'))
  const opened = await post('/open', {}, page)
  t.match(opened.cookies, [{ name: REFRESH, httpOnly: true }])
})

t.test('two registrations in sibling scopes add nothing to @fastify/jwt of the app', async t => {
  const app = startEmpty(t)
  await app.register(fastifyJwt, { secret: SECRET })
  await app.register(cookie)
  const members = Object.keys(app.jwt)

  for (const name of ['staff', 'guests']) {
    await app.register(async scope => {
      await scope.register(tokenAuth, getOptions({ name, prefix: `/${name}/auth` }))
      t.equal(scope.jwt, app.jwt)
      scope.get(`/${name}`, { onRequest: [scope.authenticate] }, request => request.auth)
      scope.get(`/${name}/own`, async request => {
        await request.jwtVerify()
        return request.user
      })
    })
  }

  await app.ready()
  t.strictSame(Object.keys(app.jwt), members)
  const own = app.jwt.sign({ name: 'own' })

  for (const [name, other] of [['staff', 'guests'], ['guests', 'staff']] as const) {
    const { access_token: token } = await loginAt(app, `/${name}/auth`)
    t.equal(await getStatus(app, `/${name}`, token), 200)
    t.equal(await getStatus(app, `/${other}`, token), 401)
    t.equal(await getStatus(app, `/${name}`, own), 401)
    t.equal(await getStatus(app, `/${name}/own`, token), 401)
    const response = await app.inject({ url: `/${name}/own`, headers: bearer(own) })
    t.match(response.json(), { name: 'own' })
  }
})

const own = (): string => 'own'
const hosts: Record<string, (app: FastifyInstance) => unknown> = {
  'request.cookies': app => app.decorateRequest('cookies', null as never),
  'reply.cookie': app => app.decorateReply('cookie', null as never),
  'reply.setCookie': app => app.decorateReply('setCookie', own as never),
  'reply.clearCookie': app => app.decorateReply('clearCookie', null as never),
  'app.cookie': app => app.decorate('cookie' as never, own as never),
  'app.serializeCookie': app => app.decorate('serializeCookie', own as never),
  'a read-only app.parseCookie': app =>
    Object.defineProperty(app, 'parseCookie', { value: own, writable: false })
}

for (const [decorator, before] of Object.entries(hosts)) {
  t.test(`cookies work if the app has ${decorator} of its own`, async t => {
    const { post } = await start(t, { options: inCookie, before })
    const login = await post('/auth/login', credentials, page)
    t.equal(login.statusCode, 200)
    t.match(String(login.headers['set-cookie']), REFRESH)
  })
}

t.test('decorators of the app with the names of @fastify/cookie are unchanged', async t => {
  const { app, get } = await start(t, {
    options: inCookie,
    before: app => {
      app.decorate('cookie' as never, own as never)
      app.decorateReply('cookie', own as never)
      app.decorateReply('setCookie', own as never)
      app.get('/own', (_request, reply) => reply.send([reply.cookie === own as unknown]))
    }
  })
  t.strictSame((await get('/own')).json(), [true])
  t.equal((app as unknown as Record<string, unknown>).cookie, own)
  t.notOk(app.hasDecorator('serializeCookie'))
})
