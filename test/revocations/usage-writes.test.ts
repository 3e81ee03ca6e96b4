import { mock } from 'node:test'
import t from 'tap'
import { SECOND } from '../helpers/clock.js'
import { mockTimers, settled, tick } from './fixtures.js'
import {
  createFailingTracker,
  createHeldTracker,
  createTracker,
  GRACE,
  NOW,
  touch
} from './tracker-fixtures.js'

t.test('the next flush writes records that failed', async t => {
  const { tracker, written } = createFailingTracker(2)
  tracker.markConfirmed('s1', 3, NOW)
  tracker.markConfirmed('s2', 5, NOW)
  await t.resolves(tracker.flush(), 'flush resolves')
  t.equal(tracker.getConfirmedGeneration('s1'), 3)
  await tracker.flush()
  await tracker.flush()
  await tracker.flush()
  t.strictSame(written, Array(3).fill([touch('s1', 3), touch('s2', 5)]))
})

t.test('failed records are merged with newer ones', async t => {
  const { tracker, written, calls } = createHeldTracker()
  tracker.markUsed('newer', 3, NOW)
  tracker.markUsed('older', 3, NOW + 9)
  tracker.markUsed('alone', 3, NOW)
  const flushed = tracker.flush()
  tracker.markUsed('newer', 4, NOW + 1)
  tracker.markUsed('older', 2, NOW + 1)
  tracker.markUsed('fresh', 1, NOW + 1)
  calls[0]?.reject(new Error('no connection'))
  await flushed
  void tracker.flush()
  t.strictSame(written[1], [
    touch('alone', 3),
    touch('fresh', 1, NOW + 1),
    touch('newer', 4, NOW + 1),
    touch('older', 3, NOW + 9)
  ])
  calls[1]?.resolve()
})

t.test('a record that is added during a write belongs to the next write', async t => {
  const { tracker, calls } = createHeldTracker()
  tracker.markConfirmed('s1', 3, NOW)
  const first = tracker.flush()
  tracker.markConfirmed('s1', 4, NOW + 1)
  const second = tracker.flush()
  await settled()
  t.equal(calls.length, 1, 'one write at a time')
  t.strictSame(calls[0]?.batch, [touch('s1', 3)])
  calls[0]?.resolve()
  await first
  await settled()
  t.strictSame(calls[1]?.batch, [touch('s1', 4, NOW + 1)])
  calls[1]?.resolve()
  await second
  t.equal(calls.length, 2)
})

t.test('concurrent flushes share one write', async t => {
  const { tracker, calls } = createHeldTracker()
  tracker.markConfirmed('s1', 3, NOW)
  let finished = 0
  const flushes = Array.from({ length: 5 }, () =>
    tracker.flush().then(() => {
      finished++
    }))
  await settled()
  t.equal(calls.length, 1)
  t.equal(finished, 0, 'each call waits for the write')
  calls[0]?.resolve()
  await Promise.all(flushes)
  t.equal(calls.length, 1)
})

t.test('concurrent flushes write one at a time after a failure', async t => {
  const { tracker, calls } = createHeldTracker()
  tracker.markConfirmed('s1', 3, NOW)
  let finished = 0
  const flushes = Array.from({ length: 3 }, () =>
    tracker.flush().then(() => {
      finished++
    }))
  await settled()
  calls[0]?.reject(new Error('no connection'))
  await settled()
  t.equal(calls.length, 2)
  t.equal(finished, 1, 'the other calls wait for the second write')
  t.strictSame(calls[1]?.batch, [touch('s1', 3)])
  calls[1]?.resolve()
  await Promise.all(flushes)
  t.equal(calls.length, 2)
})

for (
  const [grace, wait] of [[GRACE, SECOND], [2 * SECOND, SECOND], [1998, 999], [500, 250], [2, 10], [
    0,
    10
  ]] as const
) {
  t.test(`a record waits ${wait} ms with a grace period of ${grace} ms`, async t => {
    mockTimers(t)
    const { tracker, written } = createTracker(undefined, grace)
    tracker.markConfirmed('s1', 3, NOW)
    await tick(wait - 1)
    t.strictSame(written, [])
    await tick(1)
    t.strictSame(written, [[touch('s1', 3)]])
  })
}

t.test('later records join the scheduled batch and do not delay it', async t => {
  mockTimers(t)
  const { tracker, written } = createTracker()
  tracker.markConfirmed('s1', 1, NOW)
  await tick(SECOND - 1)
  tracker.markConfirmed('s2', 1, NOW)
  await tick(1)
  t.strictSame(written, [[touch('s1', 1), touch('s2', 1)]])
  await tick(10 * SECOND)
  t.equal(written.length, 1, 'nothing is written without records')
  tracker.markConfirmed('s3', 1, NOW)
  await tick(SECOND)
  t.equal(written.length, 2)
})

t.test('a failed write is repeated without a flush', async t => {
  mockTimers(t)
  const { tracker, written } = createFailingTracker(2)
  tracker.markConfirmed('s1', 3, NOW)
  await tick(SECOND)
  t.equal(written.length, 1)
  await tick(SECOND - 1)
  t.equal(written.length, 1, 'not immediately')
  await tick(1)
  await tick(SECOND)
  t.equal(written.length, 3)
  t.strictSame(written[2], [touch('s1', 3)])
  await tick(10 * SECOND)
  t.equal(written.length, 3)
})

t.test('a slow write is not repeated concurrently', async t => {
  mockTimers(t)
  const { tracker, calls } = createHeldTracker()
  tracker.markConfirmed('s1', 3, NOW)
  await tick(SECOND)
  tracker.markConfirmed('s2', 3, NOW)
  await tick(5 * SECOND)
  t.equal(calls.length, 1)
  calls[0]?.resolve()
  await settled()
  t.strictSame(calls[1]?.batch, [touch('s2', 3)])
  calls[1]?.resolve()
})

t.test('the timer does not keep the process alive', async t => {
  const set = mock.method(globalThis, 'setTimeout')
  t.teardown(() => mock.restoreAll())
  const { tracker } = createTracker()
  tracker.markConfirmed('s1', 3, NOW)
  const timers = set.mock.calls.map(call => call.result as NodeJS.Timeout)
  t.equal(timers.length, 1)
  t.equal(timers[0]?.hasRef(), false)
  await tracker.close()
})

t.test('close writes all pending records', async t => {
  mockTimers(t)
  const { tracker, written } = createTracker()
  tracker.markConfirmed('s1', 3, NOW)
  await tracker.close()
  t.strictSame(written, [[touch('s1', 3)]])
  await tick(10 * SECOND)
  t.equal(written.length, 1)
})

t.test('close writes nothing if no record is pending', async t => {
  const { tracker, written } = createTracker()
  await tracker.close()
  t.strictSame(written, [])
})

t.test('close waits for the current write and writes newer records', async t => {
  const { tracker, calls } = createHeldTracker()
  tracker.markConfirmed('s1', 3, NOW)
  void tracker.flush()
  tracker.markConfirmed('s2', 3, NOW)
  let closed = false
  const closing = tracker.close().then(() => {
    closed = true
  })
  calls[0]?.resolve()
  await settled()
  t.equal(closed, false)
  t.strictSame(calls[1]?.batch, [touch('s2', 3)])
  calls[1]?.resolve()
  await closing
})

t.test('close repeats a current write that fails', async t => {
  const { tracker, calls } = createHeldTracker()
  tracker.markConfirmed('s1', 3, NOW)
  void tracker.flush()
  const closing = tracker.close()
  calls[0]?.reject(new Error('no connection'))
  await settled()
  t.strictSame(calls[1]?.batch, [touch('s1', 3)])
  calls[1]?.resolve()
  await closing
})

t.test('close resolves if the store fails and leaves no timer', async t => {
  mockTimers(t)
  const { tracker, written } = createFailingTracker(Infinity)
  tracker.markConfirmed('s1', 3, NOW)
  await t.resolves(tracker.close())
  t.equal(written.length, 1)
  await tick(10 * SECOND)
  t.equal(written.length, 1)
})
