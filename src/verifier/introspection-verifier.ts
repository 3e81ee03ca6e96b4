import { TokenAuthError } from '../errors.js'
import { toSafeError } from '../lib/safe-error.js'
import type { Millis } from '../lib/time.js'
import { ACCESS_TYP } from '../tokens/access-token.js'
import type { AccessTokenVerifier, VerifiedToken } from '../tokens/auth.js'
import { isNonEmptyString, isRecord } from '../tokens/claims.js'
import type { Claims } from '../tokens/claims.js'
import { decodeHeader, decodeParts, isSameType, parseRecord } from '../tokens/jwt-codec.js'
import { TokenCache } from '../tokens/token-cache.js'
import type { CacheEntry } from '../tokens/token-cache.js'
import { readRemoteToken } from './remote-token.js'
import type { RemoteScope } from './remote-token.js'
import { readBody } from './response-body.js'

/** Maximum length of a response in bytes. Tokens are at most 8 kB. */
const MAX_RESPONSE_LENGTH = 65_536

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
  /** Called with the error name and code, or the status, if an introspection fails. */
  readonly onFailure: (cause: string) => void
}

interface CachedResponse extends VerifiedToken, CacheEntry {
  readonly requestedAt: Millis
}

interface PendingRequest {
  readonly requestedAt: Millis
  readonly response: Promise<CachedResponse>
}

/** Verifies access tokens of another service by token introspection (RFC 7662). */
export class IntrospectionVerifier implements AccessTokenVerifier {
  readonly #context: IntrospectionVerifierContext
  readonly #cache: TokenCache<CachedResponse>
  readonly #authorization: string
  readonly #pending = new Map<string, PendingRequest>()

  constructor (context: IntrospectionVerifierContext) {
    this.#context = context
    this.#cache = new TokenCache(context.cacheSize)
    const credentials = [context.clientId, context.clientSecret].map(encodeURIComponent).join(':')
    this.#authorization = `Basic ${Buffer.from(credentials).toString('base64')}`
  }

  /** Returns a recent response immediately. Otherwise sends a request to the issuer. */
  verify (token: string, cacheKey: string): VerifiedToken | Promise<VerifiedToken> {
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
  async #verifyUncached (token: string, cacheKey: string): Promise<VerifiedToken> {
    const requestedAt = this.#context.clock()
    assertPlausible(token, requestedAt, this.#context)
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
      throw new TokenAuthError('AUTH_ACCESS_INVALID')
    }

    const { auth, thumbprint } = readRemoteToken(claims, this.#context.clock(), this.#context)
    const response = { cacheKey, auth, thumbprint, requestedAt }
    this.#cache.set(response)
    return response
  }

  #isRecent ({ requestedAt }: { readonly requestedAt: Millis }, now: Millis): boolean {
    return now >= requestedAt && now - requestedAt < this.#context.maxAge
  }

  async #introspect (token: string): Promise<Claims> {
    const { uri, timeout, onFailure } = this.#context

    try {
      const response = await fetch(uri, {
        method: 'POST',
        headers: { authorization: this.#authorization, accept: 'application/json' },
        body: new URLSearchParams({ token, token_type_hint: 'access_token' }),
        redirect: 'manual',
        signal: AbortSignal.timeout(timeout)
      })

      if (response.status !== 200) {
        await response.body?.cancel()
        throw new RangeError(`status ${response.status}`)
      }

      const result: unknown = JSON.parse(await readBody(response, MAX_RESPONSE_LENGTH))

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

/**
 * Rejects a token that its unverified content already rules out, so that it causes no request.
 *
 * Proves nothing: a token that passes is still introspected.
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

// Errors of `JSON.parse` quote their input, so their message is not logged.
function describeFailure (error: Error): string {
  if (error instanceof RangeError) {
    return error.message
  }

  const { code } = (error.cause ?? {}) as { readonly code?: unknown }
  return typeof code === 'string' ? `${error.name} ${code}` : error.name
}
