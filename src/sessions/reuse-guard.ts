import type { Caller, Session } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { Events, SessionEvent, TokenUse } from '../events.js'
import type { Millis } from '../lib/time.js'
import type { RefreshToken } from '../tokens/refresh-token.js'
import { ReplayMonitor } from './replay-monitor.js'
import type { IsSameClient } from './replay-monitor.js'
import type { Sessions } from './sessions.js'

/** Settings and collaborators of a {@link ReuseGuard}. */
export interface ReuseGuardContext {
  readonly sessions: Sessions
  readonly events: Events
  /** Reaction to a suspicious replay. `false` disables the detection. */
  readonly replayDetection: 'report' | 'revoke' | false
  readonly isSameClient: IsSameClient
}

/** Use of a refresh token that was rotated before. */
export interface RepeatedUse {
  readonly presented: RefreshToken
  readonly session: Session
  readonly now: Millis
  readonly by: Caller
}

/** Revokes sessions whose refresh token may have been stolen, and reports it to the app. */
export class ReuseGuard {
  readonly #context: ReuseGuardContext
  readonly #monitor: ReplayMonitor | null

  constructor (context: ReuseGuardContext) {
    const { replayDetection, isSameClient } = context
    this.#context = context
    this.#monitor = replayDetection === false ? null : new ReplayMonitor(isSameClient)
  }

  /** Revokes the session of a reused token. Concurrent reuses emit one event. */
  async revoke (use: RepeatedUse): Promise<void> {
    const { sessions, events } = this.#context

    if (await sessions.revoke(use.session.id, 'reuse')) {
      events.emit('reuse', createReuseEvent(use))
    }
  }

  /**
   * Records a replay within the grace period, and reports it if it is suspicious.
   *
   * @throws TokenAuthError `AUTH_REFRESH_REUSED` if the replay is suspicious and `replayDetection`
   * is `'revoke'`.
   */
  async recordReplay (use: RepeatedUse): Promise<void> {
    const { replayDetection, sessions, events } = this.#context

    if (this.#monitor?.record(use.session, use.by) !== true) {
      return
    }

    const revokesReplays = replayDetection === 'revoke'
    const revoked = revokesReplays && await sessions.revoke(use.session.id, 'suspicious-replay')

    // If another request revoked the session, that request emits the event.
    if (revoked || !revokesReplays) {
      events.emit('suspicious-replay', { ...createReuseEvent(use), revoked })
    }

    if (revokesReplays) {
      throw new TokenAuthError('AUTH_REFRESH_REUSED')
    }
  }
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
