import type { Caller } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { FoundUser } from '../sessions/user-record.js'

/** First factor that a user has passed, and settings of the session to open. */
export interface PendingLogin {
  readonly user: FoundUser
  /** Methods of the first factor (RFC 8176). */
  readonly amr: readonly string[]
  readonly device: string | null
  readonly persistent: boolean
  /** OAuth client of the session; `null` for a first-party session. */
  readonly clientId: string | null
  /** Thumbprint of the key that the session will be bound to; `null` for no binding. */
  readonly thumbprint: string | null
}

/** Second factor that a user presents. */
export interface SecondFactorAnswer {
  readonly method: string
  readonly code: string
}

/** Members of the body of a response that asks for a second factor. */
export interface SecondFactorChallenge {
  /** Proves the first factor. `null` if the request has to be sent again with a code. */
  readonly ticket: string | null
  readonly methods: readonly string[]
}

/** Asks for a second factor after the first one. `accountFlows` implements it. */
export interface SecondFactorGate {
  /**
   * Returns the methods of a user. Empty if no second factor is required.
   *
   * @param isTrusted - Whether the user has passed the second factor on this device before.
   */
  getMethods(user: FoundUser, isTrusted: boolean): Promise<readonly string[]>
  /** Creates the error that asks for a second factor, with a ticket for the login. */
  createChallenge(methods: readonly string[], login: PendingLogin): SecondFactorRequired
  /**
   * Verifies the second factor of a step-up.
   *
   * @returns Methods of the second factor (RFC 8176). Empty if none is required.
   * @throws SecondFactorRequired if one is required and missing.
   */
  verifyStepUp(
    user: FoundUser,
    answer: SecondFactorAnswer | null,
    by: Caller
  ): Promise<readonly string[]>
}

/** Error `AUTH_SECOND_FACTOR_REQUIRED`. The response contains its challenge. */
export class SecondFactorRequired extends TokenAuthError {
  // Private, because loggers print the members of errors, and the ticket is a secret.
  readonly #challenge: SecondFactorChallenge

  constructor (challenge: SecondFactorChallenge) {
    super('AUTH_SECOND_FACTOR_REQUIRED')
    this.#challenge = challenge
  }

  get challenge (): SecondFactorChallenge {
    return this.#challenge
  }
}
