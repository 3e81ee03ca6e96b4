import { mock } from 'node:test'
import type { Test } from 'tap'
import type { TokenAuthError } from '../../src/errors.js'
import type { CallLimit } from '../../src/lib/call-limit.js'
import { createGuard } from '../../src/stores/guard.js'
import type { Guard, GuardedParty } from '../../src/stores/guard.js'
import { SECOND } from '../helpers/clock.js'

export const TIMEOUT = 5 * SECOND
export const UNAVAILABLE = {
  name: 'TokenAuthError',
  code: 'AUTH_STORE_UNAVAILABLE',
  statusCode: 503
}
export const STATEMENT = 'INSERT INTO sessions VALUES (\'hash-of-the-secret\')'

export interface TestGuard {
  readonly guard: Guard
  readonly logged: Array<{ facts: object, message: string }>
}

/** Guard with a logger that records errors. */
export function createTestGuard (
  timeout = TIMEOUT,
  party: GuardedParty = 'store',
  limit?: CallLimit
): TestGuard {
  const logged: TestGuard['logged'] = []

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
  return { guard: createGuard(timeout, logger, party, limit), logged }
}

export function mockTimers (t: Test): void {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  t.teardown(() => mock.timers.reset())
}

/** Returns a promise that never settles. */
export const never = <T = unknown>(): Promise<T> => new Promise<T>(() => {})

/** Waits for the callbacks that are due in this turn of the event loop. */
export const nextTurn = (): Promise<void> =>
  new Promise(resolve => {
    setImmediate(resolve)
  })

export interface Deferred<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (error: unknown) => void
}

export function createDeferred<T> (): Deferred<T> {
  const parts = {} as Omit<Deferred<T>, 'promise'>
  const promise = new Promise<T>((resolve, reject) => {
    Object.assign(parts, { resolve, reject })
  })
  return { promise, ...parts }
}

/** Driver error with a statement in every property except `name` and `code`. */
export function createDriverError (): Error {
  return Object.assign(new Error(STATEMENT), {
    name: 'DatabaseError',
    code: '57P01',
    detail: STATEMENT,
    cause: new Error(STATEMENT)
  })
}

/** Returns the error of a promise that must reject. */
export async function getRejection (work: Promise<unknown>): Promise<TokenAuthError> {
  try {
    await work
  } catch (error) {
    return error as TokenAuthError
  }

  throw new Error('the promise was fulfilled')
}

/** Ways in which a call of a store can fail. */
export const failures: Record<string, () => Promise<unknown>> = {
  throws: () => {
    throw createDriverError()
  },
  rejects: () => Promise.reject(createDriverError()),
  'rejects later': async () => {
    await nextTurn()
    throw createDriverError()
  }
}
