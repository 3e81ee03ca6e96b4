import t from 'tap'
import { getAuth } from '../../../src/index.js'
import type { SessionListResponse, TokenAuth, TokenResponse } from '../../../src/index.js'
import { getAuth as getAuthOfVerifier } from '../../../src/verifier/index.js'
import { createTestApp } from '../../helpers/app.js'
import { createLoggedApp } from '../mistakes/logged-app.js'

const ORIGIN = { headers: {} }

t.test('openSession takes an address and headers instead of a request', async t => {
  const { app, get } = await createTestApp()
  t.teardown(() => app.close())
  const { access_token: token } = await app.tokenAuth.openSession('u-ann', {
    ip: '::ffff:192.0.2.1',
    headers: { 'user-agent': 'cli/1.0' }
  })
  await app.tokenAuth.openSession('u-ann', { ip: null, headers: {} })
  await app.tokenAuth.openSession('u-ann', ORIGIN)
  const { sessions } = (await get('/auth/sessions', token)).json<SessionListResponse>()
  t.strictSame(
    sessions.map(({ ip, user_agent: userAgent }) => `${ip} ${userAgent}`).sort(),
    ['192.0.2.1 cli/1.0', 'null null', 'null null']
  )
})

t.test('openSession opens the session for the ID of the user that was found', async t => {
  const { app } = await createTestApp({
    options: {
      users: { findByLogin: () => null, findById: id => ({ id: id.toLowerCase() }) }
    }
  })
  t.teardown(() => app.close())
  await app.tokenAuth.openSession('U-ANN', ORIGIN)
  t.match(await app.tokenAuth.listSessions('u-ann'), [{ userId: 'u-ann' }])
})

t.test('openSession rejects another request', async t => {
  const { app } = await createTestApp()
  t.teardown(() => app.close())
  const message =
    'fastify-token-auth: "request" of openSession must be a Fastify request or { ip, headers }'
  const headers = { 'user-agent': ['a', 'b'] }

  for (
    const request of [undefined, null, '192.0.2.1', {}, { headers: null }, { headers }, {
      ip: 5,
      headers: {}
    }]
  ) {
    const opened = app.tokenAuth.openSession('u-ann', request as never)
    await t.rejects(opened, new TypeError(message))
  }

  t.strictSame(await app.tokenAuth.listSessions('u-ann'), [])
})

t.test('openSession rejects an `amr` that no token can have, and another device', async t => {
  const { app, get } = await createTestApp()
  t.teardown(() => app.close())
  const { tokenAuth } = app

  for (const amr of ['otp', null, 5, [5], [{}], { length: 1 }, Array(100).fill('method')]) {
    const opened = tokenAuth.openSession('u-ann', ORIGIN, { amr: amr as never })
    await t.rejects(opened, {
      name: 'TypeError',
      message: /^fastify-token-auth: "amr" of openSession must be an array/
    })
  }

  for (const device of [5, {}, ['phone']]) {
    const opened = tokenAuth.openSession('u-ann', ORIGIN, { device: device as never })
    await t.rejects(
      opened,
      new TypeError(
        'fastify-token-auth: "device" of openSession must be a string or null'
      )
    )
  }

  t.strictSame(await tokenAuth.listSessions('u-ann'), [])
  const longest = { amr: Array(8).fill('a'.repeat(64)) }
  const { access_token: token } = await tokenAuth.openSession('u-ann', ORIGIN, longest)
  t.equal((await get('/auth/me', token)).statusCode, 200)
})

t.test('unknown options are rejected by name, and change nothing', async t => {
  const { app } = await createTestApp()
  t.teardown(() => app.close())
  const { tokenAuth } = app
  await tokenAuth.openSession('u-ann', ORIGIN)
  const calls: Record<string, (options: never) => Promise<unknown>> = {
    openSession: options => tokenAuth.openSession('u-bob', ORIGIN, options),
    revokeUser: options => tokenAuth.revokeUser('u-ann', options),
    passwordChanged: options => tokenAuth.passwordChanged('u-ann', options)
  }

  for (const [method, call] of Object.entries(calls)) {
    for (const option of ['divice', 'claims', 'keeep', '__proto__x']) {
      await t.rejects(call({ [option]: 's1' } as never), {
        name: 'TypeError',
        message: new RegExp(`unknown option "${method}\\.${option}"; valid options: `)
      })
    }

    await t.rejects(call(null as never), { message: new RegExp(`"${method}" must be an object`) })
  }

  t.equal((await tokenAuth.listSessions('u-ann')).length, 1)
  t.strictSame(await tokenAuth.listSessions('u-bob'), [])
})

t.test('the methods reject what is no ID of a user', async t => {
  const { app } = await createTestApp()
  t.teardown(() => app.close())
  const calls: Record<string, (tokenAuth: TokenAuth, id: never) => Promise<unknown>> = {
    openSession: (tokenAuth, id) => tokenAuth.openSession(id, ORIGIN),
    listSessions: (tokenAuth, id) => tokenAuth.listSessions(id),
    revokeUser: (tokenAuth, id) => tokenAuth.revokeUser(id),
    passwordChanged: (tokenAuth, id) => tokenAuth.passwordChanged(id)
  }
  const invalid = new Map<unknown, RegExp>([
    [undefined, /not undefined$/],
    [null, /not null$/],
    ['', /not an empty string$/],
    [0.5, /not 0\.5; read it as a string or a bigint$/],
    [['u-ann'], /not an array; convert it/],
    [new Date(0), /not a Date; convert it, for example with String\(user\._id\)$/]
  ])

  for (const [method, call] of Object.entries(calls)) {
    for (const [id, message] of invalid) {
      const error = await call(app.tokenAuth, id as never).catch((error: Error) => error)
      t.match(error, { name: 'TypeError', message })
      t.match(
        (error as Error).message,
        new RegExp(`^fastify-token-auth: "userId" of ${method} must be a non-empty str`)
      )
    }
  }
})

t.test('getAuth returns the user and session of a protected route', async t => {
  const { app, login, get } = await createTestApp({
    after: app => {
      app.get('/mine', { onRequest: [app.authenticate] }, request => {
        t.equal(getAuth(request), request.auth)
        return getAuth(request).userId
      })
    }
  })
  t.teardown(() => app.close())
  const { access_token: token } = await login() satisfies TokenResponse
  t.equal((await get('/mine', token)).body, 'u-ann')
})

t.test('getAuth fails on a route that is not protected', async t => {
  const { app, login, get } = await createTestApp({
    after: app => {
      app.get('/open/:id', (request, reply) => reply.code(404).send(getAuth(request).userId))
    }
  })
  t.teardown(() => app.close())
  const { access_token: token } = await login()

  for (const response of [await get('/open/1'), await get('/open/1', token)]) {
    t.strictSame(response.json(), {
      statusCode: 500,
      error: 'Internal Server Error',
      message: 'Request has no user'
    })
  }
})

t.test('getAuth fails in an app without the plugin', async t => {
  const { app, log } = createLoggedApp()
  t.teardown(() => app.close())
  app.get('/', request => getAuthOfVerifier(request))
  const { body, statusCode } = await app.inject('/')
  t.equal(statusCode, 500)
  t.notMatch(body, /authenticate|protected/)
  t.match(log, [{
    msg: 'Request has no user',
    err: { message: /because GET \/ is not protected; add onRequest: \[authenticate\] to the ro/ }
  }])
  t.throws(() => getAuth({ auth: null }), {
    message: 'Request has no user',
    cause: { message: /the route is not protected/ },
    statusCode: 500
  })
})
