import { AsyncLocalStorage } from 'node:async_hooks'
import t from 'tap'
import { SECOND } from '../helpers/clock.js'
import { mockTimers, tick } from './fixtures.js'
import { createTracker, NOW, REALM, touch } from './tracker-fixtures.js'

t.test('flush writes a pending record once', async t => {
  const { tracker, written } = createTracker()
  tracker.markConfirmed('s1', 3, NOW)
  t.strictSame(written, [], 'no request waits for the write')
  await tracker.flush()
  t.strictSame(written, [[touch('s1', 3)]])
  await tracker.flush()
  t.equal(written.length, 1)
})

t.test('a generation is written once', async t => {
  const { tracker, written } = createTracker()
  tracker.markConfirmed('s1', 3, NOW)
  tracker.markConfirmed('s1', 3, NOW + 1)
  await tracker.flush()
  tracker.markConfirmed('s1', 3, NOW + 2)
  tracker.markConfirmed('s1', 2, NOW + 3)
  await tracker.flush()
  t.strictSame(written, [[touch('s1', 3)]])
  tracker.markConfirmed('s1', 4, NOW + 4)
  await tracker.flush()
  t.strictSame(written[1], [touch('s1', 4, NOW + 4)])
})

t.test('100,000 sessions in use are written once each', async t => {
  const { tracker, written } = createTracker()

  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 100_000; n++) {
      tracker.markConfirmed(`s${n}`, 3, NOW)
    }

    await tracker.flush()
  }

  t.equal(written.flat().length, 100_000)
})

t.test('generation 0 is written like any other', async t => {
  const { tracker, written } = createTracker()
  tracker.markConfirmed('s1', 0, NOW)
  tracker.markConfirmed('s1', 0, NOW + 1)
  await tracker.flush()
  t.strictSame(written, [[touch('s1', 0)]])
})

t.test('each session has its own record', async t => {
  const { tracker, written } = createTracker()
  tracker.markConfirmed('s1', 3, NOW)
  tracker.markConfirmed('s2', 3, NOW)
  await tracker.flush()
  t.strictSame(written, [[touch('s1', 3), touch('s2', 3)]])
})

t.test('every use is written, with its latest time and highest generation', async t => {
  const { tracker, written } = createTracker()
  tracker.markUsed('s1', 3, NOW)
  await tracker.flush()
  tracker.markUsed('s1', 3, NOW + 1)
  await tracker.flush()
  t.strictSame(written, [[touch('s1', 3)], [touch('s1', 3, NOW + 1)]])

  tracker.markUsed('s1', 4, NOW + 2)
  tracker.markUsed('s1', 3, NOW + 5)
  tracker.markUsed('s1', 4, NOW + 3)
  await tracker.flush()
  t.strictSame(written[2], [touch('s1', 4, NOW + 5)])
})

t.test('a use of an old generation keeps the newer one confirmed', async t => {
  const { tracker, written } = createTracker()
  tracker.markConfirmed('s1', 4, NOW)
  await tracker.flush()
  tracker.markUsed('s1', 3, NOW + 1)
  t.equal(tracker.getConfirmedGeneration('s1'), 4)
  tracker.markConfirmed('s1', 4, NOW + 2)
  await tracker.flush()
  t.strictSame(written[1], [touch('s1', 3, NOW + 1)])
})

t.test('getConfirmedGeneration returns the highest generation, written or not', async t => {
  const { tracker } = createTracker()
  t.equal(tracker.getConfirmedGeneration('s1'), -1)
  tracker.markConfirmed('s1', 0, NOW)
  t.equal(tracker.getConfirmedGeneration('s1'), 0)
  tracker.markConfirmed('s1', 3, NOW)
  tracker.markConfirmed('s1', 2, NOW)
  t.equal(tracker.getConfirmedGeneration('s1'), 3)
  await tracker.flush()
  t.equal(tracker.getConfirmedGeneration('s1'), 3)
  t.equal(tracker.getConfirmedGeneration('s2'), -1)
})

t.test('a session with a pending record is never dropped', async t => {
  const { tracker, written } = createTracker()
  tracker.markConfirmed('s1', 3, NOW)

  for (let index = 0; index < 200_001; index++) {
    tracker.markConfirmed(`other${index}`, 0, NOW)
  }

  t.equal(tracker.getConfirmedGeneration('s1'), 3)
  await tracker.flush()
  t.equal(written.flat().length, 200_002)
  t.ok(written.every(batch => batch.length <= 500), 'in batches')
  t.equal(tracker.getConfirmedGeneration('s1'), -1, 'the row has the value after the write')
})

t.test('a batch is in the order of ids', async t => {
  const { tracker, written } = createTracker()
  const ids = ['sb', 'sB', 's10', 's9', 's-', 's_', 'sa', 's']

  for (const id of ids) {
    tracker.markConfirmed(id, 1, NOW)
  }

  await tracker.flush()
  t.strictSame(written[0]?.map(({ sessionId }) => sessionId), [
    's',
    's-',
    's10',
    's9',
    'sB',
    's_',
    'sa',
    'sb'
  ])
})

t.test('each record names the realm, and leaves the grace period and the replays', async t => {
  const { tracker, written } = createTracker()
  tracker.markConfirmed('s1', 3, NOW)
  tracker.markUsed('s1', 3, NOW + 1)
  await tracker.flush()
  t.strictSame(written, [[{
    realm: REALM,
    sessionId: 's1',
    generation: 3,
    lastUsedAt: NOW + 1,
    confirmedGeneration: 3,
    graceFrom: null,
    replayRun: null
  }]])
})

t.test('a batch does not run in the async context of a request', async t => {
  mockTimers(t)
  const requests = new AsyncLocalStorage<string>()
  const contexts: Array<string | undefined> = []
  const { tracker } = createTracker(async () => {
    contexts.push(requests.getStore())
  })
  requests.run('first', () => {
    tracker.markConfirmed('s1', 1, NOW)
  })
  requests.run('second', () => {
    tracker.markUsed('s1', 2, NOW)
  })
  await tick(SECOND)
  t.strictSame(contexts, [undefined])
})

t.test('the repetition of a failed batch does not run in the context of a request', async t => {
  mockTimers(t)
  const requests = new AsyncLocalStorage<string>()
  const contexts: Array<string | undefined> = []
  const { tracker } = createTracker(async () => {
    contexts.push(requests.getStore())

    if (contexts.length === 1) {
      throw new Error('no connection')
    }
  })
  await requests.run('request', async () => {
    tracker.markConfirmed('s1', 1, NOW)
    await tracker.flush()
  })
  await tick(SECOND)
  t.equal(contexts.length, 2)
  t.equal(contexts[1], undefined)
})
