import type { Session } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { Logger } from '../events.js'
import type { AttemptStore } from './attempt-store.js'
import { SessionRefusedError, StoreSetupError } from './token-store.js'
import type { TokenStore } from './token-store.js'
import type { Millis } from '../lib/time.js'

/**
 * Calls the store or a user callback of the app with a timeout.
 *
 * A failure or a timeout rejects with `AUTH_STORE_UNAVAILABLE`, so an outage never signs a user in
 * or out.
 */
export interface Guard {
  /** @param onTimeout - Called when the caller gets the timeout, while the work may go on. */
  <T>(operation: string, work: () => T | PromiseLike<T>, onTimeout?: () => void): Promise<T>
}

/** Creates a {@link Guard} that logs the cause of each failure. */
export function createGuard (timeout: Millis, logger: Logger): Guard {
  function createFailure (operation: string, cause: string): TokenAuthError {
    logger.error({ operation, cause }, 'the token store or a user callback failed')
    return new TokenAuthError('AUTH_STORE_UNAVAILABLE')
  }

  function toError (operation: string, error: unknown): Error {
    return error instanceof SessionRefusedError || error instanceof StoreSetupError
      ? error
      : createFailure(operation, describeError(error))
  }

  return (operation, work, onTimeout) =>
    new Promise((resolve, reject) => {
      try {
        const result = work()

        // A result that is there already needs no timeout.
        if (!isThenable(result)) {
          return resolve(result)
        }

        let isPending = true
        const timer = setTimeout(() => {
          isPending = false
          reject(createFailure(operation, `no response within ${timeout} ms`))
          onTimeout?.()
        }, timeout)
        result.then(value => {
          clearTimeout(timer)
          resolve(value)
        }, (error: unknown) => {
          clearTimeout(timer)

          // A failure after the timeout must not be logged twice.
          if (isPending) {
            reject(toError(operation, error))
          }
        })
      } catch (error) {
        reject(toError(operation, error))
      }
    })
}

/** Whether a result must be awaited. Query builders are no promises, but they can be awaited. */
export function isThenable<T> (result: T | PromiseLike<T>): result is PromiseLike<T> {
  return typeof (result as Partial<PromiseLike<T>> | null | undefined)?.then === 'function'
}

/** Wraps every method of a token store with a guard. */
export function guardStore (store: TokenStore, guard: Guard): TokenStore {
  return {
    check: () => guard('check', () => store.check()),
    create: session => guard('create', () => store.create(session)),
    rotate (attempt) {
      const abandoned = new AbortController()

      return guard('rotate', () => store.rotate(attempt, abandoned.signal), () => {
        abandoned.abort()
      })
    },
    find: (realm, sessionId) => guard('find', () => store.find(realm, sessionId)),
    list: (realm, userId, page) => guard('list', () => store.list(realm, userId, page)),
    revoke: (target, details) => guard('revoke', () => store.revoke(target, details)),
    touch: batch => guard('touch', () => store.touch(batch)),
    revocations: (after, limit) => guard('revocations', () => store.revocations(after, limit)),
    sweep: batch => guard('sweep', () => store.sweep(batch))
  }
}

/** Wraps every method of an attempt store with a guard. */
export function guardAttemptStore (attempts: AttemptStore, guard: Guard): AttemptStore {
  return {
    check: () => guard('attempts.check', () => attempts.check()),
    consume: (counts, now) => guard('attempts.consume', () => attempts.consume(counts, now)),
    refund: keys => guard('attempts.refund', () => attempts.refund(keys)),
    reset: keys => guard('attempts.reset', () => attempts.reset(keys)),
    sweep: batch => guard('attempts.sweep', () => attempts.sweep(batch))
  }
}

/** Thrown if a user callback of the app returns a value that the plugin cannot use. */
export class InvalidUserDataError extends TypeError {
  override readonly name = 'InvalidUserDataError'
}

/**
 * Returns the name and code of an error for the log.
 *
 * Leaves out the message, because that of a driver may contain the values of a statement.
 */
export function describeError (error: unknown): string {
  if (error instanceof InvalidUserDataError) {
    return error.message
  }

  const { name, code } = (error ?? {}) as { name?: unknown, code?: unknown }
  return [name, code].filter(part => typeof part === 'string').join(' ')
}

/**
 * Wraps a store so that it gets no string that a database would change.
 *
 * UTF-8 has no lone surrogates, PostgreSQL rejects NUL, and SQLite drivers stop reading at it. A
 * changed user ID could become that of another user. Writes with such a string reject with a
 * `RangeError`. Reads find nothing.
 */
export function rejectUnstorableStrings (store: TokenStore): TokenStore {
  return {
    check: () => store.check(),
    async create (session) {
      assertStorable(...getStrings(session))
      return store.create(session)
    },
    // Not async, because that would cost every refresh one more promise.
    rotate (attempt, signal) {
      const { sessionId, userId, by } = attempt

      if (!isAbsentOrStorable(by.address) || !isAbsentOrStorable(by.userAgent)) {
        return Promise.reject(createStringError())
      }

      return isStorable(sessionId) && isStorable(userId)
        ? store.rotate(attempt, signal)
        : Promise.resolve({ swapped: false, session: null })
    },
    find: async (realm, sessionId) => isStorable(sessionId) ? store.find(realm, sessionId) : null,
    list: async (realm, userId, page) => isStorable(userId) ? store.list(realm, userId, page) : [],
    async revoke (target, details) {
      if ('sessionId' in target) {
        return isStorable(target.sessionId) ? store.revoke(target, details) : 0
      }

      if ('userId' in target) {
        assertStorable(target.userId, target.keep)
      }

      return store.revoke(target, details)
    },
    touch: batch => store.touch(batch.filter(({ sessionId }) => isStorable(sessionId))),
    revocations: (after, limit) => store.revocations(after, limit),
    sweep: batch => store.sweep(batch)
  }
}

function getStrings ({ id, userId, secretHash, rotatedBy, device }: Session): Array<string | null> {
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

function assertStorable (...values: ReadonlyArray<string | null | undefined>): void {
  if (!values.every(isAbsentOrStorable)) {
    throw createStringError()
  }
}

function createStringError (): RangeError {
  return new RangeError('strings with NUL or a lone surrogate cannot be stored')
}

function isAbsentOrStorable (value: string | null | undefined): boolean {
  return value == null || isStorable(value)
}

function isStorable (value: string): boolean {
  return value.isWellFormed() && !value.includes('\0')
}
