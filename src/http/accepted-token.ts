import { TokenAuthError } from '../errors.js'
import type { Millis } from '../lib/time.js'
import type { AccessVerifier } from '../sessions/access-verifier.js'
import type { AccessToken } from '../tokens/access-token.js'
import { findAccessToken } from './authenticate.js'
import type { AuthenticatedRequest, TokenSources } from './authenticate.js'
import { getRequiredAuth } from './guards.js'

/** Collaborators of {@link readAcceptedToken}. */
export interface AcceptedTokenContext {
  readonly access: AccessVerifier
  readonly sources: TokenSources
  readonly clock: () => Millis
}

/** Access token of an authenticated request. */
export interface PresentedAccess {
  readonly token: AccessToken
  /** Whether a cookie contained the token. */
  readonly inCookie: boolean
}

/**
 * Reads the access token that `authenticate` has accepted.
 *
 * @throws TokenAuthError `AUTH_ACCESS_MISSING` if it has accepted no token.
 */
export function readAcceptedToken (
  request: AuthenticatedRequest,
  { access, sources, clock }: AcceptedTokenContext
): PresentedAccess {
  const { sessionId, userId } = getRequiredAuth(request)
  const presented = findAccessToken(request, sources)
  const { read: token } = access.inspect(presented?.token ?? '', clock()) ?? {}

  // A hook of the app may have set `request.auth` without this token.
  if (presented === null || token?.sessionId !== sessionId || token.userId !== userId) {
    throw new TokenAuthError('AUTH_ACCESS_MISSING')
  }

  return { token, inCookie: presented.sentAs === 'cookie' }
}
