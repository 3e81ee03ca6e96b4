import { UsageTracker } from '../../src/revocations/usage-tracker.js'
import type { TokenStore, Touch } from '../../src/stores/token-store.js'
import { SECOND } from '../helpers/clock.js'

export const NOW = Date.UTC(2026, 0, 1)
export const REALM = 'test'
export const GRACE = 10 * SECOND

type Batch = readonly Touch[]

interface TestTracker {
  readonly tracker: UsageTracker
  /** Batches that the store was called with, successful or not. */
  readonly written: Batch[]
}

/** A tracker on a store that resolves immediately, unless `touch` is given. */
export function createTracker (
  write: (batch: Batch) => Promise<void> = async () => {},
  grace = GRACE,
  writesImmediately = false
): TestTracker {
  const written: Batch[] = []
  const store = {
    async touch (batch: Batch) {
      written.push(batch)
      await write(batch)
    }
  }
  const tracker = new UsageTracker(store as unknown as TokenStore, REALM, grace, writesImmediately)
  return { tracker, written }
}

interface Call {
  readonly batch: Batch
  resolve(): void
  reject(error: Error): void
}

/** A tracker on a store whose writes stay pending until the test settles them. */
export function createHeldTracker (
  grace = GRACE,
  writesImmediately = false
): TestTracker & { readonly calls: Call[] } {
  const calls: Call[] = []

  return {
    calls,
    ...createTracker(
      batch =>
        new Promise<void>((resolve, reject) => {
          calls.push({ batch, resolve, reject })
        }),
      grace,
      writesImmediately
    )
  }
}

/** A tracker on a store that fails the given number of times. */
export function createFailingTracker (times: number): TestTracker {
  let left = times

  return createTracker(async () => {
    if (left-- > 0) {
      throw new Error('no connection')
    }
  })
}

export function touch (
  sessionId: string,
  generation: number,
  lastUsedAt: number = NOW
): Touch {
  return {
    realm: REALM,
    sessionId,
    generation,
    lastUsedAt,
    confirmedGeneration: generation,
    graceFrom: null,
    replayRun: null
  }
}
