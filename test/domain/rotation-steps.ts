import { applyRotation, canRotate, judgeRotation, planHealing } from '../../src/domain/rotation.js'
import type { Continuation, RotationAttempt, RotationVerdict } from '../../src/domain/rotation.js'
import { NO_REPLAYS } from '../../src/domain/session.js'
import type { Session } from '../../src/domain/session.js'
import type { Millis } from '../../src/lib/time.js'

export const START = Date.UTC(2026, 0, 1)
export const NOBODY = { address: null, userAgent: null }

/** The rules under test. Mutants replace one of them. */
export interface Rules {
  readonly canRotate: typeof canRotate
  readonly applyRotation: typeof applyRotation
  readonly judgeRotation: typeof judgeRotation
  readonly planHealing: typeof planHealing
  /** Moves the start of the grace period forward before a recovery is answered. */
  readonly recover: (session: Session, now: Millis) => Session
  /** Row after an attempt that {@link canRotate} rejects. */
  readonly rejectRotation: (session: Session, attempt: RotationAttempt) => Session
}

export const rules: Rules = {
  canRotate,
  applyRotation,
  judgeRotation,
  planHealing,
  recover: (session, now) => ({ ...session, graceFrom: Math.max(session.graceFrom, now) }),
  rejectRotation: session => session
}

export interface Policy {
  readonly grace: Millis
  readonly lifetime: Millis
  readonly absolute: Millis
}

export type Who = 'client' | 'attacker'
export type Delivery = 'now' | 'lost' | 'late'

export type Step =
  | { readonly do: 'refresh', readonly who: Who, readonly delivery: Delivery }
  // Two requests with one token. The clock of the second instance may be `ahead` by half a grace
  // period. In a `race`, the row of the first rotation is read only
  // after the second request and one more refresh.
  | {
    readonly do: 'refresh twice'
    readonly deliveries: readonly [Delivery, Delivery]
    readonly ahead: boolean
    readonly race: boolean
  }
  // `deliver` brings the late response of a refresh. `arrive` and `process` are one request, whose
  // statement is sent some time after its arrival. `save` and `lose`: the store loses all writes
  // after a moment.
  | {
    readonly do: 'deliver' | 'arrive' | 'process' | 'steal' | 'forge' | 'revoke' | 'save' | 'lose'
  }
  | { readonly do: 'use', readonly who: Who }
  | {
    readonly do: 'wait'
    readonly graces: number
    readonly lifetimes: number
    readonly millis: number
  }

/** Creates the row of a new session. */
export function createRow (policy: Policy): Session {
  return {
    id: 's1',
    realm: 'test',
    userId: 'u-ann',
    secretHash: 'hash',
    generation: 0,
    confirmedGeneration: 0,
    createdAt: START,
    authenticatedAt: START,
    rotatedAt: START,
    rotatedBy: NOBODY,
    graceFrom: START,
    lastUsedAt: START,
    expiresAt: START + Math.min(policy.lifetime, policy.absolute),
    endsAt: START + policy.absolute,
    revokedAt: null,
    revokedFor: null,
    device: { label: null, ...NOBODY },
    replayRun: NO_REPLAYS
  }
}

export function isContinuation (verdict: RotationVerdict): verdict is Continuation {
  return 'generation' in verdict
}
