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

  test('consume: counts an attempt, and says when the next one may be made', async store => {
    const shown: Array<Millis | null> = []

    for (let i = 0; i < 6; i++) {
      shown.push(await store.consume('k', NOW, sliding))
    }

    const until = NOW + SECOND
    assert.deepEqual(shown, [null, null, null, null, until, until])
    assert.equal(await store.consume('k', until - 1, sliding), until, 'a millisecond too early')
    assert.equal(await store.consume('k', until, sliding), null)
    assert.equal(await store.consume('k', until, sliding), until + 2 * SECOND, 'the wait doubles')
  })

  for (const [name, rule] of Object.entries({ sliding, fixed, longest })) {
    test(
      `take, release, clear: are those of domain/attempts.ts at every step (${name})`,
      async store => {
        const random = createRandom(7)
        let model = null as AttemptCount | null
        let now = NOW

        for (let step = 0; step < STEPS; step++) {
          now += Math.floor(random() ** 4 * (random() < 0.05 ? 2 * rule.retention : 90 * SECOND))
          const dice = random()

          if (dice < 0.86) {
            const until: Millis | null = blockedUntil(model, now)
            assert.equal(await store.consume('k', now, rule), until, `step ${step}`)

            if (until === null) {
              model = countAttempt(model, now, rule)
            }
          } else if (dice < 0.97) {
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
    'consume: of any number at once, also by two connections, no more are counted than may be',
    async (store, other) => {
      for (const rule of [sliding, fixed]) {
        for (let round = 0; round < ROUNDS; round++) {
          const key = `k${rule.freeAttempts}-${round}`
          const shown = await Promise.all(
            Array.from(
              { length: AT_ONCE },
              (_, i) => (i % 2 === 0 ? store : other).consume(key, NOW, rule)
            )
          )
          assert.equal(
            shown.filter(until => until === null).length,
            rule.freeAttempts
          )
          const until = rule === fixed ? NOW + HOUR : NOW + SECOND
          assert.ok(
            shown.every(moment => moment === null || moment === until),
            'the others are told the same moment'
          )
          assert.equal(await other.consume(key, NOW, rule), until)
        }
      }
    }
  )

  test('consume: the last attempt of a rule is the last one until it is forgotten', async store => {
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

  test('consume: keys are apart, to the letter', async store => {
    for (let i = 0; i < fixed.maxAttempts; i++) {
      await store.consume('Key', NOW, fixed)
    }

    assert.equal(await store.consume('Key', NOW, fixed), NOW + HOUR)

    for (const key of ['key', 'Key_', 'Ke', 'Key-', 'KEY']) {
      assert.equal(await store.consume(key, NOW, fixed), null, key)
    }
  })

  test(
    'refund: takes one attempt back and no more than there were; clear takes all; unknown keys are no error',
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

  test('sweep: deletes what is forgotten, in batches, and nothing else', async store => {
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

    assert.ok(swept === 7 || swept === 0, 'all of them, or none where they go by themselves')
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
