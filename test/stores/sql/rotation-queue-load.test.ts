import t from 'tap'
import type { RotationAttempt, RotationOutcome } from '../../../src/domain/rotation.js'
import { RotationQueue } from '../../../src/stores/sql/rotation-queue.js'
import {
  createAttempt,
  createIds,
  createSuccess,
  MAX_BATCH
} from './rotation-queue-helpers.js'

const loads: Record<string, (count: number) => string[]> = {
  'one session': count => Array<string>(count).fill('s1'),
  'different sessions': createIds
}

for (const [which, ids] of Object.entries(loads)) {
  t.test(`10,000 concurrent attempts for ${which} resolve in order`, async t => {
    const { calls, outcomes } = await rotateAllAtOnce(ids(10_000))
    t.strictSame(outcomes.map(({ session }) => session?.id), ids(10_000))
    const distinct = new Set(ids(10_000)).size
    t.equal(outcomes.filter(({ swapped }) => swapped).length, distinct)
    t.equal(calls, Math.ceil(distinct / MAX_BATCH))
  })

  t.test(`the queue reads each of 9,000 attempts for ${which} fewer than 100 times`, async t => {
    let reads = 0
    const { outcomes } = await rotateAllAtOnce(ids(9_000), attempt => ({
      ...attempt,
      get sessionId () {
        reads++
        return attempt.sessionId
      }
    }))
    t.ok(reads / outcomes.length < 100, `${reads / outcomes.length} reads per attempt`)
  })
}

/** Rotates all sessions concurrently. The database responds immediately. */
async function rotateAllAtOnce (
  ids: readonly string[],
  prepare = (attempt: RotationAttempt): RotationAttempt => attempt
): Promise<{ calls: number, outcomes: RotationOutcome[] }> {
  let calls = 0
  const queue = new RotationQueue({
    isDataError: () => false,
    rotateAll: async attempts => {
      calls++
      return attempts.map(createSuccess)
    }
  })

  return {
    outcomes: await Promise.all(ids.map(id => queue.rotate(prepare(createAttempt(id))))),
    calls
  }
}
