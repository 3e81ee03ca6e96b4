// The sessions whose access tokens are refused although they have not ended: asked at every request, so kept in memory.

import type { Revocation } from '../stores/token-store.js'
import type { Millis } from '../lib/time.js'

/** */
export class RevokedSessions {
  readonly #keep: Millis
  readonly #moments = new Map<string, Millis>()

  /** @param keep How long an entry is needed: until every access token that was out at its moment has ended. */
  constructor (keep: Millis) {
    this.#keep = keep
  }

  has (sessionId: string): boolean {
    return this.#moments.size > 0 && this.#moments.has(sessionId)
  }

  add ({ sessionId, at }: Revocation, now: Millis): void {
    if (this.#moments.has(sessionId)) {
      return
    }

    this.#moments.set(sessionId, at)

    // The oldest come first, near enough: what is late here by a clock's error is only kept a little longer.
    for (const [oldest, moment] of this.#moments) {
      if (moment + this.#keep > now) {
        break
      }

      this.#moments.delete(oldest)
    }
  }
}
