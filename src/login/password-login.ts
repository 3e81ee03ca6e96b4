import type { Caller } from '../domain/session.js'
import type { DpopProof } from '../dpop/verifier.js'
import { assertConnected } from '../errors.js'
import type { Millis } from '../lib/time.js'
import { getRevokedSince } from '../sessions/sessions.js'
import type { Sessions } from '../sessions/sessions.js'
import type { IssuedTokens } from '../sessions/token-issuer.js'
import type { FoundUser } from '../sessions/user-record.js'
import type { LoginSubject } from '../throttle/throttle.js'
import { PasswordCheck } from './password-check.js'
import type { PasswordAttempt, PasswordCheckContext, VerifiedHash } from './password-check.js'
import type { SecondFactorAnswer, SecondFactorGate } from './second-factor.js'

/** Authentication method reference of a password (RFC 8176, section 2). */
const PASSWORD_AMR = ['pwd']

/** User name and password, without a session. */
export interface LoginCredentials {
  /** User name or e-mail address as typed. */
  readonly login: string
  readonly password: string
  /** Device token of an earlier login on this device. */
  readonly deviceToken: string | null
  /** Aborted when the client disconnects, which cancels the login. */
  readonly signal: AbortSignal
}

/** One login request. */
export interface LoginAttempt extends LoginCredentials {
  /** Name that the client gave the device. */
  readonly device: string | null
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
export interface PasswordLoginContext extends PasswordCheckContext {
  readonly sessions: Sessions
}

/** Logs users in by password, and verifies the password of a user without a login. */
export class PasswordLogin {
  readonly #context: PasswordLoginContext
  readonly #check: PasswordCheck
  #secondFactor: SecondFactorGate | null = null

  constructor (context: PasswordLoginContext) {
    this.#context = context
    this.#check = new PasswordCheck(context)
  }

  /** Requires a second factor from some users. `accountFlows` calls it before the app is ready. */
  requireSecondFactor (gate: SecondFactorGate): void {
    this.#secondFactor = gate
  }

  /**
   * Verifies the password and opens a session.
   *
   * @throws SecondFactorRequired if the password is right, and the user has a second factor.
   * @throws TokenAuthError `AUTH_CREDENTIALS_REJECTED`, `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_BUSY`,
   * `AUTH_DPOP_INVALID`, `AUTH_STORE_UNAVAILABLE`. `AUTH_REQUEST_INVALID` if the client has
   * disconnected.
   */
  async login (login: LoginAttempt, by: Caller): Promise<IssuedLogin> {
    const { users, throttle, clock } = this.#context
    const startedAt = clock()
    const user = await users.findByLogin(login.login)
    const attempt = this.#check.createAttempt(user, login, by)
    const opened = await this.#check.guard(
      attempt,
      () => this.#attemptWithRetry(login, attempt, user, startedAt)
    )
    const { issued, passwordHash } = opened

    return {
      ...issued,
      deviceToken: throttle?.issueDeviceToken(opened.user.id, passwordHash, attempt.subject) ?? null
    }
  }

  /**
   * Verifies the password of a user by name, like {@link login}, and opens no session.
   *
   * @returns The user whom the name belongs to.
   * @throws TokenAuthError like {@link login}
   */
  async verifyLogin (login: LoginCredentials, by: Caller): Promise<FoundUser> {
    const user = await this.#context.users.findByLogin(login.login)
    const attempt = this.#check.createAttempt(user, login, by)

    return this.#check.guard(attempt, async () => {
      const stored = await this.#check.verify(user, attempt)
      const { id } = user as FoundUser
      await this.#check.upgrade(id, stored, login.password)
      return user as FoundUser
    })
  }

  /**
   * Verifies the password of a user whom an access token identifies.
   *
   * Counts failed attempts for the user and for each of the user's names, like logins.
   *
   * @throws TokenAuthError like {@link login}
   */
  async verifyUser (
    user: FoundUser,
    credentials: Omit<LoginCredentials, 'login'>,
    by: Caller
  ): Promise<void> {
    const names = [user.username, user.email].filter(name => name !== null)
    const attempt = this.#check.createAttempt(user, { ...credentials, login: names }, by)
    await this.#check.guard(attempt, () => this.#check.verify(user, attempt))
  }

  /**
   * Verifies the password of a signed-in user, and the second factor if the user has one.
   *
   * @param answer - Second factor, if the request has one.
   * @returns Authentication methods that the user has passed (RFC 8176).
   * @throws SecondFactorRequired if the second factor is missing.
   * @throws TokenAuthError like {@link login}
   */
  async verifyStepUp (
    user: FoundUser,
    credentials: Omit<LoginCredentials, 'login'>,
    answer: SecondFactorAnswer | null,
    by: Caller
  ): Promise<readonly string[]> {
    await this.verifyUser(user, credentials, by)
    const second = await this.#secondFactor?.verifyStepUp(user, answer, by) ?? []
    return [...PASSWORD_AMR, ...second]
  }

  async #attemptWithRetry (
    login: LoginAttempt,
    attempt: PasswordAttempt,
    user: FoundUser | null,
    startedAt: Millis
  ): Promise<OpenedLogin> {
    const { users } = this.#context
    const stored = await this.#check.verify(user, attempt)

    try {
      return await this.#open(login, attempt, user as FoundUser, stored, startedAt)
    } catch (error) {
      const revokedAt = getRevokedSince(error)

      if (revokedAt === null) {
        throw error
      }

      // All sessions of the user were revoked after this login started. The second attempt uses the
      // user from after that. It verifies the password again if the hash has changed.
      const current = await users.findByLogin(login.login)
      const isUnchanged = current !== null && current.id === user?.id && !current.isDisabled &&
        current.passwordHash === user.passwordHash
      const hash = isUnchanged ? stored : await this.#check.verify(current, attempt)
      return this.#openAgain(login, attempt, current as FoundUser, hash, revokedAt + 1)
    }
  }

  async #openAgain (
    login: LoginAttempt,
    attempt: PasswordAttempt,
    user: FoundUser,
    stored: VerifiedHash,
    authenticatedAt: Millis
  ): Promise<OpenedLogin> {
    try {
      return await this.#open(login, attempt, user, stored, authenticatedAt)
    } catch (error) {
      if (getRevokedSince(error) !== null) {
        return this.#check.reject('revoked-since', user, attempt.by)
      }

      throw error
    }
  }

  async #open (
    login: LoginAttempt,
    { subject, by }: PasswordAttempt,
    user: FoundUser,
    stored: VerifiedHash,
    authenticatedAt: Millis
  ): Promise<OpenedLogin> {
    const { users, sessions } = this.#context
    await this.#assertNoSecondFactor(login, subject, user, stored)
    const { device, persistent, clientId, proof, replaces, assertSendable, signal } = login
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
    const passwordHash = await this.#check.upgrade(user.id, stored, login.password)
    return { issued, user, passwordHash }
  }

  async #assertNoSecondFactor (
    login: LoginAttempt,
    subject: LoginSubject,
    user: FoundUser,
    stored: VerifiedHash
  ): Promise<void> {
    const { throttle } = this.#context
    const isTrusted = throttle?.isTrustedDevice(subject) === true
    const methods = await this.#secondFactor?.getMethods(user, isTrusted) ?? []

    if (this.#secondFactor !== null && methods.length > 0) {
      // A change of the stored hash makes the ticket invalid, so a weak hash is replaced before.
      const passwordHash = await this.#check.upgrade(user.id, stored, login.password)
      throw this.#secondFactor.createChallenge(methods, {
        ...login,
        user: { ...user, passwordHash },
        amr: PASSWORD_AMR,
        thumbprint: login.proof?.thumbprint ?? null
      })
    }
  }
}
