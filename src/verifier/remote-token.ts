import { TokenAuthError } from '../errors.js'
import type { Millis } from '../lib/time.js'
import { readAccessClaims } from '../tokens/access-token.js'
import type { VerifiedToken } from '../tokens/auth.js'
import { isNonEmptyString, isStringArray } from '../tokens/claims.js'
import type { Claims } from '../tokens/claims.js'

/** Parties that an accepted token names. */
export interface RemoteScope {
  readonly issuers: readonly [string, ...string[]]
  readonly audiences: readonly [string, ...string[]]
}

/**
 * Reads the claims of an authentic token of another service.
 *
 * Accepts a token with several audiences if one of them is accepted. Returns the client ID
 * unchanged.
 *
 * @throws TokenAuthError `AUTH_ACCESS_INVALID` or `AUTH_ACCESS_EXPIRED`
 */
export function readRemoteToken (
  claims: Claims,
  now: Millis,
  { issuers, audiences }: RemoteScope
): VerifiedToken {
  const { aud, client_id: clientId = null } = claims
  const audience = isStringArray(aud) ? audiences.find(accepted => aud.includes(accepted)) : aud
  const read = readAccessClaims({ ...claims, aud: audience, client_id: undefined }, now, {
    issuer: issuers[0],
    audience: audiences[0],
    acceptedIssuers: issuers,
    acceptedAudiences: audiences
  })

  if (read === null || (clientId !== null && !isNonEmptyString(clientId))) {
    throw new TokenAuthError('AUTH_ACCESS_INVALID')
  }

  const { userId, sessionId, authenticatedAt, amr, expiresAt, thumbprint } = read

  if (now >= expiresAt) {
    throw new TokenAuthError('AUTH_ACCESS_EXPIRED')
  }

  const auth = { userId, sessionId, authenticatedAt, amr, clientId, claims: read.claims, expiresAt }
  return { auth: Object.freeze(auth), thumbprint }
}
