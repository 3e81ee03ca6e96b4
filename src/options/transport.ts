import { isProduction } from '../lib/production.js'
import { defaultPaths } from '../protocol.js'
import type { RouteName } from '../protocol.js'
import {
  assert,
  boolean,
  group,
  oneOf,
  optional,
  rejectUnknownKeys,
  resolveShape
} from './validate.js'
import type { Resolved, Shape } from './validate.js'

/**
 * Options for the cookies of `refreshToken.transport` `'both'` (the default) and `'cookie'`.
 *
 * The refresh cookie `__Host-{name}-refresh` is HttpOnly. It lasts until the browser is closed,
 * or as long as the session if the login sends `remember_me`.
 *
 * A request with a cookie must come from a page of this origin or of `origins`, which
 * `Sec-Fetch-Site` or `Origin` proves; otherwise the response is 403. A client that is not a
 * browser sends `X-Token-Transport: cookie` instead. Behind a proxy, set Fastify's `trustProxy`.
 */
export interface CookieOptions {
  /**
   * Exact origins (scheme, host, port) of other pages that may log in, refresh and log out.
   *
   * Their requests need `credentials: 'include'`, and CORS must allow the same origins. Pages of
   * another site also need `sameSite: 'none'`, but many browsers block third-party cookies. Every
   * page of an origin can use the sessions of its visitors.
   *
   * @default []
   * @example
   * ```ts
   * cookie: { origins: ['https://app.example.org'] }
   * ```
   */
  readonly origins?: readonly string[]

  /**
   * Whether the cookie `__Host-{name}-access` carries the access token instead of JSON.
   *
   * For server-rendered pages and WebSockets. `app.authenticate` reads the cookie if there is no
   * bearer token. Requests with unsafe methods are then subject to the origin check.
   *
   * @default false
   */
  readonly accessToken?: boolean

  /**
   * `SameSite` attribute of the refresh cookie.
   *
   * The access cookie is `lax`, so that a user who follows a link from another site is signed in;
   * with `'none'` it is `none` too. Anything but `'strict'` sends the cookie with requests that
   * other sites start, and leaves only the origin check against CSRF.
   *
   * @default 'strict'
   */
  readonly sameSite?: 'strict' | 'lax' | 'none'

  /**
   * Path of the refresh cookie. It must cover the routes for login, refresh and logout.
   *
   * With another path than `/` the cookie is named `__Secure-{name}-refresh`. Any host of the
   * site can then set a cookie of the same name, and sign a visitor in as another user. Change it
   * only if you trust every host of the site.
   *
   * @default '/'
   */
  readonly path?: string

  /**
   * Whether cookies require https.
   *
   * `false` is for development over plain http on another host than localhost, because anyone on
   * the network can read the cookies. Throws at startup if `NODE_ENV` is `production`.
   *
   * @default true
   */
  readonly secure?: boolean

  /**
   * Whether a logout sends `Clear-Site-Data`.
   *
   * The browser then deletes everything that it stores for this origin, and all cookies of the
   * site.
   *
   * @default false
   */
  readonly clearSiteData?: boolean

  /**
   * Cookies of earlier settings, which login and logout remove from the browser.
   *
   * After a change of `cookie.path` or `name`, browsers keep the old cookie. If it has the name of
   * the new one, they send both, and a refresh with two cookies gets 400.
   *
   * @default []
   * @example
   * ```ts
   * cookie: { previous: [{ name: '__Secure-auth-refresh', path: '/auth' }] }
   * ```
   */
  readonly previous?: readonly PreviousCookie[]
}

/** Cookie of earlier settings. */
export interface PreviousCookie {
  /** Complete name, as browsers send it. */
  readonly name: string
  /**
   * Path of the cookie.
   *
   * @default '/'
   */
  readonly path?: string
  /**
   * `Domain` attribute of the cookie. The plugin sets none, but other software may have.
   *
   * @default none
   */
  readonly domain?: string
}

/** Options for the paths and cookies of the plugin. */
export interface TransportOptions {
  /**
   * Path in front of all routes; an empty string for none.
   *
   * @default '/auth'
   */
  readonly prefix?: string

  /**
   * Path of each route below `prefix`, or `false` to disable the route.
   *
   * The paths of `jwks` and `metadata` are not below `prefix`. Without `login`, `elevate` is
   * `false` by default, because it verifies a password too.
   *
   * @default { login: '/login', refresh: '/refresh', elevate: '/elevate', logout: '/logout',
   *   logoutAll: '/logout/all', sessions: '/sessions', otherSessions: '/sessions',
   *   session: '/sessions/:id', me: '/me', token: '/token', revoke: '/revoke',
   *   introspect: '/introspect', sync: '/sync', jwks: '/.well-known/jwks.json',
   *   metadata: '/.well-known/oauth-authorization-server' }
   * @example
   * ```ts
   * routes: { refresh: '/token/refresh', me: false }
   * ```
   */
  readonly routes?: { readonly [Name in RouteName]?: string | false }

  /**
   * Options for cookies. Cannot be combined with `refreshToken.transport` `'body'`.
   *
   * @example
   * ```ts
   * cookie: { origins: ['https://app.example.org'], accessToken: true }
   * ```
   */
  readonly cookie?: CookieOptions
}

/** Checks of {@link CookieOptions}. */
export const cookieShape = {
  origins: resolveOrigins,
  accessToken: boolean(false),
  sameSite: oneOf(['strict', 'lax', 'none'], 'strict'),
  path: resolveCookiePath,
  secure: boolean(true),
  clearSiteData: boolean(false),
  previous: resolvePrevious
} satisfies Shape<CookieOptions>

/** Checks of {@link TransportOptions}. */
export const transportShape = {
  prefix: resolvePrefix,
  routes: resolveRoutes,
  cookie: optional(group(cookieShape))
} satisfies Shape<TransportOptions>

/** Path of each route, or `false` if the route is disabled. */
export type RoutePaths = Readonly<Record<RouteName, string | false>>

/** Name and attributes of a cookie. */
export interface CookieSettings {
  /** Name without the prefix `__Host-` or `__Secure-`. */
  readonly name: string
  readonly path: string
  readonly secure: boolean
  readonly sameSite: 'strict' | 'lax' | 'none'
}

/** Settings for the transport of tokens. */
export interface ResolvedTransport {
  /** Transport of refresh tokens; `none` if there are no refresh tokens. */
  readonly kind: 'none' | 'body' | 'cookie' | 'both'
  /** `null` if no token travels in a cookie. */
  readonly refreshCookie: CookieSettings | null
  /** `null` if access tokens travel in JSON only. */
  readonly accessCookie: CookieSettings | null
  /** Identifies a known device at its next login. `null` if logins are not throttled. */
  readonly deviceCookie: CookieSettings | null
  /** Other origins whose pages may use the cookies. */
  readonly origins: ReadonlySet<string>
  readonly clearSiteData: boolean
  /** Cookies to remove at login and logout. */
  readonly previous: readonly PreviousCookie[]
}

/**
 * Adds the default paths to the option `routes`.
 *
 * @param metadata - Default path of the OAuth metadata.
 */
export function resolvePaths (
  routes: NonNullable<TransportOptions['routes']>,
  metadata: string = defaultPaths.metadata
): RoutePaths {
  return {
    ...defaultPaths,
    metadata,
    // A step-up verifies a password, which an app without password logins does not have.
    ...(routes.login === false && { elevate: false as const }),
    ...routes
  }
}

/**
 * Derives the cookies from the option `cookie`.
 *
 * @param prefix - Path in front of all routes, including that of the scope.
 * @throws TypeError if the cookies do not fit the transport, the routes or each other.
 */
export function resolveTransport (
  { kind, cookie, name, prefix, paths, isThrottled }: {
    readonly kind: ResolvedTransport['kind']
    readonly cookie: Resolved<typeof cookieShape> | null
    readonly name: string
    readonly prefix: string
    readonly paths: RoutePaths
    readonly isThrottled: boolean
  }
): ResolvedTransport {
  const usesCookies = kind === 'cookie' || kind === 'both'
  assert(
    usesCookies || cookie === null,
    '"cookie" requires "refreshToken.transport" to be "cookie" or "both"; ' +
      'set it, or remove "cookie"'
  )
  const settings = cookie ?? resolveShape(cookieShape, {})
  const { path, secure, sameSite, accessToken, origins, clearSiteData, previous } = settings
  assertSecure(secure, sameSite)
  assertCovered(path, prefix, paths)
  const attributes = { path, secure, sameSite }
  // With `strict`, a user who follows a link from another site would be signed out there.
  const accessSameSite: CookieSettings['sameSite'] = sameSite === 'none' ? 'none' : 'lax'

  const cookies = {
    refreshCookie: usesCookies ? { name: `${name}-refresh`, ...attributes } : null,
    accessCookie: accessToken
      ? { name: `${name}-access`, path: '/', secure, sameSite: accessSameSite }
      : null,
    deviceCookie: usesCookies && isThrottled ? { name: `${name}-device`, ...attributes } : null
  }
  assertNotCurrent(previous, Object.values(cookies))
  return { kind, ...cookies, origins, clearSiteData, previous }
}

/** Returns the prefix of a cookie that browsers enforce (RFC 6265bis, section 4.1.3). */
export function getCookiePrefix ({ secure, path }: Omit<CookieSettings, 'name'>): string {
  if (!secure) {
    return ''
  }

  return path === '/' ? '__Host-' : '__Secure-'
}

// Otherwise a login would remove the cookie that it sets.
function assertNotCurrent (
  previous: readonly PreviousCookie[],
  cookies: ReadonlyArray<CookieSettings | null>
): void {
  for (const [i, { name, path, domain }] of previous.entries()) {
    const isCurrent = domain === undefined &&
      cookies.some(cookie =>
        cookie !== null && cookie.path === path && getCookiePrefix(cookie) + cookie.name === name
      )
    assert(!isCurrent, `"cookie.previous[${i}]" must not be a cookie that is still in use`)
  }
}

function assertSecure (secure: boolean, sameSite: CookieSettings['sameSite']): void {
  assert(
    secure || !isProduction(),
    '"cookie.secure" must be true if NODE_ENV is "production"; serve https, also behind a proxy ' +
      'that terminates TLS'
  )
  assert(
    secure || sameSite !== 'none',
    '"cookie.sameSite" must be "strict" or "lax" if "cookie.secure" is false, because browsers ' +
      'reject other cookies'
  )
}

function assertCovered (cookiePath: string, prefix: string, paths: RoutePaths): void {
  for (const route of ['login', 'refresh', 'logout'] as const) {
    const path = paths[route]
    assert(
      path === false || covers(cookiePath, prefix + path),
      `"cookie.path" must cover the route "${route}" at "${prefix}${path}"; remove it, or set it ` +
        `to "${prefix || '/'}"`
    )
  }
}

function resolvePrefix (value: unknown = '/auth', path: string): string {
  assert(
    value === '' || (typeof value === 'string' && /^\/.*[^/]$/.test(value)),
    `"${path}" must be empty, or begin with "/" and not end with it, such as "/auth"`
  )
  return value
}

function resolveRoutes (
  value: unknown = {},
  path: string
): NonNullable<TransportOptions['routes']> {
  rejectUnknownKeys(value, defaultPaths, path)

  for (const [name, route] of Object.entries(value)) {
    assert(
      route === false || (typeof route === 'string' && route.startsWith('/')),
      `"${path}.${name}" must be a path that begins with "/", or false`
    )
    assert(
      name !== 'session' || route === false || /:id(?!\w)/.test(route),
      `"${path}.session" must contain the parameter ":id", such as "/sessions/:id"`
    )
  }

  return value as NonNullable<TransportOptions['routes']>
}

function resolveCookiePath (value: unknown = '/', path: string): string {
  assert(
    typeof value === 'string' && /^\/[\w/.~-]*$/.test(value),
    `"${path}" must begin with "/" and consist of letters, digits and any of "/._~-"`
  )
  return value
}

function resolvePrevious (value: unknown = [], path: string): readonly PreviousCookie[] {
  assert(
    Array.isArray(value),
    `"${path}" must be an array, such as [{ name: "__Secure-auth-refresh", path: "/auth" }]`
  )

  return value.map((entry: unknown, i) => resolvePreviousCookie(entry, `${path}[${i}]`))
}

function resolvePreviousCookie (value: unknown, path: string): PreviousCookie {
  rejectUnknownKeys(value, { name: true, path: true, domain: true }, path)
  const { name, domain, ...rest } = value as Partial<PreviousCookie>
  assert(
    typeof name === 'string' && /^[\w!#$%&'*+.^`|~-]+$/.test(name),
    `"${path}.name" must be the complete name of a cookie`
  )
  assert(
    domain === undefined || (typeof domain === 'string' && /^[\w.-]+$/.test(domain)),
    `"${path}.domain" must be a host name`
  )

  return {
    name,
    path: resolveCookiePath(rest.path, `${path}.path`),
    ...domain !== undefined && { domain }
  }
}

function resolveOrigins (value: unknown = [], path: string): ReadonlySet<string> {
  assert(
    Array.isArray(value),
    `"${path}" must be an array, such as ["https://app.example.org"]`
  )

  for (const [i, origin] of value.entries()) {
    assert(
      isOrigin(origin),
      `"${path}[${i}]" must be an origin as browsers send it, such as ` +
        `"https://app.example.org", not ${JSON.stringify(origin)}`
    )
  }

  return new Set(value)
}

// Apps in a web view have other schemes than http.
function isOrigin (value: unknown): boolean {
  if (typeof value !== 'string' || !/^[a-z][a-z\d+.-]*:\/\/[^\s/?#@*]+$/.test(value)) {
    return false
  }

  return !/^https?:/.test(value) || (URL.canParse(value) && new URL(value).origin === value)
}

// Browsers match paths by whole segments (RFC 6265, section 5.1.4).
function covers (cookiePath: string, path: string): boolean {
  return path === cookiePath ||
    path.startsWith(cookiePath.endsWith('/') ? cookiePath : `${cookiePath}/`)
}
