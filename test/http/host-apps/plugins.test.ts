import fastifyAuth from '@fastify/auth'
import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance, FastifyReply, FastifyRequest, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { TokenResponse } from '../../../src/index.js'
import { PASSWORD, SECRET } from '../../helpers/app.js'
import { bearer, expectWorkingRoutes, form, orders, start, startEmpty } from './host-app.js'

t.test('an app with @fastify/jwt accepts its old tokens and ours during a migration', async t => {
  const { app, login, get, post } = await start(t, {
    before: async app => {
      await app.register(fastifyAuth)
      await app.register(fastifyJwt, { secret: 'the secret of before' })
    },
    after: app => {
      const signedIn = app.auth([app.authenticate, request => request.jwtVerify()])
      app.get(
        '/orders',
        { onRequest: signedIn },
        request => ({ owner: request.auth?.userId ?? request.user })
      )
      app.post(
        '/old-refresh',
        { onRequest: request => request.jwtVerify() },
        request => app.tokenAuth.openSession((request.user as { sub: string }).sub, request)
      )
    }
  })
  const old = app.jwt.sign({ sub: 'u-ann' })
  const { access_token: ours } = await login()
  t.strictSame((await get('/orders', ours)).json(), { owner: 'u-ann' })
  t.match((await get('/orders', old)).json(), { owner: { sub: 'u-ann' } })
  t.equal((await get('/orders', 'neither')).statusCode, 401)
  t.equal((await get('/protected', old)).json().code, 'AUTH_ACCESS_INVALID')

  const taken = (await post('/old-refresh', {}, { authorization: `Bearer ${old}` })).json<
    TokenResponse
  >()
  t.strictSame(
    (await get('/orders', taken.access_token)).json(),
    { owner: 'u-ann' },
    'no user must log in again'
  )
  await app.tokenAuth.revokeUser('u-ann')
  t.equal(
    (await get('/orders', taken.access_token)).statusCode,
    401,
    'and what was revoked is not let in by the other way'
  )
})

for (const order of orders) {
  t.test(`@fastify/jwt ${order} the plugin is unchanged, even with the same secret`, async t => {
    const test = await start(t, {
      [order]: async (app: FastifyInstance) => {
        await app.register(fastifyJwt, { secret: SECRET })
        app.get('/own', {
          onRequest: async request => {
            await request.jwtVerify()
          }
        }, request => request.user)
        app.get('/user', request => ({ user: request.user }))
      }
    })
    const { app, login, get } = test
    await expectWorkingRoutes(t, test)

    const own = app.jwt.sign({ name: 'own' })
    t.match(app.jwt.verify(own), { name: 'own' })
    t.match((await get('/own', own)).json(), { name: 'own' })
    const bare = startEmpty(t)
    await bare.register(fastifyJwt, { secret: SECRET })
    t.strictSame(Object.keys(app.jwt), Object.keys(bare.jwt), 'app.jwt holds nothing of ours')

    const { access_token: ours } = await login()
    t.throws(() => app.jwt.verify(ours))
    t.equal((await get('/own', ours)).statusCode, 401)
    t.equal((await get('/protected', own)).json().code, 'AUTH_ACCESS_INVALID')
    t.strictSame((await get('/user', ours)).json(), { user: null })
  })

  t.test(`@fastify/jwt with a namespace ${order} the plugin is unchanged`, async t => {
    interface Verifying {
      mineJwtVerify(): Promise<unknown>
    }
    const test = await start(t, {
      [order]: async (app: FastifyInstance) => {
        await app.register(fastifyJwt, { secret: SECRET, namespace: 'mine' })
        app.get('/own', {
          onRequest: async request => {
            await (request as unknown as Verifying).mineJwtVerify()
          }
        }, request => request.user)
      }
    })
    const { app, login, get } = test
    await expectWorkingRoutes(t, test)

    const { mine } = app.jwt as unknown as { mine: typeof app.jwt }
    const own = mine.sign({ name: 'own' })
    t.match(mine.verify(own), { name: 'own' })
    t.match((await get('/own', own)).json(), { name: 'own' })
    t.strictSame(Object.keys(app.jwt), ['mine'], 'app.jwt holds nothing of ours')
    t.equal((await get('/own', (await login()).access_token)).statusCode, 401)
    t.equal((await get('/protected', own)).json().code, 'AUTH_ACCESS_INVALID')
  })

  t.test(`@fastify/cookie ${order} the plugin is unchanged`, async t => {
    const test = await start(t, {
      [order]: async (app: FastifyInstance) => {
        await app.register(cookie)
        app.get('/own', (request, reply) => reply.setCookie('seen', 'yes').send(request.cookies))
      }
    })
    await expectWorkingRoutes(t, test)
    const response = await test.app.inject({ url: '/own', headers: { cookie: 'theme=dark' } })
    t.strictSame(response.json(), { theme: 'dark' })
    t.match(response.headers['set-cookie'], /^seen=yes/)
    const login = await test.post('/auth/login', { username: 'ann', password: PASSWORD }, {
      cookie: 'theme=dark'
    })
    t.equal(login.statusCode, 200)
  })

  t.test(`@fastify/formbody ${order} the plugin parses the forms of the app`, async t => {
    const test = await start(t, {
      [order]: async (app: FastifyInstance) => {
        await app.register(formbody)
        app.post('/own', request => request.body)
      }
    })
    await expectWorkingRoutes(t, test)
    t.strictSame((await test.post('/own', Buffer.from('a=1&a=2&b=3'), form)).json(), {
      a: ['1', '2'],
      b: '3'
    })
    t.equal(
      (await test.post('/auth/login', Buffer.from('username=ann&password=a&password=b'), form))
        .statusCode,
      400
    )
  })

  t.test(`@fastify/auth ${order} the plugin accepts app.authenticate as a function`, async t => {
    const registerAuth = async (app: FastifyInstance): Promise<void> => {
      await app.register(fastifyAuth)
    }

    const test = await start(t, {
      ...order === 'before' && { before: registerAuth },
      after: async app => {
        if (order === 'after') {
          await registerAuth(app)
        }

        const answer = (request: FastifyRequest): object => ({
          userId: request.auth?.userId ?? null
        })
        app.get('/either', { preHandler: app.auth([app.authenticate, authenticateByKey]) }, answer)
        app.get('/either-key-first', {
          preHandler: app.auth([authenticateByKey, app.authenticate])
        }, answer)
        app.get(
          '/both',
          { preHandler: app.auth([app.authenticate, authenticateByKey], { relation: 'and' }) },
          answer
        )
      }
    })
    await expectWorkingRoutes(t, test)
    const { access_token: token } = await test.login()
    const send = (url: string, headers: Record<string, string>): Promise<LightMyRequestResponse> =>
      test.app.inject({ url, headers })
    const byToken = bearer(token)
    const withKey = { 'x-key': 'right' }

    for (const url of ['/either', '/either-key-first']) {
      t.strictSame((await send(url, byToken)).json(), { userId: 'u-ann' }, `${url} by token`)
      t.strictSame((await send(url, withKey)).json(), { userId: null }, `${url} by key`)
    }

    t.equal((await send('/either', {})).statusCode, 403)
    t.equal((await send('/either-key-first', {})).json().code, 'AUTH_ACCESS_MISSING')
    t.strictSame((await send('/both', { ...byToken, ...withKey })).json(), { userId: 'u-ann' })
    t.equal((await send('/both', byToken)).statusCode, 403)
    t.equal((await send('/both', withKey)).json().code, 'AUTH_ACCESS_MISSING')
  })
}

function authenticateByKey (
  request: FastifyRequest,
  _reply: FastifyReply,
  done: (error?: Error) => void
): void {
  done(
    request.headers['x-key'] === 'right'
      ? undefined
      : Object.assign(new Error('wrong key'), { statusCode: 403 })
  )
}
