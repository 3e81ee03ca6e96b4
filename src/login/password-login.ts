import { CLOCK_TOLERANCE } from '../domain/rotation.js'
import type { Caller } from '../domain/session.js'
import type { DpopProof } from '../dpop/verifier.js'
import { TokenAuthError } from '../errors.js'
import type { Events, Logger, TokenAuthEvents } from '../events.js'
import type { Millis } from '../lib/time.js'
import { isRevokedSinceError } from '../sessions/sessions.js'
import type { Sessions } from '../sessions/sessions.js'
import type { IssuedTokens } from '../sessions/token-issuer.js'
import { isDisabled } from '../sessions/users.js'
import type { AuthUser, UserDirectory } from '../sessions/users.js'
import { describeError } from '../stores/guarded-store.js'
import type { Throttle } from '../throttle/throttle.js'
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
   * `AUTH_DPOP_INVALID`, `AUTH_STORE_UNAVAILABLE`
   */
  async login (attempt: LoginAttempt, by: Caller): Promise<IssuedLogin> {
    const { users, sessions, throttle } = this.#context
    const { login, deviceToken } = attempt
    const startedAt = sessions.loginStartedAt()
    const user = await users.findByLogin(login)
    const check = (): Promise<IssuedTokens> => this.#attemptWithRetry(attempt, by, user, startedAt)

    if (throttle === null) {
      return { ...await check(), deviceToken: null }
    }

    const subject = { login, userId: user?.id ?? null, deviceToken }
    const issued = await throttle.guard(subject, by, check)

    return {
      ...issued,
      deviceToken: user === null ? null : throttle.issueDeviceToken(user.id, deviceToken)
    }
  }

  async #attemptWithRetry (
    attempt: LoginAttempt,
    by: Caller,
    user: AuthUser | null,
    startedAt: Millis
  ): Promise<IssuedTokens> {
    const { users, sessions } = this.#context

    try {
      return await this.#verifyAndOpen(attempt, by, user, startedAt)
    } catch (error) {
      if (!isRevokedSinceError(error)) {
        throw error
      }
    }

    // All sessions of the user were revoked after this login started, or by a clock that is ahead.
    // The second attempt uses the user and the hash from after that revocation.
    const authenticatedAt = sessions.loginStartedAt() + CLOCK_TOLERANCE

    try {
      return await this.#verifyAndOpen(
        attempt,
        by,
        await users.findByLogin(attempt.login),
        authenticatedAt
      )
    } catch (error) {
      if (isRevokedSinceError(error)) {
        return this.#reject('revoked-since', null, by)
      }

      throw error
    }
  }

  async #verifyAndOpen (
    { password, device, persistent, clientId, proof }: LoginAttempt,
    by: Caller,
    user: AuthUser | null,
    authenticatedAt: Millis
  ): Promise<IssuedTokens> {
    const { users, passwords, sessions, logger } = this.#context
    const stored = user === null || isDisabled(user) ? null : user.passwordHash ?? null
    const result = await passwords.check(stored, password)

    if (result === 'uncheckable') {
      logger.error(
        { userId: user?.id },
        'failed to verify a bcrypt hash; install @node-rs/bcrypt'
      )
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
    }

    if (user === null || result === 'wrong' || result === 'malformed') {
      return this.#reject(getRejectionReason(user, result), user, by)
    }

    const issued = await sessions.open(await users.createProfile(user), {
      by,
      device,
      persistent,
      authenticatedAt,
      amr: PASSWORD_AMR,
      clientId,
      proof
    })

    if (result === 'weak' && stored !== null) {
      await this.#upgradeHash(user.id, stored, password)
    }

    return issued
  }

  #reject (reason: RejectionReason, user: AuthUser | null, by: Caller): never {
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

  /** The login has succeeded already, so a failure is only logged. The next login tries again. */
  async #upgradeHash (userId: string, stored: string, password: string): Promise<void> {
    const { users, passwords, logger } = this.#context

    if (!users.savesHashes) {
      return
    }

    try {
      await users.savePasswordHash(userId, await passwords.upgrade(password), stored)
    } catch (error) {
      logger.warn({ userId, cause: describeError(error) }, 'failed to replace a weak password hash')
    }
  }
}

function getRejectionReason (user: AuthUser | null, result: PasswordResult): RejectionReason {
  if (user === null) {
    return 'unknown-user'
  }

  if (isDisabled(user)) {
    return 'disabled'
  }

  if (user.passwordHash == null) {
    return 'no-password'
  }

  return result === 'malformed' ? 'malformed-hash' : 'wrong-password'
}
