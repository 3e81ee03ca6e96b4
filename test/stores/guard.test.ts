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
    t.strictSame(logged, [{
      facts: { operation: 'create', cause: 'DatabaseError 57P01' },
      message: 'the token store or a user callback failed'
    }])
    t.equal(error.cause, undefined)
    t.notMatch(
      `${error.message} ${error.stack} ${JSON.stringify(error)} ${JSON.stringify(logged)}`,
      'hash-of-the-secret'
    )
  })
}

t.test('every thrown value results in 503, and only a string name and code are logged', async t => {
  const thrown: Array<[unknown, string]> = [
    [STATEMENT, ''],
    [null, ''],
    [undefined, ''],
    [42, ''],
    [{ message: STATEMENT }, ''],
    [{ code: 'ECONNREFUSED' }, 'ECONNREFUSED'],
    [{ name: 'MongoError', code: 11000 }, 'MongoError'],
    [{ name: { toString: () => STATEMENT }, code: [STATEMENT] }, ''],
    [new TypeError(STATEMENT), 'TypeError'],
    [new TokenAuthError('AUTH_REFRESH_INVALID'), 'TokenAuthError AUTH_REFRESH_INVALID']
  ]

  for (const [error, cause] of thrown) {
    const { guard, logged } = createTestGuard()
    t.match(
      await getRejection(guard('find', () => {
        throw error
      })),
      UNAVAILABLE
    )
    t.strictSame(logged[0]?.facts, { operation: 'find', cause })
  }
})

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
