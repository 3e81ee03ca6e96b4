import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { MINUTE } from '../helpers/clock.js'
import { BATCH, createScriptedSweep, createTestSweeper, mockDurations } from './sweeper-helpers.js'

t.test('other callbacks run between two batches', async t => {
  const order: string[] = []
  const { sweeper } = createTestSweeper(() => {
    order.push('batch')
    setImmediate(() => order.push('other'))
    return order.length < 5 ? BATCH : 0
  })
  await sweeper.sweep()
  t.strictSame(order, ['batch', 'other', 'batch', 'other', 'batch'])
})

t.test('a sweep ends after 1 minute even if expired sessions are left', async t => {
  const calls: number[] = []
  const { sweeper, clock, events } = createTestSweeper(({ limit }) => {
    calls.push(limit)
    // Time passes in the pauses. Otherwise each of them would take a second.
    setImmediate(() => {
      clock.advance(20_000)
    })
    return limit
  })
  mockDurations(t, clock)
  const deleted = await sweeper.sweep()
  t.equal(calls.length, 4)
  t.equal(deleted, calls.reduce((sum, limit) => sum + limit))
  t.match(events, [{ deleted, took: MINUTE }])
})

t.test('every batch has the same limit for fast and slow stores', async t => {
  for (const duration of [0, 30]) {
    const { sweep, calls } = createScriptedSweep(100, 100, 100)
    const { sweeper } = createTestSweeper(async batch => {
      await sleep(duration)
      return sweep(batch)
    })
    t.equal(await sweeper.sweep(), 300)
    t.strictSame(calls.map(batch => batch.limit), [100, 100, 100, 100])
  }
})

t.test('the pause between two batches is 3 times the duration of a batch', async t => {
  const startedAt: number[] = []
  const endedAt: number[] = []
  const { sweeper } = createTestSweeper(async ({ limit }) => {
    startedAt.push(performance.now())
    await sleep(20)
    return endedAt.push(performance.now()) < 3 ? limit : 0
  })
  await sweeper.sweep()

  for (const n of [1, 2]) {
    t.ok((startedAt[n] as number) - (endedAt[n - 1] as number) > 50)
  }
})

t.test('stop ends a pause between two batches', async t => {
  const limits: number[] = []
  const { sweeper, clock } = createTestSweeper(({ limit }) => {
    limits.push(limit)
    // The next pause takes the maximum of 1 s.
    clock.advance(MINUTE / 6)
    return limit
  })
  mockDurations(t, clock)
  const swept = sweeper.sweep()

  while (limits.length === 0) {
    await sleep(1)
  }

  const stopped = Promise.all([sweeper.stop(), swept]).then(() => 'stopped')
  t.equal(await Promise.race([stopped, sleep(500, 'timeout')]), 'stopped')
  t.equal(limits.length, 1)
})
