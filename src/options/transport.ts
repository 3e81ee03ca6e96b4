// How cookies are set that hold tokens, and whose pages may use them.

import type { RouteName } from '../protocol.js'
import type { TokenAuthOptions } from './options.js'
import { assert, rejectUnknownKeys } from './validate.js'

/**
 * The cookies of `transport: 'cookie'` and `'both'`: `__Host-{name}-refresh`, HttpOnly, forgotten when the browser is closed
 * unless the login says `remember_me`. Requests that they authenticate must come from a page of this origin
 * (`Sec-Fetch-Site`, or `Origin`) or of one in `origins`; others are 403. Who sends neither header, and so is no browser,
 * sends `X-Token-Transport: cookie`. Behind a proxy set Fastify's `trustProxy`.
 */
export interface CookieOptions {
  /**
   * The exact origins (scheme, host, port) of other pages that may log in, refresh and log out, such as
   * `https://app.example.org`. Their fetches need `credentials: 'include'`, CORS that allows the same, and, from another
   * site, `sameSite: 'none'`, which many browsers block as a third party's cookie.
   * @default []
   */
  readonly origins?: readonly string[]
  /**
   * The access token travels in a cookie too, `__Host-{name}-access`, and in no JSON: for pages that the server renders,
   * and for WebSockets. `app.authenticate` takes it where there is no bearer; unless the method is safe, under the same
   * rule for origins.
   * @default false
   */
  readonly accessToken?: boolean
  /**
   * For which requests from other sites the refresh cookie is sent. The access cookie is `lax`, so that a link from
   * elsewhere finds its reader signed in, unless this is `none`.
   * @default 'strict'
   */
  readonly sameSite?: 'strict' | 'lax' | 'none'
  /**
   * A narrower path for the refresh cookie, only where every host of the site is trusted: its name begins with `__Secure-`
   * then, another host may set one of the same name, and its visitors would act as somebody else.
   * @default '/'
   */
  readonly path?: string
  /**
   * `false` for trials over plain http on another host than localhost. Refused where NODE_ENV is `production`.
   * @default true
   */
  readonly secure?: boolean
  /**
   * A logout also tells the browser to forget all that it holds of this origin, and the cookies of the whole site
   * (`Clear-Site-Data`).
   * @default false
   */
  readonly clearSiteData?: boolean
}

// Checks how tokens travel, and makes the cookies that carry them.

/** Name without prefix and attributes of a cookie. */
export interface CookieSettings {
  readonly name: string
  readonly attributes: {
    readonly path: string
    readonly secure: boolean
    readonly sameSite: 'strict' | 'lax' | 'none'
  }
}

export interface ResolvedTransport {
  /** How a refresh token travels; `none` where there are none. */
  readonly kind: 'none' | 'body' | 'cookie' | 'both'
  /** `null` where no cookie is used. */
  readonly refreshCookie: CookieSettings | null
  readonly accessCookie: CookieSettings | null
  /** Knows a device again at its next login; `null` where logins are not throttled. */
  readonly deviceCookie: CookieSettings | null
  /** Other origins whose pages may use the cookies. */
  readonly origins: ReadonlySet<string>
  readonly clearSiteData: boolean
}

const known = ['path', 'secure', 'sameSite', 'origins', 'accessToken', 'clearSiteData']

/** @throws TypeError that names the option and the fix */
export function resolveTransport (
  { refreshToken = {}, cookie: given, throttle }: TokenAuthOptions,
  name: string,
  prefix: string,
  paths: Readonly<Record<RouteName, string | false>>
): ResolvedTransport {
  const { transport = 'body' } = refreshToken || {}
  assert(
    ['body', 'cookie', 'both'].includes(transport),
    'refreshToken.transport must be "body", "cookie" or "both"'
  )
  const kind = refreshToken === false ? 'none' : transport

  if (kind === 'none' || kind === 'body') {
    assert(
      given === undefined,
      'cookie is of use only with refreshToken: { transport: "cookie" } or "both"'
    )

    return {
      kind,
      refreshCookie: null,
      accessCookie: null,
      deviceCookie: null,
      origins: new Set(),
      clearSiteData: false
    }
  }

  const cookie = given === undefined ? {} : given
  rejectUnknownKeys(cookie, known, 'cookie.')
  const {
    path = '/',
    secure = true,
    sameSite = 'strict',
    origins = [],
    accessToken = false,
    clearSiteData = false
  } = cookie

  for (const [option, value] of Object.entries({ secure, accessToken, clearSiteData })) {
    assert(typeof value === 'boolean', `cookie.${option} must be true or false`)
  }

  assert(
    ['strict', 'lax', 'none'].includes(sameSite),
    'cookie.sameSite must be "strict", "lax" or "none"'
  )
  assert(
    secure || process.env.NODE_ENV !== 'production',
    'cookie.secure must not be false where NODE_ENV is "production": serve https, also behind a proxy that ends TLS'
  )
  assert(
    secure || sameSite !== 'none',
    'cookie.sameSite "none" needs cookie.secure: browsers refuse it otherwise'
  )
  assert(
    typeof path === 'string' && /^\/[\w/.~-]*$/.test(path),
    'cookie.path must begin with "/", and hold no space or ";"'
  )

  for (const route of ['login', 'refresh', 'logout'] as const) {
    assert(
      paths[route] === false || covers(path, prefix + paths[route]),
      `cookie.path must cover the route ${route} (${prefix}${
        paths[route]
      }): take it away, or set it to "${prefix || '/'}"`
    )
  }

  return {
    kind,
    refreshCookie: { name: `${name}-refresh`, attributes: { path, secure, sameSite } },
    // For the whole app; and a link from another site is to find its reader signed in.
    accessCookie: accessToken
      ? {
        name: `${name}-access`,
        attributes: { path: '/', secure, sameSite: sameSite === 'none' ? 'none' : 'lax' }
      }
      : null,
    deviceCookie: throttle === false
      ? null
      : { name: `${name}-device`, attributes: { path, secure, sameSite } },
    origins: resolveOrigins(origins),
    clearSiteData
  }
}

function resolveOrigins (origins: readonly string[]): ReadonlySet<string> {
  assert(
    Array.isArray(origins),
    'cookie.origins must be an array, such as ["https://app.example.org"]'
  )

  for (const origin of origins) {
    assert(
      typeof origin === 'string' && isOrigin(origin),
      `cookie.origins must hold origins as browsers send them, such as "https://app.example.org", and not ${
        JSON.stringify(origin)
      }`
    )
  }

  return new Set(origins)
}

// Scheme, host and port in lower case, without a default port, a path or a slash. Apps in a web view have schemes of their own.
function isOrigin (text: string): boolean {
  if (!/^[a-z][a-z\d+.-]*:\/\/[^\s/?#@*]+$/.test(text)) {
    return false
  }

  if (!/^https?:/.test(text)) {
    return true
  }

  return URL.canParse(text) && new URL(text).origin === text
}

// RFC 6265 section 5.1.4.
function covers (path: string, url: string): boolean {
  return url === path || url.startsWith(path.endsWith('/') ? path : `${path}/`)
}
