import { inspect } from 'node:util'
import t from 'tap'
import { TokenAuthError } from '../../src/errors.js'
import { SessionRefusedError } from '../../src/stores/token-store.js'
import {
  createTestGuard,
  failures,
  getRejection,
  nextTurn,
  STATEMENT,
  UNAVAILABLE
} from './guard-helpers.js'

t.test('the guard returns results, whether they are promises or not', async t => {
  const { guard, logged } = createTestGuard()
  t.equal(await guard('find', () => 'immediate'), 'immediate')
  t.equal(
    await guard('find', async () => {
      await nextTurn()
      return 'later'
    }),
    'later'
  )
  t.equal(await guard('find', () => null), null)
  t.equal(await guard('find', () => undefined), undefined)
  t.strictSame(logged, [])
})

for (const [how, work] of Object.entries(failures)) {
  t.test(`a call that ${how} results in 503 without details of the error`, async t => {
    const { guard, logged } = createTestGuard()
    const error = await getRejection(guard('create', work))
    t.type(error, TokenAuthError)
    t.match(error, UNAVAILABLE)
    t.match(logged, [{
      facts: {
        operation: 'create',
        cause: { type: 'DatabaseError', code: '57P01', stack: /guard-helpers/ }
      },
      message: 'the store failed'
    }])
    t.match(error.cause, { name: 'DatabaseError', code: '57P01', message: '' })
    t.notMatch(
      `${inspect(error)} ${JSON.stringify(error)} ${JSON.stringify(logged)}`,
      'hash-of-the-secret'
    )
  })
}

t.test('every thrown value results in 503, and only its type and code are logged', async t => {
  const thrown: Array<[unknown, object]> = [
    [STATEMENT, { type: 'Error' }],
    [null, { type: 'Error' }],
    [undefined, { type: 'Error' }],
    [42, { type: 'Error' }],
    [{ message: STATEMENT }, { type: 'Error' }],
    [{ code: 'ECONNREFUSED' }, { type: 'Error', code: 'ECONNREFUSED' }],
    [{ name: 'MongoError', code: 11000 }, { type: 'MongoError', code: 11000 }],
    [{ name: { toString: () => STATEMENT }, code: [STATEMENT] }, { type: 'Error' }],
    [{ name: STATEMENT, code: STATEMENT }, { type: 'Error' }],
    [new TypeError(STATEMENT), { type: 'TypeError' }],
    [new TokenAuthError('AUTH_REFRESH_INVALID'), {
      type: 'TokenAuthError',
      code: 'AUTH_REFRESH_INVALID'
    }]
  ]

  for (const [error, cause] of thrown) {
    const { guard, logged } = createTestGuard()
    t.match(
      await getRejection(guard('find', () => {
        throw error
      })),
      UNAVAILABLE
    )
    const { stack, ...facts } = (logged[0]?.facts as { cause: { stack?: string } }).cause
    t.strictSame(facts, cause)
    t.notMatch(stack ?? '', 'hash-of-the-secret')
  }
})

t.test('a failing callback is logged with its message, and not as a failing store', async t => {
  const { guard, logged } = createTestGuard(undefined, 'callback')
  const mistake = new TypeError('Cannot read properties of undefined (reading "find")')
  const error = await getRejection(guard('users.findByLogin', () => Promise.reject(mistake)))
  t.match(error, UNAVAILABLE)
  t.equal(error.cause, mistake)
  t.match(logged, [{
    facts: {
      operation: 'users.findByLogin',
      cause: { type: 'TypeError', message: mistake.message, stack: /guard.test/ }
    },
    message: 'the callback users.findByLogin failed'
  }])
})

t.test('the error of a driver in a callback is logged without its message', async t => {
  const { guard, logged } = createTestGuard(undefined, 'callback')
  const driverError = Object.assign(new Error(STATEMENT), { severity: 'ERROR', code: '22P02' })
  const wrapped = new Error('could not load the user', { cause: driverError })

  for (const thrown of [driverError, wrapped]) {
    const error = await getRejection(guard('users.findById', () => Promise.reject(thrown)))
    t.notMatch(`${inspect(error)} ${JSON.stringify(logged)}`, 'hash-of-the-secret')
  }

  t.match(logged[0]?.facts, { cause: { type: 'Error', code: '22P02', stack: /guard.test/ } })
  t.match(logged[1]?.facts, { cause: { type: 'Error', cause: { code: '22P02' } } })
})

for (
  const [database, error] of Object.entries({
    PostgreSQL: { code: '42P01' },
    'PostgreSQL without a function': { code: '42883' },
    MySQL: { code: 'ER_NO_SUCH_TABLE', errno: 1146 },
    SQLite: { code: 'SQLITE_ERROR', message: 'no such table: token_auth_sessions' },
    'a query builder': { message: 'query failed', cause: { code: '42703' } }
  })
) {
  t.test(`a missing table of ${database} is logged with the method that creates it`, async t => {
    const { guard, logged } = createTestGuard()
    const thrown = Object.assign(new Error(), error)
    await getRejection(guard('create', () => Promise.reject(thrown)))
    t.match(logged[0]?.facts, { hint: /run store\.migrate\(\)$/ })
  })
}

t.test('a SessionRefusedError passes the guard without a log line', async t => {
  const { guard, logged } = createTestGuard()

  for (const notBefore of [null, { before: 5 }]) {
    const refusal = new SessionRefusedError(notBefore)
    t.equal(await getRejection(guard('create', () => Promise.reject(refusal))), refusal)
    t.equal(
      await getRejection(guard('create', () => {
        throw refusal
      })),
      refusal
    )
  }

  t.strictSame(logged, [])
})
