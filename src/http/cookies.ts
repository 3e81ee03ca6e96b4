// A token in a cookie: its name, its attributes, and the rule that a cookie which comes twice is none.
//
// Written here and not by @fastify/cookie, whose own functions work only once the app has registered it: what travels is a JWT,
// which needs no encoding, and reading has to see a second cookie of the same name where parsers keep the first.

import { TokenAuthError } from '../errors.js'

const LONGEST = 4096

/** How cookies are set (RFC 6265bis); the same for clearing them. */
export interface CookieAttributes {
  readonly path: string
  readonly secure: boolean
  readonly sameSite: 'strict' | 'lax' | 'none'
}

/** The part of a request that is read. */
export interface CookieRequest {
  readonly headers: { readonly cookie?: string | undefined }
}

/** The part of a reply that is written, over HTTP/1 and HTTP/2. */
export interface CookieReply {
  header(name: string, value: string): unknown
}

/** */
export class TokenCookie {
  readonly name: string
  readonly isSecure: boolean
  readonly #attributes: string

  /** @param name Without the prefix that tells browsers what to demand of it. */
  constructor (name: string, { path, secure, sameSite }: CookieAttributes) {
    this.isSecure = secure
    this.name = `${secure ? path === '/' ? '__Host-' : '__Secure-' : ''}${name}`
    this.#attributes = `Path=${path}; HttpOnly${secure ? '; Secure' : ''}; SameSite=${
      sameSite[0]?.toUpperCase()
    }${sameSite.slice(1)}`
  }

  /**
   * What the cookie holds; `null` where there is none, or an empty one.
   * @throws TokenAuthError AUTH_REQUEST_INVALID where there are two: another host of the site may have set one of them
   */
  read ({ headers }: CookieRequest): string | null {
    if (headers.cookie === undefined) {
      return null
    }

    // No other space than these: browsers take one before `__Host-` for a part of the name, which anybody may set.
    const [first, ...others] = headers.cookie.split(/;[ \t]*/)
      .filter(pair => pair.startsWith(this.name) && pair[this.name.length] === '=')

    if (others.length > 0) {
      throw new TokenAuthError('AUTH_REQUEST_INVALID', { hint: 'a cookie came twice' })
    }

    return first?.slice(this.name.length + 1) || null
  }

  /** @param maxAge In seconds; `null` for a cookie that the browser forgets when it is closed. */
  set (reply: CookieReply, token: string, maxAge: number | null): void {
    if (!this.takes(token)) {
      throw new Error(
        `the cookie ${this.name} would be longer than browsers keep: make users.claims shorter`
      )
    }

    reply.header('cache-control', 'no-store')
    reply.header(
      'set-cookie',
      `${this.name}=${token}; ${this.#attributes}${maxAge === null ? '' : `; Max-Age=${maxAge}`}`
    )
  }

  /** Whether browsers keep a cookie with this value (RFC 6265bis section 5.6). */
  takes (token: string): boolean {
    return this.name.length + token.length <= LONGEST
  }

  isSetOn (reply: { getHeader(name: string): unknown }): boolean {
    return [reply.getHeader('set-cookie')].flat().some(text =>
      String(text).startsWith(`${this.name}=`)
    )
  }

  clear (reply: CookieReply): void {
    this.set(reply, '', 0)
  }
}
