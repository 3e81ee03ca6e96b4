import Fastify from 'fastify'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { exposedHeaders, TokenAuthError } from '../../../src/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestAppOptions } from '../../helpers/app.js'
import { MINUTE } from '../../helpers/clock.js'
import { createOAuthApp } from '../oauth/demo.js'

/** Error handler of an app that does not send the code as a member of its own. */
function setOwnErrorHandler (app: FastifyInstance): void {
  app.setErrorHandler<TokenAuthError>((error, _request, reply) =>
    reply.code(error.statusCode).send({ error: { code: error.code } })
  )
}

const withOwnBody: TestAppOptions = {
  before: setOwnErrorHandler,
  after (app) {
    app.get('/admin', {
      onRequest: [app.authenticate, app.requireClaims({ role: 'admin' })]
    }, () => 'admin')
    app.get('/recent', { onRequest: [app.authenticate, app.requireFresh('1m')] }, () => 'recent')
    app.get('/awaited', async (request, reply) => {
      await app.authenticate(request, reply)
    })
  }
}

function assertCode (
  t: { strictSame(found: unknown, wanted: unknown): unknown },
  response: LightMyRequestResponse,
  statusCode: number,
  code: string
): void {
  const { error, code: own = error?.code } = response.json()
  t.strictSame(
    [response.statusCode, own, response.headers['x-auth-error']],
    [statusCode, code, code]
  )
}

t.test('every error has its code in X-Auth-Error, whatever the body is', async t => {
  for (const options of [withOwnBody, { after: withOwnBody.after as () => unknown }]) {
    const { app, post, get, refresh, login, clock } = await createTestApp(options)
    t.teardown(() => app.close())
    const { access_token: token } = await login()
    const wrong = { username: 'ann', password: 'wrong' }
    assertCode(t, await post('/auth/login', wrong), 401, 'AUTH_CREDENTIALS_REJECTED')
    assertCode(t, await post('/auth/login', {}), 400, 'AUTH_REQUEST_INVALID')
    assertCode(t, await refresh('x'), 401, 'AUTH_REFRESH_INVALID')
    assertCode(t, await get('/auth/me'), 401, 'AUTH_ACCESS_MISSING')
    assertCode(t, await get('/protected', 'x'), 401, 'AUTH_ACCESS_INVALID')
    assertCode(t, await get('/awaited', 'x'), 401, 'AUTH_ACCESS_INVALID')
    assertCode(t, await get('/admin', token), 403, 'AUTH_CLAIMS_INSUFFICIENT')
    clock.advance(2 * MINUTE)
    assertCode(t, await get('/recent', token), 403, 'AUTH_REAUTHENTICATION_REQUIRED')
    t.equal((await get('/protected', token)).headers['x-auth-error'], undefined)
  }
})

t.test('a verifier sends the code in X-Auth-Error', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  setOwnErrorHandler(app)
  await app.register(tokenVerifier, {
    jwksUri: 'http://127.0.0.1:9/jwks.json',
    issuer: 'https://a.example',
    audience: 'api'
  })
  app.get('/', { onRequest: [app.authenticate] }, () => 'in')
  assertCode(t, await app.inject('/'), 401, 'AUTH_ACCESS_MISSING')
  const headers = { authorization: 'Bearer x' }
  assertCode(t, await app.inject({ url: '/', headers }), 401, 'AUTH_ACCESS_INVALID')
})

t.test('an error in an app route has the code, also without a hook of its scope', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.get('/', () => {
    throw new TokenAuthError('AUTH_TOO_MANY_ATTEMPTS', { retryAfter: 7 })
  })
  const response = await app.inject('/')
  assertCode(t, response, 429, 'AUTH_TOO_MANY_ATTEMPTS')
  t.equal(response.headers['retry-after'], '7')
})

t.test('OAuth endpoints do not send X-Auth-Error', async t => {
  const { send, get } = await createOAuthApp(t)
  const token = { grant_type: 'refresh_token', client_id: 'phone', refresh_token: 'x' }

  for (const path of ['token', 'revoke', 'introspect']) {
    for (const form of [token, { ...token, client_id: 'nobody' }, {}]) {
      const { statusCode, headers } = await send(`/auth/${path}`, form)
      t.equal(headers['x-auth-error'], undefined, `${path} ${statusCode}`)
      t.notMatch(headers['access-control-expose-headers'] ?? '', /x-auth-error/i)
    }
  }

  t.equal((await get('/auth/me')).headers['x-auth-error'], 'AUTH_ACCESS_MISSING')
})

t.test('an error exposes its headers, each of them in the list for CORS', async t => {
  const { app, get, post } = await createTestApp({
    options: { throttle: { account: { freeAttempts: 1, maxAttempts: 1 } }, dpop: true }
  })
  t.teardown(() => app.close())
  const attempt = () => post('/auth/login', { username: 'ann', password: 'wrong' })
  const throttled = [await attempt(), await attempt()].at(-1)
  const responses = [
    [await get('/protected'), ['www-authenticate', 'x-auth-error']],
    [throttled, ['x-auth-error', 'retry-after']]
  ] as const

  for (const [response, expected] of responses) {
    const exposed = String(response?.headers['access-control-expose-headers']).split(', ')
    t.strictSame(exposed, expected)
    const known = exposedHeaders.map(header => header.toLowerCase())
    t.ok(exposed.every(header => known.includes(header)))
  }

  t.throws(() => exposedHeaders.push('x'), TypeError, 'all apps share the list')
})

/** Same rules as http-errors 2. */
function isHttpError (error: unknown): boolean {
  const { expose, statusCode, status } = error as Partial<TokenAuthError>

  return error instanceof Error && typeof expose === 'boolean' &&
    typeof statusCode === 'number' && status === statusCode
}

/** Same order of members as Koa 3. Assigns the status, as Koa does. */
function respondLikeKoa (error: { status?: number, statusCode?: number }): unknown[] {
  const { expose, message, headers } = error as TokenAuthError
  error.status = error.status ?? error.statusCode ?? 500
  return [error.status, expose ? message : 'status text', headers]
}

/** Same rules as NestJS 11 for errors that are not its own. */
function respondLikeNest ({ statusCode, message }: { statusCode?: number, message?: string }) {
  return statusCode && message ? { statusCode, message } : { statusCode: 500 }
}

t.test('handlers of http-errors, Koa and NestJS read status and message', async t => {
  const missing = new TokenAuthError('AUTH_ACCESS_MISSING')
  t.ok(isHttpError(missing))
  t.strictSame(respondLikeKoa(missing), [401, 'Access token is missing', {
    'x-auth-error': 'AUTH_ACCESS_MISSING'
  }])
  t.strictSame(respondLikeNest(missing), { statusCode: 401, message: 'Access token is missing' })
  const busy = new TokenAuthError('AUTH_BUSY', { retryAfter: 3 })
  t.ok(isHttpError(busy))
  t.strictSame(respondLikeKoa(busy), [503, 'status text', {
    'x-auth-error': 'AUTH_BUSY',
    'retry-after': '3'
  }])
  t.notMatch(JSON.stringify(busy), /headers/)
})

t.test('a login with an own error body succeeds afterwards', async t => {
  const { app, post } = await createTestApp(withOwnBody)
  t.teardown(() => app.close())
  const { statusCode, headers } = await post('/auth/login', {
    username: 'ann',
    password: PASSWORD
  })
  t.strictSame([statusCode, headers['x-auth-error']], [200, undefined])
})
