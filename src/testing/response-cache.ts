import { copyResponse } from './responses.js'

/** Sender of a request, as a cache sees it. */
export interface CacheUser {
  readonly device: object
  readonly headers: Headers
}

/** Shared cache that ignores `Cache-Control` and `Vary`, like a misconfigured CDN. */
export interface ResponseCache {
  /** Saves a response to a GET request. Only responses with status 200 are saved. */
  save(url: string, user: CacheUser, response: Response, content: ArrayBuffer): void
  /**
   * Finds a response for the same URL that was sent to another device, or for another
   * `Authorization` header.
   *
   * @param draw - Number from 0 to 1 that chooses one of several responses.
   * @returns A copy without `Set-Cookie`; `null` if there is no such response.
   */
  find(url: string, user: CacheUser, draw: number): Response | null
}

interface CacheEntry {
  readonly url: string
  readonly device: object
  readonly authorization: string | null
  readonly savedAt: number
  readonly response: Response
  readonly content: ArrayBuffer
}

const MAX_ENTRIES = 50

/**
 * Creates an empty cache.
 *
 * @param time - Returns the true time in milliseconds, for the header `Age`.
 */
export function createResponseCache (time: () => number): ResponseCache {
  const entries: CacheEntry[] = []

  return {
    save (url, { device, headers }, response, content) {
      if (response.status !== 200) {
        return
      }

      const authorization = headers.get('authorization')
      entries.push({ url, device, authorization, savedAt: time(), response, content })
      entries.splice(0, entries.length - MAX_ENTRIES)
    },
    find (url, { device, headers }, draw) {
      const authorization = headers.get('authorization')
      const found = entries.filter(entry =>
        entry.url === url && (entry.device !== device || entry.authorization !== authorization)
      )
      const entry = found[Math.floor(draw * found.length)]

      if (entry === undefined) {
        return null
      }

      const copy = copyResponse(entry.response, entry.content)
      copy.headers.delete('set-cookie')
      copy.headers.set('age', String(Math.floor((time() - entry.savedAt) / 1000)))
      return copy
    }
  }
}
