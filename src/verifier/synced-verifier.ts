import { TokenAuthError } from '../errors.js'
import type { RevocationFeed } from '../revocations/feed.js'
import type { RevokedSessions } from '../revocations/revoked.js'
import type { AccessTokenVerifier } from '../tokens/auth.js'
import type { PendingNotes } from './pending-notes.js'
import type { RemoteToken } from './remote-token.js'

/** Longest session ID that a note can have. Those of the issuer have 32 characters. */
const MAX_ID_LENGTH = 255

/** Collaborators of a {@link SyncedVerifier}. */
export interface SyncedVerifierContext {
  readonly verifier: AccessTokenVerifier<RemoteToken>
  readonly revoked: RevokedSessions
  readonly feed: Pick<RevocationFeed, 'isOverdue' | 'catchUp' | 'isStale'>
  readonly notes: PendingNotes
}

/**
 * Adds to a verifier the revocations of the issuer, and notes for the issuer.
 *
 * Needs no I/O of its own, like the verifier of the issuer.
 */
export class SyncedVerifier implements AccessTokenVerifier<RemoteToken> {
  readonly #context: SyncedVerifierContext

  constructor (context: SyncedVerifierContext) {
    this.#context = context
  }

  /** Returns a promise only if the verifier does, or if this process stood still. */
  verify (token: string, cacheKey: string): RemoteToken | Promise<RemoteToken> {
    const { verifier, feed } = this.#context

    if (feed.isOverdue()) {
      return feed.catchUp().then(() => this.verify(token, cacheKey))
    }

    const verified = verifier.verify(token, cacheKey)

    if (verified instanceof Promise) {
      // The process may have stood still meanwhile.
      return verified.then(result =>
        feed.isOverdue() ? this.verify(token, cacheKey) : this.#accept(result)
      )
    }

    return this.#accept(verified)
  }

  /** Notes the use of a DPoP-bound token. */
  async onPossessionProved (verified: RemoteToken): Promise<void> {
    this.#note(verified)
  }

  #accept (verified: RemoteToken): RemoteToken {
    const { revoked, feed } = this.#context

    if (revoked.has(verified.auth.sessionId, verified.auth.userId)) {
      throw new TokenAuthError('AUTH_SESSION_REVOKED')
    }

    if (feed.isStale()) {
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
    }

    if (verified.thumbprint === null) {
      this.#note(verified)
    }

    return verified
  }

  #note (verified: RemoteToken): void {
    if (verified.isNoted) {
      return
    }

    verified.isNoted = true
    const { auth: { sessionId: sid }, generation: gen, seen } = verified

    if (seen !== null && sid.length <= MAX_ID_LENGTH) {
      this.#context.notes.add({ sid, gen, seen })
    }
  }
}
