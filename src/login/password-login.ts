import type { Caller } from '../domain/session.js'
import type { DpopProof } from '../dpop/verifier.js'
import { assertConnected, TokenAuthError } from '../errors.js'
import type { Events, Logger, TokenAuthEvents } from '../events.js'
import { describeError } from '../lib/safe-error.js'
import type { Millis } from '../lib/time.js'
import { getRevokedSince } from '../sessions/sessions.js'
import type { Sessions } from '../sessions/sessions.js'
import type { IssuedTokens } from '../sessions/token-issuer.js'
import type { FoundUser } from '../sessions/user-record.js'
import type { UserDirectory } from '../sessions/users.js'
import type { Throttle } from '../throttle/throttle.js'
import { requestForAddress, requestForUser } from './hash-queue.js'
import type { HashRequest } from './hash-queue.js'
import type { PasswordResult, Passwords } from './passwords.js'

type RejectionReason = TokenAuthEvents['login-rejected']['reason']

/** Authentication method reference of a password (RFC 8176, section 2). */
const PASSWORD_AMR = ['pwd']

/** One login request. */
export interface LoginAttempt {
  /** User name or email as typed. */
  readonly login: string
  readonly password: string
  /** Name that the client gave the device. */
  readonly device: string | null
  /** Device token of an earlier login on this device. */
  readonly deviceToken: string | null
  /** Whether the cookie of the refresh token survives a restart of the browser. */
  readonly persistent: boolean
  /** OAuth client of the session; `null` for the app's own client. */
  readonly clientId: string | null
  /** DPoP proof of the key that the session is bound to; `null` for no binding. */
  readonly proof: DpopProof | null
  /** Refresh token of the session that the new one replaces, or `null`. */
  readonly replaces: string | null
  /** Throws if the tokens cannot be sent, for example because a cookie would be too long. */
  readonly assertSendable: (issued: IssuedTokens) => void
  /** Aborted when the client disconnects. The login is then given up. */
  readonly signal: AbortSignal
}

/** Stored hash of the right password. */
interface VerifiedHash {
  readonly hash: string
  readonly isWeak: boolean
}

/** Session and password hash after a successful check. */
interface OpenedLogin {
  readonly issued: IssuedTokens
  readonly user: FoundUser
  /** Stored hash, which may have been replaced by a stronger one. */
  readonly passwordHash: string
}

/** Tokens of a successful login. */
export interface IssuedLogin extends IssuedTokens {
  /** Device token for the next login on this device; `null` if logins are not throttled. */
  readonly deviceToken: string | null
}

/** Dependencies of a {@link PasswordLogin}. */
export interface PasswordLoginContext {
  readonly users: UserDirectory
  readonly passwords: Passwords
  readonly sessions: Sessions
  /** `null` if logins are not throttled. */
  readonly throttle: Throttle | null
  readonly events: Events
  readonly logger: Logger
  readonly clock: () => Millis
}

/**
 * Logs a user in by password.
 *
 * All failures have the same response and do the same work, so an attacker cannot learn which
 * accounts exist.
 */
export class PasswordLogin {
  readonly #context: PasswordLoginContext

  constructor (context: PasswordLoginContext) {
    this.#context = context
  }

  /**
   * Verifies the password and opens a session.
   *
   * @throws TokenAuthError `AUTH_CREDENTIALS_REJECTED`, `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_BUSY`,
   * `AUTH_DPOP_INVALID`, `AUTH_STORE_UNAVAILABLE`. `AUTH_REQUEST_INVALID` if the client has
   * disconnected.
   */
  async login (attempt: LoginAttempt, by: Caller): Promise<IssuedLogin> {
    const { users, passwords, throttle, clock } = this.#context
    const { login, deviceToken, signal } = attempt
    const startedAt = clock()
    const user = await users.findByLogin(login)
    const subject = {
      login,
      userId: user?.id ?? null,
      passwordHash: user?.passwordHash ?? null,
      deviceToken,
      signal
    }
    const request = user !== null && throttle?.isKnownDevice(subject) === true
      ? requestForUser(user.id, signal)
      : requestForAddress(by.address, signal)
    const check = (): Promise<OpenedLogin> =>
      this.#attemptWithRetry(attempt, by, user, startedAt, request)

    // Before the attempt is counted, so that a storm of logins costs the store nothing.
    assertConnected(signal)
    passwords.assertCapacity(request)

    if (throttle === null) {
      const { issued } = await check()
      return { ...issued, deviceToken: null }
    }

    const opened = await throttle.guard(
      subject,
      by,
      isHidden => isHidden ? this.#rejectHidden(attempt, request) : check()
    )
    const { issued, passwordHash } = opened

    return {
      ...issued,
      deviceToken: throttle.issueDeviceToken(opened.user.id, passwordHash, subject)
    }
  }

  async #attemptWithRetry (
    attempt: LoginAttempt,
    by: Caller,
    user: FoundUser | null,
    startedAt: Millis,
    request: HashRequest
  ): Promise<OpenedLogin> {
    const { users } = this.#context
    const stored = await this.#verify(attempt, by, user, request)

    try {
      return await this.#open(attempt, by, user as FoundUser, stored, startedAt)
    } catch (error) {
      const revokedAt = getRevokedSince(error)

      if (revokedAt === null) {
        throw error
      }

      // All sessions of the user were revoked after this login started. The second attempt uses the
      // user from after that. It verifies the password again if the hash has changed.
      const current = await users.findByLogin(attempt.login)
      const isUnchanged = current !== null && current.id === user?.id && !current.isDisabled &&
        current.passwordHash === user.passwordHash
      const hash = isUnchanged ? stored : await this.#verify(attempt, by, current, request)
      return this.#openAgain(attempt, by, current as FoundUser, hash, revokedAt + 1)
    }
  }

  async #openAgain (
    attempt: LoginAttempt,
    by: Caller,
    user: FoundUser,
    stored: VerifiedHash,
    authenticatedAt: Millis
  ): Promise<OpenedLogin> {
    try {
      return await this.#open(attempt, by, user, stored, authenticatedAt)
    } catch (error) {
      if (getRevokedSince(error) !== null) {
        return this.#reject('revoked-since', user, by)
      }

      throw error
    }
  }

  /** Rejects a login like that of a user who does not exist, after the same work. */
  async #rejectHidden ({ password }: LoginAttempt, request: HashRequest): Promise<never> {
    await this.#context.passwords.check(null, password, request)
    throw new TokenAuthError('AUTH_CREDENTIALS_REJECTED')
  }

  /** Verifies the password. Rejects the login unless it is right. */
  async #verify (
    { password }: LoginAttempt,
    by: Caller,
    user: FoundUser | null,
    request: HashRequest
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
      return this.#reject(getRejectionReason(user, result), user, by)
    }

    return { hash: stored, isWeak: result === 'weak' }
  }

  async #open (
    attempt: LoginAttempt,
    by: Caller,
    user: FoundUser,
    { hash, isWeak }: VerifiedHash,
    authenticatedAt: Millis
  ): Promise<OpenedLogin> {
    const { users, sessions } = this.#context
    const { device, persistent, clientId, proof, replaces, assertSendable, signal } = attempt
    const profile = await users.createProfile(user)
    assertConnected(signal)
    const issued = await sessions.open(profile, {
      by,
      device,
      persistent,
      authenticatedAt,
      amr: PASSWORD_AMR,
      clientId,
      proof,
      replaces,
      actor: 'client',
      assertSendable
    })
    const upgraded = isWeak ? await this.#upgradeHash(user.id, hash, attempt.password) : null
    return { issued, user, passwordHash: upgraded ?? hash }
  }

  #reject (reason: RejectionReason, user: FoundUser | null, by: Caller): never {
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
   * Replaces a weak hash, and returns the new one. The login has succeeded already, so a failure is
   * only logged. The next login tries again.
   */
  async #upgradeHash (userId: string, stored: string, password: string): Promise<string | null> {
    const { users, passwords, logger } = this.#context

    if (!users.savesHashes) {
      return null
    }

    try {
      const hash = await passwords.upgrade(password, requestForUser(userId))
      await users.savePasswordHash(userId, hash, stored)
      return hash
    } catch (error) {
      logger.warn(
        { userId, cause: describeError(error, false) },
        'failed to replace a weak password hash'
      )
      return null
    }
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
