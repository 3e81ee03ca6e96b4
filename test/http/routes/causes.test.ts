import { Writable } from 'node:stream'
import Database from 'libsql'
import t from 'tap'
import { TokenAuthError } from '../../../src/index.js'
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
    const expected = `refreshToken.isSameClient\\" must return a boolean, not ${types[i]}`
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
      new TypeError(`"passwords.validate" must return a boolean, not ${type}`)
    )
  }
})
