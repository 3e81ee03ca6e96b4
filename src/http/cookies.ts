import { createBadRequestError } from '../errors.js'
import type { Logger } from '../events.js'
import { RateLimit } from '../lib/rate-limit.js'
import { MINUTE } from '../lib/time.js'
import { getCookiePrefix } from '../options/transport.js'
import type { CookieSettings, PreviousCookie } from '../options/transport.js'
import type { OriginRequest, TrustedOrigins } from './csrf.js'

/** Maximum length of name and value in browsers (RFC 6265bis, section 5.6). */
const MAX_COOKIE_LENGTH = 4096

type CookieAttributes = Omit<CookieSettings, 'name'>

/** Part of a request that is read. */
export interface CookieRequest {
  readonly headers: { readonly cookie?: string | undefined }
}

/** Part of a reply that is written. */
export interface CookieReply {
  /** Request of the reply, as the app sees it. */
  readonly request?: { readonly protocol?: string, readonly host?: string }
  /** Sets a header of the response. */
  header(name: string, value: string): unknown
  /** Without it, `Access-Control-Expose-Headers` stays unchanged. */
  getHeader?(name: string): unknown
}

/** Creates a `Set-Cookie` header. The `serializeCookie` decorator of @fastify/cookie. */
export type SerializeCookie = (
  name: string,
  value: string,
  options: CookieAttributes & {
    readonly domain?: string
    readonly httpOnly: true
    readonly maxAge?: number
  }
) => string

/** Cookie that contains a token. */
export class TokenCookie {
  /** Name with the prefix that browsers enforce: `__Host-`, `__Secure-` or none. */
  readonly name: string
  /** Whether browsers send and accept the cookie over https only. */
  readonly isSecure: boolean
  readonly #attributes: CookieAttributes
  readonly #serialize: SerializeCookie

  constructor ({ name, ...attributes }: CookieSettings, serialize: SerializeCookie) {
    this.name = getCookiePrefix(attributes) + name
    this.isSecure = attributes.secure
    this.#attributes = attributes
    this.#serialize = serialize
  }

  /**
   * Reads the cookie.
   *
   * @fastify/cookie keeps the first of two cookies with the same name. Another host of the site can
   * set the other one, so a request with both is rejected here.
   *
   * @returns `null` if the cookie is missing or empty.
   * @throws TokenAuthError `AUTH_REQUEST_INVALID` if the cookie was sent twice.
   */
  read (request: CookieRequest): string | null {
    const [first, ...others] = this.readAll(request)

    if (others.length > 0) {
      throw createBadRequestError('a cookie was sent twice')
    }

    return first || null
  }

  /** Reads the cookie like {@link read}, but ignores it if it was sent twice. */
  readUnlessTwice (request: CookieRequest): string | null {
    const [first, ...others] = this.readAll(request)
    return others.length > 0 ? null : first || null
  }

  /** Reads the values of all cookies with the name. */
  readAll ({ headers: { cookie } }: CookieRequest): string[] {
    // Split on space and tab only. Browsers treat other whitespace before `__Host-` as part of the
    // name, and any host of the site can set such a cookie.
    return cookie === undefined
      ? []
      : cookie.split(/;[ \t]*/)
        .filter(pair => pair.startsWith(this.name) && pair[this.name.length] === '=')
        .map(pair => pair.slice(this.name.length + 1))
  }

  /**
   * Sets the cookie and disables caching of the response.
   *
   * Writes the header itself: the reply may belong to a scope of the app without @fastify/cookie.
   *
   * @param maxAge - Lifetime in seconds. `null` for a session cookie.
   * @throws Error if browsers would drop the cookie because of its length.
   */
  set (reply: CookieReply, token: string, maxAge: number | null): void {
    this.assertFits(token)
    const options = {
      ...this.#attributes,
      httpOnly: true,
      ...(maxAge !== null && { maxAge })
    } as const
    reply.header('cache-control', 'no-store')
    reply.header('set-cookie', this.#serialize(this.name, token, options))
  }

  /** @throws Error if browsers would drop the cookie because of its length. */
  assertFits (token: string): void {
    if (!this.fits(token)) {
      throw new Error(
        `cookie "${this.name}" would exceed ${MAX_COOKIE_LENGTH} characters; shorten "users.claims"`
      )
    }
  }

  /** Whether browsers accept the cookie with this value (RFC 6265bis, section 5.6). */
  fits (token: string): boolean {
    return this.name.length + token.length <= MAX_COOKIE_LENGTH
  }

  /** Whether a reply sets this cookie already. */
  isSetOn (reply: { getHeader(name: string): unknown }): boolean {
    return [reply.getHeader('set-cookie')].flat().some(header =>
      String(header).startsWith(`${this.name}=`)
    )
  }

  /** Removes the cookie from the browser. */
  clear (reply: CookieReply): void {
    this.set(reply, '', 0)
  }
}

/** Creates a function that removes a cookie of earlier settings from the browser. */
export function createCookieRemover (
  { name, path = '/', domain }: PreviousCookie,
  { secure, sameSite }: CookieAttributes,
  serialize: SerializeCookie
): (reply: CookieReply) => void {
  const header = serialize(name, '', {
    path,
    ...domain !== undefined && { domain },
    // Browsers ignore these prefixes without Secure.
    secure: secure || /^__(?:Host|Secure)-/i.test(name),
    sameSite,
    httpOnly: true,
    maxAge: 0
  })

  return reply => {
    reply.header('set-cookie', header)
  }
}

/** Hosts to which browsers send Secure cookies over plain http too. */
const LOCAL_HOST = /^(?:(?:.+\.)?localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?$/i

const MAX_LOGGED_HOST = 200

/** Warns once if a reply sets Secure cookies over plain http, because browsers ignore them. */
export class PlainHttpWarning {
  readonly #logger: Logger
  readonly #registration: string
  #isLogged = false

  /** @param registration - Option `name`, for the log. */
  constructor (logger: Logger, registration: string) {
    this.#logger = logger
    this.#registration = registration
  }

  /** Call it if `reply` sets a Secure cookie. */
  check ({ request: { protocol, host = '' } = {} }: CookieReply): void {
    if (this.#isLogged || protocol !== 'http' || LOCAL_HOST.test(host)) {
      return
    }

    this.#isLogged = true
    this.#logger.warn(
      { registration: this.#registration, host: host.slice(0, MAX_LOGGED_HOST) },
      'a response over plain http set Secure cookies, which browsers ignore; if a proxy ' +
        'terminates TLS, set "trustProxy" of Fastify and let the proxy send X-Forwarded-Proto. ' +
        'Otherwise serve https, or set "cookie: { secure: false }" for development'
    )
  }
}

/**
 * Warns if a page of another site uses cookies whose `SameSite` attribute forbids it.
 *
 * The server accepts the origin of the page, but the browser neither saves nor sends the cookies.
 */
export class CrossSiteWarning {
  readonly #origins: TrustedOrigins
  readonly #sameSite: CookieSettings['sameSite']
  readonly #logger: Logger
  readonly #registration: string
  // A client that is not a browser can send such requests, too.
  readonly #limit = new RateLimit(1, MINUTE)

  /**
   * @param sameSite - Attribute of the refresh cookie.
   * @param registration - Option `name`, for the log.
   */
  constructor (
    origins: TrustedOrigins,
    sameSite: CookieSettings['sameSite'],
    logger: Logger,
    registration: string
  ) {
    this.#origins = origins
    this.#sameSite = sameSite
    this.#logger = logger
    this.#registration = registration
  }

  /** Call it if a request asks for cookies, or is a refresh without the cookie. */
  check (request: Pick<OriginRequest, 'method' | 'headers'>): void {
    if (this.#sameSite === 'none' || !this.#origins.isFromAllowedSite(request)) {
      return
    }

    const skipped = this.#limit.next()

    if (skipped !== null) {
      this.#logger.warn(
        {
          registration: this.#registration,
          reason: 'cross-site',
          origin: request.headers.origin,
          sameSite: this.#sameSite,
          skipped
        },
        'a page of another site uses cookies, but browsers do not save or send them there, ' +
          'because of their SameSite attribute; serve the page and this app from one site, or set ' +
          '"cookie: { sameSite: \'none\', secure: true, origins: [...] }" with the origin of the ' +
          'page. Many browsers block such cookies of other sites'
      )
    }
  }
}
