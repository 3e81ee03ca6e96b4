import { planRotation } from '../../../src/domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../../src/domain/rotation.js'
import { NO_REPLAYS } from '../../../src/domain/session.js'
import type { Session } from '../../../src/domain/session.js'
import { RotationQueue } from '../../../src/stores/sql/rotation-queue.js'
import type { RotationQueueOptions } from '../../../src/stores/sql/rotation-queue.js'
import { DAY, MINUTE, SECOND } from '../../helpers/clock.js'

export const NOW = Date.UTC(2026, 0, 1)
export const GRACE = 10 * SECOND
export const MAX_BATCH = 500
export const UNKNOWN_CALLER = { address: null, userAgent: null }

export function createSession (id: string, over: Partial<Session> = {}): Session {
  return {
    id,
    realm: 'test',
    userId: 'u-ann',
    secretHash: 'hash',
    generation: 0,
    confirmedGeneration: 0,
    createdAt: NOW - MINUTE,
    authenticatedAt: NOW - MINUTE,
    rotatedAt: NOW - MINUTE,
    rotatedBy: UNKNOWN_CALLER,
    graceFrom: NOW - MINUTE,
    lastUsedAt: NOW - MINUTE,
    expiresAt: NOW + DAY,
    endsAt: NOW + DAY,
    revokedAt: null,
    revokedFor: null,
    device: { label: null, ...UNKNOWN_CALLER },
    replayRun: NO_REPLAYS,
    ...over
  }
}

export function createAttempt (
  sessionId: string,
  { generation = 0, secretHash = 'hash', now = NOW, realm = 'test' } = {}
): RotationAttempt {
  return planRotation({ realm, sessionId, userId: 'u-ann', secretHash, generation }, {
    now,
    lifetime: DAY,
    grace: GRACE,
    by: UNKNOWN_CALLER
  })
}

/** Outcome of a successful rotation. */
export const createSuccess = (
  { realm, sessionId, to, now }: RotationAttempt
): RotationOutcome => ({
  swapped: true,
  session: createSession(sessionId, { realm, generation: to, rotatedAt: now, graceFrom: now })
})

export const createIds = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `s${index}`)

/** Pending call of `rotateAll`. */
export interface Call {
  readonly attempts: readonly RotationAttempt[]
  /** Resolves the call. By default, every attempt succeeds. */
  respond(outcomes?: readonly RotationOutcome[]): Promise<void>
  fail(error: unknown): Promise<void>
}

export interface TestQueue {
  readonly queue: RotationQueue
  readonly calls: Call[]
  /** Returns the session ids of each call. */
  sessionIds(): string[][]
}

export const DATA_ERROR = new Error('invalid value')
export const CONNECTION_ERROR = new Error('no connection')

/** Queue with a database whose calls stay pending until the test settles them. */
export function createTestQueue (
  options: Pick<RotationQueueOptions, 'minBatchSize'> = {}
): TestQueue {
  const calls: Call[] = []
  const queue = new RotationQueue({
    ...options,
    isDataError: error => error === DATA_ERROR,
    rotateAll: attempts =>
      new Promise((resolve, reject) => {
        calls.push({
          attempts,
          async respond (outcomes = attempts.map(createSuccess)) {
            resolve([...outcomes])
            await nextTurn()
          },
          async fail (error) {
            reject(error)
            await nextTurn()
          }
        })
      })
  })

  return {
    queue,
    calls,
    sessionIds: () => calls.map(({ attempts }) => attempts.map(({ sessionId }) => sessionId))
  }
}

/** Waits for the work that the queue does at the end of a turn of the event loop. */
export async function nextTurn (): Promise<void> {
  for (let count = 0; count < 3; count++) {
    await new Promise(resolve => {
      setImmediate(resolve)
    })
  }
}
