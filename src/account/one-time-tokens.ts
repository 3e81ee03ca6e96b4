import type { Duration } from '../lib/duration.js'
import type { Millis } from '../lib/time.js'
import type { UserId } from '../sessions/user-id.js'

/** Data of the app in a one-time token, as plain JSON. */
export type OneTimeData = Readonly<Record<string, unknown>>

/** Settings of a new one-time token. */
export interface NewOneTimeToken {
  /**
   * Use of the token. `verify` and `redeem` reject it for any other purpose.
   *
   * A letter, followed by at most 63 letters, digits, `-` and `_`.
   */
  readonly purpose: string
  /** User or address that the token is about: the ID of a user, or an invited address. */
  readonly subject: UserId
  /** Time after which the token has expired. From 1 s to 365 days. */
  readonly lifetime: Duration
  /**
   * State that redeeming the token changes, such as the current e-mail address of the user.
   *
   * The token contains a fingerprint of it (HMAC), not the state itself. The token is rejected as
   * soon as the state has changed.
   *
   * @default none; the token is then valid until it is used or expires
   */
  readonly state?: string | null
  /**
   * Data that `redeem` returns, at most 2 kB of JSON. Everyone who has the token can read it.
   *
   * @default {}
   * @example
   * ```ts
   * data: { newAddress: 'ann@example.org' }
   * ```
   */
  readonly data?: OneTimeData
}

/** One-time token and its expiry. */
export interface CreatedOneTimeToken {
  /** Letters, digits, `-`, `_` and dots. Put it into the fragment of a link. */
  readonly token: string
  /** Moment when the token expires. */
  readonly expiresAt: Millis
}

/** Token whose signature, purpose, expiry and state were verified. */
export interface VerifiedOneTimeToken {
  /** Subject of the token, as at its creation. */
  readonly subject: string
  /** Data of the token, as at its creation. */
  readonly data: OneTimeData
  /** Moment when the token expires. */
  readonly expiresAt: Millis
}

/** Token that was redeemed. */
export interface RedeemedOneTimeToken extends VerifiedOneTimeToken {
  /** Moment when the token was redeemed for the first time. */
  readonly redeemedAt: Millis
  /**
   * Whether an earlier request has redeemed the token and completed its change.
   *
   * Then change nothing, and send the same response again. The earlier request is less than a
   * minute old: a double click or a retry. With `state`, `isDone` is `false` until the state has
   * changed, because the earlier request may have failed. Repeat the change in that case. Without
   * `state`, `isDone` is `true` for every request after the first.
   */
  readonly isDone: boolean
}

/** Purpose and current state that a token must have. */
export interface OneTimeExpectation {
  /** Purpose of the token, as at its creation. */
  readonly purpose: string
  /**
   * Current state, or a function that returns it for an authentic token.
   *
   * Required if the token was created with a state.
   *
   * @default none
   * @example
   * ```ts
   * state: async ({ subject }) => (await findUser(subject))?.email ?? null
   * ```
   */
  readonly state?:
    | string
    | null
    | ((token: VerifiedOneTimeToken) => string | null | PromiseLike<string | null>)
}

/**
 * One-time tokens for purposes of the app, such as an invitation or a change of address:
 * `app.tokenAuth.oneTimeTokens`.
 *
 * A token is a signed JWT (`typ: ot+jwt`), so nothing is saved when it is created. It counts once
 * over all instances. This requires `throttle.attempts`, or `revocations: false` for one instance.
 *
 * @example
 * ```ts
 * const { token } = await app.tokenAuth.oneTimeTokens.create({
 *   purpose: 'change-address',
 *   subject: user.id,
 *   lifetime: '1h',
 *   state: user.email,
 *   data: { newAddress }
 * })
 * ```
 * @example
 * ```ts
 * const { subject, data, isDone } = await app.tokenAuth.oneTimeTokens.redeem(body.token, {
 *   purpose: 'change-address',
 *   state: async ({ subject }) => (await findUser(subject))?.email ?? null
 * })
 *
 * if (!isDone) {
 *   await saveAddress(subject, data.newAddress)
 * }
 * ```
 */
export interface OneTimeTokens {
  /**
   * Creates a token. Saves nothing.
   *
   * @throws TypeError if a setting is invalid or unknown, or if the attempt store is in memory and
   * `revocations` is not `false`.
   */
  create(settings: NewOneTimeToken): Promise<CreatedOneTimeToken>
  /**
   * Verifies a token without using it up, for example to show a page for it.
   *
   * @throws TokenAuthError `AUTH_ONE_TIME_INVALID`, `AUTH_ONE_TIME_EXPIRED`, or
   * `AUTH_ONE_TIME_USED` if the state has changed. A token that was redeemed and has no state is
   * still accepted.
   * @throws TypeError if `expected` is invalid.
   */
  verify(token: string, expected: OneTimeExpectation): Promise<VerifiedOneTimeToken>
  /**
   * Redeems a token. Call it for POST only, because mail scanners follow links by GET.
   *
   * The same token is accepted again for a minute, see `isDone`.
   *
   * @throws TokenAuthError `AUTH_ONE_TIME_INVALID`, `AUTH_ONE_TIME_EXPIRED`, `AUTH_ONE_TIME_USED`
   * if the token was redeemed before or its state has changed, or `AUTH_STORE_UNAVAILABLE`.
   * @throws TypeError if `expected` is invalid, or if the attempt store is in memory and
   * `revocations` is not `false`.
   */
  redeem(token: string, expected: OneTimeExpectation): Promise<RedeemedOneTimeToken>
}
