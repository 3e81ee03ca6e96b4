import { TokenAuthError } from '../errors.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { RevocationReporter } from '../revocations/reporter.js'
import type { UsageTracker } from '../revocations/usage-tracker.js'
import type { TokenStore } from '../stores/token-store.js'
import type { AccessToken } from '../tokens/access-token.js'
import type { Session } from '../domain/session.js'
import { canRenewNow } from './renewal.js'
import type { IssuedTokens, TokenIssuer } from './token-issuer.js'
import type { UserDirectory } from './users.js'

/** Settings and collaborators of {@link Elevation}. */
export interface ElevationContext {
  readonly store: TokenStore
  readonly realm: string
  readonly users: UserDirectory
  readonly issuer: TokenIssuer
  readonly reporter: RevocationReporter
  readonly usage: UsageTracker
  readonly clock: () => Millis
  /** Grace period of rotations. */
  readonly grace: Millis
}

/** A second authentication of a signed-in user. */
export interface StepUp {
  /** Authentication methods of the step-up (RFC 8176). */
  readonly amr: readonly string[]
  /** Moment of the step-up. */
  readonly authenticatedAt: Millis
}

/**
 * Issues access tokens for a user who has authenticated again in a session (step-up).
 *
 * Such a token has the time and methods of the step-up. It belongs to the same session and
 * generation, so the store is only read. A refresh or a silent renewal restores the time and
 * methods of the login.
 */
export class Elevation {
  readonly #context: ElevationContext

  constructor (context: ElevationContext) {
    this.#context = context
  }

  /**
   * Returns the session of an access token, if a step-up may replace the token.
   *
   * An outdated generation cannot be elevated. So an attacker cannot elevate a stolen access token
   * after the client has refreshed.
   *
   * @throws TokenAuthError `AUTH_SESSION_REVOKED`, or `AUTH_ACCESS_EXPIRED` if the session has
   * expired or its client has a newer token. `AUTH_STORE_UNAVAILABLE` if the store fails.
   */
  async findSession (token: AccessToken): Promise<Session> {
    const { sessionId, generation } = token
    const { store, realm, reporter, clock } = this.#context
    const session = await store.find(realm, sessionId)
    const now = clock()

    if (session?.revokedAt != null) {
      reporter.addRevokedRow(token, session.revokedAt, now)
      throw new TokenAuthError('AUTH_SESSION_REVOKED')
    }

    if (session === null || session.expiresAt < now + SECOND) {
      throw new TokenAuthError('AUTH_ACCESS_EXPIRED')
    }

    if (!canRenewNow(session, generation, this.#context)) {
      throw new TokenAuthError('AUTH_ACCESS_EXPIRED', {
        hint: 'its session was refreshed, use the newer token'
      })
    }

    return session
  }

  /**
   * Issues an access token with the time and methods of a step-up.
   *
   * @returns The token and the user, without a refresh token.
   * @throws TokenAuthError like {@link findSession}. `AUTH_SESSION_REVOKED` also if the user is
   * unknown or disabled.
   */
  async elevate (token: AccessToken, { amr, authenticatedAt }: StepUp): Promise<IssuedTokens> {
    const { users, issuer, clock } = this.#context
    const { userId, sessionId, generation, clientId, thumbprint, loginAmr } = token
    const profile = await users.findActive(userId)

    if (profile === null) {
      throw new TokenAuthError('AUTH_SESSION_REVOKED')
    }

    // The callbacks of the app run first, so that a revocation during them counts.
    const { expiresAt } = await this.findSession(token)

    return issuer.issue(profile, {
      sessionId,
      generation,
      expiresAt,
      refreshToken: null,
      persistent: token.persistent === true,
      authenticatedAt,
      amr,
      loginAmr,
      clientId,
      thumbprint
    }, clock())
  }
}
