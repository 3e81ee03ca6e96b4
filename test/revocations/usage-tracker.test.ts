import { mock } from 'node:test'
import t from 'tap'
import type { Test } from 'tap'
import { UsageTracker } from '../../src/revocations/usage-tracker.js'
import type { TokenStore, Touch } from '../../src/stores/token-store.js'
import { SECOND } from '../helpers/clock.js'

const NOW = Date.UTC(2026, 0, 1)
const GRACE = 10 * SECOND

type Batch = readonly Touch[]

interface Noted {
  readonly notes: UsageTracker
  /** What the store was asked to write, whether it did so or not. */
  readonly written: Batch[]
}

/** Notes on a store that touches as it is told, and at once otherwise. */
function someNotes (touch: (batch: Batch) => Promise<void> = async () => {}, grace = GRACE): Noted {
  const written: Batch[] = []
  const store = {
    async touch (batch: Batch) {
      written.push(batch)
      await touch(batch)
    }
  }
  return { notes: new UsageTracker(store as unknown as TokenStore, grace), written }
}

interface Call {
  readonly batch: Batch
  resolve(): void
  reject(error: Error): void
}

/** A store whose writes are under way until they are told how to end. */
function heldNotes (grace = GRACE): Noted & { readonly calls: Call[] } {
  const calls: Call[] = []

  return {
    calls,
    ...someNotes(batch =>
      new Promise<void>((resolve, reject) => {
        calls.push({ batch, resolve, reject })
      }), grace)
  }
}

/** A store that fails as often as it is told to. */
function failingNotes (times: number): Noted {
  let left = times

  return someNotes(async () => {
    if (left-- > 0) {
      throw new Error('no connection')
    }
  })
}

function note (sessionId: string, confirmedGeneration: number, lastUsedAt: number = NOW): Touch {
  return { sessionId, lastUsedAt, confirmedGeneration }
}

const settled = (): Promise<void> =>
  new Promise(resolve => {
    setImmediate(resolve)
  })

function mockTimers (t: Test): void {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
}

async function tick (by: number): Promise<void> {
  mock.timers.tick(by)
  await settled()
}

t.test('a note is written by the next flush, and once', async t => {
  const { notes, written } = someNotes()
  notes.markConfirmed('s1', 3, NOW)
  t.strictSame(written, [], 'no request waits for it')
  await notes.flush()
  t.strictSame(written, [[note('s1', 3)]])
  await notes.flush()
  t.equal(written.length, 1)
})

t.test('a generation is noted once, before and after it is written', async t => {
  const { notes, written } = someNotes()
  notes.markConfirmed('s1', 3, NOW)
  notes.markConfirmed('s1', 3, NOW + 1)
  await notes.flush()
  notes.markConfirmed('s1', 3, NOW + 2)
  notes.markConfirmed('s1', 2, NOW + 3)
  await notes.flush()
  t.strictSame(written, [[note('s1', 3)]])
  notes.markConfirmed('s1', 4, NOW + 4)
  await notes.flush()
  t.strictSame(written[1], [note('s1', 4, NOW + 4)])
})

t.test('a hundred thousand sessions that take turns are noted once each', async t => {
  const { notes, written } = someNotes()

  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 100_000; n++) {
      notes.markConfirmed(`s${n}`, 3, NOW)
    }

    await notes.flush()
  }

  t.equal(written.flat().length, 100_000)
})

t.test('generation 0 is noted like any other', async t => {
  const { notes, written } = someNotes()
  notes.markConfirmed('s1', 0, NOW)
  notes.markConfirmed('s1', 0, NOW + 1)
  await notes.flush()
  t.strictSame(written, [[note('s1', 0)]])
})

t.test('sessions are noted each for itself', async t => {
  const { notes, written } = someNotes()
  notes.markConfirmed('s1', 3, NOW)
  notes.markConfirmed('s2', 3, NOW)
  await notes.flush()
  t.strictSame(written, [[note('s1', 3), note('s2', 3)]])
})

t.test('a use is written however often, at its latest moment and greatest generation', async t => {
  const { notes, written } = someNotes()
  notes.markUsed('s1', 3, NOW)
  await notes.flush()
  notes.markUsed('s1', 3, NOW + 1)
  await notes.flush()
  t.strictSame(written, [[note('s1', 3)], [note('s1', 3, NOW + 1)]])

  notes.markUsed('s1', 4, NOW + 2)
  notes.markUsed('s1', 3, NOW + 5)
  notes.markUsed('s1', 4, NOW + 3)
  await notes.flush()
  t.strictSame(written[2], [note('s1', 4, NOW + 5)])
})

t.test('a use of an old generation confirms the newer one no less', async t => {
  const { notes, written } = someNotes()
  notes.markConfirmed('s1', 4, NOW)
  await notes.flush()
  notes.markUsed('s1', 3, NOW + 1)
  t.equal(notes.confirmedGeneration('s1'), 4)
  notes.markConfirmed('s1', 4, NOW + 2)
  await notes.flush()
  t.strictSame(written[1], [note('s1', 3, NOW + 1)])
})

t.test('confirmed is the greatest generation seen here, written or not', async t => {
  const { notes } = someNotes()
  t.equal(notes.confirmedGeneration('s1'), -1)
  notes.markConfirmed('s1', 0, NOW)
  t.equal(notes.confirmedGeneration('s1'), 0)
  notes.markConfirmed('s1', 3, NOW)
  notes.markConfirmed('s1', 2, NOW)
  t.equal(notes.confirmedGeneration('s1'), 3)
  await notes.flush()
  t.equal(notes.confirmedGeneration('s1'), 3)
  t.equal(notes.confirmedGeneration('s2'), -1)
})

t.test('a session whose note is pending is remembered whatever else happens', async t => {
  const { notes, written } = someNotes()
  notes.markConfirmed('s1', 3, NOW)

  for (let index = 0; index < 200_001; index++) {
    notes.markConfirmed(`other${index}`, 0, NOW)
  }

  t.equal(notes.confirmedGeneration('s1'), 3)
  await notes.flush()
  t.equal(written.flat().length, 200_002)
  t.ok(written.every(batch => batch.length <= 500), 'in slices')
  t.equal(notes.confirmedGeneration('s1'), -1, 'written, it is the row that tells')
})

t.test('a batch is in the order of ids', async t => {
  const { notes, written } = someNotes()
  const ids = ['sb', 'sB', 's10', 's9', 's-', 's_', 'sa', 's']

  for (const id of ids) {
    notes.markConfirmed(id, 1, NOW)
  }

  await notes.flush()
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

t.test('what could not be written is written by the next flush', async t => {
  const { notes, written } = failingNotes(2)
  notes.markConfirmed('s1', 3, NOW)
  notes.markConfirmed('s2', 5, NOW)
  await t.resolves(notes.flush(), 'a failure harms nobody')
  t.equal(notes.confirmedGeneration('s1'), 3)
  await notes.flush()
  await notes.flush()
  await notes.flush()
  t.strictSame(written, Array(3).fill([note('s1', 3), note('s2', 5)]))
})

t.test('what could not be written is merged with what came meanwhile', async t => {
  const { notes, written, calls } = heldNotes()
  notes.markUsed('newer', 3, NOW)
  notes.markUsed('older', 3, NOW + 9)
  notes.markUsed('alone', 3, NOW)
  const flushed = notes.flush()
  notes.markUsed('newer', 4, NOW + 1)
  notes.markUsed('older', 2, NOW + 1)
  notes.markUsed('fresh', 1, NOW + 1)
  calls[0]?.reject(new Error('no connection'))
  await flushed
  void notes.flush()
  t.strictSame(written[1], [
    note('alone', 3),
    note('fresh', 1, NOW + 1),
    note('newer', 4, NOW + 1),
    note('older', 3, NOW + 9)
  ])
  calls[1]?.resolve()
})

t.test('what is noted during a write is written by the next one', async t => {
  const { notes, calls } = heldNotes()
  notes.markConfirmed('s1', 3, NOW)
  const first = notes.flush()
  notes.markConfirmed('s1', 4, NOW + 1)
  const second = notes.flush()
  await settled()
  t.equal(calls.length, 1, 'one write at a time')
  t.strictSame(calls[0]?.batch, [note('s1', 3)])
  calls[0]?.resolve()
  await first
  await settled()
  t.strictSame(calls[1]?.batch, [note('s1', 4, NOW + 1)])
  calls[1]?.resolve()
  await second
  t.equal(calls.length, 2)
})

t.test('many flushes at once write once', async t => {
  const { notes, calls } = heldNotes()
  notes.markConfirmed('s1', 3, NOW)
  let over = 0
  const flushes = Array.from({ length: 5 }, () =>
    notes.flush().then(() => {
      over++
    }))
  await settled()
  t.equal(calls.length, 1)
  t.equal(over, 0, 'each waits until it is written')
  calls[0]?.resolve()
  await Promise.all(flushes)
  t.equal(calls.length, 1)
})

t.test('many flushes at once, the first of which fails, write one at a time', async t => {
  const { notes, calls } = heldNotes()
  notes.markConfirmed('s1', 3, NOW)
  let over = 0
  const flushes = Array.from({ length: 3 }, () =>
    notes.flush().then(() => {
      over++
    }))
  await settled()
  calls[0]?.reject(new Error('no connection'))
  await settled()
  t.equal(calls.length, 2)
  t.equal(over, 1, 'the others wait for the second write')
  t.strictSame(calls[1]?.batch, [note('s1', 3)])
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
  t.test(`with a grace of ${grace} ms a note waits for ${wait} ms`, async t => {
    mockTimers(t)
    const { notes, written } = someNotes(undefined, grace)
    notes.markConfirmed('s1', 3, NOW)
    await tick(wait - 1)
    t.strictSame(written, [])
    await tick(1)
    t.strictSame(written, [[note('s1', 3)]])
  })
}

t.test('notes that come meanwhile go with the first one, and put nothing off', async t => {
  mockTimers(t)
  const { notes, written } = someNotes()
  notes.markConfirmed('s1', 1, NOW)
  await tick(SECOND - 1)
  notes.markConfirmed('s2', 1, NOW)
  await tick(1)
  t.strictSame(written, [[note('s1', 1), note('s2', 1)]])
  await tick(10 * SECOND)
  t.equal(written.length, 1, 'without notes nothing is written')
  notes.markConfirmed('s3', 1, NOW)
  await tick(SECOND)
  t.equal(written.length, 2)
})

t.test('a failed write is tried again by itself', async t => {
  mockTimers(t)
  const { notes, written } = failingNotes(2)
  notes.markConfirmed('s1', 3, NOW)
  await tick(SECOND)
  t.equal(written.length, 1)
  await tick(SECOND - 1)
  t.equal(written.length, 1, 'not at once')
  await tick(1)
  await tick(SECOND)
  t.equal(written.length, 3)
  t.strictSame(written[2], [note('s1', 3)])
  await tick(10 * SECOND)
  t.equal(written.length, 3)
})

t.test('a write that takes longer than the pause is not doubled', async t => {
  mockTimers(t)
  const { notes, calls } = heldNotes()
  notes.markConfirmed('s1', 3, NOW)
  await tick(SECOND)
  notes.markConfirmed('s2', 3, NOW)
  await tick(5 * SECOND)
  t.equal(calls.length, 1)
  calls[0]?.resolve()
  await settled()
  t.strictSame(calls[1]?.batch, [note('s2', 3)])
  calls[1]?.resolve()
})

t.test('its timer keeps no process alive', async t => {
  const set = mock.method(globalThis, 'setTimeout')
  t.teardown(() => mock.restoreAll())
  const { notes } = someNotes()
  notes.markConfirmed('s1', 3, NOW)
  const timers = set.mock.calls.map(call => call.result as NodeJS.Timeout)
  t.equal(timers.length, 1)
  t.equal(timers[0]?.hasRef(), false)
  await notes.close()
})

t.test('close writes the rest', async t => {
  mockTimers(t)
  const { notes, written } = someNotes()
  notes.markConfirmed('s1', 3, NOW)
  await notes.close()
  t.strictSame(written, [[note('s1', 3)]])
  await tick(10 * SECOND)
  t.equal(written.length, 1)
})

t.test('close without notes writes nothing', async t => {
  const { notes, written } = someNotes()
  await notes.close()
  t.strictSame(written, [])
})

t.test('close waits for the write that is under way, and writes what came meanwhile', async t => {
  const { notes, calls } = heldNotes()
  notes.markConfirmed('s1', 3, NOW)
  void notes.flush()
  notes.markConfirmed('s2', 3, NOW)
  let closed = false
  const closing = notes.close().then(() => {
    closed = true
  })
  calls[0]?.resolve()
  await settled()
  t.equal(closed, false)
  t.strictSame(calls[1]?.batch, [note('s2', 3)])
  calls[1]?.resolve()
  await closing
})

t.test('close tries once more what failed under way', async t => {
  const { notes, calls } = heldNotes()
  notes.markConfirmed('s1', 3, NOW)
  void notes.flush()
  const closing = notes.close()
  calls[0]?.reject(new Error('no connection'))
  await settled()
  t.strictSame(calls[1]?.batch, [note('s1', 3)])
  calls[1]?.resolve()
  await closing
})

t.test('close does not fail with the store, and leaves no timer that would try again', async t => {
  mockTimers(t)
  const { notes, written } = failingNotes(Infinity)
  notes.markConfirmed('s1', 3, NOW)
  await t.resolves(notes.close())
  t.equal(written.length, 1)
  await tick(10 * SECOND)
  t.equal(written.length, 1)
})
