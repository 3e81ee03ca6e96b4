// These tests check when `signIn` refuses to open a session, and that nothing else opens one.

import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { findRegistration } from '../../src/http/registration.js'
import type { TestSessions } from '../../src/http/test-sessions.js'
import type { TokenResponse } from '../../src/index.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { signIn } from '../../src/testing/index.js'
import type { SignInOptions } from '../../src/testing/index.js'
import { tokenVerifier } from '../../src/verifier/index.js'
import { createTestApp, PASSWORD } from '../helpers/app.js'
import type { TestApp, TestAppOptions } from '../helpers/app.js'
import { createBreakableStore } from '../helpers/broken-store.js'

async function createApp (t: Test, options: TestAppOptions = {}): Promise<TestApp> {
  const testApp = await createTestApp(options)
  t.teardown(() => testApp.app.close())
  return testApp
}

/** Sets NODE_ENV until the end of the test. */
function setNodeEnv (t: Test, value: string): void {
  const before = process.env.NODE_ENV
  process.env.NODE_ENV = value
  t.teardown(() => {
    if (before === undefined) {
      delete process.env.NODE_ENV
    } else {
      process.env.NODE_ENV = before
    }
  })
}

t.test('a registration in production cannot open sessions for tests', async t => {
  setNodeEnv(t, 'production ')
  const { app, store, clock } = await createApp(t)
  t.notOk('testing' in (findRegistration(app) ?? { testing: true }))
  const message =
    /^signIn cannot be used with tokenVerifier or fakeAuth, or if NODE_ENV is "production"/
  await t.rejects(signIn(app, 'u-ann'), { message })
  process.env.NODE_ENV = 'test'
  await t.rejects(signIn(app, 'u-ann'), { message }, 'NODE_ENV at registration counts')
  t.strictSame(await store.list('auth', 'u-ann', { now: clock(), limit: 9 }), [])
})

t.test('a process that is in production later cannot either', async t => {
  const { app, store, clock } = await createApp(t)

  // The command `set NODE_ENV=production && node server.js` of Windows adds a space.
  for (const value of ['production', 'production ', 'Production']) {
    setNodeEnv(t, value)
    await t.rejects(signIn(app, 'u-ann'), { message: /NODE_ENV is "production"/ })
  }

  t.strictSame(await store.list('auth', 'u-ann', { now: clock(), limit: 9 }), [])
})

t.test('an app without tokenAuth is an error that names the fix', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(signIn(app, '1'), {
    message: 'tokenAuth is not registered in this scope; pass the app, or the scope that ' +
      'registers it, to signIn'
  })
  const verifying = Fastify()
  t.teardown(() => verifying.close())
  await verifying.register(tokenVerifier, {
    issuer: 'https://issuer.example',
    audience: 'api',
    jwksUri: 'https://issuer.example/jwks.json'
  })
  await t.rejects(signIn(verifying, '1'), { message: /cannot be used with tokenVerifier/ })
})

t.test('an app that fails to start rejects with the cause', async t => {
  const app = Fastify()
  app.addHook('onReady', async () => {
    throw new Error('no database')
  })
  await t.rejects(signIn(app, '1'), { message: 'no database' })
})

t.test('a scope requires that the app is ready', async t => {
  let attempt: Promise<unknown> = Promise.resolve()
  const { app } = await createApp(t, {
    after: app =>
      app.register(async scope => {
        attempt = signIn(scope, 'u-ann').catch((error: Error) => error.message)
      })
  })
  t.match(await attempt, /^signIn with a scope requires an app that is ready/)
  t.ok(await signIn(app, 'u-ann'))
})

t.test('unknown and disabled users are errors that name the callback', async t => {
  const { app } = await createApp(t, { users: [{ id: 'u-ann', disabled: true }] })
  await t.rejects(signIn(app, 'u-bob'), {
    message: '"users.findById" returned no user for the ID "u-bob" of signIn'
  })
  await t.rejects(signIn(app, 'u-ann'), {
    message: '"users.findById" returned a disabled user for the ID "u-ann" of signIn'
  })
})

t.test('a store that fails is 503, and no session opens', async t => {
  const broken = createBreakableStore(new MemoryStore())
  const { app } = await createApp(t, { store: broken.store })
  broken.break('throws', ['create'])
  await t.rejects(signIn(app, 'u-ann'), { code: 'AUTH_STORE_UNAVAILABLE' })
})

t.test('a registration that requires DPoP is refused, and one that accepts it is not', async t => {
  const { app } = await createApp(t, { options: { dpop: { required: true } } })
  await t.rejects(signIn(app, 'u-ann'), {
    message: 'signIn cannot prove possession of a key, which "dpop.required" requires; log in ' +
      'through the route with a DPoP proof'
  })
  const accepting = await createApp(t, { options: { dpop: true } })
  const { headers } = await signIn(accepting.app, 'u-ann')
  t.equal((await accepting.app.inject({ url: '/protected', headers })).statusCode, 200)
})

t.test('options are checked', async t => {
  const { app, clock, store } = await createApp(t, {
    options: { refreshToken: { transport: 'body' } }
  })
  const cases: ReadonlyArray<readonly [options: object, message: RegExp]> = [
    [{ role: 'admin' }, /unknown option "signIn.role"; valid options: claims, amr, /],
    [{ transport: 'json' }, /"signIn.transport" must be "body" or "cookie"$/],
    [
      { transport: 'cookie' },
      /"signIn.transport" cannot be "cookie", because "refreshToken.transport" is "body"; /
    ],
    [{ amr: 'pwd' }, /"signIn.amr" must be an array of strings, such as \["pwd", "otp"\]$/],
    [{ authenticatedAt: clock() + 1 }, /"signIn.authenticatedAt" must be milliseconds since 1970/],
    [{ authenticatedAt: new Date() }, /"signIn.authenticatedAt" must be milliseconds since 1970/],
    [{ authenticatedAt: NaN }, /"signIn.authenticatedAt" must be milliseconds since 1970/],
    [{ claims: { sub: 'u-bob' } }, /"signIn.claims" must not contain the reserved claim "sub"$/],
    [{ claims: 'admin' }, /"signIn.claims" must be an object/]
  ]

  for (const [options, message] of cases) {
    await t.rejects(
      signIn(app, 'u-ann', options as SignInOptions),
      { name: 'TypeError', message },
      JSON.stringify(options)
    )
  }

  for (const userId of ['', 1.5, { id: 'u-ann' }]) {
    await t.rejects(signIn(app, userId as string), {
      name: 'TypeError',
      message:
        /^fastify-token-auth: "userId" of signIn must be a non-empty string, a safe integer or/
    })
  }

  t.strictSame(await store.list('auth', 'u-ann', { now: clock(), limit: 9 }), [])
})

t.test('the transport of the registration decides which one a session can have', async t => {
  const { app } = await createApp(t, { options: { refreshToken: { transport: 'cookie' } } })
  await t.rejects(signIn(app, 'u-ann', { transport: 'body' }), {
    message: 'fastify-token-auth: "signIn.transport" cannot be "body", because ' +
      '"refreshToken.transport" is "cookie"; remove it, or set "refreshToken.transport" to "both"'
  })
  const without = await createApp(t, { options: { refreshToken: false } })
  await t.rejects(signIn(without.app, 'u-ann', { transport: 'cookie' }), {
    message: /"signIn.transport" cannot be "cookie", because "refreshToken" is false; /
  })
})

t.test('no route and no method of app.tokenAuth opens sessions for tests', async t => {
  const { app, login, post, get, refresh } = await createApp(t)
  const { testing } = findRegistration(app) ?? {}
  t.ok(testing)
  let calls = 0
  Object.assign(
    testing ?? {},
    {
      open () {
        calls++
        throw new Error('called')
      }
    } satisfies Partial<TestSessions>
  )
  await t.rejects(signIn(app, 'u-ann'), { message: 'called' })
  t.equal(calls, 1)

  const { access_token: token, refresh_token: refreshToken } = await login()
  const second = (await refresh(refreshToken)).json<TokenResponse>()
  const authorization = { authorization: `Bearer ${token}` }
  await get('/auth/me', token)
  await get('/auth/sessions', token)
  await app.inject({ method: 'DELETE', url: '/auth/sessions', headers: authorization })
  await app.inject({ method: 'DELETE', url: '/auth/sessions/x', headers: authorization })
  await post('/auth/logout', { refresh_token: second.refresh_token })
  await post('/auth/logout/all', {}, authorization)
  await post('/auth/login', { username: 'ann', password: PASSWORD, testing: true })
  await app.tokenAuth.openSession('u-ann', await captureRequest())
  t.equal(calls, 1)

  // `openSession` reads an address and headers only.
  async function captureRequest (): Promise<Parameters<typeof app.tokenAuth.openSession>[1]> {
    return { ip: '192.0.2.1', headers: {}, raw: { rawHeaders: [] } }
  }
})
