// THE interface between this package and a database. Each sentence below is a law, and each law is a test in
// conformance.ts: a store that passes them is a store.
//
// Texts come back as they were. What no database can be trusted with (NUL, lone surrogates) is kept from all of them.
//
// A store has no clock, no policy and no cryptography: times and ids are arguments, verdicts are the domain's. It has
// no `close`, because whoever made the connection owns it. State moves only forward: generations grow,
// a revocation stays. A store that cannot answer rejects, and the caller fails closed.

import type { RotationAttempt, RotationOutcome } from '../domain/rotation.js'
import type { RevocationReason, Session } from '../domain/session.js'
import type { Millis } from '../lib/time.js'

export type { Caller, Device, RevocationReason, Session } from '../domain/session.js'
export type { RotationAttempt, RotationOutcome } from '../domain/rotation.js'

export interface TokenStore {
  /**
   * Keeps a new session; what went in comes back from `find` as it was.
   *
   * Refuses, with {@link SessionRefusedError}, an id that is taken; and a session whose `authenticatedAt` is not later than
   * the last `revoke` of all sessions of its user, so that a login which began with the old password does not
   * outlive its change.
   */
  create(session: Session): Promise<void>

  /**
   * Compares and swaps, in one atomic step.
   *
   * Swaps iff `fits(session, attempt)`, and then writes `swap(session, attempt)` (both in domain/rotation.ts); a session that
   * does not fit is left as it is. Of any number of equal attempts at once exactly one swaps, and every one is
   * shown the row as it stands afterwards, never one from before.
   */
  rotate(attempt: RotationAttempt): Promise<RotationOutcome>

  /** The session of that id, in whatever state, or `null`. */
  find(sessionId: string): Promise<Session | null>

  /** The live sessions of a user (neither revoked nor ended at `page.now`), newest login first, at most `page.limit`. */
  list(userId: string, page: { readonly now: Millis, readonly limit: number }): Promise<Session[]>

  /**
   * Ends one session, or all of a user but `keep`, and says how many it ended. A revocation is sticky: the first moment
   * and reason stay, and a session that was revoked already is not counted again. Unknown ids are no error.
   *
   * By `userId` it also records a not-before for the user, which `create` obeys.
   */
  revoke(
    target: RevocationTarget,
    revocation: { readonly at: Millis, readonly reason: RevocationReason }
  ): Promise<number>

  /**
   * Writes what was seen in use. Both values move only forward: `lastUsedAt` to the later one, `confirmedGeneration` to
   * the greater one but never past `generation`. Unknown ids are skipped; nothing else changes.
   */
  touch(batch: readonly Touch[]): Promise<void>

  /**
   * The sessions that were revoked, in the order of (`at`, `sessionId`), beginning after the cursor, at most `limit`.
   * One entry a session, however it was revoked; it stays readable until the session is swept.
   */
  revocations(after: Cursor, limit: number): Promise<Revocation[]>

  /**
   * Deletes what has ended before `endedBefore`: sessions by their `expiresAt`, revoked or not, and the not-befores of users.
   * Deletes at most `limit` records and says how many; fewer than `limit` means that nothing is left
   * to delete but what another sweep, or another writer, holds at this moment.
   */
  sweep(batch: { readonly endedBefore: Millis, readonly limit: number }): Promise<number>
}

/** One session, or all sessions of a user except `keep`. */
export type RevocationTarget =
  | { readonly sessionId: string }
  | { readonly userId: string, readonly keep?: string }

export interface Touch {
  readonly sessionId: string
  readonly lastUsedAt: Millis
  readonly confirmedGeneration: number
}

/** A place in the feed of revocations: after the entry of this moment and session. Ids compare byte by byte. */
export interface Cursor {
  readonly at: Millis
  readonly sessionId: string
}

export interface Revocation {
  readonly at: Millis
  readonly sessionId: string
}

/** Thrown by {@link TokenStore.create}: the store works, and this session must not be. */
export class SessionRefusedError extends Error {
  override readonly name = 'SessionRefusedError'
  readonly reason: 'id-taken' | 'revoked-since'

  constructor (reason: 'id-taken' | 'revoked-since') {
    super(
      reason === 'id-taken'
        ? 'A session of this id exists.'
        : 'All sessions of this user were revoked after this one was authenticated.'
    )
    this.reason = reason
  }
}
