// Checks how tokens travel, and makes the cookies that carry them.

import { TokenCookie } from './cookies.js'
import { allowOnly, demand } from './option-checks.js'
import type { TokenAuthOptions } from './options.js'
import type { RouteName } from './protocol.js'

export interface ResolvedTransport {
  /** How a refresh token travels; `none` where there are none. */
  readonly kind: 'none' | 'body' | 'cookie' | 'both'
  /** `null` where no cookie is used. */
  readonly refreshCookie: TokenCookie | null
  readonly accessCookie: TokenCookie | null
  /** Knows a device again at its next login; `null` where logins are not throttled. */
  readonly deviceCookie: TokenCookie | null
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
  demand(['body', 'cookie', 'both'].includes(transport), 'refreshToken.transport must be "body", "cookie" or "both"')
  const kind = refreshToken === false ? 'none' : transport
  if (kind === 'none' || kind === 'body') {
    demand(given === undefined, 'cookie is of use only with refreshToken: { transport: "cookie" } or "both"')
    return { kind, refreshCookie: null, accessCookie: null, deviceCookie: null, origins: new Set(), clearSiteData: false }
  }
  const cookie = given === undefined ? {} : given
  allowOnly(cookie, known, 'cookie.')
  const { path = '/', secure = true, sameSite = 'strict', origins = [], accessToken = false, clearSiteData = false } = cookie
  for (const [option, value] of Object.entries({ secure, accessToken, clearSiteData })) {
    demand(typeof value === 'boolean', `cookie.${option} must be true or false`)
  }
  demand(['strict', 'lax', 'none'].includes(sameSite), 'cookie.sameSite must be "strict", "lax" or "none"')
  demand(secure || process.env.NODE_ENV !== 'production',
    'cookie.secure must not be false where NODE_ENV is "production": serve https, also behind a proxy that ends TLS')
  demand(secure || sameSite !== 'none', 'cookie.sameSite "none" needs cookie.secure: browsers refuse it otherwise')
  demand(typeof path === 'string' && /^\/[\w/.~-]*$/.test(path), 'cookie.path must begin with "/", and hold no space or ";"')
  for (const route of ['login', 'refresh', 'logout'] as const) {
    demand(paths[route] === false || covers(path, prefix + paths[route]),
      `cookie.path must cover the route ${route} (${prefix}${paths[route]}): take it away, or set it to "${prefix || '/'}"`)
  }
  return {
    kind,
    refreshCookie: new TokenCookie(`${name}-refresh`, { path, secure, sameSite }),
    // For the whole app; and a link from another site is to find its reader signed in.
    accessCookie: accessToken ? new TokenCookie(`${name}-access`, { path: '/', secure, sameSite: sameSite === 'none' ? 'none' : 'lax' }) : null,
    deviceCookie: throttle === false ? null : new TokenCookie(`${name}-device`, { path, secure, sameSite }),
    origins: resolveOrigins(origins),
    clearSiteData
  }
}

function resolveOrigins (origins: readonly string[]): ReadonlySet<string> {
  demand(Array.isArray(origins), 'cookie.origins must be an array, such as ["https://app.example.org"]')
  for (const origin of origins) {
    demand(typeof origin === 'string' && isOrigin(origin),
      `cookie.origins must hold origins as browsers send them, such as "https://app.example.org", and not ${JSON.stringify(origin)}`)
  }
  return new Set(origins)
}

// Scheme, host and port in lower case, without a default port, a path or a slash. Apps in a web view have schemes of their own.
function isOrigin (text: string): boolean {
  if (!/^[a-z][a-z\d+.-]*:\/\/[^\s/?#@*]+$/.test(text)) return false
  if (!/^https?:/.test(text)) return true
  return URL.canParse(text) && new URL(text).origin === text
}

// RFC 6265 section 5.1.4.
function covers (path: string, url: string): boolean {
  return url === path || url.startsWith(path.endsWith('/') ? path : `${path}/`)
}
