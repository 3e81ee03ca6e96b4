import t from 'tap'
import { UserDirectory } from '../../src/sessions/users.js'
import type { AuthUser, Users } from '../../src/sessions/user-callbacks.js'
import type { FoundUser } from '../../src/sessions/user-record.js'
import { createTestGuard, getRejection, UNAVAILABLE } from '../stores/guard-helpers.js'
import type { TestGuard } from '../stores/guard-helpers.js'

const HASH = '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaC9oYXNoK2hhc2g'
const ANN: AuthUser = {
  id: 'u-ann',
  passwordHash: HASH,
  username: 'ann',
  email: 'ann@example.org'
}

interface TestUsers extends TestGuard {
  readonly directory: UserDirectory
}

function createUsers (callbacks: Partial<Users> = {}): TestUsers {
  const { guard, logged } = createTestGuard(undefined, 'callback')
  const users = { findByLogin: () => ANN, findById: () => ANN, ...callbacks }
  const logger = { error () {}, warn () {}, info () {} }
  return { guard, logged, directory: new UserDirectory(users, guard, logger) }
}

const findAnn = async (directory: UserDirectory): Promise<FoundUser> =>
  await directory.findById('u-ann') as FoundUser

/** Creates a profile, and returns the cause that is logged when it fails. */
async function findCause (callbacks: Partial<Users>, user = ANN): Promise<unknown> {
  const { directory, logged } = createUsers({ ...callbacks, findById: () => user })
  const found = await findAnn(directory)
  const error = await getRejection(directory.createProfile(found))
  t.match(error, UNAVAILABLE)
  const { message, type, code } =
    (logged[0]?.facts as { cause: { message?: string, type: string, code?: string } }).cause
  return message ?? `${type} ${code}`
}

t.test('claims and public data become plain data', async t => {
  const given = {
    at: new Date(0),
    nested: { toJSON: () => ['of', 'toJSON'] },
    missing: undefined,
    call: () => 'no data',
    get computed () {
      return 5
    }
  }
  const expected = { at: '1970-01-01T00:00:00.000Z', nested: ['of', 'toJSON'], computed: 5 }
  const { directory } = createUsers({
    claims: () => given as never,
    present: () => given
  })
  const { claims, publicUser } = await directory.createProfile(await findAnn(directory))
  t.strictSame(claims, expected)
  t.strictSame(publicUser, expected)
})

t.test('the result of `toJSON` is what counts', async t => {
  const record = { toJSON: () => ({ id: 'u-ann', role: 'admin' }), secret: 'not in JSON' }
  const { directory } = createUsers({ present: () => record, claims: () => record as never })
  const { claims, publicUser } = await directory.createProfile(await findAnn(directory))
  t.strictSame(publicUser, { id: 'u-ann', role: 'admin' })
  t.strictSame(claims, { id: 'u-ann', role: 'admin' })
})

t.test('results are read once, so that what was checked is what is signed', async t => {
  let reads = 0
  const given = {
    get role () {
      return reads++ === 0 ? 'reader' : 'admin'
    }
  }
  const { directory } = createUsers({ claims: () => given })
  const { claims } = await directory.createProfile(await findAnn(directory))
  t.strictSame(claims, { role: 'reader' })
  t.equal(reads, 1)
})

t.test('changing the returned object later changes nothing', async t => {
  const given: { roles: string[] } = { roles: ['reader'] }
  const { directory } = createUsers({ claims: () => given, present: () => given })
  const profile = await directory.createProfile(await findAnn(directory))
  given.roles.push('admin')
  t.strictSame(profile.claims, { roles: ['reader'] })
  t.strictSame(profile.publicUser, { roles: ['reader'] })
})

for (const name of ['claims', 'present'] as const) {
  t.test(`users.${name} without plain data results in 503 with a log line`, async t => {
    const cyclic: Record<string, unknown> = {}
    cyclic.self = cyclic
    const invalid: Record<string, readonly [details: string, result: unknown]> = {
      'a BigInt': [
        '; "accounts[0].balance" is a bigint; convert it with String()',
        { accounts: [{ balance: 5n }] }
      ],
      'a cycle': ['; "parent.self" is a circular reference', { parent: cyclic }],
      'an array': [', not an array', ['admin']],
      'a string': [', not a string', 'admin'],
      'a number': [', not a number', 5],
      'a function': [', not a function', () => 'admin'],
      'a getter that throws': ['', {
        get role () {
          throw new Error(HASH)
        }
      }],
      '`toJSON` that throws': ['', {
        toJSON () {
          throw new Error(HASH)
        }
      }],
      '`toJSON` that returns an array': [', not an object', { toJSON: () => ['admin'] }],
      '`toJSON` that returns null': [', not an object', { toJSON: () => null }],
      '`toJSON` that returns nothing': [', not an object', { toJSON: () => undefined }],
      'a Date': [', not a Date', new Date(0)]
    }

    for (const [what, [details, result]] of Object.entries(invalid)) {
      t.equal(
        await findCause({ [name]: () => result }),
        `"users.${name}" must return an object that JSON can represent${details}`,
        what
      )
    }
  })

  t.test(`users.${name} must not return the password hash`, async t => {
    const leaks: Record<string, readonly [path: string, result: object]> = {
      'the record': ['passwordHash', { ...ANN }],
      'a nested record': ['user.account.passwordHash', { user: { account: { ...ANN } } }],
      'a list': ['hashes[1]', { hashes: ['', HASH] }],
      'a part of a string': ['note', { note: `hash=${HASH};` }],
      'a key': ['by.*', { by: { [HASH]: true } }],
      'below a key that may be a value': ['*.hash', { 'ann@example.org': { hash: HASH } }],
      'the result of `toJSON`': ['hash', { toJSON: () => ({ hash: HASH }) }]
    }

    for (const [where, [path, result]] of Object.entries(leaks)) {
      t.equal(
        await findCause({ [name]: () => result as never }),
        `"users.${name}" must not return the password hash; remove "${path}"`,
        where
      )
    }
  })

  t.test(`users.${name} of a user without a hash may return any string`, async t => {
    for (const passwordHash of [null, undefined, '']) {
      const { directory } = createUsers({
        [name]: () => ({ note: '', empty: null }),
        findById: () => ({ id: 'u-ann', passwordHash })
      })
      await t.resolves(directory.createProfile(await findAnn(directory)))
    }
  })

  t.test(`a failure of users.${name} is logged without a password hash in its message`, async t => {
    const cause = await findCause({
      [name]: () => {
        throw Object.assign(new RangeError(HASH), { code: 'E_DB' })
      }
    })
    t.equal(cause, 'RangeError E_DB')
  })
}

t.test('a hash with characters that JSON escapes is found', async t => {
  const passwordHash = 'legacy"\\hash/\u0001with escapes'
  t.equal(
    await findCause({ present: () => ({ note: passwordHash }) }, { id: 'u-ann', passwordHash }),
    '"users.present" must not return the password hash; remove "note"'
  )
})

t.test('a hash under another name must not be returned either', async t => {
  const hashes = [HASH, '$2b$10$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ01234']

  for (const hash of hashes) {
    const record = { id: 'u-ann', balance: 5n, password_hash: hash }
    t.equal(
      await findCause({ present: () => ({ user: { id: 'u-ann', password_hash: hash } }) }, record),
      '"users.present" must not return the password hash; remove "user.password_hash"'
    )
  }

  const hidden = { id: 'u-ann', secret: HASH, toJSON: () => ({}) }
  t.equal(
    await findCause({ claims: () => ({ hash: HASH }) }, hidden),
    '"users.claims" must not return the password hash; remove "hash"'
  )
  const cyclic = { id: 'u-ann', account: { hash: HASH, owner: {} } }
  cyclic.account.owner = cyclic
  t.equal(
    await findCause({ claims: () => ({ hash: HASH }) }, cyclic),
    '"users.claims" returned a string that looks like a password hash, and the plugin cannot ' +
      'compare it with the user, because JSON cannot represent the user'
  )
})

t.test('a hash in a nested member that `toJSON` hides must not be returned either', async t => {
  class Entity {
    readonly id = 'u-ann'
    readonly dataValues = { password_hash: HASH }

    toJSON (): object {
      return { id: this.id }
    }
  }

  t.equal(
    await findCause({ present: user => ({ ...(user as Entity).dataValues }) }, new Entity()),
    '"users.present" must not return the password hash; remove "password_hash"'
  )
})

t.test('a mark in place of a password hash may be a part of other strings', async t => {
  for (const passwordHash of ['!', 'google']) {
    const { directory } = createUsers({
      claims: () => ({ provider: 'google' }) as never,
      present: () => ({ name: 'Ann!', provider: 'google' }),
      findById: () => ({ id: 'u-ann', passwordHash })
    })
    await t.resolves(directory.createProfile(await findAnn(directory)), passwordHash)
  }

  const passwordHash = 'rl.3StKT.4T8M'
  t.equal(
    await findCause({ present: () => ({ note: passwordHash }) }, { id: 'u-ann', passwordHash }),
    '"users.present" must not return the password hash; remove "note"'
  )
})

t.test('a string of another user that looks like a hash is no failure', async t => {
  const name = HASH.replace('$c2Fs', '$b3Ro')
  const { directory } = createUsers({ present: () => ({ friends: [{ name }] }) })
  await t.resolves(directory.createProfile(await findAnn(directory)))
})

t.test('reserved claims are rejected by name', async t => {
  const reserved = [
    'iss',
    'sub',
    'aud',
    'exp',
    'nbf',
    'iat',
    'jti',
    'sid',
    'gen',
    'type',
    'persistent',
    'auth_time',
    'amr',
    'acr',
    'cnf',
    'client_id',
    'realm',
    '__proto__'
  ]

  for (const claim of reserved) {
    t.equal(
      await findCause({ claims: () => ({ [claim]: 'x' }) }),
      `"users.claims" must not return the reserved claim "${claim}"`
    )
  }

  t.equal(
    await findCause({ claims: () => ({ toJSON: () => ({ sub: 'u-eve' }) }) as never }),
    '"users.claims" must not return the reserved claim "sub"',
    'also by toJSON'
  )
})

t.test('claims and user ID have at most 4096 bytes of JSON', async t => {
  const message = /^"users.claims" and the user ID must have at most 4096 bytes of JSON/
  const overhead = JSON.stringify(['u-ann', { note: '' }]).length
  const longest = 'x'.repeat(4096 - overhead)
  const { directory } = createUsers({ claims: () => ({ note: longest }) })
  await t.resolves(directory.createProfile(await findAnn(directory)))
  t.match(await findCause({ claims: () => ({ note: `${longest}x` }) }), message)
  t.match(
    await findCause({ claims: () => ({ toJSON: () => ({ note: `${longest}x` }) }) as never }),
    message,
    'the size of the plain data'
  )

  const { directory: other, logged } = createUsers({ findById: () => ({ id: 'é'.repeat(2050) }) })
  t.match(await getRejection(other.findById('x')), UNAVAILABLE)
  t.match(logged, [{ facts: { operation: 'users.findById', cause: { message } } }])
})

t.test('callbacks without a result have the default', async t => {
  for (const nothing of [null, undefined]) {
    const { directory } = createUsers({
      claims: () => nothing as never,
      present: () => nothing as never
    })
    const profile = await directory.createProfile(await findAnn(directory))
    t.strictSame(profile, {
      userId: 'u-ann',
      claims: {},
      publicUser: { id: 'u-ann', username: 'ann', email: 'ann@example.org' }
    })
  }
})

t.test('a record whose getter throws results in 503 and never in a missing user', async t => {
  const { directory, logged } = createUsers({
    findById: () => ({
      get id (): string {
        throw new Error('the connection is closed')
      }
    })
  })
  t.match(await getRejection(directory.getProfile('u-ann')), UNAVAILABLE)
  t.match(logged, [{
    facts: { operation: 'users.findById', cause: { message: 'the connection is closed' } },
    message: 'the callback users.findById failed'
  }])
})

t.test('a profile is gone only if the look-up answers null or undefined', async t => {
  for (const nothing of [null, undefined]) {
    t.equal(await createUsers({ findById: () => nothing }).directory.getProfile('u-ann'), 'gone')
  }

  for (const disabled of [true, 1 as never]) {
    const { directory } = createUsers({ findById: () => ({ ...ANN, disabled }) })
    t.equal(await directory.getProfile('u-ann'), 'disabled')
    t.equal(await directory.findActive('u-ann'), null)
  }

  const { directory } = createUsers({ findById: () => ({ ...ANN, disabled: null }) })
  t.match(await directory.getProfile('u-ann'), { userId: 'u-ann' })
})
