import type { NotBefore } from '../domain/not-before.js'
import type { RotationAttempt, RotationOutcome } from '../domain/rotation.js'
import type { RevocationReason, Session } from '../domain/session.js'
import type { Touch } from '../domain/touch.js'
import type { Millis } from '../lib/time.js'

export type { NotBefore } from '../domain/not-before.js'
export type { RotationAttempt, RotationOutcome } from '../domain/rotation.js'
export type {
  Caller,
  Device,
  ReplayRun,
  RevocationReason,
  Session
} from '../domain/session.js'
export type { Touch } from '../domain/touch.js'

const MAX_SHOWN_PROBLEMS = 8

/** Options of {@link TokenStore.rotate}. A store that wraps another one passes them on. */
export interface RotateOptions {
  /**
   * Aborted when the caller has given up, such as after `storeTimeout`. `undefined` if the caller
   * waits for the result. The plugin creates the signal when the store reads this member.
   */
  readonly signal?: AbortSignal | undefined
}

/**
 * Interface between the plugin and a database.
 *
 * The conformance suite tests every sentence of the methods, except those about a signal. An
 * adapter that passes it is compatible. A store has no policy and no cryptography: times and IDs
 * are arguments. It reads the clock of its database for `now` of {@link RevocationPage} and for the
 * age of feed entries only. It has no `close`, because the app owns the connection. State moves
 * forward only: generations grow, and a revocation stays. A store that cannot respond rejects, and
 * the plugin responds with 503.
 *
 * Realms are separate: a method that names a realm acts as if the rows of others did not exist.
 *
 * **Not-befores.** Revoking a user or a realm records a moment, the not-before. It ends every
 * session that was authenticated at or before it, except the one that it keeps (`isRevokedBy`). As
 * soon as `revoke` has written it, these sessions count as revoked, even if their rows are not
 * marked yet. If several not-befores revoke a session, the one with the earliest `at` revoked it
 * (`applyNotBefores`).
 *
 * The plugin passes no string that a database may change, such as one with NUL or a lone surrogate.
 *
 * @example
 * ```ts
 * import { test } from 'node:test'
 * import { testTokenStore } from 'fastify-token-auth/conformance'
 *
 * testTokenStore({ test, open: () => ({ store: new MyStore() }) })
 * ```
 */
export interface TokenStore {
  /**
   * Checks that the database has what the store needs. Changes nothing.
   *
   * Rejects with {@link StoreSetupError} if something is missing, such as a table, a right or a
   * version. Rejects with another error if the database does not respond. The plugin calls it at
   * startup, and logs the warnings.
   *
   * @returns Warnings, one sentence each. Empty if there are none.
   */
  check(): Promise<readonly string[]>

  /**
   * Saves a new session. `find` returns it unchanged.
   *
   * Rejects with {@link SessionRefusedError} if the ID exists in any realm, or if a not-before ends
   * the session. So a login that began with the old password does not outlive its change.
   */
  create(session: Session): Promise<void>

  /**
   * Rotates a session by compare-and-swap, in one atomic step and one round trip.
   *
   * Writes `applyRotation(session, attempt)` if and only if `canRotate(session, attempt)`.
   * Otherwise leaves the session unchanged. Exactly one of several concurrent equal attempts
   * rotates. Each of them returns the row as it is afterwards, never an earlier one. A session that
   * a not-before ends does not rotate, and is returned as revoked.
   *
   * @param options - Its `signal` is aborted when the caller has given up. An attempt that was not
   * sent to the database by then must not be sent, and rejects.
   */
  rotate(attempt: RotationAttempt, options?: RotateOptions): Promise<RotationOutcome>

  /**
   * Returns the session with an ID, in any state, or `null`.
   *
   * A session that a not-before revokes is returned as revoked.
   */
  find(realm: string, sessionId: string): Promise<Session | null>

  /**
   * Returns the live sessions of a user, by descending ID, at most `page.limit`.
   *
   * A session is live if it is not revoked and has not expired at `page.now`. IDs start with the
   * moment of the login, so the newest session comes first.
   */
  list(
    realm: string,
    userId: string,
    page: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]>

  /**
   * Revokes one session, all sessions of a user except `keep`, or all sessions of a realm.
   *
   * Keeps the time and reason of an earlier revocation, and does not count it again. Ignores
   * unknown IDs. With `secretHash`, ignores a session with another secret.
   *
   * Adds one entry to the feed, however many sessions it revokes. A session that is revoked already
   * adds none. The entry becomes readable together with the row or the not-before that it reports.
   *
   * For a user, first records a not-before with its entry. Its `before` is the later of `at` and
   * the latest `createdAt` of the user's unrevoked sessions. Then marks the rows. Each such call
   * records its own not-before, also for a user without sessions. Repeating a call after a crash
   * completes it.
   *
   * For a realm, records `at` as the not-before of the realm if it is later than the last one, and
   * marks no rows.
   *
   * @returns The number of rows that this call marked.
   */
  revoke(target: RevocationTarget, revocation: RevocationDetails): Promise<number>

  /**
   * Saves how sessions were used. Values move forward only.
   *
   * Ignores unknown IDs. Changes nothing but the members below.
   *
   * - `lastUsedAt` becomes the later time.
   * - `confirmedGeneration` becomes the greater one, but never exceeds `generation` of the row.
   * - `graceFrom` becomes the later time, and `replayRun` the given one if its generation is
   *   greater, while the row has the generation that the touch names.
   */
  touch(batch: readonly Touch[]): Promise<void>

  /**
   * Reads the next revocations, at most `limit`: those after a cursor, or those of the last
   * `within` milliseconds.
   *
   * Shows every entry that commits to every reader that continues from its cursors, however late
   * it commits. May show an entry again. The order of entries has no meaning.
   *
   * `{ within }` counts back from the clock of the database, and may also show entries that are up
   * to two minutes older. Its first page also shows the last not-before of each realm, whatever its
   * age and in addition to `limit`. A store that cannot continue from a cursor, such as that of
   * another store, starts again with a window of 25 hours. This is no error.
   *
   * The cost depends on the number of new entries, not on the number of stored ones.
   */
  revocations(after: Cursor | FeedWindow, limit: number): Promise<RevocationPage>

  /**
   * Deletes what ended before `endedBefore`, at most `limit` records.
   *
   * These are sessions whose `expiresAt` is before it, revoked or not, and feed entries that were
   * stored before it by the clock of the database. Deletes a not-before of a user if its `before`
   * lies before `endedBefore`, and no session is left that was authenticated at or before `before`.
   * Not-befores of realms stay.
   *
   * @returns The number of deleted records. Less than `limit` means that nothing is left, except
   * what another sweep or another writer holds at the moment.
   */
  sweep(batch: { readonly endedBefore: Millis, readonly limit: number }): Promise<number>
}

/** One session, all sessions of a user except `keep`, or all sessions of a realm. */
export type RevocationTarget = SessionTarget | UserTarget | RealmTarget

/** One session. With `secretHash`, only if the session has this secret. */
export interface SessionTarget {
  /** Name of the registration. */
  readonly realm: string
  /** ID of the session. */
  readonly sessionId: string
  /** Hash that the session must have, so that only the owner of a token revokes it. */
  readonly secretHash?: string
}

/** All sessions of a user, except the one with the ID `keep`. */
export interface UserTarget {
  /** Name of the registration. */
  readonly realm: string
  /** ID of the user. */
  readonly userId: string
  /** ID of the session that stays. */
  readonly keep?: string
}

/** All sessions of a realm. */
export interface RealmTarget {
  /** Name of the registration. */
  readonly realm: string
}

/** Moment and reason of a revocation. */
export interface RevocationDetails {
  /** Moment of the revocation. */
  readonly at: Millis
  /** Reason of the revocation. */
  readonly reason: RevocationReason
}

/** Position in the feed. Only the store that made it can read it. */
export type Cursor = string

/** Start of a reader: everything that is not older than `within`. */
export interface FeedWindow {
  /** Length of the window in milliseconds. */
  readonly within: Millis
}

/** Result of {@link TokenStore.revocations}. */
export interface RevocationPage {
  /** Time of the database's clock, read in the same statement. */
  readonly now: Millis
  /** Position of the next read. */
  readonly cursor: Cursor
  /** Whether nothing was left to read. If not, the caller reads the next page immediately. */
  readonly complete: boolean
  /** Revocations of the page. */
  readonly entries: readonly Revocation[]
}

/** Entry of the feed: one call of {@link TokenStore.revoke} that had an effect. */
export type Revocation = SessionRevocation | UserRevocation | RealmRevocation

/** Revocation of one session. */
export interface SessionRevocation {
  /** Name of the registration. */
  readonly realm: string
  /** Moment of the revocation. */
  readonly at: Millis
  /** Reason of the revocation. */
  readonly reason: RevocationReason
  /** ID of the session. */
  readonly sessionId: string
  /** ID of its user. */
  readonly userId: string
}

/** Revocation of the sessions of a user that were authenticated at or before `before`. */
export interface UserRevocation {
  /** Name of the registration. */
  readonly realm: string
  /** Moment of the revocation. */
  readonly at: Millis
  /** Reason of the revocation. */
  readonly reason: RevocationReason
  /** ID of the user. */
  readonly userId: string
  /** Latest authentication of a revoked session. */
  readonly before: Millis
  /** ID of the session that stays. */
  readonly keep?: string
}

/** Revocation of all sessions of a realm that were authenticated at or before `before`. */
export interface RealmRevocation {
  /** Name of the registration. */
  readonly realm: string
  /** Moment of the revocation. */
  readonly at: Millis
  /** Reason of the revocation. */
  readonly reason: RevocationReason
  /** Latest authentication of a revoked session. */
  readonly before: Millis
}

/**
 * Thrown by `check`, `migrate` and `baseline` of a store if the database is not as the store needs
 * it.
 *
 * The message contains the problems and the fix, but no data of the app.
 *
 * @example
 * ```ts
 * throw new StoreSetupError(['table "sessions" is missing'], 'run "await store.migrate()"')
 * ```
 */
export class StoreSetupError extends Error {
  /** Name of the class, for checks without `instanceof`. */
  override readonly name = 'StoreSetupError'
  /** Missing or different parts, such as `table "token_auth_sessions" is missing`. */
  readonly problems: readonly string[]
  /** Solution, such as `run "await store.migrate()"`. */
  readonly fix: string

  constructor (problems: readonly string[], fix: string, options?: ErrorOptions) {
    const shown = problems.slice(0, MAX_SHOWN_PROBLEMS)
    const rest = problems.length - shown.length
    super(`${shown.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}; ${fix}`, options)
    this.problems = problems
    this.fix = fix
  }
}

/** Thrown by {@link TokenStore.create} if the store works but must not save the session. */
export class SessionRefusedError extends Error {
  /** Name of the class, for checks without `instanceof`. */
  override readonly name = 'SessionRefusedError'
  /** `id-taken` if the ID exists; `revoked-since` if a not-before revokes the session. */
  readonly reason: 'id-taken' | 'revoked-since'
  /** Latest `before` of the not-befores that revoke the session; `null` if the ID is taken. */
  readonly before: Millis | null

  constructor (notBefore: Pick<NotBefore, 'before'> | null) {
    super(
      notBefore === null
        ? 'A session with this ID exists'
        : 'All sessions of the user were revoked after this one was authenticated'
    )
    this.reason = notBefore === null ? 'id-taken' : 'revoked-since'
    this.before = notBefore === null ? null : notBefore.before
  }
}
