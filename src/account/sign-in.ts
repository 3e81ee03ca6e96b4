import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Caller } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import { KeyedSingleFlight } from '../lib/single-flight.js'
import type { Millis } from '../lib/time.js'
import type { SecondFactorGate } from '../login/second-factor.js'
import type { NewSessionInput } from '../sessions/new-session.js'
import type { Sessions } from '../sessions/sessions.js'
import type { IssuedTokens } from '../sessions/token-issuer.js'
import type { FoundUser } from '../sessions/user-record.js'
import type { UserDirectory } from '../sessions/users.js'
import { SessionRefusedError } from '../stores/token-store.js'
import { foldLogin } from '../throttle/login-names.js'
import type { Throttle } from '../throttle/throttle.js'
import type { SigningKeys } from '../tokens/key-derivation.js'
import type { AccountLimits } from './limits.js'
import { getPurpose } from './messenger.js'
import type { OneTimeTokenIssuer } from './one-time-token-issuer.js'
import { createTokenUser } from './token-user.js'
import { getAccountState } from './users.js'
import type { AccountDirectory } from './users.js'

/** Authentication method reference of a link or code by mail (RFC 8176, section 2). */
const AMR = ['otp']

/** Proof that the client can read the mails of a user. */
export type SignInProof =
  | { readonly token: string }
  | { readonly challenge: string, readonly email: string, readonly code: string }

/** Settings of the session that a sign-in opens. */
export type SignInSession =
  & Pick<
    NewSessionInput,
    'by' | 'device' | 'persistent' | 'proof' | 'replaces' | 'assertSendable'
  >
  & {
    /** Device token of an earlier login on this device. */
    readonly deviceToken: string | null
  }

/** Collaborators of {@link SignIn}. */
export interface SignInContext {
  readonly issuer: OneTimeTokenIssuer
  readonly users: AccountDirectory
  /** Creates the claims and the public data of a user. */
  readonly profiles: Pick<UserDirectory, 'createProfile'>
  readonly sessions: Sessions
  readonly limits: AccountLimits
  /** Keys of the hash of an address in a challenge, the current one first. */
  readonly keys: SigningKeys
  /** `null` if the app has no second factors. */
  readonly secondFactors: SecondFactorGate | null
  readonly throttle: Throttle | null
  readonly codeLength: number
  readonly lifetime: Millis
}

interface Redeemed {
  readonly user: FoundUser
  readonly redeemedAt: Millis
}

/**
 * Signs users in by a link or a code.
 *
 * A session derives from the token of its link or challenge. So a repeated request within a minute
 * finds the session and gets the same tokens, or opens the session if the first was cut off.
 */
export class SignIn {
  readonly #context: SignInContext
  readonly #checks = new KeyedSingleFlight<string, Redeemed>()

  constructor (context: SignInContext) {
    this.#context = context
  }

  /** Creates the challenge for a code. It does not show whether the address has an account. */
  createChallenge (email: string): { readonly token: string, readonly expiresAt: Millis } {
    const { issuer, lifetime } = this.#context
    const [subject] = this.#hashAddress(email) as [string]
    return issuer.create({ purpose: getPurpose('signInCode'), subject, lifetime })
  }

  /** Returns the code for a user and a challenge. */
  createCode (challenge: string, user: FoundUser | null): string {
    const { issuer, codeLength } = this.#context
    const values = user === null ? [null, null] : [user.id, getAccountState(user)]
    return issuer.deriveCode(challenge, values, codeLength)
  }

  /**
   * Opens the session of a link or a code.
   *
   * @throws SecondFactorRequired if the user has a second factor.
   * @throws TokenAuthError `AUTH_ONE_TIME_INVALID`, `AUTH_ONE_TIME_EXPIRED`, `AUTH_ONE_TIME_USED`,
   * `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_DPOP_INVALID` or `AUTH_STORE_UNAVAILABLE`
   */
  async open (given: SignInProof, session: SignInSession): Promise<IssuedTokens> {
    const { issuer, profiles, sessions } = this.#context
    const { user, redeemedAt } = 'token' in given
      ? await this.#redeemLink(given.token)
      // Concurrent equal requests are one guess.
      : await this.#checks.run(
        JSON.stringify([given.challenge, given.email, given.code]),
        () => this.#redeemCode(given, session.by)
      )
    const token = 'token' in given ? given.token : given.challenge
    await this.#assertNoSecondFactor(user, session)
    const profile = await profiles.createProfile(user)

    try {
      return await sessions.open(profile, {
        ...session,
        authenticatedAt: redeemedAt,
        amr: AMR,
        clientId: null,
        actor: 'client',
        derived: issuer.deriveSession(token, session.proof?.thumbprint ?? null)
      })
    } catch (error) {
      // The session was used or revoked since the first request, or has another key.
      throw error instanceof SessionRefusedError ? new TokenAuthError('AUTH_ONE_TIME_USED') : error
    }
  }

  async #assertNoSecondFactor (user: FoundUser, session: SignInSession): Promise<void> {
    const { secondFactors, throttle } = this.#context
    const { id: userId, passwordHash } = user
    const { deviceToken } = session
    const isTrusted = throttle?.isTrustedDevice({ userId, passwordHash, deviceToken }) === true
    const methods = await secondFactors?.getMethods(user, isTrusted) ?? []

    if (secondFactors !== null && methods.length > 0) {
      throw secondFactors.createChallenge(methods, {
        ...session,
        user,
        amr: AMR,
        clientId: null,
        thumbprint: session.proof?.thumbprint ?? null
      })
    }
  }

  async #redeemLink (token: string): Promise<Redeemed> {
    const { issuer, users } = this.#context
    const tokenUser = createTokenUser(users, getAccountState)
    const { redeemedAt, isDone } = await issuer.redeem(token, {
      purpose: getPurpose('signInLink'),
      state: tokenUser.state
    })
    const { found: user } = tokenUser

    // A repeat must not sign in a user whose password or address has changed since.
    if (user === null || isDone) {
      throw new TokenAuthError('AUTH_ONE_TIME_USED')
    }

    return { user, redeemedAt }
  }

  async #redeemCode (
    { challenge, email, code }: Exclude<SignInProof, { readonly token: string }>,
    by: Caller
  ): Promise<Redeemed> {
    const { issuer, users, limits } = this.#context
    const purpose = getPurpose('signInCode')
    const { id, subject } = await issuer.verify(challenge, { purpose })

    if (!this.#hashAddress(email).some(hash => isEqual(hash, subject))) {
      throw new TokenAuthError('AUTH_ONE_TIME_INVALID')
    }

    const found: FoundUser[] = []
    await limits.guardGuess({ account: { email }, id }, by, async () => {
      const user = await users.findByEmail(email)
      const isAllowed = await limits.allowsGuess(user?.id ?? null, email)
      const isRight = isEqual(code, this.createCode(challenge, user))

      if (!isRight || !isAllowed || user === null) {
        return false
      }

      found.push(user)
      await limits.resetGuesses(user.id)
      return true
    })
    const { redeemedAt } = await issuer.redeem(challenge, { purpose })
    return { user: found[0] as FoundUser, redeemedAt }
  }

  #hashAddress (email: string): string[] {
    return this.#context.keys.map(({ key }) =>
      createHmac('sha256', key).update(`challenge:${foldLogin(email)}`).digest('base64url')
    )
  }
}

function isEqual (given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
