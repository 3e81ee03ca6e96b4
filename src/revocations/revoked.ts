import type { Millis } from '../lib/time.js'
import type { Revocation } from '../stores/token-store.js'

/**
 * Revoked sessions whose access tokens have not expired yet.
 *
 * Lives in memory, because every request with an access token looks it up.
 */
export class RevokedSessions {
  readonly #retention: Millis
  readonly #revokedAt = new Map<string, Millis>()

  /** @param retention - Time until all access tokens from before a revocation have expired. */
  constructor (retention: Millis) {
    this.#retention = retention
  }

  has (sessionId: string): boolean {
    return this.#revokedAt.size > 0 && this.#revokedAt.has(sessionId)
  }

  /** Adds a revocation and deletes those that are no longer needed. */
  add ({ sessionId, at }: Revocation, now: Millis): void {
    if (this.#revokedAt.has(sessionId)) {
      return
    }

    this.#revokedAt.set(sessionId, at)

    // Entries are roughly in the order of time. One that arrived early only stays a bit longer.
    for (const [oldest, revokedAt] of this.#revokedAt) {
      if (revokedAt + this.#retention > now) {
        break
      }

      this.#revokedAt.delete(oldest)
    }
  }
}
