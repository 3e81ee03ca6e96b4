import type { Session } from '../domain/session.js'
import type { AttemptStore } from './attempt-store.js'
import type { Guard } from './guard.js'
import { assertRevocationPage } from './revocation-page.js'
import type { RotateOptions, TokenStore } from './token-store.js'

/** Wraps every method of a token store with a guard. */
export function guardStore (store: TokenStore, guard: Guard): TokenStore {
  return {
    check: () => guard('check', () => store.check()),
    create: session => guard('create', () => store.create(session)),
    rotate (attempt) {
      let isAbandoned = false
      let controller: AbortController | undefined

      // Creates the signal when the store reads it, because that takes longer than a rotation in
      // memory. The getter is an own member, so that a copy of the options has the signal too.
      const options: RotateOptions = {
        get signal () {
          controller ??= new AbortController()

          if (isAbandoned) {
            controller.abort()
          }

          return controller.signal
        }
      }

      return guard('rotate', () => store.rotate(attempt, options), () => {
        isAbandoned = true
        controller?.abort()
      })
    },
    find: (realm, sessionId) => guard('find', () => store.find(realm, sessionId)),
    list: (realm, userId, page) => guard('list', () => store.list(realm, userId, page)),
    revoke: (target, details) => guard('revoke', () => store.revoke(target, details)),
    touch: batch => guard('touch', () => store.touch(batch)),
    revocations: (after, limit) =>
      guard('revocations', async () => {
        const page = await store.revocations(after, limit)
        assertRevocationPage(page, after)
        return page
      }),
    sweep: batch => guard('sweep', () => store.sweep(batch))
  }
}

/** Wraps every method of an attempt store with a guard. */
export function guardAttemptStore (attempts: AttemptStore, guard: Guard): AttemptStore {
  return {
    check: () => guard('attempts.check', () => attempts.check()),
    consume: (counts, now) => guard('attempts.consume', () => attempts.consume(counts, now)),
    refund: keys => guard('attempts.refund', () => attempts.refund(keys)),
    reset: (keys, refunded) => guard('attempts.reset', () => attempts.reset(keys, refunded)),
    sweep: batch => guard('attempts.sweep', () => attempts.sweep(batch))
  }
}

/**
 * Wraps a store so that it gets no string that a database would change.
 *
 * UTF-8 has no lone surrogates, PostgreSQL rejects NUL, and SQLite drivers stop reading at it. A
 * changed user ID could become that of another user. A write of such a string rejects with a
 * `RangeError`. A look-up by such an ID finds nothing.
 */
export function rejectUnstorableStrings (store: TokenStore): TokenStore {
  return {
    check: () => store.check(),
    async create (session) {
      assertStorable(...getStrings(session))
      return store.create(session)
    },
    // The method is not async, because that would cost every refresh one more promise.
    rotate (attempt, options) {
      const { sessionId, userId, by } = attempt

      if (!isAbsentOrStorable(by.address) || !isAbsentOrStorable(by.userAgent)) {
        return Promise.reject(createStringError())
      }

      return isStorable(sessionId) && isStorable(userId)
        ? store.rotate(attempt, options)
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
