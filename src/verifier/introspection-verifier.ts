import { hash } from 'node:crypto'
import { TokenAuthError } from '../errors.js'
import { BoundedMap } from '../lib/bounded-map.js'
import { RateLimit } from '../lib/rate-limit.js'
import { toSafeError } from '../lib/safe-error.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { FollowableToken } from '../live/follower.js'
import { ACCESS_TYP } from '../tokens/access-token.js'
import type { AccessTokenVerifier } from '../tokens/auth.js'
import { isNonEmptyString, isRecord } from '../tokens/claims.js'
import type { Claims } from '../tokens/claims.js'
import { decodeHeader, decodeParts, isSameType, parseRecord } from '../tokens/jwt-codec.js'
import { TokenCache } from '../tokens/token-cache.js'
import type { CacheEntry } from '../tokens/token-cache.js'
import { createAuthorization, describeFailure, requestIssuer } from './issuer-request.js'
import { readRemoteToken } from './remote-token.js'
import type { RemoteScope } from './remote-token.js'
import { RequestQueue } from './request-queue.js'
import type { VerifiedTokens } from './verified-tokens.js'

/** Maximum length of a response in bytes. Tokens are at most 8 kB. */
const MAX_RESPONSE_LENGTH = 65_536
/** Maximum number of requests to the issuer that run at the same time. */
const MAX_RUNNING = 64
/** Maximum number of requests that wait for a running one. Others get 503. */
const MAX_WAITING = 1000
/** Maximum number of inactive tokens to cache, about 100 bytes each. */
const MAX_INACTIVE = 10_000
/** Time for which a token that was inactive is rejected without a request. */
const MAX_INACTIVE_AGE: Millis = 3 * SECOND

/** Settings of an {@link IntrospectionVerifier}. */
export interface IntrospectionVerifierContext extends RemoteScope {
  readonly uri: URL
  readonly clientId: string
  readonly clientSecret: string
  /** Time for which a response is valid. */
  readonly maxAge: Millis
  /** Maximum number of responses to cache. */
  readonly cacheSize: number
  readonly timeout: Millis
  readonly clock: () => Millis
  /** Receives each token that was verified. */
  readonly verified: VerifiedTokens
  /** Called with the error name and code, or the status, if an introspection fails. */
  readonly onFailure: (cause: string) => void
}

interface CachedResponse extends FollowableToken, CacheEntry {
  readonly requestedAt: Millis
}

interface PendingRequest {
  readonly requestedAt: Millis
  readonly response: Promise<CachedResponse>
}

/** Verifies access tokens of another service by token introspection (RFC 7662). */
export class IntrospectionVerifier implements AccessTokenVerifier<FollowableToken> {
  readonly #context: IntrospectionVerifierContext
  readonly #cache: TokenCache<CachedResponse>
  readonly #authorization: string
  readonly #pending = new Map<string, PendingRequest>()
  readonly #queue = new RequestQueue(MAX_RUNNING, MAX_WAITING)
  /** Limits the lines in the log, because thousands of requests may be rejected. */
  readonly #overloads = new RateLimit(1, SECOND)
  /** Hashes of inactive tokens, and the time of each request to the issuer. */
  readonly #inactive = new BoundedMap<string, Millis>(MAX_INACTIVE)
  readonly #inactiveAge: Millis

  constructor (context: IntrospectionVerifierContext) {
    this.#context = context
    this.#cache = new TokenCache(context.cacheSize)
    this.#authorization = createAuthorization(context)
    this.#inactiveAge = Math.min(context.maxAge, MAX_INACTIVE_AGE)
  }

  /** Returns a recent response immediately. Otherwise sends a request to the issuer. */
  verify (token: string, cacheKey: string): FollowableToken | Promise<FollowableToken> {
    const cached = this.#cache.get(cacheKey)
    const now = this.#context.clock()

    if (cached === undefined || !this.#isRecent(cached, now)) {
      return this.#verifyUncached(token, cacheKey)
    }

    if (now >= cached.auth.expiresAt) {
      throw new TokenAuthError('AUTH_ACCESS_EXPIRED')
    }

    return cached
  }

  // Concurrent requests with the same token share one request to the issuer.
  async #verifyUncached (token: string, cacheKey: string): Promise<FollowableToken> {
    const requestedAt = this.#context.clock()
    assertPlausible(token, requestedAt, this.#context)
    this.#assertNotInactive(token, requestedAt)
    const pending = this.#pending.get(token)

    if (pending !== undefined && this.#isRecent(pending, requestedAt)) {
      return pending.response
    }

    const request = { requestedAt, response: this.#request(token, cacheKey, requestedAt) }
    this.#pending.set(token, request)

    try {
      return await request.response
    } finally {
      if (this.#pending.get(token) === request) {
        this.#pending.delete(token)
      }
    }
  }

  // The age of a response counts from its request, however long the issuer takes.
  async #request (token: string, cacheKey: string, requestedAt: Millis): Promise<CachedResponse> {
    const { active, token_type: tokenType, ...claims } = await this.#introspect(token)

    if (active !== true) {
      this.#inactive.set(hashToken(token), requestedAt)
      throw new TokenAuthError('AUTH_ACCESS_INVALID')
    }

    const { clock, verified } = this.#context
    const { auth, generation, thumbprint } = readRemoteToken(claims, clock(), this.#context)
    const response = { cacheKey, auth, generation, thumbprint, requestedAt }
    this.#cache.set(response)
    verified.set(auth, response)
    return response
  }

  // A client that repeats a revoked token must not cause a request each time.
  #assertNotInactive (token: string, now: Millis): void {
    if (this.#inactiveAge === 0) {
      return
    }

    const requestedAt = this.#inactive.get(hashToken(token)) ?? -Infinity

    if (now >= requestedAt && now - requestedAt < this.#inactiveAge) {
      throw new TokenAuthError('AUTH_ACCESS_INVALID')
    }
  }

  #assertNotFull (): void {
    if (!this.#queue.isFull) {
      return
    }

    if (this.#overloads.next() !== null) {
      this.#context.onFailure('too many requests wait for a response')
    }

    throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
  }

  #isRecent ({ requestedAt }: { readonly requestedAt: Millis }, now: Millis): boolean {
    return now >= requestedAt && now - requestedAt < this.#context.maxAge
  }

  async #introspect (token: string): Promise<Claims> {
    const { uri, timeout, onFailure } = this.#context
    this.#assertNotFull()
    // Also runs while the request waits.
    const signal = AbortSignal.timeout(timeout)

    try {
      const result = await this.#queue.run(() =>
        requestIssuer({
          uri,
          authorization: this.#authorization,
          contentType: 'application/x-www-form-urlencoded;charset=UTF-8',
          body: new URLSearchParams({ token, token_type_hint: 'access_token' }).toString(),
          signal,
          maxLength: MAX_RESPONSE_LENGTH
        })
      )

      if (!isRecord(result) || typeof result.active !== 'boolean') {
        throw new RangeError('response without a boolean "active"')
      }

      return result
    } catch (error) {
      onFailure(describeFailure(error as Error))
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE', { cause: toSafeError(error, false) })
    }
  }
}

// Takes less memory than a token of up to 8 kB. Nobody can read a token from its hash.
function hashToken (token: string): string {
  return hash('sha256', token, 'base64url')
}

/**
 * Rejects a token by its unverified content, so that an unusable token causes no request.
 *
 * Does not prove that a token is valid: a token that passes is still introspected.
 *
 * @throws TokenAuthError `AUTH_ACCESS_INVALID` or `AUTH_ACCESS_EXPIRED`
 */
function assertPlausible (
  token: string,
  now: Millis,
  context: RemoteScope
): void {
  const header = decodeHeader(token)
  const claims = parseRecord(decodeParts(token)?.payload)
  const isSigned = isNonEmptyString(header?.alg) && header.alg.toLowerCase() !== 'none'

  if (!isSameType(header?.typ, ACCESS_TYP) || !isSigned || claims === null) {
    throw new TokenAuthError('AUTH_ACCESS_INVALID')
  }

  readRemoteToken(claims, now, context)
}
