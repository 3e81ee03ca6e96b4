import type { Millis } from '../lib/time.js'
import type { ReplayRun, Session } from './session.js'

/** Update of a session that was used, for `touch` of a store. */
export interface Touch {
  /** Name of the registration. */
  readonly realm: string
  /** ID of the row. */
  readonly sessionId: string
  /** Generation of the row that `graceFrom` and `replayRun` are about. */
  readonly generation: number
  /** Moment of the last use. */
  readonly lastUsedAt: Millis
  /** Greatest generation that was seen in use; 0 to keep the saved one. */
  readonly confirmedGeneration: number
  /** New start of the grace period; `null` to keep it. */
  readonly graceFrom: Millis | null
  /** New run of replays by another client; `null` to keep it. */
  readonly replayRun: ReplayRun | null
}

/** Returns the row after a touch. Values move forward only. */
export function applyTouch (session: Session, touch: Touch): Session {
  const { lastUsedAt, confirmedGeneration, generation, graceFrom, replayRun } = touch
  const isCurrent = session.generation === generation
  const confirmed = Math.min(confirmedGeneration, session.generation)
  const isNewRun = isCurrent && replayRun !== null &&
    replayRun.generation > session.replayRun.generation

  return {
    ...session,
    lastUsedAt: Math.max(session.lastUsedAt, lastUsedAt),
    confirmedGeneration: Math.max(session.confirmedGeneration, confirmed),
    graceFrom: isCurrent && graceFrom !== null
      ? Math.max(session.graceFrom, graceFrom)
      : session.graceFrom,
    replayRun: isNewRun ? replayRun : session.replayRun
  }
}
