import { randomUUID } from 'node:crypto'
import type { Caller } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { Events } from '../events.js'
import { MINUTE } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import { SecondFactorRequired } from '../login/second-factor.js'
import type { PendingLogin, SecondFactorAnswer, SecondFactorGate } from '../login/second-factor.js'
import type { FoundUser } from '../sessions/user-record.js'
import type { AccountLimits } from './limits.js'
import type { OneTimeTokenIssuer } from './one-time-token-issuer.js'
import type { RecoveryCodeHasher } from './recovery-codes.js'
import type { SingleUse } from './single-use.js'
import { createTokenUser } from './token-user.js'
import { TOTP_PERIOD } from './totp.js'
import type { Totp } from './totp.js'
import { getAccountState } from './users.js'
import type { AccountDirectory } from './users.js'

const PURPOSE = 'account/second-factor'
/**
 * Authentication method references of a second factor (RFC 8176, section 2).
 *
 * A link by mail has `otp` too. Only `mfa` shows that there were two factors.
 */
const AMR = ['otp', 'mfa']

/** First factor that a ticket proves. */
export interface FirstFactor extends PendingLogin {
  /** ID of the ticket. */
  readonly id: string
  readonly expiresAt: Millis
}

/** Collaborators of {@link SecondFactors}. */
export interface SecondFactorsContext {
  readonly issuer: OneTimeTokenIssuer
  readonly users: AccountDirectory
  readonly limits: AccountLimits
  readonly singleUse: SingleUse
  readonly recovery: RecoveryCodeHasher
  /** `null` if the app has no `users.findTotpSecret`. */
  readonly totp: Totp | null
  readonly skipKnownDevices: boolean
  /** Lifetime of a ticket. */
  readonly lifetime: Millis
  readonly events: Events
  readonly clock: () => Millis
}

/** Asks for second factors, and verifies their codes. Each code counts once over all instances. */
export class SecondFactors implements SecondFactorGate {
  readonly #context: SecondFactorsContext

  constructor (context: SecondFactorsContext) {
    this.#context = context
  }

  /** Whether codes of authenticator apps can be verified. */
  get hasTotp (): boolean {
    return this.#context.totp !== null
  }

  async getMethods (user: FoundUser, isTrusted: boolean): Promise<readonly string[]> {
    const { users, skipKnownDevices } = this.#context
    return skipKnownDevices && isTrusted ? [] : users.getSecondFactors(user)
  }

  createChallenge (
    methods: readonly string[],
    { user, amr, device, persistent, clientId, thumbprint }: PendingLogin
  ): SecondFactorRequired {
    const { issuer, lifetime } = this.#context
    const { token: ticket } = issuer.create({
      purpose: PURPOSE,
      subject: user.id,
      lifetime,
      state: getAccountState(user),
      data: { amr, device, persistent, clientId, thumbprint }
    })
    return new SecondFactorRequired({ ticket, methods })
  }

  async verifyStepUp (
    user: FoundUser,
    answer: SecondFactorAnswer | null,
    by: Caller
  ): Promise<readonly string[]> {
    const methods = await this.getMethods(user, false)

    if (methods.length === 0) {
      return []
    }

    if (answer === null) {
      throw new SecondFactorRequired({ ticket: null, methods })
    }

    // A step-up has no ticket. The limit of the account applies.
    await this.verify(user, answer, randomUUID(), by)
    return AMR
  }

  /**
   * Reads the first factor that a ticket proves.
   *
   * @throws TokenAuthError `AUTH_ONE_TIME_INVALID`, `AUTH_ONE_TIME_EXPIRED`, or
   * `AUTH_ONE_TIME_USED` if the password or the address has changed.
   */
  async readTicket (ticket: string): Promise<FirstFactor> {
    const { issuer, users } = this.#context
    const tokenUser = createTokenUser(users, getAccountState)
    const { id, expiresAt, data } = await issuer.verify(ticket, {
      purpose: PURPOSE,
      state: tokenUser.state
    })
    const { found: user } = tokenUser

    if (user === null) {
      throw new TokenAuthError('AUTH_ONE_TIME_USED')
    }

    // The signature proves that `createChallenge` wrote the data.
    return {
      ...data as unknown as Omit<FirstFactor, 'id' | 'user' | 'expiresAt'>,
      id,
      user,
      expiresAt
    }
  }

  /**
   * Runs the last step of a login. A ticket is valid for one request only.
   *
   * @param open - Opens the session. If it fails, the ticket remains valid.
   * @throws TokenAuthError `AUTH_ONE_TIME_USED` if the ticket was used before.
   */
  async complete<T> (
    { id, expiresAt, amr }: FirstFactor,
    open: (amr: readonly string[]) => Promise<T>
  ): Promise<T> {
    const { singleUse } = this.#context
    const { isFirst } = await singleUse.claim('second-factor', id, expiresAt + MINUTE)

    if (!isFirst) {
      throw new TokenAuthError('AUTH_ONE_TIME_USED')
    }

    try {
      return await open([...new Set([...amr, ...AMR])])
    } catch (error) {
      await singleUse.release('second-factor', id)
      throw error
    }
  }

  /**
   * Verifies a code, which cannot be used again.
   *
   * @param id - ID of the ticket that the code is for. A ticket accepts 5 wrong codes.
   * @throws TokenAuthError `AUTH_SECOND_FACTOR_REJECTED` if the code is wrong or was used before.
   * `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_ONE_TIME_USED`, `AUTH_STORE_UNAVAILABLE`
   */
  async verify (
    user: FoundUser,
    { method, code }: SecondFactorAnswer,
    id: string,
    by: Caller
  ): Promise<void> {
    const { limits, events, clock } = this.#context
    const account = { userId: user.id, use: 'second-factor' } as const
    await limits.guardGuess({ account, id }, by, async () => {
      const isRight = await this.#check(user, method, code)

      if (!isRight) {
        events.emit('second-factor-failed', { at: clock(), userId: user.id, method, ...by })
      }

      return isRight
    }, 'AUTH_SECOND_FACTOR_REJECTED')
  }

  /** Verifies the code of a secret that is not saved yet. The code cannot be used again. */
  async confirmTotp (user: FoundUser, secret: string, code: string, by: Caller): Promise<boolean> {
    const { limits } = this.#context

    try {
      await limits.guardGuess(
        { account: { userId: user.id, use: 'confirm-totp' }, id: randomUUID() },
        by,
        () => this.#claimTotp(user.id, secret, code),
        'AUTH_SECOND_FACTOR_REJECTED'
      )
      return true
    } catch (error) {
      if (error instanceof TokenAuthError && error.code === 'AUTH_SECOND_FACTOR_REJECTED') {
        return false
      }

      throw error
    }
  }

  async #check (user: FoundUser, method: string, code: string): Promise<boolean> {
    const { users, recovery } = this.#context
    const methods = await users.getSecondFactors(user)

    // The user may have turned the method off since the ticket was issued.
    if (!methods.some(name => name === method)) {
      return false
    }

    if (method === 'recovery') {
      return users.useRecoveryCode(user.id, recovery.hash(user.id, code))
    }

    const secret = await users.findTotpSecret(user.id)
    return secret !== null && this.#claimTotp(user.id, secret, code)
  }

  // A step counts for the user, whatever the secret.
  async #claimTotp (userId: string, secret: string, code: string): Promise<boolean> {
    const { totp, singleUse, clock } = this.#context
    const step = totp?.findStep(secret, code, clock()) ?? null

    if (step === null) {
      return false
    }

    // The code of a step is accepted until the next step has ended.
    const until = (step + 2) * TOTP_PERIOD * 1000 + MINUTE
    const { isFirst } = await singleUse.claim('totp', JSON.stringify([userId, step]), until)
    return isFirst
  }
}
