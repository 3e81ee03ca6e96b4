import type { Caller } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { Events } from '../events.js'
import { KeyedSingleFlight } from '../lib/single-flight.js'
import type { Millis } from '../lib/time.js'
import { requestForUser } from '../login/hash-queue.js'
import type { Passwords } from '../login/passwords.js'
import type { Sessions } from '../sessions/sessions.js'
import type { FoundUser } from '../sessions/user-record.js'
import type { Throttle } from '../throttle/throttle.js'
import type { AccountLimits } from './limits.js'
import { getPurpose } from './messenger.js'
import { REPEAT_WINDOW } from './one-time-token-issuer.js'
import type { OneTimeTokenIssuer } from './one-time-token-issuer.js'
import type { SingleUse } from './single-use.js'
import { createTokenUser } from './token-user.js'
import { getAccountState } from './users.js'
import type { AccountDirectory } from './users.js'

/** Collaborators of {@link NewPasswords}. */
export interface NewPasswordsContext {
  readonly issuer: OneTimeTokenIssuer
  readonly singleUse: SingleUse
  readonly limits: AccountLimits
  readonly users: AccountDirectory
  readonly passwords: Passwords
  readonly sessions: Sessions
  /** `null` if logins are not throttled. */
  readonly throttle: Throttle | null
  readonly events: Events
  readonly clock: () => Millis
}

/** Saves new passwords, and revokes the sessions of their users. */
export class NewPasswords {
  readonly #context: NewPasswordsContext
  readonly #resets = new KeyedSingleFlight<string, void>()

  constructor (context: NewPasswordsContext) {
    this.#context = context
  }

  /**
   * Sets a new password by the token of a link, and revokes all sessions of the user.
   *
   * A password that breaks the rules does not use the link up. Concurrent equal requests share one
   * hash.
   *
   * @throws TokenAuthError `AUTH_PASSWORD_REJECTED`, `AUTH_ONE_TIME_INVALID`,
   * `AUTH_ONE_TIME_EXPIRED`, `AUTH_ONE_TIME_USED`, `AUTH_BUSY` or `AUTH_STORE_UNAVAILABLE`
   */
  reset (token: string, password: string, by: Caller): Promise<void> {
    return this.#resets.run(
      JSON.stringify([token, password]),
      () => this.#reset(token, password, by)
    )
  }

  /**
   * Sets a new password for a user who has proved the old one, and revokes the other sessions.
   *
   * @param password - New password, which was checked against the rules.
   * @param keep - ID of the session to keep.
   * @throws TokenAuthError `AUTH_CREDENTIALS_REJECTED` if the password was changed meanwhile,
   * `AUTH_BUSY` or `AUTH_STORE_UNAVAILABLE`
   */
  async change (user: FoundUser, password: string, keep: string): Promise<void> {
    if (!await this.#save(user, password)) {
      throw new TokenAuthError('AUTH_CREDENTIALS_REJECTED')
    }

    await this.#revokeSessions(user, keep)
  }

  async #reset (token: string, password: string, by: Caller): Promise<void> {
    const { issuer, users, passwords } = this.#context
    // First, so that only the holder of an authentic link makes the server check passwords.
    const { subject } = issuer.read(token, getPurpose('resetPassword'))
    await passwords.assertAcceptable(password)
    passwords.assertCapacity(requestForUser(subject))
    const tokenUser = createTokenUser(users, getAccountState)
    const redeemed = await issuer.redeem(token, {
      purpose: getPurpose('resetPassword'),
      state: tokenUser.state
    })
    const { found: user } = tokenUser

    if (user === null) {
      throw new TokenAuthError('AUTH_ONE_TIME_USED')
    }

    const isSaved = !redeemed.isDone && await this.#save(user, password)

    if (!isSaved) {
      await this.#assertIsPassword(user.id, redeemed.id, password, by)
    }

    await this.#complete(user, redeemed, isSaved, by)
  }

  // The earlier request has saved the password, but was perhaps cut off before the rest.
  async #complete (
    user: FoundUser,
    { id, expiresAt }: { readonly id: string, readonly expiresAt: Millis },
    isSaved: boolean,
    by: Caller
  ): Promise<void> {
    const { singleUse, events, clock } = this.#context

    if (isSaved) {
      await this.#revokeSessions(user)
    }

    const { isFirst } = await singleUse.claim('password-reset', id, expiresAt + REPEAT_WINDOW)

    if (!isFirst) {
      return
    }

    if (!isSaved) {
      try {
        await this.#revokeSessions(user)
      } catch (error) {
        await singleUse.release('password-reset', id)
        throw error
      }
    }

    events.emit('password-reset', { at: clock(), userId: user.id, ...by })
  }

  async #save (user: FoundUser, password: string): Promise<boolean> {
    const { users, passwords } = this.#context
    const hash = await passwords.upgrade(password, requestForUser(user.id))
    return users.savePasswordHash(user.id, hash, user.passwordHash)
  }

  // Another request with the same token was faster. This one succeeds only if it has the same
  // password. The number of guesses is limited.
  async #assertIsPassword (
    userId: string,
    id: string,
    password: string,
    by: Caller
  ): Promise<void> {
    const { users, passwords, limits } = this.#context

    const account = { userId, use: 'reset-password' } as const
    await limits.guardGuess({ account, id }, by, async () => {
      const user = await users.findById(userId)
      const stored = user?.passwordHash ?? null
      const result = await passwords.check(stored, password, requestForUser(userId))
      return result === 'right' || result === 'weak'
    }, 'AUTH_ONE_TIME_USED')
  }

  async #revokeSessions (user: FoundUser, keep?: string): Promise<void> {
    const { sessions, throttle } = this.#context
    const names = [user.username, user.email].filter(name => name !== null)
    await sessions.revokeUser(user.id, 'password-changed', keep, 'client')
    await throttle?.resetUser(user.id, names)
  }
}
