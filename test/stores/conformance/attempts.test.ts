// Attempts are counted alike in every database; and a memory that is full forgets whom it can.

import t from 'tap'
import { testAttemptStore } from '../../../src/stores/conformance/attempt-store.js'
import type { AttemptStore } from '../../../src/stores/attempt-store.js'
import { MemoryAttempts } from '../../../src/stores/memory/index.js'
import { databases } from '../../helpers/databases/index.js'

const NOW = Date.UTC(2030, 0, 1)
const rule = { free: 2, most: 5, wait: 1000, longestWait: 60_000, memory: 3_600_000, slides: true }

for (const [name, { open, skip = false }] of Object.entries(databases)) {
  t.test(`the laws: ${name}`, { skip }, async t => {
    const { attempts } = await open(t)
    const [store, other] = [attempts(), attempts()]
    testAttemptStore({
      test: (name, run) => t.test(name, run),
      async open () {
        const used = new Set<string>()

        return {
          store: remembering(store, used),
          other: remembering(other, used),
          close: () => forget(store, used)
        }
      }
    })
  })
}

t.test('a memory that is full lets those go that wait for nothing, oldest first', async t => {
  const attempts = new MemoryAttempts(100)

  for (let i = 0; i < rule.free; i++) {
    await attempts.take('blocked', NOW, rule)
  }

  for (let i = 0; i < 1000; i++) {
    t.equal(await attempts.take(`flood-${i}`, NOW, rule), null)
  }

  t.equal(await attempts.take('blocked', NOW, rule), NOW + 1000, 'whoever is blocked stays so')
  t.equal(await attempts.take('flood-999', NOW, rule), null)
  t.equal(await attempts.take('flood-999', NOW, rule), NOW + 1000, 'the newest are remembered')
  t.equal(
    await attempts.sweep({ now: NOW + 2 * rule.memory, limit: 1000 }),
    100,
    'no more than it may hold'
  )
})

t.test('a memory in which everybody waits lets the oldest go', async t => {
  const attempts = new MemoryAttempts(10)

  for (let i = 0; i < 30; i++) {
    for (let j = 0; j < rule.free; j++) {
      await attempts.take(`k${i}`, NOW, rule)
    }
  }

  t.equal(await attempts.take('k29', NOW, rule), NOW + 1000)
  t.equal(await attempts.take('k0', NOW, rule), null)
})

// One database for all laws, each of which begins with nothing.
function remembering (store: AttemptStore, used: Set<string>): AttemptStore {
  return {
    take: (key, now, rule) => store.take((used.add(key), key), now, rule),
    release: key => store.release(key),
    clear: key => store.clear(key),
    sweep: batch => store.sweep(batch)
  }
}

async function forget (store: AttemptStore, used: ReadonlySet<string>): Promise<void> {
  for (const key of used) {
    await store.clear(key)
  }
}
