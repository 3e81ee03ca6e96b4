import { TokenAuthError } from '../errors.js'
import type { Millis } from '../lib/time.js'
import type { AccessVerifier } from '../sessions/access-verifier.js'
import type { Elevation, StepUp } from '../sessions/elevation.js'
import type { IssuedTokens } from '../sessions/token-issuer.js'
import type { AccessToken } from '../tokens/access-token.js'
import { findAccessToken } from './authenticate.js'
import type { AuthenticatedRequest, TokenSources } from './authenticate.js'
import { requireAuth } from './guards.js'
import type { RequestRenewer } from './renewed-tokens.js'
import type { TokenTransport } from './token-transport.js'

/** Collaborators of {@link RequestElevation}. */
export interface RequestElevationContext {
  readonly access: AccessVerifier
  readonly elevation: Elevation
  readonly transport: TokenTransport
  readonly sources: TokenSources
  /** `null` if access tokens are not renewed silently. */
  readonly renewer: RequestRenewer | null
  readonly clock: () => Millis
}

/** Access token of an authenticated request. */
export interface PresentedAccess {
  readonly token: AccessToken
  /** Whether a cookie contained the token. */
  readonly inCookie: boolean
}

/** Replaces the access token of a request by one with the time and methods of a step-up. */
export class RequestElevation {
  readonly #context: RequestElevationContext

  constructor (context: RequestElevationContext) {
    this.#context = context
  }

  /**
   * Reads the access token that `authenticate` has accepted.
   *
   * @throws TokenAuthError `AUTH_ACCESS_MISSING` if it has accepted none.
   */
  read (request: AuthenticatedRequest): PresentedAccess {
    const { access, sources, clock } = this.#context
    const { sessionId, userId } = requireAuth(request)
    const presented = findAccessToken(request, sources)
    const { read: token } = access.inspect(presented?.token ?? '', clock()) ?? {}

    // `request.auth` of a hook of the app may come from elsewhere.
    if (presented === null || token?.sessionId !== sessionId || token.userId !== userId) {
      throw new TokenAuthError('AUTH_ACCESS_MISSING')
    }

    return { token, inCookie: presented.inCookie }
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
    // A renewed token in the same response has the time of the login.
    renewer?.discard(request)
    return issued
  }
}
