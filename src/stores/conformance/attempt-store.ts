import assert from 'node:assert/strict'
import { countAttempt, getBlockedUntil } from '../../domain/attempt-rule.js'
import type { AttemptCount, AttemptRule } from '../../domain/attempt-rule.js'
import type { AttemptStore, BlockedKey } from '../attempt-store.js'
import { HOUR, SECOND } from '../../lib/time.js'
import { testCheck } from './check-tests.js'
import { defineTest, NOW } from './harness.js'
import type { ConformanceTest, HarnessOptions, OpenedStore } from './harness.js'
import type { Millis } from '../../lib/time.js'

/** Options of {@link testAttemptStore}. */
export type AttemptConformanceOptions = HarnessOptions<AttemptStore>
/** Attempt store that a test uses. */
export type OpenAttemptStore = OpenedStore<AttemptStore>

const AT_ONCE = 40
const ROUNDS = 10
const STEPS = 150

const sliding: AttemptRule = {
  freeAttempts: 4,
  maxAttempts: 12,
  wait: SECOND,
  longestWait: 40 * SECOND,
  retention: HOUR,
  sliding: true
}
const fixed: AttemptRule = {
  freeAttempts: 6,
  maxAttempts: 6,
  wait: 0,
  longestWait: 0,
  retention: HOUR,
  sliding: false
}
const longest: AttemptRule = {
  freeAttempts: 1,
  maxAttempts: 60,
  wait: SECOND,
  longestWait: 2 ** 45,
  retention: 2 ** 46,
  sliding: true
}

/**
 * Registers the conformance tests of an attempt store.
 *
 * @example
 * ```ts
 * import { test } from 'node:test'
 * import { testAttemptStore } from 'fastify-token-auth/conformance'
 *
 * testAttemptStore({ test, open: async () => ({ store: new MyAttempts() }) })
 * ```
 */
export function testAttemptStore (options: AttemptConformanceOptions): void {
  const test = defineTest(options)
  testCheck(options)
  testCheckOfAttempts(test)
  testConsume(test)
  testSeveralKeys(test)
  testRefundAndReset(test)
}

function testCheckOfAttempts (test: ConformanceTest<AttemptStore>): void {
  test('check: changes no count', async store => {
    const count = (): Promise<BlockedKey | null> => store.consume([{ key: 'k', rule: fixed }], NOW)

    for (let i = 1; i < fixed.maxAttempts; i++) {
      await count()
    }

    await store.check()
    assert.equal(await count(), null, 'the last free attempt')
    await store.check()
    assert.equal((await count())?.until, NOW + HOUR)
  })
}

function testConsume (test: ConformanceTest<AttemptStore>): void {
  test('consume: counts attempts, and returns when the next one is allowed', async store => {
    const results: Array<BlockedKey | null> = []

    for (let i = 0; i < 6; i++) {
      results.push(await store.consume([{ key: 'k', rule: sliding }], NOW + i))
    }

    const until = NOW + 3 + SECOND
    const blocked = { key: 'k', until, since: NOW }
    assert.deepEqual(results, [null, null, null, null, blocked, blocked])
    const consume = async (now: Millis): Promise<BlockedKey | null> =>
      store.consume([{ key: 'k', rule: sliding }], now)
    assert.deepEqual(await consume(until - 1), blocked, '1 ms too early')
    assert.equal(await consume(until), null)
    const doubled = { ...blocked, until: until + 2 * SECOND }
    assert.deepEqual(await consume(until), doubled, 'the wait doubles')
  })

  for (const [name, rule] of Object.entries({ sliding, fixed, longest })) {
    test(`consume, refund, reset: do what the rules say at every step (${name})`, async store => {
      const random = createRandom(7)
      let model = null as AttemptCount | null
      let now = NOW

      for (let step = 0; step < STEPS; step++) {
        now += Math.floor(random() ** 4 * (random() < 0.05 ? 2 * rule.retention : 90 * SECOND))
        const dice = random()

        if (dice < 0.86) {
          const until: Millis | null = getBlockedUntil(model, now)
          const expected = until === null ? null : { key: 'k', until, since: model?.since }
          const result = await store.consume([{ key: 'k', rule }], now)
          assert.deepEqual(result, expected, `step ${step}`)

          if (until === null) {
            model = countAttempt(model, now, rule)
          }
        } else if (dice < 0.97) {
          await store.refund(['k'])

          if (model !== null) {
            model = { ...model, count: Math.max(0, model.count - 1), nextAt: 0 }
          }
        } else {
          await store.reset(['k'])
          model = null
        }
      }
    })
  }

  test('consume: concurrent calls from two stores count no more than the rule allows', async (
    store,
    other
  ) => {
    for (const rule of [sliding, fixed]) {
      for (let round = 0; round < ROUNDS; round++) {
        const key = `k${rule.freeAttempts}-${round}`
        const results = await Promise.all(
          Array.from(
            { length: AT_ONCE },
            (_, i) => (i % 2 === 0 ? store : other).consume([{ key, rule }], NOW)
          )
        )
        assert.equal(results.filter(result => result === null).length, rule.freeAttempts)
        const blocked = { key, until: NOW + (rule === fixed ? HOUR : SECOND), since: NOW }

        for (const result of results) {
          assert.deepEqual(result ?? blocked, blocked, 'the others get the same result')
        }

        assert.deepEqual(await other.consume([{ key, rule }], NOW), blocked)
      }
    }
  })

  test('consume: the last attempt of a rule blocks the key until its end', async store => {
    const consume = async (now: Millis): Promise<BlockedKey | null> =>
      store.consume([{ key: 'k', rule: sliding }], now)
    let now = NOW

    for (let i = 0; i < sliding.maxAttempts; i++) {
      assert.equal(await consume(now), null)
      now += sliding.longestWait
    }

    const until = now - sliding.longestWait + HOUR
    const blocked = { key: 'k', until, since: NOW }
    assert.deepEqual(await consume(now), blocked)
    assert.deepEqual(await consume(until - 1), blocked)
    assert.equal(await consume(until), null)
  })

  test('consume: keys compare byte by byte', async store => {
    const consume = async (key: string): Promise<BlockedKey | null> =>
      store.consume([{ key, rule: fixed }], NOW)

    for (let i = 0; i < fixed.maxAttempts; i++) {
      await consume('Key')
    }

    assert.equal((await consume('Key'))?.until, NOW + HOUR)

    for (const key of ['key', 'Key_', 'Ke', 'Key-', 'KEY']) {
      assert.equal(await consume(key), null, key)
    }
  })
}

function testSeveralKeys (test: ConformanceTest<AttemptStore>): void {
  test('consume: several keys are all counted or none', async store => {
    const all = [{ key: 'a', rule: fixed }, { key: 'b', rule: sliding }, { key: 'c', rule: fixed }]

    for (let i = 0; i < sliding.freeAttempts; i++) {
      assert.equal(await store.consume(all, NOW), null)
    }

    const blocked = { key: 'b', until: NOW + SECOND, since: NOW }
    assert.deepEqual(await store.consume(all, NOW), blocked)
    assert.deepEqual(await store.consume(all.toReversed(), NOW), blocked)

    for (const key of ['a', 'c']) {
      for (let i = sliding.freeAttempts; i < fixed.freeAttempts; i++) {
        assert.equal(await store.consume([{ key, rule: fixed }], NOW + 1), null, 'not counted')
      }
    }

    const first = { key: 'a', until: NOW + HOUR, since: NOW }
    assert.deepEqual(await store.consume(all, NOW), first, 'the first given key')
    assert.equal(await store.consume([], NOW), null)
  })

  test(
    'consume: concurrent calls with keys in another order neither fail nor exceed a rule',
    async (
      store,
      other
    ) => {
      for (let round = 0; round < ROUNDS; round++) {
        const all = ['a', 'b', 'c'].map(name => ({ key: `${name}-${round}`, rule: fixed }))
        const results = await Promise.all(
          Array.from(
            { length: AT_ONCE },
            (_, i) => i % 2 === 0 ? store.consume(all, NOW) : other.consume(all.toReversed(), NOW)
          )
        )
        assert.equal(
          results.filter(result => result === null).length,
          fixed.freeAttempts
        )
      }
    }
  )

  test('refund and reset: take several keys, none, and unknown ones', async store => {
    const all = [{ key: 'a', rule: fixed }, { key: 'b', rule: fixed }]

    for (let i = 0; i < fixed.maxAttempts; i++) {
      await store.consume(all, NOW)
    }

    await store.refund([])
    await store.reset([])
    await store.refund(['unknown', 'a'])
    assert.equal((await store.consume(all, NOW))?.key, 'b')
    await store.refund(['b'])
    assert.equal(await store.consume(all, NOW), null)
    await store.reset(['a', 'unknown', 'b'])
    assert.equal(await store.consume(all, NOW), null)
  })

  test('reset: refunds other keys in the same call', async store => {
    const all = [{ key: 'a', rule: fixed }, { key: 'b', rule: fixed }]

    for (let i = 0; i < fixed.maxAttempts; i++) {
      await store.consume(all, NOW)
    }

    await store.reset(['a', 'unknown-a'], ['b', 'unknown-b'])
    assert.equal(await store.consume(all, NOW), null)
    assert.equal((await store.consume(all, NOW))?.key, 'b')
    await store.reset([], ['b'])
    assert.equal(await store.consume(all, NOW), null)
  })
}

function testRefundAndReset (test: ConformanceTest<AttemptStore>): void {
  test('refund: takes one attempt back, and never more than there were', async (store, other) => {
    const consume = async (): Promise<BlockedKey | null> =>
      store.consume([{ key: 'k', rule: fixed }], NOW)
    await store.refund(['k'])
    await store.reset(['k'])

    for (let i = 0; i < fixed.maxAttempts; i++) {
      await consume()
    }

    await other.refund(['k'])
    assert.equal(await consume(), null)
    assert.equal((await consume())?.until, NOW + HOUR)

    for (let i = 0; i < 2 * fixed.maxAttempts; i++) {
      await store.refund(['k'])
    }

    for (let i = 0; i < fixed.maxAttempts; i++) {
      assert.equal(await consume(), null)
    }

    assert.equal((await consume())?.until, NOW + HOUR)
    await other.reset(['k'])
    assert.equal(await consume(), null)
  })

  test('sweep: deletes keys whose retention has ended, in batches, and no others', async store => {
    const consume = async (key: string, now: Millis): Promise<BlockedKey | null> =>
      store.consume([{ key, rule: fixed }], now)

    for (let i = 0; i < 7; i++) {
      await consume(`old-${i}`, NOW - HOUR)
    }

    for (let i = 0; i < fixed.maxAttempts; i++) {
      await consume('new', NOW - HOUR + 1)
    }

    let deleted = 0

    for (let count = 1; count > 0; deleted += count) {
      count = await store.sweep({ now: NOW, limit: 3 })
      assert.ok(count <= 3, 'at most the limit')
    }

    assert.ok(deleted === 7 || deleted === 0, 'all of them, or none if they expire by themselves')
    assert.equal((await consume('new', NOW))?.until, NOW + 1)
    assert.equal(await consume('old-0', NOW), null)
  })
}

// A linear congruential generator: the same numbers in every run.
function createRandom (seed: number): () => number {
  let state = seed

  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
