/**
 * Cookies of one browser, because `fetch` outside of browsers has none.
 *
 * Implements only the part of RFC 6265 that tokens need: origin, name, value and `Max-Age`.
 */
export interface CookieJar {
  /** Returns the `Cookie` header for a URL; an empty string if there are no cookies to send. */
  getHeader(url: string): string
  /** Saves the `Set-Cookie` headers of a response. */
  save(url: string, setCookies: readonly string[]): void
  /** Deletes all cookies with a name. */
  delete(name: string): void
  /** Returns the values of the current cookies by name. */
  entries(): ReadonlyMap<string, string>
}

interface Cookie {
  readonly origin: string
  readonly name: string
  readonly value: string
  readonly expiresAt: number
}

/**
 * Creates an empty cookie jar.
 *
 * @param time - Returns the true time in milliseconds, which decides when cookies expire.
 */
export function createCookieJar (time: () => number): CookieJar {
  const cookies = new Map<string, Cookie>()

  function getCurrent (): Cookie[] {
    return [...cookies.values()].filter(({ expiresAt }) => expiresAt > time())
  }

  return {
    getHeader (url) {
      const { origin } = new URL(url)

      return getCurrent().filter(cookie => cookie.origin === origin).map(({ name, value }) =>
        `${name}=${value}`
      ).join('; ')
    },
    save (url, setCookies) {
      const { origin } = new URL(url)

      for (const header of setCookies) {
        const [, name, value] = /^([^=;]+)=([^;]*)/.exec(header) ?? []

        if (name === undefined || value === undefined) {
          continue
        }

        const maxAge = /;\s*max-age=(-?\d+)/i.exec(header)?.[1]
        const expiresAt = maxAge === undefined ? Infinity : time() + Number(maxAge) * 1000
        cookies.delete(`${origin} ${name}`)

        if (expiresAt > time()) {
          cookies.set(`${origin} ${name}`, { origin, name, value, expiresAt })
        }
      }
    },
    delete (name) {
      for (const [key, cookie] of cookies) {
        if (cookie.name === name) {
          cookies.delete(key)
        }
      }
    },
    entries: () => new Map(getCurrent().map(({ name, value }) => [name, value]))
  }
}
