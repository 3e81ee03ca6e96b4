import { TokenAuthError } from '../errors.js'
import { transportHeader } from '../protocol.js'

/**
 * Part of a Fastify request that is read.
 *
 * Behind a proxy, `protocol` and `host` are the client's only with `trustProxy`.
 */
export interface OriginRequest {
  readonly method: string
  readonly protocol: string
  readonly host: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

const FETCH_SITES: ReadonlySet<unknown> = new Set([
  'same-origin',
  'same-site',
  'cross-site',
  'none'
])
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/**
 * Accepts requests from pages of this origin or of an allowed one, and from clients that are no
 * browser (Fetch Metadata, OWASP CSRF).
 *
 * Required for requests that browsers authenticate with a cookie. `SameSite` alone does not
 * suffice, because another host of the same site can send the cookie too.
 *
 * @param allowed - Other origins, as browsers send them.
 * @throws TokenAuthError `AUTH_ORIGIN_REJECTED` for pages of other origins.
 */
export function assertTrustedOrigin (
  { protocol, host, headers }: OriginRequest,
  allowed: ReadonlySet<string>
): void {
  const { origin, 'sec-fetch-site': fetchSite } = headers
  const site = FETCH_SITES.has(fetchSite) ? fetchSite : undefined

  if (site === 'same-origin') {
    return
  }

  if (typeof origin === 'string') {
    const isSameOrigin = site === undefined && origin === normalizeOrigin(`${protocol}://${host}`)

    if (allowed.has(origin) || isSameOrigin) {
      return
    }
  } else if (site === undefined && headers[transportHeader] !== undefined) {
    // The client is no browser. Browsers send `Origin` or `Sec-Fetch-Site`, and a page of another
    // origin cannot add this header without a preflight.
    return
  }

  throw new TokenAuthError('AUTH_ORIGIN_REJECTED')
}

// Browsers send origins in lower case and without a default port. A proxy may change the host.
function normalizeOrigin (url: string): string | null {
  const origin = URL.canParse(url) ? new URL(url).origin : 'null'
  // The origin of an unknown scheme is the string 'null', which sandboxed pages send too.
  return origin === 'null' ? null : origin
}

/**
 * Whether a request can change state or opens a WebSocket.
 *
 * Any page can open a WebSocket, and its GET request carries cookies.
 */
export function isUnsafe ({ method, headers }: Pick<OriginRequest, 'method' | 'headers'>): boolean {
  return !SAFE_METHODS.has(method) || headers.upgrade !== undefined
}
