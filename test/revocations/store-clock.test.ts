import t from 'tap'
import {
  createFixedStoreTime,
  createStoreTime,
  StoreClock
} from '../../src/revocations/store-clock.js'
import type { ClockSkew } from '../../src/revocations/store-clock.js'
import { createRandom } from '../../src/testing/random.js'
import { DAY, HOUR, MINUTE, SECOND } from '../helpers/clock.js'

const START = Date.UTC(2026, 0, 1)

/** An instance and a database, each with a clock of its own. */
function createWorld ({ wallAhead = 0 } = {}) {
  let elapsed = 0
  let storeAhead = 0
  const skews: ClockSkew[] = []
  const clocks = {
    wall: () => START + elapsed + wallAhead,
    monotonic: () => 7777.25 + elapsed
  }
  const clock = new StoreClock(clocks, skew => {
    skews.push(skew)
  })
  const getStoreTime = (): number => START + elapsed + storeAhead

  return {
    clock,
    skews,
    getStoreTime,
    wait (duration: number): void {
      elapsed += duration
    },
    step (by: number): void {
      storeAhead += by
    },
    /** Asks the database. The way there and back takes some time each. */
    sample (there = 2, back = 2): void {
      const sentAt = clock.monotonic()
      elapsed += there
      const now = Math.floor(getStoreTime())
      elapsed += back
      clock.addSample({ sentAt, receivedAt: clock.monotonic(), now })
    }
  }
}

t.test('before the first sample, the time is unknown and nothing may be deleted', async t => {
  const { clock } = createWorld()
  t.throws(() => clock.now(), {
    code: 'AUTH_STORE_UNAVAILABLE',
    cause: { message: /"await app.ready\(\)"/ }
  })
  t.equal(clock.isKnown, false)
  t.equal(clock.allowsSweep, false)
})

t.test('one sample gives an estimate within its round trip', async t => {
  for (const [there, back] of [[2, 2], [0, 100], [100, 0]] as const) {
    const { clock, sample, getStoreTime, wait } = createWorld({ wallAhead: -3 * HOUR })
    sample(there, back)
    wait(MINUTE)
    t.ok(Number.isInteger(clock.now()))
    t.ok(Math.abs(clock.now() - getStoreTime()) <= (there + back) / 2 + 1)
    t.equal(clock.allowsSweep, true)
  }
})

t.test('the fastest of several samples decides', async t => {
  const { clock, sample, getStoreTime, wait } = createWorld()

  for (const [there, back] of [[300, 5], [1, 1], [4, 900], [2000, 0]] as const) {
    sample(there, back)
    wait(SECOND)
  }

  t.ok(Math.abs(clock.now() - getStoreTime()) <= 3)
})

t.test('the estimate is close under random delays and drift', async t => {
  const random = createRandom(5)
  const { clock, sample, getStoreTime, wait, step, skews } = createWorld()

  for (let i = 0; i < 2000; i++) {
    sample(1 + random.next() ** 4 * 200, 1 + random.next() ** 4 * 200)
    wait(SECOND * random.next())
    // A clock that gains 50 ms in 1000 s.
    step(0.05 * random.next())
    t.ok(Math.abs(clock.now() - getStoreTime()) < 50, `sample ${i}`)
  }

  t.strictSame(skews, [])
})

t.test('a step ahead is followed at once and reported', async t => {
  const { clock, sample, getStoreTime, wait, step, skews } = createWorld()
  sample()
  step(8 * DAY)
  wait(SECOND)
  sample()
  t.ok(Math.abs(clock.now() - getStoreTime()) <= 3)
  t.match(skews, [{ source: 'store' }, { source: 'instance' }])
  t.ok(Math.abs((skews[0]?.ahead ?? 0) - 8 * DAY) < 10)
})

t.test('after a step behind, time runs at half speed and never backwards', async t => {
  const { clock, sample, getStoreTime, wait, step, skews } = createWorld()
  sample()
  const before = clock.now()
  step(-10 * SECOND)
  sample()
  t.match(skews[0], { source: 'store' })
  t.ok(Math.abs((skews[0]?.ahead ?? 0) + 10 * SECOND) < 10)
  let last = before

  for (let i = 0; i < 25 * 4; i++) {
    wait(SECOND / 4)

    if (i % 4 === 0) {
      sample(1, 1)
    }

    const now = clock.now()
    t.ok(now >= last, 'never backwards')
    t.ok(now >= getStoreTime() - 3, 'never behind the database')
    t.ok(now - last <= SECOND, 'no jump')
    last = now

    if (i === 40) {
      t.ok(Math.abs(now - (before + 5 * SECOND)) < 200, 'half of 10 s have passed')
    }
  }

  t.ok(Math.abs(clock.now() - getStoreTime()) <= 3, 'the database has caught up')
})

t.test('time does not run backwards from one call to the next while it catches up', async t => {
  const { clock, sample, wait, step } = createWorld()
  sample()
  clock.now()
  step(-SECOND)
  sample()
  let last = clock.now()

  for (let i = 0; i < 3000; i++) {
    wait(1)
    const now = clock.now()
    t.ok(now >= last, `${now} after ${last}`)
    last = now
  }
})

t.test('nothing is deleted within an hour after a step', async t => {
  const { clock, sample, wait, step } = createWorld()
  sample()
  step(MINUTE)
  sample()
  t.equal(clock.allowsSweep, false)
  wait(HOUR - SECOND)
  t.equal(clock.allowsSweep, false)
  wait(SECOND)
  t.equal(clock.allowsSweep, true)
})

t.test('a wrong wall clock is reported once, and changes nothing', async t => {
  for (const wallAhead of [-2 * HOUR, 10 * MINUTE, 8 * DAY, 1100]) {
    const { clock, sample, getStoreTime, wait, skews } = createWorld({ wallAhead })

    for (let i = 0; i < 5; i++) {
      sample()
      wait(SECOND)
      t.ok(Math.abs(clock.now() - getStoreTime()) <= 3)
    }

    t.match(skews, [{ source: 'instance' }])
    t.equal(skews.length, 1)
    t.ok(Math.abs((skews[0]?.ahead ?? 0) - wallAhead) < 10)
    t.equal(clock.allowsSweep, true)
  }

  const { sample, skews } = createWorld({ wallAhead: 900 })
  sample()
  t.strictSame(skews, [], 'a smaller deviation is normal')
})

t.test('a sample that took very long neither harms nor proves a step', async t => {
  const { clock, sample, getStoreTime, skews } = createWorld()
  sample(1, 1)
  sample(0, 20 * SECOND)
  sample(20 * SECOND, 0)
  t.ok(Math.abs(clock.now() - getStoreTime()) <= 5)
  t.strictSame(skews, [])
})

t.test('a clock that is corrected slowly is followed without an event', async t => {
  const { clock, sample, getStoreTime, wait, step, skews } = createWorld()

  for (let i = 0; i < 120; i++) {
    sample(0.1, 0.1)
    wait(SECOND)
    // 500 millionths, as ntpd corrects a clock.
    step(0.5)
    t.ok(Math.abs(clock.now() - getStoreTime()) < 5, `sample ${i}`)
  }

  t.strictSame(skews, [])
  t.equal(clock.allowsSweep, true)
})

t.test('a single instance measures durations by its monotonic clock', async t => {
  let wall = START
  let monotonic = 5
  const time = createStoreTime({ wall: () => wall, monotonic: () => monotonic }, true, () => {
    t.fail('a single instance has one clock')
  })
  wall -= HOUR
  monotonic += SECOND
  t.strictSame([time.now(), time.monotonic()], [START - HOUR, 5 + SECOND])
})

t.test('a fixed store time is the given clock', async t => {
  let now = START
  const time = createFixedStoreTime(() => now)
  time.addSample({ sentAt: 0, receivedAt: 0, now: 5 })
  t.equal(time.now(), START)
  now -= HOUR
  t.equal(time.now(), START - HOUR)
  t.strictSame([time.isKnown, time.allowsSweep], [true, true])
})
