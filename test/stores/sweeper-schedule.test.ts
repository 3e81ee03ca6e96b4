import { mock } from 'node:test'
import t from 'tap'
import { DAY, HOUR, MINUTE } from '../helpers/clock.js'
import {
  createManualSweep,
  createScriptedSweep,
  createTestSweeper,
  mockDurations,
  mockTimers,
  tick,
  waitForCallbacks
} from './sweeper-helpers.js'

t.test('a started sweeper sweeps once per interval', async t => {
  mockTimers(t)
  const { sweep, calls } = createScriptedSweep()
  const { sweeper, events } = createTestSweeper(sweep)
  sweeper.start()
  await tick(HOUR / 2 - 1)
  t.equal(calls.length, 0, 'the first sweep is due after half an interval')
  await tick(1)
  t.equal(calls.length, 1)
  await tick(HOUR - 1)
  t.equal(calls.length, 1)
  await tick(1)
  t.equal(calls.length, 2)
  t.equal(events.length, 2)
  await sweeper.stop()
})

for (const [random, pause] of [[0, 54 * MINUTE], [1, 66 * MINUTE]] as const) {
  t.test(`a random value of ${random} results in a pause of ${pause / MINUTE} minutes`, async t => {
    mockTimers(t, { random })
    const { sweep, calls } = createScriptedSweep()
    const { sweeper } = createTestSweeper(sweep)
    sweeper.start()
    await tick(random * HOUR + 1)
    t.equal(calls.length, 1)
    await tick(pause - 2)
    t.equal(calls.length, 1)
    await tick(2)
    t.equal(calls.length, 2)
    await sweeper.stop()
  })
}

t.test('the pause begins after the end of a long sweep', async t => {
  mockTimers(t)
  const { sweep, calls } = createManualSweep()
  const { sweeper } = createTestSweeper(sweep)
  sweeper.start()
  await tick(HOUR)
  await tick(5 * HOUR)
  t.equal(calls.length, 1)
  calls[0]?.resolve(0)
  await waitForCallbacks()
  await tick(HOUR - 1)
  t.equal(calls.length, 1)
  await tick(1)
  t.equal(calls.length, 2)
  calls[1]?.resolve(0)
  await sweeper.stop()
})

t.test('a failed sweep is logged without its error message and retried on schedule', async t => {
  mockTimers(t)
  let calls = 0
  const { sweeper, events, logged } = createTestSweeper(() => {
    if (++calls < 3) {
      throw new Error('password of the database')
    }

    return 4
  })
  sweeper.start()
  await tick(HOUR)
  await tick(HOUR)
  const failure = {
    level: 'warn',
    facts: {},
    message: 'failed to delete expired records'
  }
  t.strictSame(logged, [failure, failure])
  t.strictSame(events, [])
  await tick(HOUR)
  t.equal(calls, 3)
  t.match(events, [{ deleted: 4 }])
  await sweeper.stop()
})

t.test('a stopped sweeper deletes nothing and cannot be restarted', async t => {
  mockTimers(t)
  const { sweep, calls } = createScriptedSweep()
  const { sweeper, events } = createTestSweeper(sweep)
  sweeper.start()
  await sweeper.stop()
  await tick(10 * HOUR)
  t.strictSame([calls, events], [[], []])
  sweeper.start()
  await tick(10 * HOUR)
  t.strictSame([calls, events], [[], []])
})

t.test('stop during a scheduled sweep prevents further sweeps', async t => {
  mockTimers(t)
  const { sweep, calls } = createManualSweep()
  const { sweeper, events } = createTestSweeper(sweep)
  sweeper.start()
  await tick(HOUR)
  const stopping = sweeper.stop()
  calls[0]?.resolve(0)
  await stopping
  await tick(10 * HOUR)
  t.equal(calls.length, 1)
  t.equal(events.length, 1)
})

t.test('a sweeper without an interval sweeps only on request', async t => {
  mockTimers(t)
  const { sweep, calls } = createScriptedSweep(6)
  const { sweeper } = createTestSweeper(sweep, null)
  sweeper.start()
  await tick(100 * DAY)
  t.equal(calls.length, 0)
  t.equal(await sweeper.sweep(), 6)
})

t.test('the timer does not keep the process alive', async t => {
  const set = mock.method(globalThis, 'setTimeout')
  t.teardown(() => mock.restoreAll())
  const { sweeper } = createTestSweeper(createScriptedSweep().sweep)
  sweeper.start()
  const timers = set.mock.calls.map(call => call.result as NodeJS.Timeout)
  t.equal(timers.length, 1)
  t.equal(timers[0]?.hasRef(), false)
  await sweeper.stop()
})

t.test('a pause longer than the timer maximum is reduced to that maximum', async t => {
  mock.method(Math, 'random', () => 0.5)
  const set = mock.method(globalThis, 'setTimeout')
  t.teardown(() => mock.restoreAll())
  const { sweeper } = createTestSweeper(createScriptedSweep().sweep, 365 * DAY)
  sweeper.start()
  t.equal(set.mock.calls[0]?.arguments[1], 2 ** 31 - 1)
  await sweeper.stop()
})

t.test('after an incomplete sweep the next one follows after 1 minute', async t => {
  mockTimers(t)
  let rows = 0
  const { sweeper, clock, events } = createTestSweeper(({ limit }) => {
    if (rows > 0) {
      clock.advance(MINUTE)
    }

    const count = Math.min(rows, limit)
    rows -= count
    return count
  })
  mockDurations(t, clock)
  rows = 250
  sweeper.start()
  await tick(HOUR / 2)
  t.match(events, [{ deleted: 100 }])
  await tick(MINUTE - 1)
  t.equal(events.length, 1)
  await tick(1)
  t.match(events, [{ deleted: 100 }, { deleted: 100 }])
  await tick(MINUTE)
  t.match(events, [{ deleted: 100 }, { deleted: 100 }, { deleted: 50 }])
  await tick(HOUR - 1)
  t.equal(events.length, 3, 'no session is left, so the pause is 1 hour')
  await tick(1)
  t.equal(events.length, 4)
  await sweeper.stop()
})
