// Attempts are counted alike in every database; and a memory that is full forgets whom it can.

import t from 'tap'
import { testAttemptStore } from '../../../src/stores/conformance/attempt-store.js'
import type { AttemptStore } from '../../../src/stores/attempt-store.js'
import { MemoryAttempts } from '../../../src/stores/memory/index.js'
import { databases } from '../../helpers/databases/index.js'

const NOW = Date.UTC(2030, 0, 1)
const rule = {
  freeAttempts: 2,
  maxAttempts: 5,
  wait: 1000,
  longestWait: 60_000,
  retention: 3_600_000,
  sliding: true
}

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

  for (let i = 0; i < rule.freeAttempts; i++) {
    await attempts.consume('blocked', NOW, rule)
  }

  for (let i = 0; i < 1000; i++) {
    t.equal(await attempts.consume(`flood-${i}`, NOW, rule), null)
  }

  t.equal(await attempts.consume('blocked', NOW, rule), NOW + 1000, 'whoever is blocked stays so')
  t.equal(await attempts.consume('flood-999', NOW, rule), null)
  t.equal(await attempts.consume('flood-999', NOW, rule), NOW + 1000, 'the newest are remembered')
  t.equal(
    await attempts.sweep({ now: NOW + 2 * rule.retention, limit: 1000 }),
    100,
    'no more than it may hold'
  )
})

t.test('a memory in which everybody waits lets the oldest go', async t => {
  const attempts = new MemoryAttempts(10)

  for (let i = 0; i < 30; i++) {
    for (let j = 0; j < rule.freeAttempts; j++) {
      await attempts.consume(`k${i}`, NOW, rule)
    }
  }

  t.equal(await attempts.consume('k29', NOW, rule), NOW + 1000)
  t.equal(await attempts.consume('k0', NOW, rule), null)
})

// One database for all laws, each of which begins with nothing.
function remembering (store: AttemptStore, used: Set<string>): AttemptStore {
  return {
    consume: (key, now, rule) => store.consume((used.add(key), key), now, rule),
    refund: key => store.refund(key),
    reset: key => store.reset(key),
    sweep: batch => store.sweep(batch)
  }
}

async function forget (store: AttemptStore, used: ReadonlySet<string>): Promise<void> {
  for (const key of used) {
    await store.reset(key)
  }
}
