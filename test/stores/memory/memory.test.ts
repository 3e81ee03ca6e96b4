import t from 'tap'
import { DAY } from '../../../src/lib/time.js'
import { makeSession, NOW } from '../../../src/stores/conformance/harness.js'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'

/** Store with `count` sessions. They end 1 ms after each other, the first one at `NOW`. */
async function createFullStore (count: number): Promise<MemoryStore> {
  const store = new MemoryStore()

  for (let n = 0; n < count; n++) {
    await store.create(
      makeSession({ id: `s${n}`, createdAt: NOW - DAY, expiresAt: NOW + n, endsAt: NOW + DAY })
    )
  }

  return store
}

t.test('passes the conformance suite', async t => {
  testTokenStore({
    test: (name, run) => t.test(name, run),
    open: () => ({ store: new MemoryStore() })
  })
})

t.test('concurrent sweeps with different end times delete each session once', async t => {
  const store = await createFullStore(1000)
  const counts = await Promise.all(
    [600, 300, 0].map(after => store.sweep({ endedBefore: NOW + after, limit: 2000 }))
  )
  t.equal(counts.reduce((sum, count) => sum + count), 600)
  t.equal(await store.sweep({ endedBefore: NOW + 2000, limit: 2000 }), 400)
})

t.test('concurrent batches of one sweep delete all ended sessions', async t => {
  const store = await createFullStore(1000)
  const batch = { endedBefore: NOW + 600, limit: 70 }
  let deleted = 0

  for (let count = 1; count > 0; deleted += count) {
    const counts = await Promise.all([store.sweep(batch), store.sweep(batch)])
    count = counts.reduce((sum, count) => sum + count)
  }

  t.equal(deleted, 600)
})

t.test('sweep yields to the event loop while it examines live sessions', async t => {
  const store = await createFullStore(100_000)
  let turns = 0

  const countTurn = (): void => {
    turns++
    counting = setImmediate(countTurn)
  }

  let counting = setImmediate(countTurn)
  t.equal(await store.sweep({ endedBefore: NOW, limit: 10 }), 0)
  clearImmediate(counting)
  t.ok(turns >= 3, `${turns} turns`)
})

t.test('sweep continues after the last session that the previous batch examined', async t => {
  const store = await createFullStore(1000)

  for (let batch = 0; batch < 10; batch++) {
    t.equal(await store.sweep({ endedBefore: NOW + 1000, limit: 100 }), 100)
  }

  await store.create(makeSession({ id: 'late', expiresAt: NOW }))
  t.equal(await store.sweep({ endedBefore: NOW + 1000, limit: 100 }), 1)
  await store.create(makeSession({ id: 'later', expiresAt: NOW }))
  t.equal(await store.sweep({ endedBefore: NOW + 1000, limit: 100 }), 1)
})
