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

/** Accepted token of another service, with what a report to its issuer needs. */
export interface RemoteToken extends VerifiedToken {
  readonly generation: number
  /** The claim `seen`; `null` if the token does not have it. */
  readonly seen: string | null
  /** Whether the issuer gets or has got a note of the token. */
  isNoted: boolean
}

/** Length of the claim is 11. A later version of the issuer may make it longer. */
const MAX_SEEN_LENGTH = 64

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
): RemoteToken {
  const { aud, seen, client_id: clientId = null } = claims
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

  return {
    auth: Object.freeze(auth),
    thumbprint,
    generation: read.generation,
    seen: isNonEmptyString(seen) && seen.length <= MAX_SEEN_LENGTH ? seen : null,
    isNoted: false
  }
}
