import type { Millis } from '../lib/time.js'

/**
 * Claims that `users.claims` adds to access tokens. Augment it to type `request.auth.claims`.
 *
 * @example
 * ```ts
 * declare module 'fastify-token-auth' {
 *   interface AuthClaims { role: 'admin' | 'member' }
 * }
 * ```
 */
export interface AuthClaims {}

/** User and session of a request, from its access token. Frozen, because requests share it. */
export interface Auth {
  /** ID of the user, the `sub` claim. */
  readonly userId: string
  /** ID of the session, the `sid` claim. */
  readonly sessionId: string
  /** Time of the last login or step-up (`auth_time`), in milliseconds, cut to whole seconds. */
  readonly authenticatedAt: Millis
  /** Authentication methods (RFC 8176), for example `['pwd']`. */
  readonly amr: readonly string[]
  /** OAuth client that acts for the user. `null` for the app itself. */
  readonly clientId: string | null
  /** Claims that `users.claims` added to the token. */
  readonly claims: Readonly<AuthClaims>
  /** Expiry of the access token, in milliseconds since the Unix epoch. */
  readonly expiresAt: Millis
}

/** Result of the verification of an access token. */
export interface VerifiedToken {
  readonly auth: Auth
  /** Thumbprint of the key that the client must prove to possess. `null` for a bearer token. */
  readonly thumbprint: string | null
}

/** Verifies access tokens for the `authenticate` hook, locally or with the help of the issuer. */
export interface AccessTokenVerifier<Verified extends VerifiedToken = VerifiedToken> {
  /**
   * Verifies an access token.
   *
   * @param cacheKey - String under which the result is cached. Pass a whole header value, because
   * a lookup by a substring takes longer.
   * @returns The result itself if no I/O is needed, otherwise a promise.
   * @throws TokenAuthError `AUTH_ACCESS_INVALID`, `AUTH_ACCESS_EXPIRED`, `AUTH_SESSION_REVOKED`,
   * `AUTH_STORE_UNAVAILABLE` or `AUTH_KEYS_UNAVAILABLE`. A promise rejects with the same errors.
   */
  verify(token: string, cacheKey: string): Verified | Promise<Verified>
  /**
   * Called after the client of a DPoP-bound token has proved possession of its key.
   *
   * The request waits for the promise, and fails if it rejects.
   */
  onPossessionProved?(verified: Verified): Promise<void>
}
