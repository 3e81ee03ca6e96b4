import type { RevocationReason } from '../domain/session.js'
import type { Actor, Events } from '../events.js'
import { deleteExpired } from '../lib/expiry.js'
import type { Millis } from '../lib/time.js'
import type { Revocation } from '../stores/token-store.js'
import type { RevokedSessions } from './revoked.js'

/** Collaborators and settings of a {@link RevocationReporter}. */
export interface RevocationReporterContext {
  readonly revoked: RevokedSessions
  readonly events: Events
  /** Time for which a revocation stays in memory, so that it is reported once. */
  readonly retention: Millis
}

interface PendingRevocation {
  readonly actor: Actor
  readonly until: Millis
}

/** Usual cause of a revocation, by its reason. Other instances know the reason only. */
const ACTORS: { readonly [Reason in RevocationReason]: Actor } = {
  logout: 'client',
  'logout-all': 'client',
  replaced: 'client',
  revoked: 'app',
  'password-changed': 'app',
  reuse: 'plugin',
  'suspicious-replay': 'plugin',
  'too-many': 'plugin',
  'user-gone': 'plugin'
}

/**
 * Emits `session-ended` once for each revocation, whichever instance made it.
 *
 * A revocation of this instance is reported when its caller gets the result. The entry of the feed
 * then has no effect. If the caller gets an error although the store has written the revocation,
 * the entry reports it.
 */
export class RevocationReporter {
  readonly #context: RevocationReporterContext
  /** Revocations of this instance without a result, by key, until their entry is too old. */
  readonly #pending = new Map<string, PendingRevocation>()
  /** Sessions that a row showed to be revoked before their entry was read. */
  readonly #unreported = new Map<string, Millis>()

  constructor (context: RevocationReporterContext) {
    this.#context = context
  }

  /**
   * Records a revocation that this instance is about to make, before it calls the store.
   *
   * @param actor - Cause of the revocation. By default, the usual one of its reason.
   */
  begin (revocation: Revocation, actor = ACTORS[revocation.reason]): void {
    const until = revocation.at + this.#context.retention
    deleteExpired(this.#pending, revocation.at)
    this.#pending.set(getKey(revocation), { actor, until })
  }

  /** Adds a revocation that this instance has made, and reports it. */
  complete (revocation: Revocation, now: Millis): void {
    const actor = this.#takePending(revocation)
    const wasFound = this.#takeUnreported(revocation)

    // A concurrent request may have found the row before this call got its result.
    if (this.#context.revoked.add(revocation, now) || wasFound) {
      this.#emit(revocation, true, actor)
    }
  }

  /** Withdraws a revocation that had nothing to revoke. */
  cancel (revocation: Revocation): void {
    this.#pending.delete(getKey(revocation))
  }

  /**
   * Adds a session whose row shows that it is revoked. Its entry of the feed reports it.
   *
   * @param session.userId - Missing if the store does not have the session.
   */
  addRevokedRow (
    { sessionId, userId }: { readonly sessionId: string, readonly userId?: string },
    at: Millis,
    now: Millis
  ): void {
    const { revoked, retention } = this.#context
    deleteExpired(this.#unreported, now)

    if (revoked.add({ sessionId, userId, at }, now)) {
      this.#unreported.set(sessionId, now + retention)
    }
  }

  /**
   * Adds an entry of the feed.
   *
   * @param isNews - Whether the entry is reported. One of this instance is reported in any case.
   */
  addEntry (entry: Revocation, now: Millis, isNews: boolean): void {
    const { revoked, retention } = this.#context
    const actor = this.#takePending(entry)
    const isLocal = actor !== undefined
    const wasFound = this.#takeUnreported(entry)
    const isNew = revoked.add(entry, now) || wasFound

    // A store may show older entries again, which are no longer in memory.
    if (isNew && (isLocal || isNews) && entry.at > now - retention) {
      this.#emit(entry, isLocal, actor)
    }
  }

  #takePending (revocation: Revocation): Actor | undefined {
    const key = getKey(revocation)
    const actor = this.#pending.get(key)?.actor
    this.#pending.delete(key)
    return actor
  }

  #takeUnreported (revocation: Revocation): boolean {
    return 'sessionId' in revocation && this.#unreported.delete(revocation.sessionId)
  }

  #emit (
    revocation: Revocation,
    local: boolean,
    actor: Actor = ACTORS[revocation.reason]
  ): void {
    const { at, reason } = revocation
    const keep = 'keep' in revocation ? revocation.keep : undefined
    this.#context.events.emit('session-ended', {
      at,
      sessionId: 'sessionId' in revocation ? revocation.sessionId : null,
      userId: 'userId' in revocation ? revocation.userId : null,
      reason,
      actor,
      local,
      ...(keep !== undefined && { keep })
    })
  }
}

// No ID contains a space, except the ID of a user, which is last.
function getKey (revocation: Revocation): string {
  const { at } = revocation

  if ('sessionId' in revocation) {
    return `${at} session ${revocation.sessionId}`
  }

  return 'userId' in revocation
    ? `${at} user ${revocation.keep ?? ''} ${revocation.userId}`
    : `${at} realm`
}
