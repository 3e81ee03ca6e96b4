// The cookies of one browser, for places where `fetch` keeps none, such as Node. As much of RFC 6265 as tokens need.

export interface CookieJar {
  /** The `Cookie` header for a URL; `''` where there is nothing to send. */
  header(url: string): string
  /** Takes the `Set-Cookie` headers of an answer. */
  take(url: string, setCookies: readonly string[]): void
  /** What it holds: values by name. */
  entries(): ReadonlyMap<string, string>
}

interface Cookie {
  readonly origin: string
  readonly name: string
  readonly value: string
  readonly endsAt: number
}

/** @param time The true time, in milliseconds: by it cookies end. */
export function createCookieJar (time: () => number): CookieJar {
  const cookies = new Map<string, Cookie>()

  function live (): Cookie[] {
    return [...cookies.values()].filter(({ endsAt }) => endsAt > time())
  }

  return {
    header (url) {
      const { origin } = new URL(url)

      return live().filter(cookie => cookie.origin === origin).map(({ name, value }) =>
        `${name}=${value}`
      ).join('; ')
    },
    take (url, setCookies) {
      const { origin } = new URL(url)

      for (const text of setCookies) {
        const [, name, value] = /^([^=;]+)=([^;]*)/.exec(text) ?? []

        if (name === undefined || value === undefined) {
          continue
        }

        const maxAge = /;\s*max-age=(-?\d+)/i.exec(text)?.[1]
        const endsAt = maxAge === undefined ? Infinity : time() + Number(maxAge) * 1000
        cookies.delete(`${origin} ${name}`)

        if (endsAt > time()) {
          cookies.set(`${origin} ${name}`, { origin, name, value, endsAt })
        }
      }
    },
    entries: () => new Map(live().map(({ name, value }) => [name, value]))
  }
}
