import { setImmediate as nextTurn } from 'node:timers/promises'
import { isLateReplay } from '../domain/rotation.js'
import type { Continuation } from '../domain/rotation.js'
import type { Caller, Session } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { Events, Logger, SessionEvent, TokenUse } from '../events.js'
import type { Millis } from '../lib/time.js'
import type { TokenStore, Touch } from '../stores/token-store.js'
import type { RefreshToken } from '../tokens/refresh-token.js'
import { createGraceTouch } from './late-rotations.js'
import { judgeReplay } from './replay-verdict.js'
import type { IsSameClient } from './replay-verdict.js'
import type { SessionOwner, Sessions } from './sessions.js'

/** Settings and collaborators of a {@link ReuseGuard}. */
export interface ReuseGuardContext {
  readonly store: TokenStore
  readonly sessions: Sessions
  readonly events: Events
  readonly logger: Logger
  readonly clock: () => Millis
  /** Reaction to a suspicious replay. `false` disables the detection. */
  readonly replayDetection: 'report' | 'revoke' | false
  readonly isSameClient: IsSameClient
  /** Grace period of a rotated token. */
  readonly grace: Millis
}

/** Use of a refresh token that was presented before. */
export interface RepeatedUse {
  readonly presented: RefreshToken
  readonly session: Session
  readonly now: Millis
  readonly by: Caller
}

/** Circumstances that show whether a reuse may be a request of the client that was served late. */
export interface Arrival {
  /** Whether the process stood still in the second before the request arrived. */
  readonly afterStandstill: boolean
  /** Whether the client still waits for the response. */
  readonly isConnected: () => boolean
}

/** Revokes sessions whose refresh token may have been stolen, and reports it to the app. */
export class ReuseGuard {
  readonly #context: ReuseGuardContext

  constructor (context: ReuseGuardContext) {
    this.#context = context
  }

  /**
   * Revokes the session of a reused token. Concurrent reuses emit one event.
   *
   * An instance that stood still serves requests whose clients have given up, and have refreshed at
   * another instance. Such a request looks like one of an attacker, so it changes nothing.
   *
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` if the client may have given up.
   */
  async revoke (use: RepeatedUse, arrival: Arrival): Promise<void> {
    await this.#assertStillWaiting(use, arrival)
    const { sessions, events } = this.#context

    if (await sessions.revoke(getOwner(use), 'reuse')) {
      events.emit('reuse', createReuseEvent(use))
    }
  }

  /**
   * Records in the row that a token was presented again, and reports it if it is suspicious.
   *
   * A recovery starts a new grace period, because other tabs with the previous token follow. So
   * does a replay by the same client in the second half of the period. The row contains the new
   * start before the response is sent, so that every instance applies it.
   *
   * @returns Whether the session was revoked, because the replay is suspicious and
   * `replayDetection` is `'revoke'`.
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` if the client may have given up.
   */
  async recordReplay (
    use: RepeatedUse,
    kind: Continuation['kind'],
    arrival: Arrival
  ): Promise<boolean> {
    const { store, events, clock, replayDetection, isSameClient, grace } = this.#context
    const { session, by } = use
    const verdict = replayDetection === false
      ? null
      : judgeReplay(session, by, kind === 'recovered', isSameClient)
    const now = clock()
    const startsGrace = kind === 'recovered' ||
      (kind === 'replayed' && isLateReplay(session, now, grace) &&
        isSameClient(session.rotatedBy, by))

    if (!startsGrace && verdict === null) {
      return false
    }

    const touch = {
      ...createGraceTouch(session, session.generation, startsGrace ? now : null),
      replayRun: verdict?.run ?? null
    }

    if (verdict?.isSuspicious === true && replayDetection === 'revoke') {
      await this.#revokeSuspicious(use, touch, arrival)
      return true
    }

    await store.touch([touch])

    if (verdict?.isSuspicious === true) {
      events.emit('suspicious-replay', { ...createReuseEvent(use), revoked: false })
    }

    return false
  }

  // Revokes while it records the replay. Otherwise a concurrent replay would find the record, and
  // would get tokens.
  async #revokeSuspicious (use: RepeatedUse, touch: Touch, arrival: Arrival): Promise<void> {
    await this.#assertStillWaiting(use, arrival)
    const { store, sessions, events } = this.#context
    const [isRevoked] = await Promise.all([
      sessions.revoke(getOwner(use), 'suspicious-replay'),
      store.touch([touch])
    ])

    // If another request revoked the session, that request emits the event.
    if (isRevoked) {
      events.emit('suspicious-replay', { ...createReuseEvent(use), revoked: true })
    }
  }

  async #assertStillWaiting (
    { session }: RepeatedUse,
    { afterStandstill, isConnected }: Arrival
  ): Promise<void> {
    // The end of a connection is noticed in the next turn of the event loop.
    await nextTurn()
    const reason = afterStandstill
      ? 'the process stood still before the request'
      : isConnected()
      ? null
      : 'the client has closed the connection'

    if (reason !== null) {
      const { id: sessionId, userId } = session
      this.#context.logger.warn(
        { sessionId, userId, reason },
        'rejected a repeated refresh token with 503 instead of revoking its session'
      )
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
    }
  }
}

function getOwner ({ session: { id: sessionId, userId } }: RepeatedUse): SessionOwner {
  return { sessionId, userId }
}

function createReuseEvent (
  { presented, session, now, by }: RepeatedUse
): SessionEvent & { readonly presented: TokenUse, readonly rotated: TokenUse } {
  return {
    at: now,
    sessionId: session.id,
    userId: session.userId,
    ...by,
    presented: { at: now, generation: presented.generation, ...by },
    rotated: { at: session.rotatedAt, generation: session.generation, ...session.rotatedBy }
  }
}
