// Login by password. Whatever is wrong, the answer, its status and the work behind it are the same.

import type { PasswordResult, Passwords } from './passwords.js'
import { CLOCK_TOLERANCE } from '../domain/rotation.js'
import type { Caller } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { Events, Logger, TokenAuthEvents } from '../events.js'
import type { DpopProof } from '../dpop/verifier.js'
import { isRevokedSinceError } from '../sessions/sessions.js'
import type { Sessions } from '../sessions/sessions.js'
import type { IssuedTokens } from '../sessions/token-issuer.js'
import type { Throttle } from '../throttle/throttle.js'
import { isDisabled } from '../sessions/users.js'
import type { AuthUser, UserDirectory } from '../sessions/users.js'
import type { Millis } from '../lib/time.js'

type Rejection = TokenAuthEvents['login-rejected']['reason']

/** RFC 8176 section 2. */
const PASSWORD = ['pwd']

export interface LoginAttempt {
  readonly login: string
  readonly password: string
  /** What the client calls itself. */
  readonly device: string | null
  /** What a login before has given to this device. */
  readonly deviceToken: string | null
  /** Whether a cookie with the refresh token outlives the browser. */
  readonly persistent: boolean
  /** The OAuth client that the session is for; `null` for the app's own. */
  readonly clientId: string | null
  /** The key that the session is bound to; `null` where it is to none. */
  readonly proof: DpopProof | null
}

export interface IssuedLogin extends IssuedTokens {
  /** For the next login on this device; `null` where logins are not throttled. */
  readonly deviceToken: string | null
}

export interface PasswordLoginContext {
  readonly users: UserDirectory
  readonly passwords: Passwords
  readonly sessions: Sessions
  /** `null` where logins are not throttled. */
  readonly throttle: Throttle | null
  readonly events: Events
  readonly logger: Logger
  readonly clock: () => Millis
}

/** */
export class PasswordLogin {
  readonly #context: PasswordLoginContext

  constructor (context: PasswordLoginContext) {
    this.#context = context
  }

  /** @throws TokenAuthError AUTH_CREDENTIALS_REJECTED; AUTH_TOO_MANY_ATTEMPTS; AUTH_BUSY; AUTH_STORE_UNAVAILABLE */
  async login (attempt: LoginAttempt, by: Caller): Promise<IssuedLogin> {
    const { users, sessions, throttle } = this.#context
    const { login, deviceToken } = attempt
    const begun = sessions.loginStartedAt()
    const user = await users.findByLogin(login)
    const check = (): Promise<IssuedTokens> => this.#attemptWithRetry(attempt, by, user, begun)

    if (throttle === null) {
      return { ...await check(), deviceToken: null }
    }

    const grant = await throttle.guard({ login, userId: user?.id ?? null, deviceToken }, by, check)

    return {
      ...grant,
      deviceToken: user === null ? null : throttle.issueDeviceToken(user.id, deviceToken)
    }
  }

  async #attemptWithRetry (
    attempt: LoginAttempt,
    by: Caller,
    user: AuthUser | null,
    begun: Millis
  ): Promise<IssuedTokens> {
    const { users, sessions } = this.#context

    try {
      return await this.#verifyAndOpen(attempt, by, user, begun)
    } catch (error) {
      if (!isRevokedSinceError(error)) {
        throw error
      }
    }

    // All sessions of the user were revoked after this login began, or by an instance whose clock is ahead. What is proved once
    // more now, by the user and the hash as they stand after that revocation, is proved after it.
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
      return this.#reject(reasonOf(user, result), user, by)
    }

    const grant = await sessions.open(await users.createProfile(user), {
      by,
      device,
      persistent,
      authenticatedAt,
      amr: PASSWORD,
      clientId,
      proof
    })

    if (result === 'weak' && stored !== null) {
      await this.#upgradeHash(user.id, stored, password)
    }

    return grant
  }

  #reject (reason: Rejection, user: AuthUser | null, by: Caller): never {
    const { events, logger, clock } = this.#context
    const userId = user?.id ?? null

    if (reason === 'malformed-hash') {
      logger.error({ userId }, 'stored password hash is neither argon2id nor bcrypt')
    }

    events.emit('login-rejected', { at: clock(), userId, reason, ...by })
    throw new TokenAuthError('AUTH_CREDENTIALS_REJECTED')
  }

  // The login has succeeded: a failure here is for the log, and the next login tries again.
  async #upgradeHash (userId: string, stored: string, password: string): Promise<void> {
    const { users, passwords, logger } = this.#context

    if (!users.savesHashes) {
      return
    }

    try {
      await users.savePasswordHash(userId, await passwords.upgrade(password), stored)
    } catch {
      logger.warn({ userId }, 'failed to replace a weak password hash')
    }
  }
}

function reasonOf (user: AuthUser | null, result: PasswordResult): Rejection {
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
