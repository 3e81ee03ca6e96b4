import t from 'tap'
import { makeSession, REALM } from '../../src/stores/conformance/harness.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { DAY, MINUTE } from '../helpers/clock.js'
import {
  BATCH,
  createManualSweep,
  createScriptedSweep,
  createTestSweeper,
  KEEP,
  mockDurations,
  waitForCallbacks
} from './sweeper-helpers.js'

t.test('a sweep deletes in limited batches until a batch is not full', async t => {
  const { sweep, calls } = createScriptedSweep(BATCH, BATCH, 3, BATCH)
  const { sweeper, clock } = createTestSweeper(sweep)
  t.equal(await sweeper.sweep(), 2 * BATCH + 3)
  t.strictSame(calls.map(({ endedBefore }) => endedBefore), Array(3).fill(clock() - KEEP))
  t.ok(calls.every(({ limit }) => limit > 0 && limit <= BATCH))
})

t.test('a sweep ends after an empty batch', async t => {
  const { sweep, calls } = createScriptedSweep(BATCH)
  t.equal(await createTestSweeper(sweep).sweeper.sweep(), BATCH)
  t.equal(calls.length, 2)
})

t.test('a sweep without expired records calls the store once', async t => {
  const { sweep, calls } = createScriptedSweep()
  t.equal(await createTestSweeper(sweep).sweeper.sweep(), 0)
  t.equal(calls.length, 1)
})

t.test('every batch of a sweep uses the time at which the sweep began', async t => {
  const calls: number[] = []
  const { sweeper, clock, events } = createTestSweeper(({ endedBefore }) => {
    setImmediate(() => {
      clock.advance(20_000)
    })
    return calls.push(endedBefore) < 4 ? BATCH : 0
  })
  mockDurations(t, clock)
  const startedAt = clock()
  await sweeper.sweep()
  t.strictSame(calls, Array(4).fill(startedAt - KEEP))
  t.strictSame(events, [{
    realm: 'test',
    actor: 'plugin',
    at: startedAt,
    deleted: 3 * BATCH,
    took: MINUTE
  }])
  await waitForCallbacks()
  await sweeper.sweep()
  t.equal(calls[4], startedAt + 80_000 - KEEP, 'the next sweep uses its own time')
})

t.test('a sweep emits one event and one log line', async t => {
  const { sweeper, clock, events, logged } = createTestSweeper(createScriptedSweep(BATCH, 7).sweep)
  mockDurations(t, clock)
  await sweeper.sweep()
  const event = { at: clock(), deleted: BATCH + 7, took: 0 }
  t.strictSame(events, [{ realm: 'test', actor: 'plugin', ...event }])
  t.strictSame(logged, [{ level: 'info', facts: event, message: 'deleted expired records' }])
})

t.test('a sweep deletes only expired records', async t => {
  const store = new MemoryStore()
  const { sweeper, clock } = createTestSweeper(batch => store.sweep(batch))
  const endedBefore = clock() - KEEP
  const create = (id: string, expiresAt: number): Promise<void> =>
    store.create(
      makeSession({ id, expiresAt, endsAt: expiresAt, createdAt: endedBefore - DAY })
    )

  for (let index = 0; index < 2 * BATCH + 203; index++) {
    await create(`expired${index}`, endedBefore - 1 - index * MINUTE)
  }

  await create('expires now', endedBefore)
  await create('live', clock() + DAY)
  t.equal(await sweeper.sweep(), 2 * BATCH + 203)
  t.equal(await sweeper.sweep(), 0)
  t.match(await store.find(REALM, 'expires now'), { id: 'expires now' })
  t.match(await store.find(REALM, 'live'), { id: 'live' })
  t.equal(await store.find(REALM, 'expired0'), null)
})

t.test('a sweep deletes nothing while the time is not known', async t => {
  const { sweep, calls } = createScriptedSweep(5)
  let now: number | null = null
  const { sweeper, events, logged } = createTestSweeper(sweep, null, () => now)
  t.equal(await sweeper.sweep(), 0)
  t.strictSame([calls, events, logged], [[], [], []])

  now = 100 * DAY
  t.equal(await sweeper.sweep(), 5)
  t.match(calls, [{ endedBefore: 100 * DAY - KEEP }])
})

t.test('the duration of a sweep does not follow a step of its clock', async t => {
  const { sweeper, clock, events } = createTestSweeper(() => {
    clock.advance(DAY)
    return 0
  })
  await sweeper.sweep()
  t.ok((events[0]?.took ?? Infinity) < MINUTE)
})

t.test('concurrent calls share one sweep', async t => {
  const { sweep, calls } = createManualSweep()
  const { sweeper, events } = createTestSweeper(sweep)
  const sweeps = [sweeper.sweep(), sweeper.sweep()]
  await waitForCallbacks()
  sweeps.push(sweeper.sweep())
  t.equal(calls.length, 1)
  calls[0]?.resolve(5)
  t.strictSame(await Promise.all(sweeps), [5, 5, 5])
  t.equal(events.length, 1)

  const next = sweeper.sweep()
  await waitForCallbacks()
  t.equal(calls.length, 2, 'a later call starts a new sweep')
  calls[1]?.resolve(1)
  t.equal(await next, 1)
})

t.test('a failed sweep rejects all concurrent calls but not the next one', async t => {
  const { sweep, calls } = createManualSweep()
  const { sweeper, events, logged } = createTestSweeper(sweep)
  const sweeps = [sweeper.sweep(), sweeper.sweep()]
  await waitForCallbacks()
  calls[0]?.reject(new Error('no connection'))

  for (const failed of sweeps) {
    await t.rejects(failed, { message: 'no connection' })
  }

  t.strictSame([events, logged], [[], []])

  const next = sweeper.sweep()
  await waitForCallbacks()
  calls[1]?.resolve(2)
  t.equal(await next, 2)
})

t.test('stop waits for the running batch and prevents the next one', async t => {
  const { sweep, calls } = createManualSweep()
  const { sweeper, events } = createTestSweeper(sweep)
  const swept = sweeper.sweep()
  await waitForCallbacks()
  calls[0]?.resolve(BATCH)

  // The pause between two batches can take more than one turn on a busy machine.
  while (calls.length < 2) {
    await waitForCallbacks()
  }

  t.equal(calls.length, 2)

  let stopped = false
  const stopping = sweeper.stop().then(() => {
    stopped = true
  })
  await waitForCallbacks()
  t.equal(stopped, false, 'stop waits for the second batch')
  calls[1]?.resolve(BATCH)
  await stopping
  t.equal(await swept, 2 * BATCH)
  t.equal(calls.length, 2)
  t.match(events, [{ deleted: 2 * BATCH }], 'the event counts both batches')
})

t.test('stop resolves even if the running sweep fails', async t => {
  const { sweep, calls } = createManualSweep()
  const { sweeper } = createTestSweeper(sweep)
  const failure = t.rejects(sweeper.sweep(), { message: 'no connection' })
  await waitForCallbacks()
  const stopping = sweeper.stop()
  calls[0]?.reject(new Error('no connection'))
  await t.resolves(stopping)
  await failure
})

t.test('stop works without a running sweep, also twice', async t => {
  const { sweeper } = createTestSweeper(createScriptedSweep().sweep)
  await t.resolves(sweeper.stop())
  await t.resolves(sweeper.stop())
})
