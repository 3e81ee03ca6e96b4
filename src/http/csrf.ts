// Whose page sends a request that a browser signs by itself, with a cookie (OWASP CSRF, Fetch Metadata). SameSite alone does not
// tell: another host of the same site gets its requests signed, too.

import { TokenAuthError } from '../errors.js'
import { transportHeader } from '../protocol.js'

/** The part of a Fastify request that is read. `protocol` and `host` are the client's behind a proxy only with `trustProxy`. */
export interface OriginRequest {
  readonly method: string
  readonly protocol: string
  readonly host: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

const sites: ReadonlySet<unknown> = new Set(['same-origin', 'same-site', 'cross-site', 'none'])
const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/**
 * Lets a request pass that was sent by a page of this origin or of an allowed one, or by no page at all.
 *
 * @param allowed Other origins, as browsers write them.
 * @throws TokenAuthError AUTH_ORIGIN_REJECTED
 */
export function assertTrustedOrigin (
  { protocol, host, headers }: OriginRequest,
  allowed: ReadonlySet<string>
): void {
  const { origin, 'sec-fetch-site': given } = headers
  const site = sites.has(given) ? given : undefined

  if (site === 'same-origin') {
    return
  }

  if (typeof origin === 'string') {
    if (
      allowed.has(origin) || (site === undefined && origin === originOf(`${protocol}://${host}`))
    ) {
      return
    }
  } else if (site === undefined && headers[transportHeader] !== undefined) {
    // No browser: those of today send one or the other, and no page of another origin may add a header unasked.
    return
  }

  throw new TokenAuthError('AUTH_ORIGIN_REJECTED')
}

// As a browser writes it, whatever a proxy has made of the host: in lower case, and without a default port.
function originOf (url: string): string | null {
  return URL.canParse(url) ? new URL(url).origin : null
}

/** Whether a request may change something, or opens a WebSocket, whose GET carries cookies from any page. */
export function isUnsafe ({ method, headers }: Pick<OriginRequest, 'method' | 'headers'>): boolean {
  return !safeMethods.has(method) || headers.upgrade !== undefined
}
