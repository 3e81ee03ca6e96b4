// Refreshes the tokens of a browser before a server renders a page for it. Works with every
// framework, because it only reads and returns headers.

const ACCESS_COOKIE = /(?:^|; )(?:__Host-)?auth-access=([^;]+)/
const REFRESH_COOKIE = /(?:^|; )(?:__Host-)?auth-refresh=[^;]+/

/** The browser that requests a page. */
export interface Browser {
  /** Its `Cookie` header. */
  readonly cookie: string
  readonly userAgent: string
  readonly address: string
}

export interface RefreshSettings {
  readonly apiUrl: string
  /** Refreshes if the access token expires within this time. Longer than a page may take. */
  readonly ahead?: number
  /** Current time in milliseconds, for tests. */
  readonly now?: () => number
}

/** Cookies after a refresh. */
export interface RefreshedCookies {
  /** `Cookie` header for everything that renders the page. */
  readonly cookie: string
  /** `Set-Cookie` headers that the response to the browser must contain. */
  readonly setCookies: readonly string[]
}

/** Thrown if the API cannot refresh now. The browser keeps its cookies and tries again. */
export class ApiUnavailableError extends Error {
  readonly statusCode = 503
}

/**
 * Refreshes the tokens of a browser if its access token expires soon.
 *
 * Call it once for each page, before any loader.
 *
 * @throws ApiUnavailableError if the API does not respond and the access token has expired.
 */
export async function refreshAhead (
  browser: Browser,
  { apiUrl, ahead = 60_000, now = Date.now }: RefreshSettings
): Promise<RefreshedCookies> {
  const unchanged = { cookie: browser.cookie, setCookies: [] }
  const remaining = getExpiry(readAccessToken(browser.cookie)) - now()

  if (!REFRESH_COOKIE.test(browser.cookie) || remaining > ahead) {
    return unchanged
  }

  const response = await fetch(`${apiUrl}/auth/refresh`, {
    method: 'POST',
    headers: {
      cookie: browser.cookie,
      'x-token-transport': 'cookie', // a server sends no Origin
      // The API compares them to notice a stolen cookie.
      'user-agent': browser.userAgent,
      'x-forwarded-for': browser.address
    },
    signal: AbortSignal.timeout(6_000)
  }).catch(() => null)
  await response?.body?.cancel() // the cookies have the tokens

  if (response?.ok === true) {
    const setCookies = response.headers.getSetCookie()
    return { cookie: mergeCookies(browser.cookie, setCookies), setCookies }
  }

  // Only this response says that the session has ended. The login replaces the cookies.
  if (response?.headers.get('x-auth-error')?.startsWith('AUTH_REFRESH_') === true) {
    return { cookie: '', setCookies: [] }
  }

  if (remaining > 0) {
    return unchanged
  }

  throw new ApiUnavailableError('the API cannot refresh the tokens')
}

/** Returns the access token for requests to the API, or `null` if the browser is signed out. */
export function readAccessToken (cookie: string): string | null {
  return ACCESS_COOKIE.exec(cookie)?.[1] ?? null
}

/** Reads `exp` without verification, because only the API trusts the token. */
function getExpiry (accessToken: string | null): number {
  try {
    const [, payload = ''] = accessToken?.split('.') ?? []
    const { exp } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { exp: number }
    return exp * 1000
  } catch {
    return 0
  }
}

function mergeCookies (cookie: string, setCookies: readonly string[]): string {
  const pairs = [...cookie.split('; '), ...setCookies.map(header => header.split(';')[0] ?? '')]
  return [...new Map(pairs.map(pair => [pair.split('=')[0], pair])).values()].join('; ')
}
