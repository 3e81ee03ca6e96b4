import { mock } from 'node:test'
import t from 'tap'
import type { Test } from 'tap'
import { planRotation } from '../../src/domain/rotation.js'
import type { Session } from '../../src/domain/session.js'
import { TokenAuthError } from '../../src/errors.js'
import { createGuard, guardStore } from '../../src/stores/guarded-store.js'
import type { Guard } from '../../src/stores/guarded-store.js'
import { SessionRefusedError } from '../../src/stores/token-store.js'
import type { TokenStore } from '../../src/stores/token-store.js'
import { SECOND } from '../helpers/clock.js'

const TIMEOUT = 5 * SECOND
const UNAVAILABLE = { name: 'TokenAuthError', code: 'AUTH_STORE_UNAVAILABLE', statusCode: 503 }
const SECRET_WORDS = 'INSERT INTO sessions VALUES (\'hash-of-the-secret\')'

interface Guarded {
  readonly guard: Guard
  readonly logged: Array<{ facts: object, message: string }>
}

function aGuard (timeout = TIMEOUT): Guarded {
  const logged: Guarded['logged'] = []

  const unexpected = (): never => {
    throw new Error('only errors are logged')
  }

  const logger = {
    error: (facts: object, message: string) => {
      logged.push({ facts, message })
    },
    warn: unexpected,
    info: unexpected
  }
  return { guard: createGuard(timeout, logger), logged }
}

function mockTimers (t: Test): void {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  t.teardown(() => mock.timers.reset())
}

const never = <T = unknown>(): Promise<T> => new Promise<T>(() => {})
const settled = (): Promise<void> =>
  new Promise(resolve => {
    setImmediate(resolve)
  })

interface Deferred<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (error: unknown) => void
}

function deferred<T> (): Deferred<T> {
  const parts = {} as Omit<Deferred<T>, 'promise'>
  const promise = new Promise<T>((resolve, reject) => {
    Object.assign(parts, { resolve, reject })
  })
  return { promise, ...parts }
}

/**
 * The error of a driver, whose every part may hold values of the statement, but for its name and
 * its code.
 */
function driverError (): Error {
  return Object.assign(new Error(SECRET_WORDS), {
    name: 'DatabaseError',
    code: '57P01',
    detail: SECRET_WORDS,
    cause: new Error(SECRET_WORDS)
  })
}

async function failureOf (work: Promise<unknown>): Promise<TokenAuthError> {
  try {
    await work
  } catch (error) {
    return error as TokenAuthError
  }

  throw new Error('it did not fail')
}

t.test('an answer passes, whether it is a promise or not', async t => {
  const { guard, logged } = aGuard()
  t.equal(await guard('find', () => 'at once'), 'at once')
  t.equal(
    await guard('find', async () => {
      await settled()
      return 'later'
    }),
    'later'
  )
  t.equal(await guard('find', () => null), null)
  t.equal(await guard('find', () => undefined), undefined)
  t.strictSame(logged, [])
})

t.test('silence past the timeout is an unavailable store', async t => {
  mockTimers(t)
  const { guard, logged } = aGuard()
  let over = false
  const failure = failureOf(guard('rotate', () => never())).finally(() => {
    over = true
  })
  mock.timers.tick(TIMEOUT - 1)
  await settled()
  t.equal(over, false)
  mock.timers.tick(1)
  t.match(await failure, UNAVAILABLE)
  t.strictSame(logged, [{
    facts: { operation: 'rotate', cause: 'no response within 5000 ms' },
    message: 'the token store or a user callback failed'
  }])
})

t.test('an answer just in time passes', async t => {
  mockTimers(t)
  const { guard, logged } = aGuard()
  const { promise, resolve } = deferred<string>()
  const answer = guard('find', () => promise)
  mock.timers.tick(TIMEOUT - 1)
  resolve('in time')
  t.equal(await answer, 'in time')
  mock.timers.tick(TIMEOUT)
  await settled()
  t.strictSame(logged, [])
})

t.test('each call has the whole timeout for itself', async t => {
  mockTimers(t)
  const { guard } = aGuard()
  const first = failureOf(guard('first', () => never()))
  mock.timers.tick(TIMEOUT - 1)
  let over = false
  const second = failureOf(guard('second', () => never())).finally(() => {
    over = true
  })
  mock.timers.tick(1)
  await first
  await settled()
  t.equal(over, false)
  mock.timers.tick(TIMEOUT - 1)
  t.match(await second, UNAVAILABLE)
})

t.test('what is no promise but is awaited like one has the same timeout', async t => {
  mockTimers(t)
  const { guard } = aGuard()
  t.equal(
    await guard('find', () =>
      ({
        then: (resolve: (value: string) => void) => {
          resolve('of a query builder')
        }
      }) as never),
    'of a query builder'
  )
  const failure = failureOf(guard('find', () => ({ then () {} }) as never))
  mock.timers.tick(TIMEOUT)
  t.match(await failure, UNAVAILABLE)
})

t.test('what fails after its time is told once', async t => {
  mockTimers(t)
  const { guard, logged } = aGuard()
  const { promise, reject } = deferred<string>()
  const failure = failureOf(guard('find', () => promise))
  mock.timers.tick(TIMEOUT)
  t.match(await failure, UNAVAILABLE)
  reject(driverError())
  await settled()
  t.equal(logged.length, 1)
})

t.test('what is known at once needs no timer', async t => {
  const set = mock.method(globalThis, 'setTimeout')
  t.teardown(() => mock.restoreAll())
  await aGuard().guard('find', () => null)
  t.notOk(set.mock.calls.some(call => call.arguments[1] === TIMEOUT))
})

t.test('a call keeps the process alive until it settles', async t => {
  const { guard } = aGuard()
  // Lists active timers that keep the process alive, and no cleared or unreferenced ones.
  const countTimers = (): number =>
    process.getActiveResourcesInfo().filter(type => type === 'Timeout').length
  const before = countTimers()

  for (
    const work of [
      async () => 'fine',
      () => Promise.reject(driverError()),
      () => Promise.reject(new SessionRefusedError('id-taken'))
    ]
  ) {
    await guard<unknown>('find', work).catch(() => {})
  }

  await Promise.all(Array.from({ length: 20 }, () =>
    guard('find', async () => {
      await settled()
    })))
  t.equal(countTimers(), before)
  const { promise, resolve } = deferred<string>()
  const answer = guard('find', () => promise)
  t.equal(countTimers(), before + 1)
  resolve('later')
  await answer
  t.equal(countTimers(), before)
})

t.test('what was answered in time is not missed later, and what comes after it has its own time', async t => {
  mockTimers(t)
  const { guard, logged } = aGuard()
  t.equal(await guard('first', async () => 'fine'), 'fine')
  mock.timers.tick(TIMEOUT - 1)
  let over = false
  const second = failureOf(guard('second', () => never())).finally(() => {
    over = true
  })
  const third = guard('third', async () => 'fine too')
  mock.timers.tick(TIMEOUT - 1)
  await settled()
  t.equal(over, false)
  t.equal(await third, 'fine too')
  mock.timers.tick(1)
  t.match(await second, UNAVAILABLE)
  t.equal(logged.length, 1)
  const fourth = failureOf(guard('fourth', () => never()))
  mock.timers.tick(TIMEOUT)
  t.match(await fourth, UNAVAILABLE)
})

const failures: Record<string, () => Promise<unknown>> = {
  throws: () => {
    throw driverError()
  },
  rejects: () => Promise.reject(driverError()),
  'rejects later': async () => {
    await settled()
    throw driverError()
  }
}

for (const [how, work] of Object.entries(failures)) {
  t.test(`work that ${how} is an unavailable store, and its words stay inside`, async t => {
    const { guard, logged } = aGuard()
    const error = await failureOf(guard('create', work))
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

t.test('whatever is thrown is an unavailable store, and only a name and a code of text are logged', async t => {
  const thrown: Array<[unknown, string]> = [
    [SECRET_WORDS, ''],
    [null, ''],
    [undefined, ''],
    [42, ''],
    [{ message: SECRET_WORDS }, ''],
    [{ code: 'ECONNREFUSED' }, 'ECONNREFUSED'],
    [{ name: 'MongoError', code: 11000 }, 'MongoError'],
    [{ name: { toString: () => SECRET_WORDS }, code: [SECRET_WORDS] }, ''],
    [new TypeError(SECRET_WORDS), 'TypeError'],
    [new TokenAuthError('AUTH_REFRESH_INVALID'), 'TokenAuthError AUTH_REFRESH_INVALID']
  ]

  for (const [error, cause] of thrown) {
    const { guard, logged } = aGuard()
    t.match(
      await failureOf(guard('find', () => {
        throw error
      })),
      UNAVAILABLE
    )
    t.strictSame(logged[0]?.facts, { operation: 'find', cause })
  }
})

t.test('a refused session is the store\'s answer, and no failure of it', async t => {
  const { guard, logged } = aGuard()

  for (const reason of ['id-taken', 'revoked-since'] as const) {
    const refusal = new SessionRefusedError(reason)
    t.equal(await failureOf(guard('create', () => Promise.reject(refusal))), refusal)
    t.equal(
      await failureOf(guard('create', () => {
        throw refusal
      })),
      refusal
    )
  }

  t.strictSame(logged, [])
})

t.test('what comes after the timeout disturbs nobody', async t => {
  mockTimers(t)
  const unhandled: unknown[] = []

  const listener = (reason: unknown): void => {
    unhandled.push(reason)
  }

  process.on('unhandledRejection', listener)
  t.teardown(() => process.off('unhandledRejection', listener))
  const { guard, logged } = aGuard()
  const rejected = deferred<string>()
  const answered = deferred<string>()
  const failures = [
    failureOf(guard('find', () => rejected.promise)),
    failureOf(guard('find', () => answered.promise))
  ]
  mock.timers.tick(TIMEOUT)

  for (const failure of await Promise.all(failures)) {
    t.match(failure, UNAVAILABLE)
  }

  rejected.reject(driverError())
  answered.resolve('too late')
  await settled()
  await settled()
  t.strictSame(unhandled, [])
  t.equal(logged.length, 2, 'each failure is logged once')
})

const SESSION = { id: 's1' } as Session
const ATTEMPT = planRotation(
  { sessionId: 's1', secretHash: 'hash', generation: 0 },
  { now: 0, lifetime: 1, grace: 0, by: { address: null, userAgent: null } }
)

/** Every verb, with arguments of its own. */
const verbs: Record<keyof TokenStore, (store: TokenStore) => Promise<unknown>> = {
  create: store => store.create(SESSION),
  rotate: store => store.rotate(ATTEMPT),
  find: store => store.find('s1'),
  list: store => store.list('u-ann', { now: 1, limit: 2 }),
  revoke: store => store.revoke({ userId: 'u-ann', keep: 's1' }, { at: 3, reason: 'logout-all' }),
  touch: store => store.touch([{ sessionId: 's1', lastUsedAt: 4, confirmedGeneration: 5 }]),
  revocations: store => store.revocations({ at: 6, sessionId: 's1' }, 7),
  sweep: store => store.sweep({ endedBefore: 8, limit: 9 })
}

/** A store whose every verb does the same. */
function storeThat (verb: (name: string, args: unknown[]) => Promise<unknown>): TokenStore {
  return Object.fromEntries(
    Object.keys(verbs).map(name => [
      name,
      (...args: unknown[]) => verb(name, args)
    ])
  ) as unknown as TokenStore
}

t.test('a guarded store passes on what it is asked and what is answered', async t => {
  for (const [verb, ask] of Object.entries(verbs)) {
    const asked: unknown[] = []
    const store = storeThat(async (name, args) => {
      asked.push([name, ...args])
      return `answer of ${name}`
    })
    await ask(store)
    t.equal(await ask(guardStore(store, aGuard().guard)), `answer of ${verb}`)
    t.equal(asked.length, 2)
    t.strictSame(asked[1], asked[0])
  }
})

t.test('a guarded store calls the methods of its store as such', async t => {
  class Counted {
    #found = 0
    async find (): Promise<null> {
      this.#found++
      return null
    }

    get found (): number {
      return this.#found
    }
  }
  const store = new Counted()
  t.equal(await guardStore(store as unknown as TokenStore, aGuard().guard).find('s1'), null)
  t.equal(store.found, 1)
})

t.test('each verb of a guarded store fails as unavailable, and is named in the log', async t => {
  for (const [verb, ask] of Object.entries(verbs)) {
    for (const fail of Object.values(failures)) {
      const { guard, logged } = aGuard()
      t.match(await failureOf(ask(guardStore(storeThat(fail), guard))), UNAVAILABLE)
      t.match(logged, [{ facts: { operation: verb } }])
    }
  }
})

t.test('each verb of a guarded store is waited for until the timeout', async t => {
  mockTimers(t)

  for (const [verb, ask] of Object.entries(verbs)) {
    const { guard, logged } = aGuard()
    const failure = failureOf(ask(guardStore(storeThat(() => never()), guard)))
    mock.timers.tick(TIMEOUT)
    t.match(await failure, UNAVAILABLE)
    t.match(logged, [{ facts: { operation: verb } }])
  }
})

t.test('a guarded store refuses a session as its store does', async t => {
  const { guard, logged } = aGuard()
  const refusal = new SessionRefusedError('revoked-since')
  t.equal(
    await failureOf(guardStore(storeThat(() => Promise.reject(refusal)), guard).create(SESSION)),
    refusal
  )
  t.strictSame(logged, [])
})
