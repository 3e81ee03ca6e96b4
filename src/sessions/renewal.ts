import { canRenew } from '../domain/rotation.js'
import type { Session } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { Logger } from '../events.js'
import { KeyedSingleFlight } from '../lib/single-flight.js'
import { SECOND } from '../lib/time.js'
import { describeError } from '../lib/safe-error.js'
import type { Millis } from '../lib/time.js'
import type { RevocationReporter } from '../revocations/reporter.js'
import type { UsageTracker } from '../revocations/usage-tracker.js'
import type { TokenStore } from '../stores/token-store.js'
import type { VerifiedAccessToken } from './access-verifier.js'
import type { TokenIssuer } from './token-issuer.js'
import type { UserDirectory } from './users.js'

/** Settings and collaborators of {@link Renewal}. */
export interface RenewalContext {
  readonly store: TokenStore
  readonly realm: string
  readonly users: UserDirectory
  readonly issuer: TokenIssuer
  readonly reporter: RevocationReporter
  readonly usage: UsageTracker
  readonly logger: Logger
  readonly clock: () => Millis
  /** Time before expiry in which a token is renewed. */
  readonly window: Millis
  /** Grace period of rotations. */
  readonly grace: Millis
}

/** Access token that replaces the one of a request. */
export interface RenewedAccessToken {
  readonly token: string
  readonly sessionId: string
  /** `Max-Age` of its cookie in seconds. `null` for a session cookie. */
  readonly maxAge: number | null
}

/**
 * Renews access tokens that are about to expire, if their session is still valid.
 *
 * A token of an outdated generation is not renewed. So an attacker cannot renew a stolen access
 * token after the client has refreshed.
 */
export class Renewal {
  readonly #context: RenewalContext
  readonly #renewing = new KeyedSingleFlight<string, RenewedAccessToken | null>()

  constructor (context: RenewalContext) {
    this.#context = context
  }

  /** Whether a token is due for renewal. OAuth clients refresh by themselves instead. */
  isDue ({ auth }: VerifiedAccessToken): boolean {
    return auth.expiresAt - this.#context.clock() <= this.#context.window && auth.clientId === null
  }

  /**
   * Renews an access token. Concurrent requests with the same token share the result.
   *
   * @returns `null` if the session expires first, if the session or its user is gone, if the
   * generation is outdated, or if the store failed. The request then proceeds with its own token,
   * and the next one tries again.
   * @throws TokenAuthError `AUTH_SESSION_REVOKED` if the session is revoked.
   */
  renew (token: string, verified: VerifiedAccessToken): Promise<RenewedAccessToken | null> {
    return this.#renewing.run(token, () => this.#renew(verified))
  }

  // The new token starts when the renewal window of the old one began, not now. So all instances
  // issue the same claims for the same token.
  async #renew (verified: VerifiedAccessToken): Promise<RenewedAccessToken | null> {
    const { store, realm, users, issuer, reporter, logger, clock, window } = this.#context
    const { auth: { userId, sessionId, expiresAt, clientId }, persistent } = verified
    const { generation, thumbprint, loginAmr: amr } = verified

    try {
      const [session, profile] = await Promise.all([
        store.find(realm, sessionId),
        users.findActive(userId)
      ])

      if (session?.revokedAt != null) {
        reporter.addRevokedRow(verified.auth, session.revokedAt, clock())
        throw new TokenAuthError('AUTH_SESSION_REVOKED')
      }

      if (session === null || profile === null || session.expiresAt < expiresAt + SECOND) {
        return null
      }

      if (!canRenewNow(session, generation, this.#context)) {
        return null
      }

      const { authenticatedAt } = session
      const claims = { ...profile.claims }
      const subject = {
        userId,
        sessionId,
        generation,
        persistent,
        authenticatedAt,
        amr,
        clientId,
        thumbprint,
        claims
      }
      const from = expiresAt - window
      const { token, expiresIn } = issuer.issueAccessToken(subject, from, session.expiresAt)
      const maxAge = persistent ? expiresIn - Math.floor((clock() - from) / 1000) : null
      return { token, sessionId, maxAge }
    } catch (error) {
      if (error instanceof TokenAuthError && error.code === 'AUTH_SESSION_REVOKED') {
        throw error
      }

      logger.warn(
        { sessionId, cause: describeError(error, false) },
        'failed to renew an access token'
      )
      return null
    }
  }
}

/**
 * Whether a session may get another access token of a generation without a refresh.
 *
 * This instance may have seen a generation in use that the row does not know yet.
 */
export function canRenewNow (
  session: Session,
  generation: number,
  { usage, clock, grace }: Pick<RenewalContext, 'usage' | 'clock' | 'grace'>
): boolean {
  const confirmedGeneration = Math.max(
    session.confirmedGeneration,
    usage.getConfirmedGeneration(session.id)
  )
  return canRenew({ ...session, confirmedGeneration }, generation, clock(), grace)
}
