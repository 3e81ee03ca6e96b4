import { mock } from 'node:test'
import t from 'tap'
import { DAY } from '../../../src/lib/time.js'
import { makeSession, NOW, REALM } from '../../../src/stores/conformance/harness.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'

async function createFullStore (count: number, expiresAt: number): Promise<MemoryStore> {
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
function getCpuTime (): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Counts turns of the event loop while `work` runs, and measures the CPU time of the longest. */
async function watchTurns (
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

t.test('sweep gives other work a turn after each millisecond', async t => {
  const store = await createFullStore(1000, NOW)
  t.teardown(() => {
    mock.restoreAll()
  })

  // Each session is read once, and so is its user.
  for (const [duration, expected] of [[0, 0], [0.01, 20], [0.1, 200]] as const) {
    let now = 0
    mock.method(performance, 'now', () => (now += duration))
    const { turns } = await watchTurns(async () => {
      t.equal(await store.sweep({ endedBefore: NOW, limit: 10 }), 0)
    })
    mock.restoreAll()
    t.ok(Math.abs(turns - expected) <= expected * 0.15, `${turns} turns of ${expected}`)
  }
})

t.test('sweep of 100,000 live sessions takes few turns', async t => {
  const store = await createFullStore(100_000, NOW)
  const { turns } = await watchTurns(async () => {
    t.equal(await store.sweep({ endedBefore: NOW, limit: 100 }), 0)
  })
  t.ok(turns < 1000, `${turns} turns`)
})

t.test('sweep of 100,000 expired sessions does not block the event loop for 20 ms', async t => {
  let shortest = Infinity

  // A garbage collection may fall into a turn, so the best of 3 rounds counts.
  for (let round = 0; round < 3 && shortest >= 20; round++) {
    const store = await createFullStore(100_000, NOW - DAY)
    const { longest, turns } = await watchTurns(async () => {
      while (await store.sweep({ endedBefore: NOW, limit: 1000 }) === 1000) {
        // The next batch follows.
      }
    })
    shortest = Math.min(shortest, longest)
    t.equal(await store.find(REALM, 's99999'), null)
    t.ok(turns >= 100, 'a turn follows every full batch')
  }

  t.ok(shortest < 20, `${shortest} ms`)
})
