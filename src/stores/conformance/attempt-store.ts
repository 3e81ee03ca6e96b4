// The laws of attempt-store.ts as tests, for every one in this package and for people who write their own. See conformance.ts.

import assert from 'node:assert/strict'
import { blockedUntil, countAttempt } from '../../domain/attempt-rule.js'
import type { AttemptRule, Attempts } from '../../domain/attempt-rule.js'
import type { Millis } from '../../domain/session.js'
import type { AttemptStore } from '../attempt-store.js'
import { createLaw, HOUR, NOW, SECOND } from './harness.js'
import type { LawsOptions, Opened } from './harness.js'

export type AttemptConformanceOptions = LawsOptions<AttemptStore>
export type OpenAttemptStore = Opened<AttemptStore>

const AT_ONCE = 40
const ROUNDS = 10
const STEPS = 150

const sliding: AttemptRule = {
  free: 4,
  most: 12,
  wait: SECOND,
  longestWait: 40 * SECOND,
  memory: HOUR,
  slides: true
}
const fixed: AttemptRule = {
  free: 6,
  most: 6,
  wait: 0,
  longestWait: 0,
  memory: HOUR,
  slides: false
}
const longest: AttemptRule = {
  free: 1,
  most: 60,
  wait: SECOND,
  longestWait: 2 ** 45,
  memory: 2 ** 46,
  slides: true
}

/** */
export function testAttemptStore (options: AttemptConformanceOptions): void {
  const law = createLaw(options)

  law('take: counts an attempt, and says when the next one may be made', async store => {
    const shown: Array<Millis | null> = []

    for (let i = 0; i < 6; i++) {
      shown.push(await store.take('k', NOW, sliding))
    }

    const until = NOW + SECOND
    assert.deepEqual(shown, [null, null, null, null, until, until])
    assert.equal(await store.take('k', until - 1, sliding), until, 'a millisecond too early')
    assert.equal(await store.take('k', until, sliding), null)
    assert.equal(await store.take('k', until, sliding), until + 2 * SECOND, 'the wait doubles')
  })

  for (const [name, rule] of Object.entries({ sliding, fixed, longest })) {
    law(
      `take, release, clear: are those of domain/attempts.ts at every step (${name})`,
      async store => {
        const random = createRandom(7)
        let model = null as Attempts | null
        let now = NOW

        for (let step = 0; step < STEPS; step++) {
          now += Math.floor(random() ** 4 * (random() < 0.05 ? 2 * rule.memory : 90 * SECOND))
          const dice = random()

          if (dice < 0.86) {
            const until: Millis | null = blockedUntil(model, now)
            assert.equal(await store.take('k', now, rule), until, `step ${step}`)

            if (until === null) {
              model = countAttempt(model, now, rule)
            }
          } else if (dice < 0.97) {
            await store.release('k')

            if (model !== null) {
              model = { ...model, count: Math.max(0, model.count - 1), nextAt: 0 }
            }
          } else {
            await store.clear('k')
            model = null
          }
        }
      }
    )
  }

  law(
    'take: of any number at once, also by two connections, no more are counted than may be',
    async (store, other) => {
      for (const rule of [sliding, fixed]) {
        for (let round = 0; round < ROUNDS; round++) {
          const key = `k${rule.free}-${round}`
          const shown = await Promise.all(
            Array.from(
              { length: AT_ONCE },
              (_, i) => (i % 2 === 0 ? store : other).take(key, NOW, rule)
            )
          )
          assert.equal(
            shown.filter(until => until === null).length,
            rule.free
          )
          const until = rule === fixed ? NOW + HOUR : NOW + SECOND
          assert.ok(
            shown.every(moment => moment === null || moment === until),
            'the others are told the same moment'
          )
          assert.equal(await other.take(key, NOW, rule), until)
        }
      }
    }
  )

  law('take: the last attempt of a rule is the last one until it is forgotten', async store => {
    let now = NOW

    for (let i = 0; i < sliding.most; i++) {
      assert.equal(await store.take('k', now, sliding), null)
      now += sliding.longestWait
    }

    const end = now - sliding.longestWait + HOUR
    assert.equal(await store.take('k', now, sliding), end)
    assert.equal(await store.take('k', end - 1, sliding), end)
    assert.equal(await store.take('k', end, sliding), null)
  })

  law('take: keys are apart, to the letter', async store => {
    for (let i = 0; i < fixed.most; i++) {
      await store.take('Key', NOW, fixed)
    }

    assert.equal(await store.take('Key', NOW, fixed), NOW + HOUR)

    for (const key of ['key', 'Key_', 'Ke', 'Key-', 'KEY']) {
      assert.equal(await store.take(key, NOW, fixed), null, key)
    }
  })

  law(
    'release: takes one attempt back and no more than there were; clear takes all; unknown keys are no error',
    async (store, other) => {
      await store.release('k')
      await store.clear('k')

      for (let i = 0; i < fixed.most; i++) {
        await store.take('k', NOW, fixed)
      }

      await other.release('k')
      assert.equal(await store.take('k', NOW, fixed), null)
      assert.equal(await store.take('k', NOW, fixed), NOW + HOUR)

      for (let i = 0; i < 2 * fixed.most; i++) {
        await store.release('k')
      }

      for (let i = 0; i < fixed.most; i++) {
        assert.equal(await store.take('k', NOW, fixed), null)
      }

      assert.equal(await store.take('k', NOW, fixed), NOW + HOUR)
      await other.clear('k')
      assert.equal(await store.take('k', NOW, fixed), null)
    }
  )

  law('sweep: deletes what is forgotten, in batches, and nothing else', async store => {
    for (let i = 0; i < 7; i++) {
      await store.take(`old-${i}`, NOW - HOUR, fixed)
    }

    for (let i = 0; i < fixed.most; i++) {
      await store.take('new', NOW - HOUR + 1, fixed)
    }

    let swept = 0

    for (let count = 1; count > 0; swept += count) {
      count = await store.sweep({ now: NOW, limit: 3 })
      assert.ok(count <= 3)
    }

    assert.ok(swept === 7 || swept === 0, 'all of them, or none where they go by themselves')
    assert.equal(await store.take('new', NOW, fixed), NOW + 1)
    assert.equal(await store.take('old-0', NOW, fixed), null)
  })
}

// Numerical Recipes' generator: the same numbers at every run.
function createRandom (seed: number): () => number {
  let state = seed

  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
