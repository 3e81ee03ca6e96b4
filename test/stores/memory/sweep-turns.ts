import { DAY } from '../../../src/lib/time.js'
import { makeSession, NOW } from '../../../src/stores/conformance/harness.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'

/** Creates a store with sessions of different users. */
export async function createFullStore (count: number, expiresAt: number): Promise<MemoryStore> {
  const store = new MemoryStore()

  for (let n = 0; n < count; n++) {
    await store.create(
      makeSession({
        id: `s${n}`,
        userId: `u${n}`,
        createdAt: NOW - 2 * DAY,
        expiresAt,
        endsAt: NOW + DAY
      })
    )
  }

  return store
}

/** CPU time of this process in milliseconds. Other processes do not affect it. */
export function getCpuTime (): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Counts turns of the event loop while `work` runs, and measures the CPU time of the longest. */
export async function watchTurns (
  work: () => Promise<void>
): Promise<{ readonly turns: number, readonly longest: number }> {
  let turns = 0
  let longest = 0
  let turnStartedAt = getCpuTime()

  const countTurn = (): void => {
    turns++
    longest = Math.max(longest, getCpuTime() - turnStartedAt)
    turnStartedAt = getCpuTime()
    counting = setImmediate(countTurn)
  }

  let counting = setImmediate(countTurn)
  await work()
  clearImmediate(counting)
  return { turns, longest }
}
