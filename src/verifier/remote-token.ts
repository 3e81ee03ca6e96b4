import { TokenAuthError } from '../errors.js'
import type { Millis } from '../lib/time.js'
import { readAccessClaims } from '../tokens/access-token.js'
import type { VerifiedToken } from '../tokens/auth.js'
import { isNonEmptyString, isStringArray } from '../tokens/claims.js'
import type { Claims } from '../tokens/claims.js'

/**
 * Reads the claims of an authentic token of another service.
 *
 * Accepts a token with several audiences if `audience` is one of them. Returns the client ID
 * unchanged.
 *
 * @throws TokenAuthError `AUTH_ACCESS_INVALID` or `AUTH_ACCESS_EXPIRED`
 */
export function readRemoteToken (
  claims: Claims,
  now: Millis,
  { issuer, audience }: { readonly issuer: string, readonly audience: string }
): VerifiedToken {
  const { aud, client_id: clientId = null } = claims
  const isOneOfSeveral = isStringArray(aud) && aud.includes(audience)
  const normalized = {
    ...claims,
    ...(isOneOfSeveral && { aud: audience }),
    client_id: undefined
  }
  const read = readAccessClaims(normalized, now, { issuer, audience })

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
