import t from 'tap'
import { countAttempt, getBlockedUntil } from '../../../src/domain/attempt-rule.js'
import type { AttemptCount } from '../../../src/domain/attempt-rule.js'
import { testAttemptStore } from '../../../src/stores/conformance/attempt-store.js'
import type { AttemptStore, BlockedKey } from '../../../src/stores/attempt-store.js'
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
          close: () => store.reset([...keys])
        }
      }
    })
  })
}

t.test('a full memory store drops the oldest keys that are not blocked', async t => {
  const attempts = new MemoryAttempts(100)
  const consume = (key: string): Promise<BlockedKey | null> =>
    attempts.consume([{ key, rule }], NOW)

  for (let i = 0; i < rule.freeAttempts; i++) {
    await consume('blocked')
  }

  for (let i = 0; i < 1000; i++) {
    t.equal(await consume(`flood-${i}`), null)
  }

  t.match(await consume('blocked'), { until: NOW + 1000 }, 'a blocked key stays blocked')
  t.equal(await consume('flood-999'), null)
  t.match(await consume('flood-999'), { until: NOW + 1000 }, 'the newest keys are kept')
  t.equal(
    await attempts.sweep({ now: NOW + 2 * rule.retention, limit: 1000 }),
    100,
    'at most 100 keys'
  )
})

t.test('a full memory store drops the oldest keys if all are blocked', async t => {
  const attempts = new MemoryAttempts(10)
  const consume = (key: string): Promise<BlockedKey | null> =>
    attempts.consume([{ key, rule }], NOW)

  for (let i = 0; i < 30; i++) {
    for (let j = 0; j < rule.freeAttempts; j++) {
      await consume(`k${i}`)
    }
  }

  t.match(await consume('k29'), { until: NOW + 1000 })
  t.equal(await consume('k0'), null)
})

/** Memory stores with a fault. */
const mutants: Record<string, () => AttemptStore> = {
  'counts the keys before a blocked one': () =>
    createMutant(store => ({
      async consume (counts, now) {
        for (const count of counts) {
          const blocked = await store.consume([count], now)

          if (blocked !== null) {
            return blocked
          }
        }

        return null
      }
    })),
  'checks and counts in two steps': () => {
    const saved = new Map<string, AttemptCount>()

    return createMutant(() => ({
      async consume (counts, now) {
        for (const { key } of counts) {
          const attempts = saved.get(key)
          const until = getBlockedUntil(attempts ?? null, now)

          if (attempts !== undefined && until !== null) {
            return { key, until, since: attempts.since }
          }
        }

        await new Promise(resolve => {
          setImmediate(resolve)
        })

        for (const { key, rule } of counts) {
          saved.set(key, countAttempt(saved.get(key) ?? null, now, rule))
        }

        return null
      }
    }))
  },
  'returns the last blocked key': () =>
    createMutant(store => ({
      consume: (counts, now) => store.consume(counts.toReversed(), now)
    })),
  'returns the current time as `since`': () =>
    createMutant(store => ({
      async consume (counts, now) {
        const blocked = await store.consume(counts, now)
        return blocked === null ? null : { ...blocked, since: now }
      }
    })),
  'refunds the first key only': () =>
    createMutant(store => ({ refund: keys => store.refund(keys.slice(0, 1)) })),
  'resets the first key only': () =>
    createMutant(store => ({ reset: keys => store.reset(keys.slice(0, 1)) })),
  'refunds by a reset': () => createMutant(store => ({ refund: keys => store.reset(keys) })),
  'does nothing on a refund': () => createMutant(() => ({ refund: async () => {} })),
  'does nothing on a reset': () => createMutant(() => ({ reset: async () => {} })),
  'does not refund on a reset': () => createMutant(store => ({ reset: keys => store.reset(keys) })),
  'resets keys that it should refund': () =>
    createMutant(store => ({
      reset: (keys, refunded = []) => store.reset([...keys, ...refunded])
    })),
  'ignores the case of keys': () =>
    createMutant(store => ({
      consume: (counts, now) =>
        store.consume(counts.map(({ key, rule }) => ({ key: key.toLowerCase(), rule })), now)
    })),
  'counts an attempt in a check': () =>
    createMutant(store => ({
      async check () {
        await store.consume([{ key: 'k', rule }], NOW)
        return []
      }
    })),
  'resolves a check without warnings': () =>
    createMutant(() => ({ check: async () => undefined as unknown as string[] })),
  'sweeps without a limit': () =>
    createMutant(store => ({ sweep: ({ now }) => store.sweep({ now, limit: 1e6 }) })),
  'sweeps keys before their retention ends': () =>
    createMutant(store => ({ sweep: batch => store.sweep({ ...batch, now: batch.now + 2 }) }))
}

function createMutant (change: (store: AttemptStore) => Partial<AttemptStore>): AttemptStore {
  const store = new MemoryAttempts()

  return {
    check: () => store.check(),
    consume: (counts, now) => store.consume(counts, now),
    refund: keys => store.refund(keys),
    reset: (keys, refunded) => store.reset(keys, refunded),
    sweep: batch => store.sweep(batch),
    ...change(store)
  }
}

for (const [fault, open] of Object.entries(mutants)) {
  t.test(`a store that ${fault} fails the conformance suite`, async t => {
    const tests: Array<() => Promise<void>> = []
    testAttemptStore({
      test: (_name, run) => tests.push(run),
      open: () => ({ store: open() })
    })
    let failures = 0

    for (const run of tests) {
      await run().catch(() => {
        failures++
      })
    }

    t.ok(failures > 0, `${failures} tests fail`)
  })
}

/** Returns the store and records its keys, so that each test starts without attempts. */
function recordKeys (store: AttemptStore, keys: Set<string>): AttemptStore {
  return {
    check: () => store.check(),
    consume (counts, now) {
      for (const { key } of counts) {
        keys.add(key)
      }

      return store.consume(counts, now)
    },
    refund: keys => store.refund(keys),
    reset: (keys, refunded) => store.reset(keys, refunded),
    sweep: batch => store.sweep(batch)
  }
}
