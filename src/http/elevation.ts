import type { Elevation, StepUp } from '../sessions/elevation.js'
import type { IssuedTokens } from '../sessions/token-issuer.js'
import { readAcceptedToken } from './accepted-token.js'
import type { AcceptedTokenContext, PresentedAccess } from './accepted-token.js'
import type { AuthenticatedRequest } from './authenticate.js'
import type { RequestRenewer } from './renewed-tokens.js'
import type { TokenTransport } from './token-transport.js'

/** Collaborators of {@link RequestElevation}. */
export interface RequestElevationContext extends AcceptedTokenContext {
  readonly elevation: Elevation
  readonly transport: TokenTransport
  /** `null` if access tokens are not renewed silently. */
  readonly renewer: RequestRenewer | null
}

/** Replaces the access token of a request with one that has the time and methods of a step-up. */
export class RequestElevation {
  readonly #context: RequestElevationContext

  constructor (context: RequestElevationContext) {
    this.#context = context
  }

  /**
   * Reads the access token that `authenticate` has accepted.
   *
   * @throws TokenAuthError `AUTH_ACCESS_MISSING` if it has accepted no token.
   */
  read (request: AuthenticatedRequest): PresentedAccess {
    return readAcceptedToken(request, this.#context)
  }

  /**
   * Asserts that a step-up may replace the access token.
   *
   * @throws TokenAuthError `AUTH_ACCESS_EXPIRED`, `AUTH_SESSION_REVOKED` or
   * `AUTH_STORE_UNAVAILABLE`
   */
  async assertCurrent ({ token }: PresentedAccess): Promise<void> {
    await this.#context.elevation.findSession(token)
  }

  /**
   * Issues the access token of a step-up. The response must contain it.
   *
   * @throws TokenAuthError like {@link assertCurrent}
   * @throws Error if the token does not fit into its cookie.
   */
  async elevate (
    request: AuthenticatedRequest,
    { token, inCookie }: PresentedAccess,
    stepUp: StepUp
  ): Promise<IssuedTokens> {
    const { elevation, transport, renewer } = this.#context
    const issued = await elevation.elevate(token, stepUp)
    transport.assertSendable(issued, inCookie)
    // A renewed token in the same response would have the time of the login.
    renewer?.discard(request)
    return issued
  }
}
