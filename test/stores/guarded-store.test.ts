import { mock } from 'node:test'
import t from 'tap'
import { planRotation } from '../../src/domain/rotation.js'
import { makeSession, touchOf } from '../../src/stores/conformance/harness.js'
import { guardStore } from '../../src/stores/guarded-store.js'
import { SessionRefusedError } from '../../src/stores/token-store.js'
import type { RevocationPage, RotateOptions, TokenStore } from '../../src/stores/token-store.js'
import {
  createDeferred,
  createTestGuard,
  failures,
  getRejection,
  mockTimers,
  never,
  TIMEOUT,
  UNAVAILABLE
} from './guard-helpers.js'

const SESSION = makeSession({ id: 's1' })
const ATTEMPT = planRotation(
  { realm: 'test', sessionId: 's1', userId: 'u-ann', secretHash: 'hash', generation: 0 },
  { now: 0, lifetime: 1, grace: 0, by: { address: null, userAgent: null } }
)

/** Calls every method of a store with distinct arguments. */
const methods: Record<keyof TokenStore, (store: TokenStore) => Promise<unknown>> = {
  check: store => store.check(),
  create: store => store.create(SESSION),
  rotate: store => store.rotate(ATTEMPT),
  find: store => store.find('test', 's1'),
  list: store => store.list('test', 'u-ann', { now: 1, limit: 2 }),
  revoke: store =>
    store.revoke({ realm: 'test', userId: 'u-ann', keep: 's1' }, { at: 3, reason: 'logout-all' }),
  touch: store => store.touch([touchOf(SESSION, { lastUsedAt: 4, confirmedGeneration: 5 })]),
  revocations: store => store.revocations('cursor', 7),
  sweep: store => store.sweep({ endedBefore: 8, limit: 9 })
}

const PAGE: RevocationPage = { now: 1, cursor: 'next', complete: true, entries: [] }

/** Creates a store with the same implementation for every method. */
function createStore (
  implementation: (name: string, args: unknown[]) => Promise<unknown>
): TokenStore {
  return Object.fromEntries(
    Object.keys(methods).map(name => [
      name,
      (...args: unknown[]) => implementation(name, args)
    ])
  ) as unknown as TokenStore
}

t.test('a guarded store passes arguments and results unchanged', async t => {
  for (const [method, call] of Object.entries(methods)) {
    const calls: unknown[][] = []
    const store = createStore(async (name, args) => {
      calls.push([name, ...args])
      return name === 'revocations' ? PAGE : `result of ${name}`
    })
    const expected = await call(store)
    t.equal(await call(guardStore(store, createTestGuard().guard)), expected)
    t.equal(calls.length, 2)
    const [direct, guarded] = calls
    t.strictSame(guarded?.slice(0, direct?.length), direct)
    // The guard adds a signal, so that the store drops a rotation that nobody waits for.
    const added = guarded?.slice(direct?.length) ?? []
    const signals = added.map(options => (options as RotateOptions).signal instanceof AbortSignal)
    t.strictSame(signals, method === 'rotate' ? [true] : [])
  }
})

t.test('a guarded store calls methods with the store as `this`', async t => {
  class CountingStore {
    #count = 0
    async find (): Promise<null> {
      this.#count++
      return null
    }

    get count (): number {
      return this.#count
    }
  }
  const store = new CountingStore()
  t.equal(
    await guardStore(store as unknown as TokenStore, createTestGuard().guard).find('test', 's1'),
    null
  )
  t.equal(store.count, 1)
})

t.test('a failure of any method of a store results in 503 and is logged with its name', async t => {
  for (const [method, call] of Object.entries(methods)) {
    for (const fail of Object.values(failures)) {
      const { guard, logged } = createTestGuard()
      t.match(await getRejection(call(guardStore(createStore(fail), guard))), UNAVAILABLE)
      t.match(logged, [{ facts: { operation: method } }])
    }
  }
})

t.test('every method of a guarded store has a timeout', async t => {
  mockTimers(t)

  for (const [method, call] of Object.entries(methods)) {
    const { guard, logged } = createTestGuard()
    const failure = getRejection(call(guardStore(createStore(() => never()), guard)))
    mock.timers.tick(TIMEOUT)
    t.match(await failure, UNAVAILABLE)
    t.match(logged, [{ facts: { operation: method } }])
  }
})

t.test('the signal of a rotation is aborted at the timeout, and only then', async t => {
  mockTimers(t)
  const signals: AbortSignal[] = []
  const { promise, resolve } = createDeferred<unknown>()
  const results = [never(), promise]
  const store = guardStore(
    createStore((_, [, options]) => {
      signals.push((options as RotateOptions).signal as AbortSignal)
      return results.shift() as Promise<unknown>
    }),
    createTestGuard().guard
  )
  const failure = getRejection(store.rotate(ATTEMPT))
  const success = store.rotate(ATTEMPT)
  mock.timers.tick(TIMEOUT - 1)
  t.strictSame(signals.map(({ aborted }) => aborted), [false, false])
  resolve({ swapped: false, session: null })
  await success
  mock.timers.tick(TIMEOUT)
  t.match(await failure, UNAVAILABLE)
  t.strictSame(signals.map(({ aborted }) => aborted), [true, false])
})

t.test('a signal that the store reads after the timeout is already aborted', async t => {
  mockTimers(t)
  let options: RotateOptions | undefined
  const store = guardStore(
    createStore((_, args) => {
      options = args[1] as RotateOptions
      return never()
    }),
    createTestGuard().guard
  )
  const failure = getRejection(store.rotate(ATTEMPT))
  mock.timers.tick(TIMEOUT)
  t.match(await failure, UNAVAILABLE)
  t.equal(options?.signal?.aborted, true)
  t.equal(options?.signal, options?.signal, 'it is the same signal at each read')
  t.equal({ ...options }.signal, options?.signal, 'a copy of the options has the signal')
})

t.test('a guarded store rejects a session with the error of its store', async t => {
  const { guard, logged } = createTestGuard()
  const refusal = new SessionRefusedError({ before: 5 })
  t.equal(
    await getRejection(
      guardStore(createStore(() => Promise.reject(refusal)), guard).create(SESSION)
    ),
    refusal
  )
  t.strictSame(logged, [])
})

t.test('a malformed page of the feed results in 503 and names its member', async t => {
  const entry = { realm: 'test', at: 1, reason: 'logout' }
  const pages: ReadonlyArray<readonly [member: string, page: unknown]> = [
    ['now', undefined],
    ['now', { ...PAGE, now: NaN }],
    ['now', { ...PAGE, now: '1' }],
    ['now', { ...PAGE, now: 1e300 }],
    ['complete', { ...PAGE, complete: undefined }],
    ['cursor', { ...PAGE, cursor: 7 }],
    ['cursor', { ...PAGE, cursor: 'cursor', complete: false }],
    ['entries', { ...PAGE, entries: null }],
    ['entries', { ...PAGE, entries: [null] }],
    ['entries', { ...PAGE, entries: [entry] }],
    ['entries', { ...PAGE, entries: [{ ...entry, userId: 'u-ann', before: NaN }] }],
    ['entries', { ...PAGE, entries: [{ ...entry, at: null, sessionId: 's1' }] }]
  ]

  for (const [member, page] of pages) {
    const { guard, logged } = createTestGuard()
    const store = guardStore(createStore(async () => page), guard)
    await t.rejects(store.revocations('cursor', 7), UNAVAILABLE)
    t.match(logged, [{ facts: { cause: { message: new RegExp(`malformed "${member}"`) } } }])
  }

  const entries = [
    { ...entry, sessionId: 's1' },
    { ...entry, userId: 'u-ann', before: 2 },
    { ...entry, before: 2 }
  ]
  const store = guardStore(createStore(async () => ({ ...PAGE, entries })), createTestGuard().guard)
  t.strictSame((await store.revocations({ within: 0 }, 7)).entries, entries)
})
