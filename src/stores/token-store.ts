import type { RotationAttempt, RotationOutcome } from '../domain/rotation.js'
import type { RevocationReason, Session } from '../domain/session.js'
import type { Millis } from '../lib/time.js'

export type { RotationAttempt, RotationOutcome } from '../domain/rotation.js'
export type { Caller, Device, RevocationReason, Session } from '../domain/session.js'

/**
 * Interface between the plugin and a database.
 *
 * The conformance suite tests every sentence of the methods. An adapter that passes it is
 * compatible. A store has no clock, no policy and no cryptography: times and IDs are arguments. It
 * has no `close`, because the app owns the connection. State moves forward only: generations grow,
 * and a revocation stays. A store that cannot answer rejects, and the caller fails closed.
 *
 * The plugin passes no string that a database may change, such as one with NUL or a lone surrogate.
 *
 * @example
 * ```ts
 * import { testTokenStore } from 'fastify-token-auth/conformance'
 *
 * testTokenStore({ test, open: () => ({ store: new MyStore() }) })
 * ```
 */
export interface TokenStore {
  /**
   * Saves a new session. `find` returns it unchanged.
   *
   * Rejects with {@link SessionRefusedError} if the ID exists, or if `authenticatedAt` is not later
   * than the last `revoke` of all sessions of the user. So a login that began with the old password
   * does not outlive its change.
   */
  create(session: Session): Promise<void>

  /**
   * Rotates a session by compare-and-swap, in one atomic step.
   *
   * Writes `applyRotation(session, attempt)` if and only if `canRotate(session, attempt)`.
   * Otherwise leaves the session unchanged. Exactly one of several concurrent equal attempts
   * rotates. Each of them returns the row as it is afterwards, never an earlier one.
   */
  rotate(attempt: RotationAttempt): Promise<RotationOutcome>

  /** Returns the session with an ID, in any state, or `null`. */
  find(sessionId: string): Promise<Session | null>

  /**
   * Returns the live sessions of a user, newest first, at most `page.limit`.
   *
   * A session is live if it is not revoked and has not expired at `page.now`.
   */
  list(
    userId: string,
    page: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]>

  /**
   * Revokes one session, or all sessions of a user except `keep`.
   *
   * Keeps the time and reason of an earlier revocation, and does not count it again. Ignores
   * unknown IDs. With `userId`, also records the time, so that `create` rejects sessions that were
   * authenticated before it.
   *
   * @returns The number of sessions that this call revoked.
   */
  revoke(
    target: RevocationTarget,
    revocation: { readonly at: Millis, readonly reason: RevocationReason }
  ): Promise<number>

  /**
   * Saves when sessions were used, and which generation was seen.
   *
   * Both values move forward only: `lastUsedAt` to the later time, `confirmedGeneration` to the
   * greater one but never past `generation`. Ignores unknown IDs. Changes nothing else.
   */
  touch(batch: readonly Touch[]): Promise<void>

  /**
   * Returns revoked sessions after a cursor in the order of `at` and `sessionId`, at most `limit`.
   *
   * Each revoked session has one entry, however it was revoked. An entry stays readable until the
   * session is deleted.
   */
  revocations(after: Cursor, limit: number): Promise<Revocation[]>

  /**
   * Deletes sessions whose `expiresAt` is before `endedBefore`, revoked or not, and the revocation
   * times of users that are before it.
   *
   * Deletes at most `limit` records.
   *
   * @returns The number of deleted records. Less than `limit` means that nothing is left, except
   * what another sweep or another writer holds at the moment.
   */
  sweep(batch: { readonly endedBefore: Millis, readonly limit: number }): Promise<number>
}

/** One session, or all sessions of a user except `keep`. */
export type RevocationTarget =
  | { readonly sessionId: string }
  | { readonly userId: string, readonly keep?: string }

/** Use of a session, for {@link TokenStore.touch}. */
export interface Touch {
  readonly sessionId: string
  readonly lastUsedAt: Millis
  readonly confirmedGeneration: number
}

/** Position in the list of revocations: after this time and session. IDs compare byte by byte. */
export interface Cursor {
  readonly at: Millis
  readonly sessionId: string
}

/** Revoked session and the time of its revocation. */
export interface Revocation {
  readonly at: Millis
  readonly sessionId: string
}

/** Thrown by {@link TokenStore.create} if the store works but must not save the session. */
export class SessionRefusedError extends Error {
  override readonly name = 'SessionRefusedError'
  readonly reason: 'id-taken' | 'revoked-since'

  constructor (reason: 'id-taken' | 'revoked-since') {
    super(
      reason === 'id-taken'
        ? 'A session with this ID exists'
        : 'All sessions of the user were revoked after this one was authenticated'
    )
    this.reason = reason
  }
}
