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
  t.test(`passes the conformance suite: ${name}`, { skip }, async t => {
    const { attempts } = await open(t)
    const [store, other] = [attempts(), attempts()]
    testAttemptStore({
      test: (name, run) => t.test(name, run),
      async open () {
        const keys = new Set<string>()

        return {
          store: recordKeys(store, keys),
          other: recordKeys(other, keys),
          close: () => resetKeys(store, keys)
        }
      }
    })
  })
}

t.test('a full memory store drops the oldest keys that are not blocked', async t => {
  const attempts = new MemoryAttempts(100)

  for (let i = 0; i < rule.freeAttempts; i++) {
    await attempts.consume('blocked', NOW, rule)
  }

  for (let i = 0; i < 1000; i++) {
    t.equal(await attempts.consume(`flood-${i}`, NOW, rule), null)
  }

  t.equal(await attempts.consume('blocked', NOW, rule), NOW + 1000, 'a blocked key stays blocked')
  t.equal(await attempts.consume('flood-999', NOW, rule), null)
  t.equal(await attempts.consume('flood-999', NOW, rule), NOW + 1000, 'the newest keys are kept')
  t.equal(
    await attempts.sweep({ now: NOW + 2 * rule.retention, limit: 1000 }),
    100,
    'at most 100 keys'
  )
})

t.test('a full memory store drops the oldest keys if all are blocked', async t => {
  const attempts = new MemoryAttempts(10)

  for (let i = 0; i < 30; i++) {
    for (let j = 0; j < rule.freeAttempts; j++) {
      await attempts.consume(`k${i}`, NOW, rule)
    }
  }

  t.equal(await attempts.consume('k29', NOW, rule), NOW + 1000)
  t.equal(await attempts.consume('k0', NOW, rule), null)
})

/** Returns the store and records its keys, so that each test starts without attempts. */
function recordKeys (store: AttemptStore, keys: Set<string>): AttemptStore {
  return {
    consume: (key, now, rule) => store.consume((keys.add(key), key), now, rule),
    refund: key => store.refund(key),
    reset: key => store.reset(key),
    sweep: batch => store.sweep(batch)
  }
}

async function resetKeys (store: AttemptStore, keys: ReadonlySet<string>): Promise<void> {
  for (const key of keys) {
    await store.reset(key)
  }
}
