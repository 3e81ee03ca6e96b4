// Access tokens that another service has issued, in use: admitted by its public keys. What was verified once is remembered for as
// long as the token is good and its key is the issuer's.

import { readAccessClaims } from '../tokens/access-token.js'
import { isNonEmptyString, isStringArray } from '../tokens/jwt-codec.js'
import type { Claims } from '../tokens/jwt-codec.js'
import type { AppKey } from '../tokens/keys.js'
import type { RemoteKeys } from './remote-keys.js'
import { TokenAuthError } from '../errors.js'
import type { Auth } from '../sessions/access-verifier.js'
import { TokenCache } from '../tokens/token-cache.js'
import type { Millis } from '../lib/time.js'

/** Who sent a token of another service. */
export interface RemoteToken {
  readonly auth: Auth
  /** Of the key without a proof of which the token is worth nothing; `null` where it needs none. */
  readonly thumbprint: string | null
}

/** Lets in what another service has issued. */
export interface AccessTokenVerifier {
  /**
   * Who sent it, where that is remembered; `null` where it is to be verified.
   * @throws TokenAuthError AUTH_ACCESS_EXPIRED
   */
  recall(token: string): RemoteToken | null
  /** @throws TokenAuthError AUTH_ACCESS_INVALID, AUTH_ACCESS_EXPIRED; AUTH_KEYS_UNAVAILABLE or AUTH_STORE_UNAVAILABLE */
  verify(token: string): Promise<RemoteToken>
}

export interface JwksVerifierContext {
  readonly keys: RemoteKeys
  readonly issuer: string
  readonly audience: string
  /** How many verified tokens are remembered. */
  readonly cacheSize: number
  readonly clock: () => Millis
}

interface Verified extends RemoteToken {
  readonly text: string
  readonly key: AppKey
  /** When it was verified: a clock that says less was ahead then. */
  readonly at: Millis
}

/** */
export class JwksVerifier implements AccessTokenVerifier {
  readonly #context: JwksVerifierContext
  // By the whole text, since two texts may carry one signature.
  readonly #verified: TokenCache<Verified>

  constructor (context: JwksVerifierContext) {
    this.#context = context
    this.#verified = new TokenCache(context.cacheSize)
  }

  recall (token: string): RemoteToken | null {
    const remembered = this.#verified.get(token)

    if (remembered === undefined) {
      return null
    }

    const { auth, key, at } = remembered
    const now = this.#context.clock()

    if (at > now || !this.#context.keys.holds(key, now)) {
      return null
    }

    if (now >= auth.expiresAt) {
      this.#verified.delete(token)
      throw new TokenAuthError('AUTH_ACCESS_EXPIRED')
    }

    return remembered
  }

  async verify (token: string): Promise<RemoteToken> {
    const { keys, clock } = this.#context
    const opened = await keys.open(token)
    const now = clock()

    // RFC 9068 section 2.2: what others verify has one.
    if (opened === null || !isNonEmptyString(opened.claims.jti)) {
      throw new TokenAuthError('AUTH_ACCESS_INVALID')
    }

    const verified = {
      text: token,
      ...readRemoteToken(opened.claims, now, this.#context),
      key: opened.key,
      at: now
    }
    this.#verified.set(verified)
    return verified
  }
}

/**
 * Who sent a token with these claims, which are authentic. Ours is one of its audiences; whoever its client is, it has a name.
 * @throws TokenAuthError AUTH_ACCESS_INVALID, AUTH_ACCESS_EXPIRED
 */
export function readRemoteToken (
  claims: Claims,
  now: Millis,
  { issuer, audience }: { readonly issuer: string, readonly audience: string }
): RemoteToken {
  const { aud, client_id: clientId = null } = claims
  const isAmongOthers = isStringArray(aud) && aud.includes(audience)
  const ours = { ...claims, ...(isAmongOthers && { aud: audience }), client_id: undefined }
  const read = readAccessClaims(ours, now, { issuer, audience })

  if (read === null || (clientId !== null && !isNonEmptyString(clientId))) {
    throw new TokenAuthError('AUTH_ACCESS_INVALID')
  }

  const { userId, sessionId, authenticatedAt, amr, claims: own, expiresAt, thumbprint } = read

  if (now >= expiresAt) {
    throw new TokenAuthError('AUTH_ACCESS_EXPIRED')
  }

  return {
    auth: Object.freeze({
      userId,
      sessionId,
      authenticatedAt,
      amr,
      clientId,
      claims: own,
      expiresAt
    }),
    thumbprint
  }
}
