import type { RotationAttempt, RotationOutcome } from '../domain/rotation.js'
import type { Session } from '../domain/session.js'
import type { Millis } from '../lib/time.js'
import type { StoreTime } from '../revocations/store-clock.js'
import type { RotateOptions, TokenStore, Touch } from '../stores/token-store.js'

/** Part of the grace period after which the response to a rotation is late. */
const LATE_PART = 1 / 4

/**
 * Wraps a store so that a late response to a rotation restarts the grace period.
 *
 * A rotation writes the moment at which it was sent. If the response takes longer than a quarter of
 * the grace period, other requests with the previous token could come too late. So `graceFrom`
 * moves forward, also if the caller has given up in the meantime. The response waits for that
 * write.
 *
 * @returns The given store if there is no grace period.
 */
export function extendGraceOfLateRotations (
  store: TokenStore,
  time: StoreTime,
  grace: Millis
): TokenStore {
  if (grace === 0) {
    return store
  }

  async function rotate (
    attempt: RotationAttempt,
    options?: RotateOptions
  ): Promise<RotationOutcome> {
    const sentAt = time.monotonic()
    const outcome = await store.rotate(attempt, options)
    const { swapped, session } = outcome
    const isLate = time.monotonic() - sentAt > grace * LATE_PART

    if (!swapped || session === null || !isLate) {
      return outcome
    }

    const graceFrom = time.now()
    await store.touch([createGraceTouch(session, attempt.to, graceFrom)])
    return { swapped, session: { ...session, graceFrom: Math.max(session.graceFrom, graceFrom) } }
  }

  return {
    check: () => store.check(),
    create: session => store.create(session),
    rotate,
    find: (realm, sessionId) => store.find(realm, sessionId),
    list: (realm, userId, page) => store.list(realm, userId, page),
    revoke: (target, details) => store.revoke(target, details),
    touch: batch => store.touch(batch),
    revocations: (after, limit) => store.revocations(after, limit),
    sweep: batch => store.sweep(batch)
  }
}

/** Creates a touch that moves the start of a grace period while the row has the generation. */
export function createGraceTouch (
  { realm, id: sessionId, lastUsedAt }: Session,
  generation: number,
  graceFrom: Millis | null
): Touch {
  return {
    realm,
    sessionId,
    generation,
    lastUsedAt,
    confirmedGeneration: 0,
    graceFrom,
    replayRun: null
  }
}
