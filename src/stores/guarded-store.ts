// What the app brings (its store, its users) may fail or hang. Either way the answer is 503: never signed in by it, never
// signed out.

import type { Session } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { Logger } from '../events.js'
import { Deadlines } from '../lib/deadlines.js'
import type { AttemptStore } from './attempt-store.js'
import { SessionRefusedError } from './token-store.js'
import type { TokenStore } from './token-store.js'
import type { Millis } from '../lib/time.js'

/** Runs `work`, and turns its failure or its silence into AUTH_STORE_UNAVAILABLE. */
export type Guard = <T>(operation: string, work: () => T | Promise<T>) => Promise<T>

/** @param now Milliseconds that only ever grow. */
export function createGuard (
  timeout: Millis,
  logger: Logger,
  now = (): number => performance.now()
): Guard {
  const deadlines = new Deadlines(timeout, { now, holds: true })

  function failure (operation: string, error: unknown): Error {
    if (error instanceof SessionRefusedError) {
      return error
    }

    logger.error({ operation, cause: nameOf(error) }, 'the token store or the user lookup failed')
    return new TokenAuthError('AUTH_STORE_UNAVAILABLE')
  }

  return (operation, work) =>
    new Promise((resolve, reject) => {
      try {
        const result = work()

        // What is known at once needs nobody to watch the clock.
        if (!isThenable(result)) {
          return resolve(result)
        }

        const deadline = deadlines.add(() => {
          reject(failure(operation, new TimeoutError(timeout)))
        })
        result.then(value => {
          if (deadlines.end(deadline)) {
            resolve(value)
          }
        }, (error: unknown) => {
          if (deadlines.end(deadline)) {
            reject(failure(operation, error))
          }
        })
      } catch (error) {
        reject(failure(operation, error))
      }
    })
}

// Query builders are no promises, and are awaited all the same.
function isThenable<T> (result: T | PromiseLike<T>): result is PromiseLike<T> {
  return typeof (result as Partial<PromiseLike<T>> | null | undefined)?.then === 'function'
}

/** The same store, each of whose verbs is guarded. */
export function guardStore (store: TokenStore, guard: Guard): TokenStore {
  return {
    create: session => guard('create', () => store.create(session)),
    rotate: attempt => guard('rotate', () => store.rotate(attempt)),
    find: sessionId => guard('find', () => store.find(sessionId)),
    list: (userId, page) => guard('list', () => store.list(userId, page)),
    revoke: (target, revocation) => guard('revoke', () => store.revoke(target, revocation)),
    touch: batch => guard('touch', () => store.touch(batch)),
    revocations: (after, limit) => guard('revocations', () => store.revocations(after, limit)),
    sweep: batch => guard('sweep', () => store.sweep(batch))
  }
}

/** */
export function guardAttemptStore (attempts: AttemptStore, guard: Guard): AttemptStore {
  return {
    consume: (key, now, rule) => guard('attempts.take', () => attempts.consume(key, now, rule)),
    refund: key => guard('attempts.release', () => attempts.refund(key)),
    reset: key => guard('attempts.clear', () => attempts.reset(key)),
    sweep: batch => guard('attempts.sweep', () => attempts.sweep(batch))
  }
}

class TimeoutError extends Error {
  readonly code: string
  constructor (timeout: Millis) {
    super()
    this.code = `no answer within ${timeout} ms`
  }
}

// A driver's message may hold the values of a statement; its name and code do not.
function nameOf (error: unknown): string {
  const { name, code } = (error ?? {}) as { name?: unknown, code?: unknown }
  return [name, code].filter(part => typeof part === 'string').join(' ')
}

// Texts that not every database can hold, kept from all of them. UTF-8 has no lone surrogates, PostgreSQL takes no NUL, and
// drivers of SQLite read no further than one: such a text would come back as another, and two users would become one.

/**
 * The same store, which is told of sound texts alone: what would write another rejects with a RangeError, and what has such an
 * id is not there.
 */
export function rejectUnstorableStrings (store: TokenStore): TokenStore {
  return {
    async create (session) {
      assertSound(...textsOf(session))
      return store.create(session)
    },
    // No async function, which would make one promise more for each refresh.
    rotate (attempt) {
      const { sessionId, by: { address, userAgent } } = attempt

      if (!isAbsentOrSound(address) || !isAbsentOrSound(userAgent)) {
        return Promise.reject(unsound())
      }

      return isStorable(sessionId)
        ? store.rotate(attempt)
        : Promise.resolve({ swapped: false, session: null })
    },
    find: async sessionId => isStorable(sessionId) ? store.find(sessionId) : null,
    list: async (userId, page) => isStorable(userId) ? store.list(userId, page) : [],
    async revoke (target, revocation) {
      if ('sessionId' in target) {
        return isStorable(target.sessionId) ? store.revoke(target, revocation) : 0
      }

      assertSound(target.userId, target.keep)
      return store.revoke(target, revocation)
    },
    touch: batch => store.touch(batch.filter(({ sessionId }) => isStorable(sessionId))),
    revocations: (after, limit) => store.revocations(after, limit),
    sweep: batch => store.sweep(batch)
  }
}

function textsOf ({ id, userId, secretHash, rotatedBy, device }: Session): Array<string | null> {
  return [
    id,
    userId,
    secretHash,
    rotatedBy.address,
    rotatedBy.userAgent,
    device.label,
    device.address,
    device.userAgent
  ]
}

function assertSound (...texts: ReadonlyArray<string | null | undefined>): void {
  if (!texts.every(isAbsentOrSound)) {
    throw unsound()
  }
}

function unsound (): RangeError {
  return new RangeError('A text with a NUL character or a lone surrogate cannot be kept.')
}

function isAbsentOrSound (text: string | null | undefined): boolean {
  return text == null || isStorable(text)
}

function isStorable (text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}
