import type { Millis } from '../lib/time.js'
import { issueAccessToken } from '../tokens/access-token.js'
import type { AccessScope, AccessSubject, Authentication } from '../tokens/access-token.js'
import type { Claims, SenderConstraint } from '../tokens/claims.js'
import type { JwtCodec } from '../tokens/jwt-codec.js'
import type { Profile } from './users.js'

/** Tokens and public user data for the response to a login or a refresh. */
export interface IssuedTokens {
  readonly accessToken: string
  /** Lifetime of the access token in seconds. */
  readonly expiresIn: number
  /** `null` if the client keeps its refresh token, or if refresh tokens are disabled. */
  readonly refreshToken: string | null
  /** Idle lifetime of the refresh token in seconds. */
  readonly refreshExpiresIn: number
  /** Whether a cookie with these tokens outlives the browser. */
  readonly persistent: boolean
  /** Whether the access token is bound to a key (RFC 9449). */
  readonly isDpopBound: boolean
  /** `scope` claim of the access token (RFC 9068, section 2.2.3), or `null`. */
  readonly scope: string | null
  readonly user: object
}

/** Session and generation that tokens are issued for. */
export interface TokenSubject extends Authentication, SenderConstraint {
  readonly sessionId: string
  readonly generation: number
  readonly persistent: boolean
  /** Idle expiry of the session. */
  readonly expiresAt: Millis
  readonly refreshToken: string | null
}

/** Settings of a {@link TokenIssuer}. */
export interface TokenIssuerContext {
  readonly codec: JwtCodec
  readonly scope: AccessScope
  /** Lifetime of an access token. */
  readonly lifetime: Millis
}

/** Issues the access tokens of a session. */
export class TokenIssuer {
  readonly #context: TokenIssuerContext

  constructor (context: TokenIssuerContext) {
    this.#context = context
  }

  /**
   * Issues an access token that expires with its session or earlier.
   *
   * @returns The token and its lifetime in seconds.
   */
  issueAccessToken (
    subject: AccessSubject,
    now: Millis,
    sessionExpiresAt: Millis
  ): { readonly token: string, readonly expiresIn: number } {
    const { codec, scope, lifetime } = this.#context
    const validity = { from: now, to: Math.min(now + lifetime, sessionExpiresAt) }
    return issueAccessToken(codec, subject, validity, scope)
  }

  /** Issues the tokens for one generation of a session. */
  issue (
    { userId, claims, publicUser }: Profile,
    subject: TokenSubject,
    now: Millis
  ): IssuedTokens {
    const { sessionId, generation, refreshToken, persistent, expiresAt } = subject
    const { authenticatedAt, amr, loginAmr, clientId, thumbprint } = subject
    const access = this.issueAccessToken(
      {
        userId,
        claims: claims as Claims,
        sessionId,
        generation,
        persistent,
        authenticatedAt,
        amr,
        loginAmr,
        clientId,
        thumbprint
      },
      now,
      expiresAt
    )

    return {
      accessToken: access.token,
      expiresIn: access.expiresIn,
      refreshToken,
      refreshExpiresIn: Math.max(0, Math.floor((expiresAt - now) / 1000)),
      persistent,
      isDpopBound: thumbprint !== null,
      scope: getScope(claims),
      user: publicUser
    }
  }
}

/** Returns the `scope` claim of the app's claims (RFC 6749, section 3.3), or `null`. */
export function getScope (claims: object): string | null {
  const { scope } = claims as { readonly scope?: unknown }
  return typeof scope === 'string' ? scope : null
}
