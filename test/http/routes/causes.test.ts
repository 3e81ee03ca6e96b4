import { Writable } from 'node:stream'
import Database from 'libsql'
import t from 'tap'
import { authenticate, TokenAuthError } from '../../../src/index.js'
import type { TokenAuthOptions } from '../../../src/index.js'
import { SqliteStore } from '../../../src/stores/sqlite/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import { DRIVER_MESSAGE } from '../../helpers/broken-store.js'
import { MINUTE } from '../../helpers/clock.js'

const CREDENTIALS = { username: 'ann', password: PASSWORD }

/** Logger that records its lines. */
function createLog (): { readonly lines: string[], readonly logger: object } {
  const lines: string[] = []
  const stream = new Writable({
    write (line, _encoding, done) {
      lines.push(String(line))
      done()
    }
  })
  return { lines, logger: { level: 'info', stream } }
}

function failWith (error: Error): Partial<TokenAuthOptions> {
  return { users: { findByLogin: () => Promise.reject(error), findById: () => null } }
}

t.test('the cause of a failed callback is in the log, and in no response', async t => {
  const { lines, logger } = createLog()
  const { app, post } = await createTestApp({
    fastify: { logger } as object,
    options: failWith(new TypeError('bug in findByLogin'))
  })
  t.teardown(() => app.close())
  const response = await post('/auth/login', CREDENTIALS)
  t.strictSame(response.json(), {
    statusCode: 503,
    code: 'AUTH_STORE_UNAVAILABLE',
    error: 'Service Unavailable',
    message: 'A callback of the app failed, see the log of the server'
  })
  const line = lines.map(each => JSON.parse(each)).find(({ operation }) => operation !== undefined)
  t.match(line, {
    msg: 'the callback users.findByLogin failed',
    cause: { type: 'TypeError', message: 'bug in findByLogin', stack: /causes\.test/ }
  })
})

t.test('an error handler of the app reads the cause, and serializers leave it out', async t => {
  const mistake = new TypeError('bug in findByLogin')
  let handled: unknown
  const { app, post } = await createTestApp({
    options: failWith(mistake),
    before (app) {
      app.setErrorHandler((error, _request, reply) => {
        handled = error
        return reply.send(error)
      })
    }
  })
  t.teardown(() => app.close())
  const response = await post('/auth/login', CREDENTIALS)
  t.type(handled, TokenAuthError)
  t.equal((handled as TokenAuthError).cause, mistake)
  t.notMatch(response.body, 'bug')
  t.notMatch(JSON.stringify(handled), 'bug')
  t.notMatch(JSON.stringify({ ...handled as object }), 'bug')
})

t.test('errors have the members that other frameworks read', async t => {
  t.match(new TokenAuthError('AUTH_ACCESS_MISSING'), { statusCode: 401, status: 401, expose: true })
  t.match(new TokenAuthError('AUTH_BUSY'), { statusCode: 503, status: 503, expose: false })
})

t.test('the error that Fastify logs has no message of a driver', async t => {
  const { lines, logger } = createLog()
  const driverError = Object.assign(new Error(DRIVER_MESSAGE), { severity: 'ERROR' })
  const { app, post } = await createTestApp({
    fastify: { logger } as object,
    options: failWith(driverError)
  })
  t.teardown(() => app.close())
  t.equal((await post('/auth/login', CREDENTIALS)).statusCode, 503)
  t.ok(lines.some(line => line.includes('"err"')))
  t.notMatch(lines.join(''), 'value-in-a-statement')
})

t.test('the log of an expected rejection has no frames of a stack', async t => {
  const { lines, logger } = createLog()
  const { app, post } = await createTestApp({
    fastify: { logger } as object,
    before (app) {
      app.get('/own', { onRequest: [authenticate] }, () => 'own')
    }
  })
  t.teardown(() => app.close())
  const responses = [
    [await post('/auth/refresh', {}), 401, 'AUTH_REFRESH_MISSING'],
    [
      await post('/auth/login', { ...CREDENTIALS, password: 'x' }),
      401,
      'AUTH_CREDENTIALS_REJECTED'
    ],
    [await post('/auth/login', { username: 'ann' }), 400, 'AUTH_REQUEST_INVALID'],
    [await app.inject('/own'), 401, 'AUTH_ACCESS_MISSING']
  ] as const

  for (const [response, statusCode, code] of responses) {
    t.match(response.json(), { statusCode, code })
    t.equal(response.headers['x-auth-error'], code)
  }

  const errors = lines.map(line => JSON.parse(line)).filter(({ err }) => err !== undefined)
  t.equal(errors.length, responses.length)

  for (const [i, { level, msg, err }] of errors.entries()) {
    const { message, code } = responses[i]?.[0].json() as { message: string, code: string }
    t.match({ level, msg, err }, {
      level: 30,
      msg: message,
      err: { type: 'TokenAuthError', message, code, stack: `TokenAuthError: ${message}` }
    })
    t.notMatch(err.stack, /\n|\.ts/)
  }
})

t.test('the log of a failure has the stack of its cause', async t => {
  const { lines, logger } = createLog()
  const { app, post } = await createTestApp({
    fastify: { logger } as object,
    options: failWith(new TypeError('bug in findByLogin'))
  })
  t.teardown(() => app.close())
  t.equal((await post('/auth/login', CREDENTIALS)).statusCode, 503)
  const line = lines.map(each => JSON.parse(each)).find(({ err }) => err !== undefined)
  t.match(line, { level: 50, err: { stack: /\n +at .*\ncaused by: TypeError: bug[^\n]*\n +at /s } })
})

t.test('an error handler of the app gets an expected rejection unchanged', async t => {
  const handled: unknown[] = []
  const { app, post } = await createTestApp({
    before (app) {
      app.addHook('onError', async (_request, _reply, error) => {
        handled.push(error)
      })
      app.setErrorHandler((error, _request, reply) => {
        handled.push(error)
        return reply.code(418).send({ own: true })
      })
    }
  })
  t.teardown(() => app.close())
  const response = await post('/auth/refresh', {})
  t.strictSame([response.statusCode, response.json()], [418, { own: true }])
  t.equal(response.headers['x-auth-error'], 'AUTH_REFRESH_MISSING')
  t.equal(handled.length, 2)

  for (const error of handled) {
    t.type(error, TokenAuthError)
    t.match(error, {
      name: 'TokenAuthError',
      message: 'Refresh token is missing',
      code: 'AUTH_REFRESH_MISSING',
      statusCode: 401,
      expose: true
    })
  }
})

t.test('a missing table is named with its fix at the start, and in the log later', async t => {
  const { lines, logger } = createLog()
  const db = new Database(':memory:')
  const store = new SqliteStore(db)
  await t.rejects(
    createTestApp({ store }),
    /table "token_auth_sessions" is missing.*run "await store\.migrate\(\)"/
  )
  await store.migrate()
  const { app, post } = await createTestApp({ store, fastify: { logger } as object })
  t.teardown(() => app.close())
  db.exec('DROP TABLE token_auth_sessions')
  const response = await post('/auth/login', CREDENTIALS)
  t.match(response.json(), {
    statusCode: 503,
    code: 'AUTH_STORE_UNAVAILABLE',
    message: 'Session store is not ready, see the log of the server'
  })
  t.match(lines.join(''), 'run store.migrate()')
})

t.test('a failing isSameClient results in 503 with a log line', async t => {
  const { lines, logger } = createLog()
  const { app, login, refresh, clock } = await createTestApp({
    fastify: { logger } as object,
    options: {
      refreshToken: {
        isSameClient: () => {
          throw new Error('bug in isSameClient')
        }
      }
    }
  })
  t.teardown(() => app.close())
  const { refresh_token: first } = await login()
  t.equal((await refresh(first)).statusCode, 200)
  clock.advance(MINUTE)
  const response = await refresh(first)
  t.equal(response.json().code, 'AUTH_STORE_UNAVAILABLE')
  t.notMatch(response.body, 'bug')
  t.match(lines.join(''), 'the callback refreshToken.isSameClient failed')
})

t.test('a result of isSameClient that is no boolean is logged with its type', async t => {
  // The process ends if nothing handles the rejection.
  const rejecting = async (): Promise<never> => {
    throw new Error('rejected')
  }

  const results = [undefined, Promise.resolve(true), 'yes', null, 1, {}, rejecting]
  const types = ['undefined', 'a Promise', 'a string', 'null', 'a number', 'an object', 'a Promise']

  for (const [i, result] of results.entries()) {
    const isSameClient = (): unknown => result === rejecting ? rejecting() : result
    const { lines, logger } = createLog()
    const { app, login, refresh, clock } = await createTestApp({
      fastify: { logger } as object,
      options: { refreshToken: { isSameClient: isSameClient as () => boolean } }
    })
    t.teardown(() => app.close())
    const { refresh_token: first } = await login()
    await refresh(first)
    clock.advance(MINUTE)
    const { statusCode, body } = await refresh(first)
    t.equal(statusCode, 503)
    t.notMatch(body, /try again/)
    const expected =
      `fastify-token-auth: \\"refreshToken.isSameClient\\" must return a boolean, not ${types[i]}`
    t.ok(lines.join('').includes(expected), expected)
  }
})

t.test('a result of passwords.validate that is no boolean rejects with its type', async t => {
  for (const [result, type] of [[undefined, 'undefined'], ['too short', 'a string']]) {
    const { app } = await createTestApp({
      options: { passwords: { validate: () => result as unknown as boolean } }
    })
    t.teardown(() => app.close())
    await t.rejects(
      app.tokenAuth.hashPassword(PASSWORD),
      new TypeError(`fastify-token-auth: "passwords.validate" must return a boolean, not ${type}`)
    )
  }
})
