import { mock } from 'node:test'
import t from 'tap'
import { CallLimit } from '../../src/lib/call-limit.js'
import { SessionRefusedError } from '../../src/stores/token-store.js'
import {
  createDeferred,
  createDriverError,
  createTestGuard,
  getRejection,
  mockTimers,
  never,
  nextTurn,
  TIMEOUT,
  UNAVAILABLE
} from './guard-helpers.js'

t.test('a call without a result within the timeout results in 503', async t => {
  mockTimers(t)
  const { guard, logged } = createTestGuard()
  let isSettled = false
  const failure = getRejection(guard('rotate', () => never())).finally(() => {
    isSettled = true
  })
  mock.timers.tick(TIMEOUT - 1)
  await nextTurn()
  t.equal(isSettled, false)
  mock.timers.tick(1)
  t.match(await failure, UNAVAILABLE)
  t.strictSame(logged, [{
    facts: {
      operation: 'rotate',
      cause: { type: 'SafeError', message: 'no response within 5000 ms' }
    },
    message: 'the store failed'
  }])
})

t.test('a result 1 ms before the timeout is returned', async t => {
  mockTimers(t)
  const { guard, logged } = createTestGuard()
  const { promise, resolve } = createDeferred<string>()
  const result = guard('find', () => promise)
  mock.timers.tick(TIMEOUT - 1)
  resolve('in time')
  t.equal(await result, 'in time')
  mock.timers.tick(TIMEOUT)
  await nextTurn()
  t.strictSame(logged, [])
})

t.test('every call has its own timeout', async t => {
  mockTimers(t)
  const { guard } = createTestGuard()
  const first = getRejection(guard('first', () => never()))
  mock.timers.tick(TIMEOUT - 1)
  let isSettled = false
  const second = getRejection(guard('second', () => never())).finally(() => {
    isSettled = true
  })
  mock.timers.tick(1)
  await first
  await nextTurn()
  t.equal(isSettled, false)
  mock.timers.tick(TIMEOUT - 1)
  t.match(await second, UNAVAILABLE)
})

t.test('a thenable has the same timeout as a promise', async t => {
  mockTimers(t)
  const { guard } = createTestGuard()
  t.equal(
    await guard('find', () =>
      ({
        then: (resolve: (value: string) => void) => {
          resolve('of a query builder')
        }
      }) as never),
    'of a query builder'
  )
  const failure = getRejection(guard('find', () => ({ then () {} }) as never))
  mock.timers.tick(TIMEOUT)
  t.match(await failure, UNAVAILABLE)
})

t.test('a rejection after the timeout is not logged again', async t => {
  mockTimers(t)
  const { guard, logged } = createTestGuard()
  const { promise, reject } = createDeferred<string>()
  const failure = getRejection(guard('find', () => promise))
  mock.timers.tick(TIMEOUT)
  t.match(await failure, UNAVAILABLE)
  reject(createDriverError())
  await nextTurn()
  t.equal(logged.length, 1)
})

t.test('a synchronous result needs no timer', async t => {
  const set = mock.method(globalThis, 'setTimeout')
  t.teardown(() => mock.restoreAll())
  await createTestGuard().guard('find', () => null)
  t.notOk(set.mock.calls.some(call => call.arguments[1] === TIMEOUT))
})

t.test('a call keeps the process alive until it settles', async t => {
  const { guard } = createTestGuard()
  // Lists active timers that keep the process alive, and no cleared or unreferenced ones.
  const countTimers = (): number =>
    process.getActiveResourcesInfo().filter(type => type === 'Timeout').length
  const before = countTimers()

  for (
    const work of [
      async () => 'fine',
      () => Promise.reject(createDriverError()),
      () => Promise.reject(new SessionRefusedError(null))
    ]
  ) {
    await guard<unknown>('find', work).catch(() => {})
  }

  await Promise.all(Array.from({ length: 20 }, () =>
    guard('find', async () => {
      await nextTurn()
    })))
  t.equal(countTimers(), before)
  const { promise, resolve } = createDeferred<string>()
  const result = guard('find', () => promise)
  t.equal(countTimers(), before + 1)
  resolve('later')
  await result
  t.equal(countTimers(), before)
})

t.test('a settled call does not affect the timeout of later calls', async t => {
  mockTimers(t)
  const { guard, logged } = createTestGuard()
  t.equal(await guard('first', async () => 'fine'), 'fine')
  mock.timers.tick(TIMEOUT - 1)
  let isSettled = false
  const second = getRejection(guard('second', () => never())).finally(() => {
    isSettled = true
  })
  const third = guard('third', async () => 'fine too')
  mock.timers.tick(TIMEOUT - 1)
  await nextTurn()
  t.equal(isSettled, false)
  t.equal(await third, 'fine too')
  mock.timers.tick(1)
  t.match(await second, UNAVAILABLE)
  t.equal(logged.length, 1)
  const fourth = getRejection(guard('fourth', () => never()))
  mock.timers.tick(TIMEOUT)
  t.match(await fourth, UNAVAILABLE)
})

t.test('a result or rejection after the timeout has no effect', async t => {
  mockTimers(t)
  const unhandled: unknown[] = []

  const listener = (reason: unknown): void => {
    unhandled.push(reason)
  }

  process.on('unhandledRejection', listener)
  t.teardown(() => process.off('unhandledRejection', listener))
  const { guard, logged } = createTestGuard()
  const rejected = createDeferred<string>()
  const fulfilled = createDeferred<string>()
  const rejections = [
    getRejection(guard('find', () => rejected.promise)),
    getRejection(guard('find', () => fulfilled.promise))
  ]
  mock.timers.tick(TIMEOUT)

  for (const rejection of await Promise.all(rejections)) {
    t.match(rejection, UNAVAILABLE)
  }

  rejected.reject(createDriverError())
  fulfilled.resolve('too late')
  await nextTurn()
  await nextTurn()
  t.strictSame(unhandled, [])
  t.equal(logged.length, 2, 'each failure is logged once')
})

t.test('calls beyond the limit of unanswered calls get 503 at once, with one log line', async t => {
  mockTimers(t)
  const { guard, logged } = createTestGuard(undefined, 'store', new CallLimit(3))
  const failures = Array.from({ length: 3 }, () => getRejection(guard('find', () => never())))
  mock.timers.tick(TIMEOUT)
  await Promise.all(failures)
  logged.length = 0
  void getRejection(guard('find', () => never()))
  let isSent = false

  for (let i = 0; i < 100; i++) {
    t.match(
      await getRejection(guard('find', () => {
        isSent = true
      })),
      UNAVAILABLE
    )
  }

  t.notOk(isSent)
  t.match(logged, [{ facts: { cause: { message: 'too many calls wait for a response' } } }])
  t.equal(logged.length, 1)
})
