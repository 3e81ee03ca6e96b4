import { TokenAuthError } from '../errors.js'
import type { Millis } from '../lib/time.js'
import type { RevocationFeed } from '../revocations/feed.js'
import type { RevokedSessions } from '../revocations/revoked.js'
import type { UsageTracker } from '../revocations/usage-tracker.js'
import { findTokenOwner, readAccessClaims } from '../tokens/access-token.js'
import type { AccessScope, AccessToken, TokenOwner } from '../tokens/access-token.js'
import type { AccessTokenVerifier, VerifiedToken } from '../tokens/auth.js'
import type { Claims } from '../tokens/claims.js'
import type { JwtCodec } from '../tokens/jwt-codec.js'
import { TokenCache } from '../tokens/token-cache.js'
import type { CacheEntry } from '../tokens/token-cache.js'

/** Settings and collaborators of an {@link AccessVerifier}. */
export interface AccessVerifierContext {
  readonly codec: JwtCodec
  readonly scope: AccessScope
  /** Whether DPoP-bound tokens are accepted. If so, the caller verifies the proof. */
  readonly acceptsDpop: boolean
  /** Maximum number of verified tokens to cache. */
  readonly cacheSize: number
  readonly clock: () => Millis
  readonly revoked: RevokedSessions
  readonly feed: Pick<RevocationFeed, 'isOverdue' | 'catchUp' | 'isStale'>
  /** Records accepted generations. `null` if access tokens do not confirm a generation. */
  readonly usage: UsageTracker | null
}

/** Accepted access token, with the data that renewal and usage tracking need. */
export interface VerifiedAccessToken extends VerifiedToken {
  readonly generation: number
  /** Whether a cookie with this token outlives the browser. */
  readonly persistent: boolean
  /** Methods of the login. Differs from `auth.amr` after a step-up. */
  readonly loginAmr: readonly string[]
}

interface CachedToken extends VerifiedAccessToken, CacheEntry {
  /**
   * Time of verification. An earlier clock reading means that the clock was ahead then.
   *
   * Seconds fit into 31 bits, which V8 stores in the object itself.
   */
  readonly verifiedAtSeconds: number
  isConfirmed: boolean
}

/** Verifies our own access tokens without I/O, and checks them against known revocations. */
export class AccessVerifier implements AccessTokenVerifier<VerifiedAccessToken> {
  readonly #context: AccessVerifierContext
  // The cache never replaces the checks of expiry and revocation.
  readonly #cache: TokenCache<CachedToken>

  constructor (context: AccessVerifierContext) {
    this.#context = context
    this.#cache = new TokenCache(context.cacheSize)
  }

  /**
   * Verifies an access token and records the use of its generation.
   *
   * Returns a promise only if the response must wait. It waits until the use is written, or until
   * this process has read the revocations that it missed while it stood still.
   *
   * If the token is DPoP-bound, the caller must verify the proof and then call
   * {@link onPossessionProved}.
   *
   * @throws TokenAuthError `AUTH_ACCESS_INVALID`, `AUTH_ACCESS_EXPIRED`, `AUTH_SESSION_REVOKED` or
   * `AUTH_STORE_UNAVAILABLE`.
   */
  verify (token: string, cacheKey: string): VerifiedAccessToken | Promise<VerifiedAccessToken> {
    const { feed } = this.#context

    return feed.isOverdue()
      ? feed.catchUp().then(() => this.#verify(token, cacheKey))
      : this.#verify(token, cacheKey)
  }

  #verify (token: string, cacheKey: string): VerifiedAccessToken | Promise<VerifiedAccessToken> {
    const { clock, revoked, feed } = this.#context
    const now = clock()
    const cached = this.#cache.get(cacheKey)
    const verified = cached !== undefined && cached.verifiedAtSeconds * 1000 <= now
      ? cached
      : this.#verifyUncached(token, cacheKey, now)

    if (now >= verified.auth.expiresAt) {
      this.#cache.delete(cacheKey)
      throw new TokenAuthError('AUTH_ACCESS_EXPIRED')
    }

    if (revoked.has(verified.auth.sessionId, verified.auth.userId)) {
      throw new TokenAuthError('AUTH_SESSION_REVOKED')
    }

    if (feed.isStale()) {
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
    }

    if (verified.isConfirmed || verified.thumbprint !== null) {
      return verified
    }

    const writing = this.#confirm(verified)
    return writing === null ? verified : writing.then(() => verified)
  }

  /** Records the use of a DPoP-bound token. */
  async onPossessionProved (verified: VerifiedAccessToken): Promise<void> {
    await this.#confirm(verified as CachedToken)
  }

  /** Removes all cached tokens. Called when a key is removed. */
  clearCache (): void {
    this.#cache.clear()
  }

  /** Finds the session of an authentic token. Ignores its times, issuer and audience. */
  findOwner (token: string): TokenOwner | null {
    return findTokenOwner(this.#context.codec, token, this.#context.scope)
  }

  /**
   * Reads a valid token without recording its use. Does not check expiry or revocations.
   *
   * @returns `null` if the token is invalid.
   */
  inspect (
    token: string,
    now: Millis
  ): { readonly read: AccessToken, readonly claims: Claims } | null {
    const { codec, scope, acceptsDpop } = this.#context
    const claims = codec.verify(token)
    const read = claims === null ? null : readAccessClaims(claims, now, scope)

    return claims === null || read === null || (read.thumbprint !== null && !acceptsDpop)
      ? null
      : { read, claims }
  }

  /** Whether the header of a token claims to be an access token. Verifies no signature. */
  looksLike (token: string): boolean {
    return this.#context.codec.looksLike(token)
  }

  #confirm (verified: CachedToken): Promise<void> | null {
    if (verified.isConfirmed) {
      return null
    }

    const { auth: { sessionId }, generation } = verified
    const { usage, clock } = this.#context
    const writing = usage?.markConfirmed(sessionId, generation, clock()) ?? null

    // After a failed write, the next request with this token tries again.
    if (writing !== null) {
      return writing.then(() => {
        verified.isConfirmed = true
      })
    }

    verified.isConfirmed = true
    return null
  }

  #verifyUncached (token: string, cacheKey: string, now: Millis): CachedToken {
    const { read } = this.inspect(token, now) ?? {}

    if (read === undefined) {
      throw new TokenAuthError('AUTH_ACCESS_INVALID')
    }

    const { userId, sessionId, authenticatedAt, amr, clientId, claims, expiresAt } = read
    const verified: CachedToken = {
      cacheKey,
      verifiedAtSeconds: Math.floor(now / 1000),
      auth: Object.freeze({
        userId,
        sessionId,
        authenticatedAt,
        amr,
        clientId,
        claims,
        expiresAt
      }),
      thumbprint: read.thumbprint,
      generation: read.generation,
      persistent: read.persistent,
      loginAmr: read.loginAmr,
      isConfirmed: false
    }
    this.#cache.set(verified)
    return verified
  }
}
