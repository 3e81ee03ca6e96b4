import t from 'tap'
import type { AuthUser } from '../../src/sessions/user-callbacks.js'
import { UserDirectory } from '../../src/sessions/users.js'
import { createTestGuard, getRejection, UNAVAILABLE } from '../stores/guard-helpers.js'

class ObjectId {
  readonly hex = '65a1'
}

class Statement {
  readonly sql = 'SELECT * FROM users'
}

interface TestCallbacks {
  readonly findByLogin?: () => unknown
  readonly findById?: (id: never) => unknown
  readonly parseId?: (id: string) => unknown
  readonly savePasswordHash?: (id: never) => unknown
}

function createUsers (callbacks: TestCallbacks) {
  const { guard, logged } = createTestGuard(undefined, 'callback')
  const warnings: Array<{ facts: object, message: string }> = []
  const users = { findByLogin: () => null, findById: () => null, ...callbacks }
  const logger = {
    error: (facts: object, message: string) => {
      logged.push({ facts, message })
    },
    warn: (facts: object, message: string) => {
      warnings.push({ facts, message })
    },
    info () {}
  }
  return { logged, warnings, directory: new UserDirectory(users as never, guard, logger) }
}

const user = (members: object = {}): AuthUser => ({ id: '7', passwordHash: null, ...members })

const invalidResults: ReadonlyArray<readonly [result: unknown, message: RegExp]> = [
  [[user()], /^"users.\w+" must return a user or null, not an array; return its first element/],
  [[], /must return a user or null, not an array/],
  [{ rows: [user()], rowCount: 1 }, /not a query result with "rows"; return result.rows\[0\] \?\?/],
  [new Statement(), /^the user from "users.\w+" has no "id"; its members are sql$/],
  [new Map(), /^the user from "users.\w+" has no "id"; it is a Map$/],
  [{}, /^the user from "users.\w+" has no "id"; it is an object$/],
  [{ user_id: 7, 'ann@example.org': 1 }, /has no "id"; its members are user_id$/],
  [{ _id: new ObjectId() }, /has no "id"; its members are _id; add id: String\(user._id\)$/],
  ['ann', /^"users.\w+" must return a user or null, not a string$/],
  [true, /^"users.\w+" must return a user or null, not a boolean$/],
  [user({ id: null }), /has no "id"; its members are id, passwordHash$/],
  [user({ id: '' }), /^"id" of the user from "users.\w+" must be a non-empty string, a safe/],
  [user({ id: new ObjectId() }), /not an ObjectId; convert it, .* with String\(user\._id\)$/],
  [user({ id: Buffer.from('ab') }), /not a Buffer; convert it, .* user\.id\.toString\("hex"\)$/],
  [user({ id: 1.5 }), /or a bigint, not 1\.5; read it as a string or a bigint$/],
  [user({ id: NaN }), /or a bigint, not NaN; read it as a string or a bigint$/],
  [user({ id: 2 ** 53 }), /not 9007199254740992; read it as a string or a bigint$/],
  [user({ id: true }), /or a bigint, not a boolean$/],
  [user({ passwordHash: Buffer.from('x') }), /^"passwordHash" of .* or null, not a Buffer$/],
  [user({ email: 5 }), /^"email" of the user from .* must be a string or null, not a number$/],
  [user({ username: ['ann'] }), /^"username" of .* must be a string or null, not an array$/]
]

for (const operation of ['findByLogin', 'findById'] as const) {
  t.test(`an invalid result of users.${operation} is logged with its type`, async t => {
    for (const [result, message] of invalidResults) {
      for (const given of [result, Promise.resolve(result)]) {
        const { directory, logged } = createUsers({ [operation]: () => given })
        t.match(await getRejection(directory[operation]('7')), UNAVAILABLE)
        t.match(logged, [{
          facts: {
            operation: `users.${operation}`,
            cause: { type: 'InvalidUserDataError', message }
          },
          message: `the callback users.${operation} failed`
        }])
      }
    }
  })
}

t.test('IDs are strings, safe integers or bigints', async t => {
  for (const id of ['7', 7, 7n]) {
    const { directory } = createUsers({ findByLogin: () => user({ id }), findById: () => ({ id }) })
    t.match(await directory.findByLogin('ann'), { id: '7' })
    t.match(await directory.findById('7'), { id: '7' })
    t.match(await directory.getProfile('7'), { userId: '7', publicUser: { id: '7' } })
  }

  const largest = { id: Number.MAX_SAFE_INTEGER }
  const { directory } = createUsers({ findById: () => largest })
  t.match(await directory.findById('9007199254740991'), { id: '9007199254740991' })
})

t.test('look-ups and saved hashes get the ID as users.parseId returns it', async t => {
  const parsers = {
    string: [undefined, '7'],
    number: [Number, 7],
    bigint: [BigInt, 7n],
    object: [(id: string) => ({ id }), { id: '7' }]
  } as const

  for (const [type, [parseId, expected]] of Object.entries(parsers)) {
    const asked: unknown[] = []
    const { directory } = createUsers({
      ...parseId !== undefined && { parseId },
      findById: id => {
        asked.push(id)
        return { id: 7 }
      },
      savePasswordHash: id => asked.push(id)
    })
    t.match(await directory.getProfile('7'), { userId: '7' }, type)
    await directory.savePasswordHash('7', 'new', 'old')
    t.strictSame(asked, [expected, expected], type)
  }
})

t.test('users.parseId that returns null finds no user', async t => {
  for (const nothing of [null, undefined]) {
    const { directory, logged } = createUsers({
      parseId: () => nothing,
      findById: () => t.fail('there is nothing to look up')
    })
    t.equal(await directory.getProfile('u-ann'), 'gone')
    t.strictSame(logged, [])
  }
})

t.test('no hash is saved if users.parseId returns no ID', async t => {
  for (const nothing of [null, undefined]) {
    const { directory, logged } = createUsers({
      parseId: () => nothing,
      savePasswordHash: () => t.fail('it could update every user')
    })
    t.match(await getRejection(directory.savePasswordHash('7', 'new', 'old')), UNAVAILABLE)
    const message = '"users.parseId" must not return null or undefined for an existing user'
    t.match(logged, [{ facts: { operation: 'users.savePasswordHash', cause: { message } } }])
  }
})

t.test('users.parseId that fails or returns another ID results in 503', async t => {
  const failures: ReadonlyArray<readonly [parseId: (id: string) => unknown, message: string]> = [
    [Number, '"users.parseId" must return the same ID in another type, or null, not NaN'],
    [
      id => id.length,
      '"users.parseId" must return the same ID in another type, or null, ' +
      'not another ID'
    ],
    [
      async id => id,
      '"users.parseId" must return the same ID in another type, or null, ' +
      'not a promise'
    ],
    [
      // The process ends if nothing handles the rejection.
      async () => {
        throw new RangeError('rejected')
      },
      '"users.parseId" must return the same ID in another type, or null, ' +
      'not a promise'
    ],
    [() => {
      throw new RangeError('not a hex string')
    }, 'not a hex string']
  ]

  for (const [parseId, message] of failures) {
    const { directory, logged } = createUsers({
      parseId,
      findById: () => t.fail('there is nothing to look up')
    })
    t.match(await getRejection(directory.getProfile('u-ann')), UNAVAILABLE)
    t.match(logged, [{
      facts: { operation: 'users.parseId', cause: { message } },
      message: 'the callback users.parseId failed'
    }])
  }

  const rounding = createUsers({ parseId: Number, findById: () => t.fail('another user') })
  t.match(await getRejection(rounding.directory.getProfile('9007199254740993')), UNAVAILABLE)
})

t.test('a session never gets the data of a user with another ID', async t => {
  const { directory, logged } = createUsers({ findById: () => ({ id: 'U-ANN' }) })
  const message = '"users.findById" returned a user with another ID; compare the whole ID, and ' +
    'its case'

  for (const method of ['getProfile', 'findActive', 'getPublicUser'] as const) {
    t.match(await getRejection(directory[method]('u-ann')), UNAVAILABLE, method)
    t.match(logged.pop(), { facts: { operation: 'users.findById', cause: { message } } }, method)
  }

  t.match(await directory.findForSession('u-ann'), { userId: 'U-ANN' })
})

t.test('a missing `passwordHash` is logged once, with the names of the members', async t => {
  const record = { id: 7, email: 'ann', password_hash: 'secret', 'not a name': 1 }
  const { directory, warnings, logged } = createUsers({ findByLogin: () => record })
  await directory.findByLogin('ann')
  await directory.findByLogin('ann')
  t.strictSame(logged, [])
  t.strictSame(warnings, [{
    facts: {
      operation: 'users.findByLogin',
      members: ['id', 'email', 'password_hash'],
      hint: 'return the hash as "passwordHash", or null for a user without a password'
    },
    message: 'users.findByLogin returned a user without "passwordHash", who cannot log in'
  }])
})

t.test('nothing is logged for a user without a password, or found by ID', async t => {
  const { directory, warnings } = createUsers({
    findByLogin: () => user({ passwordHash: null }),
    findById: () => ({ id: '7' })
  })
  await directory.findByLogin('ann')
  await directory.findById('7')
  t.strictSame(warnings, [])
})
