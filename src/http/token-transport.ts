import { createBadRequestError } from '../errors.js'
import { createTypeError } from '../lib/type-error.js'
import type { IssuedLogin } from '../login/password-login.js'
import { transportHeader } from '../protocol.js'
import type { CookieResponse, TokenResponse } from '../protocol.js'
import type { IssuedTokens } from '../sessions/token-issuer.js'
import { readBearerToken, readDpopToken } from './authorization.js'
import type { HttpRequest } from './authorization.js'
import type {
  CookieReply,
  CookieRequest,
  CrossSiteWarning,
  PlainHttpWarning,
  TokenCookie
} from './cookies.js'
import type { OriginRequest, TrustedOrigins } from './csrf.js'
import { addToHeader } from './headers.js'
import { readBodyToken } from './token-body.js'
import type { RefreshTokenBody } from './token-body.js'

/** Lifetime of the device cookie after the last login, in seconds: half a year. */
const DEVICE_COOKIE_LIFETIME = 15_552_000

/** Tokens of a refresh or logout request. */
export interface PresentedTokens {
  readonly refresh: string | null
  readonly access: string | null
  /** Whether a cookie contained the token. */
  readonly inCookie: boolean
  /** Whether `refresh` is a bearer token of unknown kind, such as a damaged access token. */
  readonly isUnknownKind: boolean
}

/** Settings of a {@link TokenTransport}. */
export interface TransportSettings {
  readonly kind: 'none' | 'body' | 'cookie' | 'both'
  readonly refreshCookie: TokenCookie | null
  readonly accessCookie: TokenCookie | null
  readonly deviceCookie: TokenCookie | null
  /** Remove the cookies of earlier settings. */
  readonly removers: ReadonlyArray<(reply: CookieReply) => void>
  /** Origins whose pages may use the cookies. */
  readonly origins: TrustedOrigins
  readonly plainHttp: PlainHttpWarning
  /** `null` if no token travels in a cookie. */
  readonly crossSite: CrossSiteWarning | null
  /** Whether a logout sends `Clear-Site-Data`. */
  readonly clearSiteData: boolean
}

/** Returns the kind of token that a string claims to be, or `null`. */
export type GetTokenKind = (token: string) => 'access' | 'refresh' | null

/** Token in `Authorization`, and its kind as the token claims it. */
interface BearerToken {
  readonly token: string
  readonly kind: 'access' | 'refresh' | 'unknown'
}

type TransportRequest = HttpRequest & OriginRequest
type TokenRequest = TransportRequest & { readonly body: RefreshTokenBody }

/** Reads tokens from requests and writes them to responses: body, header or cookie. */
export class TokenTransport {
  readonly #settings: TransportSettings
  readonly #getTokenKind: GetTokenKind
  readonly #acceptsDpop: boolean

  /** @param acceptsDpop - Whether tokens may use the scheme `DPoP`. */
  constructor (settings: TransportSettings, getTokenKind: GetTokenKind, acceptsDpop: boolean) {
    this.#settings = settings
    this.#getTokenKind = getTokenKind
    this.#acceptsDpop = acceptsDpop
  }

  /**
   * Whether the client of a login gets cookies.
   *
   * @throws TokenAuthError `AUTH_ORIGIN_REJECTED` if a page of another origin asks for them.
   */
  wantsCookie (request: TransportRequest): boolean {
    const { kind, origins, crossSite } = this.#settings
    const wantsCookie = kind === 'cookie' ||
      (kind === 'both' && request.headers[transportHeader] === 'cookie')

    if (wantsCookie) {
      origins.assert(request)
      crossSite?.check(request)
    }

    return wantsCookie
  }

  /**
   * Whether a refresh moves its session from the body to a cookie.
   *
   * @throws TokenAuthError `AUTH_ORIGIN_REJECTED` if a page of another origin asks for it.
   */
  movesToCookie (request: TokenRequest, { refresh, inCookie }: PresentedTokens): boolean {
    return !inCookie && request.body?.refresh_token === refresh && this.wantsCookie(request)
  }

  /** Reads the refresh cookie that a login replaces. Ignores it if it was sent twice. */
  readReplacedToken (request: CookieRequest, inCookie: boolean): string | null {
    return inCookie ? this.#settings.refreshCookie?.readUnlessTwice(request) ?? null : null
  }

  /** Reads the device cookie of an earlier login. Ignores it if it was sent twice. */
  readDeviceToken (request: CookieRequest, inCookie: boolean): string | null {
    return inCookie ? this.#settings.deviceCookie?.readUnlessTwice(request) ?? null : null
  }

  /**
   * Whether a session that the app opens uses cookies.
   *
   * @param requested - Option `transport` of `openSession`. By default, the request decides if
   * `refreshToken.transport` is `'both'`.
   * @throws TypeError if `reply` is missing but required, or the server has no such transport.
   */
  opensInCookie (
    { headers }: { readonly headers: object },
    reply: CookieReply | undefined,
    requested?: 'body' | 'cookie'
  ): boolean {
    const { kind } = this.#settings

    if (requested !== undefined) {
      assertTransport(requested, kind)
    }

    if (reply === undefined && (kind === 'cookie' || requested === 'cookie')) {
      const cause = kind === 'cookie' ? '"refreshToken.transport"' : 'its transport'
      throw createTypeError(`openSession requires { reply }, because ${cause} is "cookie"`)
    }

    if (reply === undefined || kind !== 'both') {
      return kind === 'cookie'
    }

    return (requested ?? (headers as OriginRequest['headers'])[transportHeader]) === 'cookie'
  }

  /**
   * Whether a logout clears the cookies: if the browser has some, or the server uses no other
   * transport.
   *
   * @param revokesAll - Whether all sessions of the user are revoked. `Clear-Site-Data` is then
   * sent without a cookie, too.
   */
  shouldClearCookies (request: CookieRequest, revokesAll: boolean): boolean {
    const { kind, refreshCookie, accessCookie, clearSiteData } = this.#settings

    return kind === 'cookie' || (revokesAll && clearSiteData) ||
      [refreshCookie, accessCookie].some(each => each !== null && each.readAll(request).length > 0)
  }

  /**
   * Reads the tokens of a refresh request.
   *
   * Some HTTP interceptors send the access token, or the string `null`, as a bearer token with each
   * request. So both may accompany a refresh token. Two refresh tokens are an error.
   *
   * @throws TokenAuthError `AUTH_REQUEST_INVALID` or `AUTH_ORIGIN_REJECTED`
   */
  readTokens (request: TokenRequest): PresentedTokens {
    const { kind, refreshCookie, origins } = this.#settings
    const bearer = this.#readBearer(request)
    const access = bearer?.kind === 'access' ? bearer.token : null
    const inCookie = refreshCookie?.read(request) ?? null
    const inBody = readBodyToken(request.body)
    const inHeader = findRefreshToken(bearer, inCookie === null && inBody === null)

    if ([inCookie, inBody, inHeader].filter(token => token !== null).length > 1) {
      throw createBadRequestError('two refresh tokens were sent')
    }

    if (inCookie !== null) {
      origins.assert(request)
      return { refresh: inCookie, access, inCookie: true, isUnknownKind: false }
    }

    if (kind === 'cookie') {
      return { refresh: null, access, inCookie: false, isUnknownKind: false }
    }

    const isUnknownKind = inHeader !== null && bearer?.kind === 'unknown'
    return { refresh: inBody ?? inHeader, access, inCookie: false, isUnknownKind }
  }

  /** Reads the token in `Authorization`; `null` if there is none. */
  #readBearer (request: TokenRequest): BearerToken | null {
    const token = readBearerToken(request) || (this.#acceptsDpop ? readDpopToken(request) : null)
    return token ? { token, kind: this.#getTokenKind(token) ?? 'unknown' } : null
  }

  /** Logs why a refresh has no cookie, if the browser cannot send it. */
  explainMissingCookie (request: TransportRequest): void {
    this.#settings.crossSite?.check(request)
  }

  /**
   * Reads the tokens of a logout request. The access cookie alone suffices.
   *
   * @throws TokenAuthError `AUTH_REQUEST_INVALID` or `AUTH_ORIGIN_REJECTED`
   */
  readLogoutTokens (request: TokenRequest): PresentedTokens {
    const tokens = this.readTokens(request)

    if (tokens.refresh !== null || tokens.access !== null) {
      return tokens
    }

    const { accessCookie, origins } = this.#settings
    const access = accessCookie?.read(request) ?? null

    if (access !== null) {
      origins.assert(request)
    }

    return { refresh: null, access, inCookie: access !== null, isUnknownKind: false }
  }

  /**
   * Reads the tokens of a logout request with two cookies of the same name.
   *
   * One of them may be of earlier settings, or of an attacker on another host of the site. A logout
   * can revoke the sessions of both.
   *
   * @returns An empty array if no cookie was sent twice.
   * @throws TokenAuthError `AUTH_ORIGIN_REJECTED`
   */
  readDuplicates (request: TransportRequest): Array<Pick<PresentedTokens, 'refresh' | 'access'>> {
    const { refreshCookie, accessCookie, origins } = this.#settings
    const refresh = refreshCookie?.readAll(request) ?? []
    const access = accessCookie?.readAll(request) ?? []

    if (refresh.length < 2 && access.length < 2) {
      return []
    }

    origins.assert(request)

    return [
      ...refresh.map(token => ({ refresh: token, access: null })),
      ...access.map(token => ({ refresh: null, access: token }))
    ]
  }

  /** Whether the access token of a response must fit into a cookie. */
  limitsTokens (inCookie: boolean): boolean {
    return inCookie && this.#settings.accessCookie !== null
  }

  /**
   * Checks that browsers accept the cookies with these tokens.
   *
   * @throws Error if a cookie would be too long.
   */
  assertSendable ({ accessToken, refreshToken }: IssuedTokens, inCookie: boolean): void {
    if (inCookie) {
      const { accessCookie, refreshCookie } = this.#settings
      accessCookie?.assertFits(accessToken)
      refreshCookie?.assertFits(refreshToken ?? '')
    }
  }

  /**
   * Creates the response to a login or refresh (RFC 6749, section 5.1).
   *
   * Sets cookies on the reply. Tokens that travel in a cookie are not in the body.
   */
  toResponse (
    reply: CookieReply | undefined,
    issued: IssuedTokens & Partial<Pick<IssuedLogin, 'deviceToken'>>,
    inCookie: boolean
  ): TokenResponse | CookieResponse {
    const { accessToken, refreshToken, expiresIn, deviceToken = null } = issued
    const body = {
      token_type: issued.isDpopBound ? 'DPoP' : 'bearer',
      expires_in: expiresIn,
      user: issued.user
    } as const

    if (reply !== undefined && this.#settings.kind === 'none') {
      announceTransport(reply, 'none')
    }

    if (!inCookie || reply === undefined) {
      return {
        access_token: accessToken,
        ...body,
        ...(refreshToken !== null && { refresh_token: refreshToken }),
        ...(deviceToken !== null && { device_token: deviceToken })
      }
    }

    this.#setCookies(reply, issued, deviceToken)
    return this.#settings.accessCookie === null ? { access_token: accessToken, ...body } : body
  }

  /** Removes the cookies of earlier settings from the browser. */
  removePrevious (reply: CookieReply): void {
    for (const remove of this.#settings.removers) {
      remove(reply)
    }
  }

  /** Removes the cookies from the browser, except the device cookie. */
  clearCookies (reply: CookieReply): void {
    const { refreshCookie, accessCookie, clearSiteData } = this.#settings
    this.removePrevious(reply)
    refreshCookie?.clear(reply)
    accessCookie?.clear(reply)

    if (clearSiteData) {
      reply.header('clear-site-data', '"cache", "cookies", "storage"')
    }
  }

  #setCookies (reply: CookieReply, issued: IssuedTokens, deviceToken: string | null): void {
    const { refreshCookie, accessCookie, deviceCookie } = this.#settings
    const { accessToken, expiresIn, refreshToken, refreshExpiresIn, persistent } = issued

    if (refreshCookie?.isSecure === true) {
      this.#settings.plainHttp.check(reply)
    }

    // Outlives the session and the logout, because it does not sign anyone in.
    if (deviceToken !== null) {
      deviceCookie?.set(reply, deviceToken, DEVICE_COOKIE_LIFETIME)
    }

    if (refreshToken !== null) {
      refreshCookie?.set(reply, refreshToken, persistent ? refreshExpiresIn : null)
      announceTransport(reply, 'cookie')
    }

    accessCookie?.set(reply, accessToken, persistent ? expiresIn : null)
  }
}

/** @throws TypeError if the server does not have the transport that `openSession` requests */
function assertTransport (
  requested: 'body' | 'cookie',
  kind: TransportSettings['kind']
): void {
  if (requested !== 'body' && requested !== 'cookie') {
    throw createTypeError('"transport" of openSession must be "body" or "cookie"')
  }

  if (kind !== 'both' && kind !== requested) {
    const cause = kind === 'none'
      ? '"refreshToken" is false; remove "transport"'
      : `"refreshToken.transport" is "${kind}"; set it to "both"`
    throw createTypeError(
      `openSession cannot use { transport: '${requested}' }, because ${cause}`
    )
  }
}

/**
 * Returns the bearer token if it counts as refresh token.
 *
 * One of unknown kind counts only if neither the cookie nor the body has a refresh token.
 */
function findRefreshToken (bearer: BearerToken | null, isOnlyToken: boolean): string | null {
  if (bearer === null || bearer.kind === 'access') {
    return null
  }

  return bearer.kind === 'refresh' || isOnlyToken ? bearer.token : null
}

/** Tells the client where the refresh token is, because its scripts cannot see the cookie. */
function announceTransport (reply: CookieReply, transport: 'cookie' | 'none'): void {
  reply.header(transportHeader, transport)
  // Scripts of other origins cannot read the header otherwise. CORS itself is up to the app.
  addToHeader(reply, 'access-control-expose-headers', transportHeader)
}
