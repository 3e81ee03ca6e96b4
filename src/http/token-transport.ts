// How tokens travel between the routes and a client: in the body and as bearer, or in cookies.

import { readBearer, readDpopToken } from './authorization.js'
import type { HttpRequest } from './authorization.js'
import type { CookieReply, CookieRequest, TokenCookie } from './cookies.js'
import { MAX_TOKEN_LENGTH } from '../tokens/jwt-codec.js'
import { TokenAuthError } from '../errors.js'
import { assertTrustedOrigin } from './csrf.js'
import type { OriginRequest } from './csrf.js'
import { transportHeader } from '../protocol.js'
import type { CookieResponse, TokenResponse } from '../protocol.js'
import type { ResolvedTransport } from '../options/transport.js'
import type { LoginGrant } from '../login/password-login.js'
import type { IssuedTokens } from '../sessions/sessions.js'

// Half a year, in seconds, since the last login.
const KNOWN_FOR = 15_552_000

/** Absent bodies are good enough: the token may travel elsewhere. */
export type RefreshTokenBody = { readonly refresh_token?: string | null } | null | undefined

/** The tokens in a request to refresh or log out: one refresh token at most, and perhaps an access token beside it. */
export interface PresentedTokens {
  readonly refresh: string | null
  readonly access: string | null
  /** Whether a cookie held the refresh token. */
  readonly inCookie: boolean
}

export type TokenKindOf = (token: string) => 'access' | 'refresh' | null

type CookieName = 'refreshCookie' | 'accessCookie' | 'deviceCookie'

/** Transport options with the cookies that carry tokens. A cookie is `null` if it is not used. */
export type TransportSettings =
  & Omit<ResolvedTransport, CookieName>
  & Readonly<Record<CookieName, TokenCookie | null>>

type TransportRequest = HttpRequest & OriginRequest

/** */
export class TokenTransport {
  readonly #settings: TransportSettings
  readonly #kindOf: TokenKindOf
  readonly #takesDpop: boolean

  /**
   * @param kindOf What a text says of itself to be.
   * @param takesDpop Whether tokens may come under the scheme `DPoP` too.
   */
  constructor (settings: TransportSettings, kindOf: TokenKindOf, takesDpop: boolean) {
    this.#settings = settings
    this.#kindOf = kindOf
    this.#takesDpop = takesDpop
  }

  /** Whether the client of a login wants cookies. @throws TokenAuthError AUTH_ORIGIN_REJECTED where it may not have them */
  wantsCookie (request: TransportRequest): boolean {
    const { kind, origins } = this.#settings
    const wants = kind === 'cookie' ||
      (kind === 'both' && request.headers[transportHeader] === 'cookie')

    if (wants) {
      assertTrustedOrigin(request, origins)
    }

    return wants
  }

  /** The session's token that a login over a cookie replaces; `null` where there is none. */
  replacedBy (request: CookieRequest, inCookie: boolean): string | null {
    return inCookie ? this.#settings.refreshCookie?.read(request) ?? null : null
  }

  /** What this device was given by a login before, in a cookie; `null` where there is none. */
  deviceTokenOf (request: CookieRequest, inCookie: boolean): string | null {
    return inCookie ? this.#settings.deviceCookie?.read(request) ?? null : null
  }

  /** Whether a session that the app opens itself goes into cookies. @throws TypeError where it has to, and cannot */
  opensInCookie (reply: CookieReply | undefined): boolean {
    const { kind } = this.#settings

    if (kind === 'cookie' && reply === undefined) {
      throw new TypeError('openSession needs { reply }, since refreshToken.transport is "cookie"')
    }

    return reply !== undefined && (kind === 'cookie' || kind === 'both')
  }

  /** Whether the cookies are taken back after a logout by these tokens. */
  clearsAfter ({ inCookie }: PresentedTokens): boolean {
    return inCookie || this.#settings.kind === 'cookie'
  }

  /**
   * Interceptors send whatever they have as bearer with every request (their access token, `null`), so that it may stand beside
   * a refresh token elsewhere; a second refresh token may not.
   * @throws TokenAuthError AUTH_REQUEST_INVALID, AUTH_ORIGIN_REJECTED
   */
  readTokens (request: TransportRequest & { readonly body: RefreshTokenBody }): PresentedTokens {
    const { kind, refreshCookie, origins } = this.#settings
    const bearer = readBearer(request) || (this.#takesDpop ? readDpopToken(request) : null) || null
    const kindOfBearer = bearer === null ? null : this.#kindOf(bearer)
    const access = kindOfBearer === 'access' ? bearer : null
    const inCookie = refreshCookie?.read(request) ?? null
    const inBody = request.body?.refresh_token || null

    // Not by a schema, which would count characters one after the other.
    if (inBody !== null && inBody.length > MAX_TOKEN_LENGTH) {
      throw new TokenAuthError('AUTH_REQUEST_INVALID', { hint: 'refresh_token is too long' })
    }

    // Beside a token elsewhere, what is neither is an interceptor's; alone, it is a refresh token that is none.
    const asBearer =
      kindOfBearer === 'refresh' || (inCookie === null && inBody === null && access === null)
        ? bearer
        : null
    const refresh = inCookie ?? inBody ?? asBearer
    const places = Number(inCookie !== null) + Number(inBody !== null) + Number(asBearer !== null)

    if (places > 1) {
      throw new TokenAuthError('AUTH_REQUEST_INVALID', { hint: 'two refresh tokens' })
    }

    if (inCookie !== null) {
      assertTrustedOrigin(request, origins)
    }

    return { refresh: kind === 'cookie' ? inCookie : refresh, access, inCookie: inCookie !== null }
  }

  /** The same for a logout, for which the access cookie alone is good enough. @throws TokenAuthError as {@link readTokens} */
  presentToEnd (request: TransportRequest & { readonly body: RefreshTokenBody }): PresentedTokens {
    const tokens = this.readTokens(request)

    if (tokens.refresh !== null || tokens.access !== null) {
      return tokens
    }

    const access = this.#settings.accessCookie?.read(request) ?? null

    if (access !== null) {
      assertTrustedOrigin(request, this.#settings.origins)
    }

    return { refresh: null, access, inCookie: access !== null }
  }

  /** The answer to a login or a refresh (RFC 6749 section 5.1); what cookies hold is set on the reply, and not in it. */
  toResponse (
    reply: CookieReply | undefined,
    grant: IssuedTokens & Partial<Pick<LoginGrant, 'deviceToken'>>,
    inCookie: boolean
  ): TokenResponse | CookieResponse {
    const {
      accessToken,
      refreshToken,
      expiresIn,
      refreshExpiresIn,
      persistent,
      isDpopBound,
      user,
      deviceToken = null
    } = grant
    const { refreshCookie, accessCookie, deviceCookie } = this.#settings
    const body = {
      token_type: isDpopBound ? 'DPoP' : 'bearer',
      expires_in: expiresIn,
      user
    } as const

    if (!inCookie || reply === undefined) {
      const answer: { -readonly [Member in keyof TokenResponse]: TokenResponse[Member] } = {
        access_token: accessToken,
        ...body
      }

      if (refreshToken !== null) {
        answer.refresh_token = refreshToken
      }

      if (deviceToken !== null) {
        answer.device_token = deviceToken
      }

      return answer
    }

    // Outlives the session, and the logout: it signs nobody in.
    if (deviceToken !== null) {
      deviceCookie?.set(reply, deviceToken, KNOWN_FOR)
    }

    if (refreshToken !== null) {
      refreshCookie?.set(reply, refreshToken, persistent ? refreshExpiresIn : null)
    }

    if (accessCookie === null) {
      return { access_token: accessToken, ...body }
    }

    accessCookie.set(reply, accessToken, persistent ? expiresIn : null)
    return body
  }

  /** Takes the cookies back. */
  clear (reply: CookieReply): void {
    const { refreshCookie, accessCookie, clearSiteData } = this.#settings
    refreshCookie?.clear(reply)
    accessCookie?.clear(reply)

    if (clearSiteData) {
      reply.header('clear-site-data', '"cache", "cookies", "storage"')
    }
  }
}
