import { TokenAuthError } from '../errors.js'
import type { Logger } from '../events.js'
import { RateLimit } from '../lib/rate-limit.js'
import { SECOND } from '../lib/time.js'
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
 * Why a request is not from a trusted page.
 *
 * - `unknown-origin`: its `Origin` is neither this origin nor an allowed one.
 * - `untrusted-proxy`: its `Origin` is this host with another scheme, so a proxy terminates TLS.
 * - `missing-origin`: a browser sent it without `Origin`, for example for a link.
 * - `not-a-browser`: it has neither a header that browsers add nor `X-Token-Transport`.
 */
export type OriginMismatch =
  | 'unknown-origin'
  | 'untrusted-proxy'
  | 'missing-origin'
  | 'not-a-browser'

/** Log lines with the fix for each mismatch. */
const LOG_LINES: Readonly<Record<OriginMismatch, string>> = {
  'unknown-origin':
    'rejected cookies from a page of another origin; if the page is yours, add its origin to ' +
    '"cookie.origins". If it is the origin of this app, let the proxy send Host and ' +
    'X-Forwarded-Proto, and set "trustProxy" of Fastify',
  'untrusted-proxy':
    'rejected cookies from a page of this host, because the app sees another scheme; a proxy ' +
    'terminates TLS, so set "trustProxy" of Fastify and let the proxy send X-Forwarded-Proto',
  'missing-origin':
    'rejected cookies of a browser that sent no Origin, such as for a link or a typed URL; send ' +
    'the request with fetch or a form from a page of this origin or of "cookie.origins"',
  'not-a-browser':
    'rejected cookies from a client that is not a browser, such as curl or inject; let it send ' +
    'the header "X-Token-Transport: cookie"'
}

const MAX_LOGGED_LENGTH = 200

/**
 * Accepts requests from pages of this origin or of an allowed one, and from clients that are not
 * browsers (Fetch Metadata, OWASP CSRF).
 *
 * Required for requests that browsers authenticate with a cookie. `SameSite` alone does not
 * suffice, because another host of the same site can send the cookie too.
 */
export class TrustedOrigins {
  readonly #allowed: ReadonlySet<string>
  readonly #logger: Logger
  readonly #registration: string
  readonly #limit = new RateLimit(10, 10 * SECOND)

  /**
   * @param allowed - Other origins, as browsers send them.
   * @param registration - Option `name`, for the log.
   */
  constructor (allowed: ReadonlySet<string>, logger: Logger, registration: string) {
    this.#allowed = allowed
    this.#logger = logger
    this.#registration = registration
  }

  /**
   * Checks the origin of a request, and logs why it is rejected.
   *
   * The response contains the reason only for a client that is not a browser.
   *
   * @throws TokenAuthError `AUTH_ORIGIN_REJECTED` for pages of other origins.
   */
  assert (request: OriginRequest): void {
    const mismatch = findOriginMismatch(request, this.#allowed)

    if (mismatch === null) {
      return
    }

    this.#log(request, mismatch)
    throw new TokenAuthError(
      'AUTH_ORIGIN_REJECTED',
      mismatch === 'not-a-browser'
        ? { hint: 'clients that are not browsers must send the header X-Token-Transport: cookie' }
        : {}
    )
  }

  /**
   * Whether a page of an allowed origin of another site sends the request, by a script or a frame.
   *
   * A browser that opens a page (a navigation) accepts its cookies whatever their `SameSite` is.
   */
  isFromAllowedSite ({ headers }: Pick<OriginRequest, 'headers'>): boolean {
    return readFetchSite(headers) === 'cross-site' &&
      headers['sec-fetch-dest'] !== 'document' &&
      typeof headers.origin === 'string' && this.#allowed.has(headers.origin)
  }

  // Any page can cause such requests, so the number of log lines is limited.
  #log ({ method, protocol, host, headers }: OriginRequest, reason: OriginMismatch): void {
    const skipped = this.#limit.next()

    if (skipped !== null) {
      this.#logger.warn({
        registration: this.#registration,
        reason,
        method,
        protocol,
        host: host.slice(0, MAX_LOGGED_LENGTH),
        origin: String(headers.origin ?? '').slice(0, MAX_LOGGED_LENGTH) || null,
        fetchSite: readFetchSite(headers) ?? null,
        skipped
      }, LOG_LINES[reason])
    }
  }
}

function findOriginMismatch (
  { protocol, host, headers }: OriginRequest,
  allowed: ReadonlySet<string>
): OriginMismatch | null {
  const { origin } = headers
  const site = readFetchSite(headers)

  if (site === 'same-origin') {
    return null
  }

  if (typeof origin === 'string') {
    const isOwn = (scheme: string): boolean =>
      site === undefined && origin === normalizeOrigin(`${scheme}://${host}`)

    if (allowed.has(origin) || isOwn(protocol)) {
      return null
    }

    return isOwn(protocol === 'https' ? 'http' : 'https') ? 'untrusted-proxy' : 'unknown-origin'
  }

  if (site !== undefined) {
    return 'missing-origin'
  }

  // Browsers send `Origin` or `Sec-Fetch-Site`, and a page of another origin cannot add this header
  // without a preflight. So the client is not a browser.
  return headers[transportHeader] === undefined ? 'not-a-browser' : null
}

/** Reads `Sec-Fetch-Site`. Ignores values that browsers do not send. */
function readFetchSite ({ 'sec-fetch-site': site }: OriginRequest['headers']): unknown {
  return FETCH_SITES.has(site) ? site : undefined
}

// Browsers send origins in lower case and without a default port. The host that a proxy sends may
// differ in both.
function normalizeOrigin (url: string): string | null {
  const origin = URL.canParse(url) ? new URL(url).origin : 'null'
  // The origin of an unknown scheme is the string 'null', which sandboxed pages send too.
  return origin === 'null' ? null : origin
}

/** Whether a browser asks for permission to send a request to another origin (Fetch, 3.3). */
export function isPreflight (
  { method, headers }: Pick<OriginRequest, 'method' | 'headers'>
): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined &&
    headers['access-control-request-method'] !== undefined
}

/**
 * Whether a request can change state or opens a WebSocket.
 *
 * Any page can open a WebSocket, and its GET request carries cookies.
 */
export function isUnsafe ({ method, headers }: Pick<OriginRequest, 'method' | 'headers'>): boolean {
  return !SAFE_METHODS.has(method) || headers.upgrade !== undefined
}
