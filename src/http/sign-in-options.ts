import type { Millis } from '../lib/time.js'
import type { AuthClaims } from '../tokens/auth.js'

/** Options of `signIn` of `fastify-token-auth/testing`. */
export interface SignInOptions {
  /**
   * Claims of the access token, in addition to those of `users.claims`. Replaces claims of the same
   * name.
   *
   * A refresh drops them, because it calls `users.claims` again.
   *
   * @default {}
   * @example
   * ```ts
   * const admin = await signIn(app, '1', { claims: { role: 'admin' } })
   * ```
   */
  readonly claims?: Readonly<Partial<AuthClaims>>
  /**
   * Authentication methods that the user passed (RFC 8176).
   *
   * @default ['pwd']
   * @example
   * ```ts
   * const session = await signIn(app, '1', { amr: ['pwd', 'otp'] })
   * ```
   */
  readonly amr?: readonly string[]
  /**
   * Time of the login in milliseconds since 1970. Set it to the past to test `requireFresh`.
   *
   * It must be later than the last revocation of all sessions of the user.
   *
   * @default the current time
   * @example
   * ```ts
   * const session = await signIn(app, '1', { authenticatedAt: Date.now() - 3_600_000 })
   * ```
   */
  readonly authenticatedAt?: Millis
  /**
   * Transport of the refresh token: JSON, or cookies like those of a browser.
   *
   * @default 'cookie' if `refreshToken.transport` is `'cookie'`, otherwise `'body'`
   */
  readonly transport?: 'body' | 'cookie'
  /**
   * Host of the page that a browser opens, for the member `cookies` of the result.
   *
   * @default 'localhost'
   */
  readonly domain?: string
}
