import assert from 'node:assert/strict'
import { blockedUntil, countAttempt } from '../../domain/attempt-rule.js'
import type { AttemptCount, AttemptRule } from '../../domain/attempt-rule.js'
import type { AttemptStore } from '../attempt-store.js'
import { HOUR, SECOND } from '../../lib/time.js'
import { defineTest, NOW } from './harness.js'
import type { HarnessOptions, Opened } from './harness.js'
import type { Millis } from '../../lib/time.js'

/** Options of {@link testAttemptStore}. */
export type AttemptConformanceOptions = HarnessOptions<AttemptStore>
/** Attempt store that a test uses. */
export type OpenAttemptStore = Opened<AttemptStore>

const CONCURRENCY = 40
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

  test('consume counts an attempt and returns when the next one is allowed', async store => {
    const results: Array<Millis | null> = []

    for (let i = 0; i < 6; i++) {
      results.push(await store.consume('k', NOW, sliding))
    }

    const until = NOW + SECOND
    assert.deepEqual(results, [null, null, null, null, until, until])
    assert.equal(await store.consume('k', until - 1, sliding), until, '1 ms too early')
    assert.equal(await store.consume('k', until, sliding), null)
    assert.equal(await store.consume('k', until, sliding), until + 2 * SECOND, 'the wait doubles')
  })

  for (const [name, rule] of Object.entries({ sliding, fixed, longest })) {
    test(
      `consume, refund and reset follow the attempt rule at every step (${name})`,
      async store => {
        const random = createRandom(7)
        let model = null as AttemptCount | null
        let now = NOW

        for (let step = 0; step < STEPS; step++) {
          now += Math.floor(random() ** 4 * (random() < 0.05 ? 2 * rule.retention : 90 * SECOND))
          const draw = random()

          if (draw < 0.86) {
            const until: Millis | null = blockedUntil(model, now)
            assert.equal(await store.consume('k', now, rule), until, `step ${step}`)

            if (until === null) {
              model = countAttempt(model, now, rule)
            }
          } else if (draw < 0.97) {
            await store.refund('k')

            if (model !== null) {
              model = { ...model, count: Math.max(0, model.count - 1), nextAt: 0 }
            }
          } else {
            await store.reset('k')
            model = null
          }
        }
      }
    )
  }

  test(
    'consume counts no more concurrent attempts than the rule allows, also over two connections',
    async (store, other) => {
      for (const rule of [sliding, fixed]) {
        for (let round = 0; round < ROUNDS; round++) {
          const key = `k${rule.freeAttempts}-${round}`
          const results = await Promise.all(
            Array.from(
              { length: CONCURRENCY },
              (_, i) => (i % 2 === 0 ? store : other).consume(key, NOW, rule)
            )
          )
          assert.equal(
            results.filter(until => until === null).length,
            rule.freeAttempts
          )
          const until = rule === fixed ? NOW + HOUR : NOW + SECOND
          assert.ok(
            results.every(time => time === null || time === until),
            'the rejected attempts return the same time'
          )
          assert.equal(await other.consume(key, NOW, rule), until)
        }
      }
    }
  )

  test('consume rejects attempts after `maxAttempts` until the count expires', async store => {
    let now = NOW

    for (let i = 0; i < sliding.maxAttempts; i++) {
      assert.equal(await store.consume('k', now, sliding), null)
      now += sliding.longestWait
    }

    const end = now - sliding.longestWait + HOUR
    assert.equal(await store.consume('k', now, sliding), end)
    assert.equal(await store.consume('k', end - 1, sliding), end)
    assert.equal(await store.consume('k', end, sliding), null)
  })

  test('consume compares keys byte by byte', async store => {
    for (let i = 0; i < fixed.maxAttempts; i++) {
      await store.consume('Key', NOW, fixed)
    }

    assert.equal(await store.consume('Key', NOW, fixed), NOW + HOUR)

    for (const key of ['key', 'Key_', 'Ke', 'Key-', 'KEY']) {
      assert.equal(await store.consume(key, NOW, fixed), null, key)
    }
  })

  test(
    'refund takes back one attempt, reset all of them, and both ignore unknown keys',
    async (store, other) => {
      await store.refund('k')
      await store.reset('k')

      for (let i = 0; i < fixed.maxAttempts; i++) {
        await store.consume('k', NOW, fixed)
      }

      await other.refund('k')
      assert.equal(await store.consume('k', NOW, fixed), null)
      assert.equal(await store.consume('k', NOW, fixed), NOW + HOUR)

      for (let i = 0; i < 2 * fixed.maxAttempts; i++) {
        await store.refund('k')
      }

      for (let i = 0; i < fixed.maxAttempts; i++) {
        assert.equal(await store.consume('k', NOW, fixed), null)
      }

      assert.equal(await store.consume('k', NOW, fixed), NOW + HOUR)
      await other.reset('k')
      assert.equal(await store.consume('k', NOW, fixed), null)
    }
  )

  test('sweep deletes expired keys in batches and no others', async store => {
    for (let i = 0; i < 7; i++) {
      await store.consume(`old-${i}`, NOW - HOUR, fixed)
    }

    for (let i = 0; i < fixed.maxAttempts; i++) {
      await store.consume('new', NOW - HOUR + 1, fixed)
    }

    let swept = 0

    for (let count = 1; count > 0; swept += count) {
      count = await store.sweep({ now: NOW, limit: 3 })
      assert.ok(count <= 3)
    }

    assert.ok(
      swept === 7 || swept === 0,
      'sweep deletes all expired keys, or none if the store expires them'
    )
    assert.equal(await store.consume('new', NOW, fixed), NOW + 1)
    assert.equal(await store.consume('old-0', NOW, fixed), null)
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
