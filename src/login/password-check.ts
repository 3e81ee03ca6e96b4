import type { Caller } from '../domain/session.js'
import { assertConnected, TokenAuthError } from '../errors.js'
import type { Events, Logger, TokenAuthEvents } from '../events.js'
import { describeError } from '../lib/safe-error.js'
import type { Millis } from '../lib/time.js'
import type { FoundUser } from '../sessions/user-record.js'
import type { UserDirectory } from '../sessions/users.js'
import type { LoginSubject, Throttle } from '../throttle/throttle.js'
import { requestForAddress, requestForUser } from './hash-queue.js'
import type { HashRequest } from './hash-queue.js'
import type { PasswordResult, Passwords } from './passwords.js'

type RejectionReason = TokenAuthEvents['login-rejected']['reason']

/** Dependencies of a {@link PasswordCheck}. */
export interface PasswordCheckContext {
  readonly users: UserDirectory
  readonly passwords: Passwords
  /** `null` if logins are not throttled. */
  readonly throttle: Throttle | null
  readonly events: Events
  readonly logger: Logger
  readonly clock: () => Millis
}

/** One password to check, and its sender. */
export interface PasswordAttempt {
  readonly password: string
  readonly by: Caller
  readonly subject: LoginSubject
  readonly request: HashRequest
}

/** Stored hash of the right password. */
export interface VerifiedHash {
  readonly hash: string
  readonly isWeak: boolean
}

/**
 * Checks passwords with a limit on failed attempts.
 *
 * All failures have the same response and do the same work, so an attacker cannot learn which
 * accounts exist.
 */
export class PasswordCheck {
  readonly #context: PasswordCheckContext

  constructor (context: PasswordCheckContext) {
    this.#context = context
  }

  /** Creates the attempt to log in as a user, who is `null` if the name is unknown. */
  createAttempt (
    user: FoundUser | null,
    { login, password, deviceToken, signal }: {
      /** Name as typed, or all names of a user whom a token identifies. */
      readonly login: string | readonly string[]
      readonly password: string
      readonly deviceToken: string | null
      readonly signal: AbortSignal
    },
    by: Caller
  ): PasswordAttempt {
    const { throttle } = this.#context
    const subject: LoginSubject = {
      login,
      userId: user?.id ?? null,
      passwordHash: user?.passwordHash ?? null,
      deviceToken,
      signal
    }
    const isKnown = user !== null &&
      (typeof login !== 'string' || throttle?.isKnownDevice(subject) === true)
    const request = isKnown
      ? requestForUser(user.id, signal)
      : requestForAddress(by.address, signal)
    return { password, by, subject, request }
  }

  /**
   * Runs a check of a password, unless too many attempts failed before.
   *
   * @param check - Rejects with `AUTH_CREDENTIALS_REJECTED` if the password is wrong.
   * @throws TokenAuthError `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_BUSY`, `AUTH_STORE_UNAVAILABLE`, or
   * `AUTH_REQUEST_INVALID` if the client has disconnected.
   */
  async guard<T> (attempt: PasswordAttempt, check: () => Promise<T>): Promise<T> {
    const { passwords, throttle } = this.#context
    const { subject, request, by } = attempt

    // Before the attempt is counted, so that rejected logins cause no load on the store.
    assertConnected(subject.signal)
    passwords.assertCapacity(request)

    return throttle === null
      ? check()
      : throttle.guard(
        subject,
        by,
        isHidden => isHidden ? this.#rejectHidden(attempt) : check()
      )
  }

  /**
   * Verifies the password of a user.
   *
   * @throws TokenAuthError `AUTH_CREDENTIALS_REJECTED` if it is wrong, or the user is unknown or
   * disabled or has no password. `AUTH_BUSY`. `AUTH_STORE_UNAVAILABLE` without the package for a
   * bcrypt hash.
   */
  async verify (
    user: FoundUser | null,
    { password, by, request }: PasswordAttempt
  ): Promise<VerifiedHash> {
    const { passwords, logger } = this.#context
    const stored = user === null || user.isDisabled ? null : user.passwordHash
    const result = await passwords.check(stored, password, request)

    if (result === 'uncheckable') {
      logger.error(
        { userId: user?.id },
        'failed to verify a bcrypt hash; install @node-rs/bcrypt'
      )
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
    }

    if (user === null || stored === null || result === 'wrong' || result === 'malformed') {
      return this.reject(getRejectionReason(user, result), user, by)
    }

    return { hash: stored, isWeak: result === 'weak' }
  }

  /** Reports a rejected login, and throws `AUTH_CREDENTIALS_REJECTED`. */
  reject (reason: RejectionReason, user: FoundUser | null, by: Caller): never {
    const { events, logger, clock } = this.#context
    const userId = user?.id ?? null

    if (reason === 'malformed-hash') {
      logger.error(
        { userId },
        'stored password hash is neither argon2id nor bcrypt, or too expensive to verify'
      )
    }

    events.emit('login-rejected', { at: clock(), userId, reason, ...by })
    throw new TokenAuthError('AUTH_CREDENTIALS_REJECTED')
  }

  /**
   * Replaces a weak hash. The login has succeeded already, so a failure is only logged. The next
   * login tries again.
   *
   * @returns The hash that is stored afterwards.
   */
  async upgrade (
    userId: string,
    { hash, isWeak }: VerifiedHash,
    password: string
  ): Promise<string> {
    const { users, passwords, logger } = this.#context

    if (!isWeak || !users.savesHashes) {
      return hash
    }

    try {
      const upgraded = await passwords.upgrade(password, requestForUser(userId))
      await users.savePasswordHash(userId, upgraded, hash)
      return upgraded
    } catch (error) {
      logger.warn(
        { userId, cause: describeError(error, false) },
        'failed to replace a weak password hash'
      )
      return hash
    }
  }

  /** Rejects a login like that of a user who does not exist, after the same work. */
  async #rejectHidden ({ password, request }: PasswordAttempt): Promise<never> {
    await this.#context.passwords.check(null, password, request)
    throw new TokenAuthError('AUTH_CREDENTIALS_REJECTED')
  }
}

function getRejectionReason (user: FoundUser | null, result: PasswordResult): RejectionReason {
  if (user === null) {
    return 'unknown-user'
  }

  if (user.isDisabled) {
    return 'disabled'
  }

  if (user.passwordHash === null) {
    return 'no-password'
  }

  return result === 'malformed' ? 'malformed-hash' : 'wrong-password'
}
