import { inspect } from 'node:util'
import Database from 'libsql'
import pg from 'pg'
import t from 'tap'
import { describeError, isDriverError, SafeError, toSafeError } from '../../src/lib/safe-error.js'

const VALUE = 'value-in-a-statement'

/** Returns what a function throws. */
function getThrown (work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }

  throw new Error('nothing was thrown')
}

class ReplyError extends Error {
  override readonly name = 'ReplyError'
}

const createSqlError = (): Error => Object.assign(new Error(VALUE), { sql: VALUE })

const driverErrors: Readonly<Record<string, () => unknown>> = {
  pg: () => new pg.DatabaseError(`invalid input syntax: "${VALUE}"`, 10, 'error'),
  'pg with members': () => Object.assign(new Error(VALUE), { severity: 'ERROR', detail: VALUE }),
  libsql: () => getThrown(() => new Database(':memory:').prepare(`SELECT * FROM "${VALUE}"`)),
  'node:sqlite': () => Object.assign(new Error(VALUE), { code: 'ERR_SQLITE_ERROR', errcode: 1 }),
  mysql2: () => Object.assign(new Error(VALUE), { code: 'ER_DUP_ENTRY', errno: 1062, sql: VALUE }),
  ioredis: () => Object.assign(new ReplyError(VALUE), { command: { args: [VALUE] } }),
  Drizzle: () => Object.assign(new Error(`Failed query\nparams: ${VALUE}`), { params: [VALUE] }),
  Prisma: () => Object.assign(new Error(VALUE), { code: 'P2002', meta: { target: VALUE } }),
  'a wrapped driver': () => new Error(VALUE, { cause: createSqlError() }),
  'a driver in an AggregateError': () => new AggregateError([new Error(), createSqlError()]),
  'a driver in a member': () => Object.assign(new Error(), { originalError: createSqlError() }),
  'a driver below many causes': () => {
    let error = createSqlError()

    for (let depth = 0; depth < 8; depth++) {
      error = new Error('wrapper', { cause: error })
    }

    return error
  }
}

for (const [driver, create] of Object.entries(driverErrors)) {
  t.test(`no value of a statement is in the facts of an error of ${driver}`, async t => {
    const error = create()
    t.ok(isDriverError(error))

    for (const isOwn of [true, false]) {
      const safe = toSafeError(error, isOwn)
      t.type(safe, Error)
      t.notMatch(inspect(safe, { showHidden: true, depth: null }), VALUE)
      t.notMatch(JSON.stringify(describeError(error, isOwn)), VALUE)
    }
  })
}

t.test('the facts of a driver error have its type, code and stack', async t => {
  const error = Object.assign(new pg.DatabaseError(VALUE, 10, 'error'), { code: '42P01' })
  t.match(describeError(error, false), {
    type: 'DatabaseError',
    code: '42P01',
    message: undefined,
    stack: /^ {4}at .*safe-error\.test/
  })
})

t.test('an error of the app stays the same object', async t => {
  const error = new RangeError('no tenant')
  t.equal(toSafeError(error, true), error)
  t.match(describeError(error, true), { type: 'RangeError', message: 'no tenant', stack: /at / })
  t.strictSame(describeError('no tenant', true), { type: 'SafeError', message: 'no tenant' })
})

t.test('lines of a message that look like frames are left out', async t => {
  const lines = `first\n    at ${VALUE} (file.ts:1:1)`
  const error = new Error(lines)
  t.notMatch(describeError(error, false).stack, VALUE)
  error.message = 'another message'
  t.match(describeError(error, false).stack, /at /)
})

t.test('the message of a system error is kept, because it has no values', async t => {
  const error = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), {
    syscall: 'connect',
    code: 'ECONNREFUSED'
  })
  t.match(describeError(error, false), { message: 'connect ECONNREFUSED 127.0.0.1:5432' })
  t.equal(describeError(Object.assign(error, { message: VALUE }), false).message, undefined)
})

t.test('a fixed message of the package is logged without a stack', async t => {
  t.strictSame(describeError(new SafeError('no response within 5 ms'), false), {
    type: 'SafeError',
    message: 'no response within 5 ms'
  })
})

t.test('an error with very many errors inside is logged without its message', async t => {
  const errors = Array.from({ length: 60 }, () => new Error('inner'))
  t.equal(describeError(new AggregateError(errors, 'outer'), true).message, undefined)
  t.equal(describeError(new AggregateError(errors.slice(30), 'outer'), true).message, 'outer')
})

t.test('causes that form a circle are described up to a limit', async t => {
  const error = new Error('first', { cause: new Error('second') })
  Object.assign(error.cause as Error, { cause: error })
  t.type(describeError(error, true), 'object')
  t.type(describeError(error, false), 'object')
})
