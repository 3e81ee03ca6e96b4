import { mock } from 'node:test'
import t from 'tap'
import type { Test } from 'tap'
import { StandstillMonitor } from '../../src/lib/standstill.js'
import { createClock } from '../helpers/clock.js'

const LIMIT = 2500

/** A monitor on a process that runs, or stands still, for as long as the test says. */
function createMonitor (t: Test, limit = LIMIT) {
  mock.timers.enable({ apis: ['setInterval'] })
  const clock = createClock(7777)
  const wall = createClock()
  const monitor = new StandstillMonitor(limit, clock, wall)
  t.teardown(() => {
    monitor.stop()
    mock.timers.reset()
  })

  return {
    monitor,
    /** Runs all timers in time. */
    run (duration: number): void {
      for (let passed = 0; passed < duration; passed++) {
        clock.advance(1)
        wall.advance(1)
        mock.timers.tick(1)
      }
    },
    /** Runs no timer. */
    standStill (duration: number): void {
      clock.advance(duration)
      wall.advance(duration)
    },
    /** Runs no timer, and the monotonic clock stands too. */
    suspend (duration: number): void {
      wall.advance(duration)
    },
    /** Runs the timer that is due after a standstill. */
    wake (): void {
      mock.timers.tick(1000)
    }
  }
}

t.test('a process that runs does not stand still', async t => {
  const { monitor, run } = createMonitor(t)
  monitor.start()

  for (let second = 0; second < 10; second++) {
    run(1000)
    t.equal(monitor.stoodStill, false)
  }
})

t.test('a suspended machine stood still, although the monotonic clock did too', async t => {
  const { monitor, run, suspend, wake } = createMonitor(t)
  monitor.start()
  run(1000)
  suspend(LIMIT / 2)
  t.equal(monitor.stoodStill, false)
  suspend(LIMIT)
  t.equal(monitor.stoodStill, true)
  wake()
  t.equal(monitor.stoodStill, true)
  run(1001)
  t.equal(monitor.stoodStill, false)
})

t.test('a longer pause than the limit is a standstill, also before the timer runs', async t => {
  const { monitor, run, standStill } = createMonitor(t)
  monitor.start()
  run(1000)
  standStill(LIMIT + 251)
  t.equal(monitor.stoodStill, true)
})

t.test('a pause within the limit is no standstill', async t => {
  const { monitor, run, standStill, wake } = createMonitor(t)
  monitor.start()
  run(1000)
  standStill(LIMIT)
  t.equal(monitor.stoodStill, false)
  wake()
  t.equal(monitor.stoodStill, false)
})

t.test('a standstill is remembered for a second', async t => {
  const { monitor, run, standStill, wake } = createMonitor(t)
  monitor.start()
  run(1000)
  standStill(2 * LIMIT)
  wake()
  t.equal(monitor.stoodStill, true, 'the timer has seen it')
  run(1000)
  t.equal(monitor.stoodStill, true)
  run(1)
  t.equal(monitor.stoodStill, false)
})

t.test('a second standstill is noticed after the first one', async t => {
  const { monitor, run, standStill, wake } = createMonitor(t)
  monitor.start()

  for (let times = 0; times < 3; times++) {
    standStill(2 * LIMIT)
    wake()
    t.equal(monitor.stoodStill, true)
    run(1001)
    t.equal(monitor.stoodStill, false)
  }
})

t.test('short limits are checked more often', async t => {
  const { monitor, run, standStill } = createMonitor(t, 20)
  monitor.start()
  run(100)
  t.equal(monitor.stoodStill, false)
  standStill(20)
  t.equal(monitor.stoodStill, false)
  standStill(11)
  t.equal(monitor.stoodStill, true)
})

t.test('a limit of 0 detects nothing and needs no timer', async t => {
  const set = mock.method(globalThis, 'setInterval')
  t.teardown(() => mock.restoreAll())
  const monitor = new StandstillMonitor(0)
  monitor.start()
  t.equal(set.mock.callCount(), 0)
  t.equal(monitor.stoodStill, false)
  monitor.stop()
})

t.test('time before the start and after the stop is no standstill', async t => {
  const { monitor, standStill } = createMonitor(t)
  standStill(10 * LIMIT)
  t.equal(monitor.stoodStill, false)
  monitor.start()
  t.equal(monitor.stoodStill, false)
  monitor.stop()
  standStill(10 * LIMIT)
  t.equal(monitor.stoodStill, false)
})

t.test('the timer does not keep the process alive', async t => {
  const set = mock.method(globalThis, 'setInterval')
  t.teardown(() => mock.restoreAll())
  const monitor = new StandstillMonitor(LIMIT)
  monitor.start()
  t.equal((set.mock.calls[0]?.result as NodeJS.Timeout).hasRef(), false)
  monitor.stop()
})

t.test('an event loop that is blocked is a standstill', async t => {
  const monitor = new StandstillMonitor(50)
  monitor.start()
  t.teardown(() => {
    monitor.stop()
  })
  const end = performance.now() + 100

  while (performance.now() < end) {
    // Blocks the event loop.
  }

  t.equal(monitor.stoodStill, true)
})
