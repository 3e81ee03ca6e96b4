import { TokenAuthError } from '../errors.js'
import type { Millis } from '../lib/time.js'
import type { AccessTokenVerifier } from '../tokens/auth.js'
import { isNonEmptyString } from '../tokens/claims.js'
import type { AppKey } from '../tokens/keys.js'
import { TokenCache } from '../tokens/token-cache.js'
import type { CacheEntry } from '../tokens/token-cache.js'
import type { RemoteKeys } from './remote-keys.js'
import { readRemoteToken } from './remote-token.js'
import type { RemoteScope, RemoteToken } from './remote-token.js'
import type { VerifiedTokens } from './verified-tokens.js'

/** Settings and collaborators of a {@link JwksVerifier}. */
export interface JwksVerifierContext extends RemoteScope {
  readonly keys: RemoteKeys
  /** Maximum number of verified tokens to cache. */
  readonly cacheSize: number
  readonly clock: () => Millis
  /** Receives each token that was verified. */
  readonly verified: VerifiedTokens
}

interface CachedToken extends RemoteToken, CacheEntry {
  readonly key: AppKey
  /** Time of verification. An earlier clock reading means that the clock was ahead then. */
  readonly verifiedAt: Millis
}

/** Verifies access tokens of another service with its key set. */
export class JwksVerifier implements AccessTokenVerifier<RemoteToken> {
  readonly #context: JwksVerifierContext
  readonly #cache: TokenCache<CachedToken>

  constructor (context: JwksVerifierContext) {
    this.#context = context
    this.#cache = new TokenCache(context.cacheSize)
  }

  /** Returns a cached token immediately while its key is published. Otherwise returns a promise. */
  verify (token: string, cacheKey: string): RemoteToken | Promise<RemoteToken> {
    const cached = this.#cache.get(cacheKey)
    const now = this.#context.clock()

    if (cached === undefined || cached.verifiedAt > now || !this.#context.keys.hasKey(cached.key)) {
      return this.#verifyUncached(token, cacheKey)
    }

    if (now >= cached.auth.expiresAt) {
      this.#cache.delete(cacheKey)
      throw new TokenAuthError('AUTH_ACCESS_EXPIRED')
    }

    return cached
  }

  async #verifyUncached (token: string, cacheKey: string): Promise<RemoteToken> {
    const { keys, clock } = this.#context
    const authentic = await keys.verify(token)
    const now = clock()

    // Required for tokens that other services verify (RFC 9068, section 2.2).
    if (authentic === null || !isNonEmptyString(authentic.claims.jti)) {
      throw new TokenAuthError('AUTH_ACCESS_INVALID')
    }

    const { claims, key } = authentic
    const verified = {
      ...readRemoteToken(claims, now, this.#context),
      cacheKey,
      key,
      verifiedAt: now
    }
    this.#cache.set(verified)
    this.#context.verified.set(verified.auth, verified)
    return verified
  }
}
