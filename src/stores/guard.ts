import { TokenAuthError } from '../errors.js'
import type { Logger } from '../events.js'
import { assertBoolean } from '../lib/callback-result.js'
import { CallLimit } from '../lib/call-limit.js'
import { RateLimit } from '../lib/rate-limit.js'
import { describeError, getChain, SafeError, toSafeError } from '../lib/safe-error.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import { SessionRefusedError, StoreSetupError } from './token-store.js'

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

/** Whether a guard calls a store, or callbacks that the app has written. */
export type GuardedParty = 'store' | 'callback'

const MIGRATION_HINT = 'a table, column or function is missing; run store.migrate()'
// A retry does not repair the code of the app, so these messages do not suggest one.
const CALLBACK_FAILURE = 'A callback of the app failed, see the log of the server'
const UNPREPARED_STORE = 'Session store is not ready, see the log of the server'
// SQLSTATE of PostgreSQL: undefined table, column, function and schema.
const MISSING_STATES: ReadonlySet<unknown> = new Set(['42P01', '42703', '42883', '3F000'])
// Errors of MySQL: unknown column, no such table.
const MISSING_ERRNOS: ReadonlySet<unknown> = new Set([1054, 1146])
const MISSING_IN_SQLITE = /\bno such (?:table|column)\b/

/** Creates a {@link Guard} that logs the cause of each failure. */
export function createGuard (
  timeout: Millis,
  logger: Logger,
  party: GuardedParty,
  limit = new CallLimit()
): Guard {
  const fail = (operation: string, error: unknown): TokenAuthError =>
    reportFailure(logger, party, operation, error)

  const overloads = new RateLimit(1, SECOND)

  // One line per second, because thousands of requests may be rejected.
  const refuse = (operation: string): TokenAuthError => {
    const skipped = overloads.next()
    const cause = new SafeError('too many calls wait for a response')

    if (skipped !== null) {
      logger.error(
        { operation, cause: describeError(cause, true), skipped },
        getMessage(party, operation)
      )
    }

    return new TokenAuthError('AUTH_STORE_UNAVAILABLE', { cause })
  }

  const toError = (operation: string, error: unknown): Error =>
    error instanceof SessionRefusedError || error instanceof StoreSetupError
      ? error
      : fail(operation, error)

  // Node keeps all timers of one duration in a list, and deletes the list with its last timer.
  // Creating the list takes longer than a call of a store in memory, so one timer stays in it.
  let listKeeper: NodeJS.Timeout | null = null

  const keepTimerList = (): void => {
    listKeeper ??= setTimeout(() => {
      listKeeper = null
    }, timeout).unref()
  }

  return (operation, work, onTimeout) =>
    new Promise((resolve, reject) => {
      if (!limit.start()) {
        return reject(refuse(operation))
      }

      // Set after a timeout.
      let settleAbandoned: (() => void) | null = null

      const settle = (isSuccess: boolean): void => {
        if (settleAbandoned === null) {
          limit.finish(isSuccess)
        } else {
          settleAbandoned()
        }
      }

      try {
        const result = work()

        // A result that is no promise needs no timeout.
        if (!isThenable(result)) {
          settle(true)
          return resolve(result)
        }

        keepTimerList()
        const timer = setTimeout(() => {
          settleAbandoned = limit.abandon()
          reject(fail(operation, new SafeError(`no response within ${timeout} ms`)))
          onTimeout?.()
        }, timeout)
        result.then(value => {
          clearTimeout(timer)
          settle(true)
          resolve(value)
        }, (error: unknown) => {
          clearTimeout(timer)

          // A failure after the timeout must not be logged twice.
          if (settleAbandoned === null) {
            reject(toError(operation, error))
          }

          settle(false)
        })
      } catch (error) {
        settle(false)
        reject(toError(operation, error))
      }
    })
}

/**
 * Wraps a synchronous callback of the app, so that a failure is logged and results in 503.
 *
 * @param name - Path of the option, for the log.
 */
export function guardCallback<Args extends unknown[], Result> (
  name: string,
  callback: (...args: Args) => Result,
  logger: Logger
): (...args: Args) => Result {
  return (...args) => {
    try {
      return callback(...args)
    } catch (error) {
      throw reportFailure(logger, 'callback', name, error)
    }
  }
}

/** Wraps a callback like {@link guardCallback}. A result that is no boolean is a failure. */
export function guardPredicate<Args extends unknown[]> (
  name: string,
  callback: (...args: Args) => boolean,
  logger: Logger
): (...args: Args) => boolean {
  return guardCallback(name, (...args) => assertBoolean(name, callback(...args)), logger)
}

/** Whether a result must be awaited. Query builders are no promises, but they can be awaited. */
export function isThenable<T> (result: T | PromiseLike<T>): result is PromiseLike<T> {
  return typeof (result as Partial<PromiseLike<T>> | null | undefined)?.then === 'function'
}

/** Thrown if a user callback of the app returns a value that the plugin cannot use. */
export class InvalidUserDataError extends TypeError {
  override readonly name = 'InvalidUserDataError'
}

function reportFailure (
  logger: Logger,
  party: GuardedParty,
  operation: string,
  error: unknown
): TokenAuthError {
  const isOwn = party === 'callback'
  const isUnprepared = !isOwn && isSchemaError(error)
  logger.error(
    {
      operation,
      cause: describeError(error, isOwn),
      ...isUnprepared && { hint: MIGRATION_HINT }
    },
    getMessage(party, operation)
  )

  return new TokenAuthError('AUTH_STORE_UNAVAILABLE', {
    cause: toSafeError(error, isOwn),
    ...isOwn && { message: CALLBACK_FAILURE },
    ...isUnprepared && { message: UNPREPARED_STORE }
  })
}

function getMessage (party: GuardedParty, operation: string): string {
  return party === 'callback' ? `the callback ${operation} failed` : 'the store failed'
}

/** Whether a database lacks a table or a part of it. Query builders wrap the error of a driver. */
function isSchemaError (error: unknown): boolean {
  return getChain(error).some(each => {
    const { code, errno, message } = each as Record<string, unknown>

    return MISSING_STATES.has(code) || MISSING_ERRNOS.has(errno) ||
      (typeof message === 'string' && MISSING_IN_SQLITE.test(message))
  })
}
