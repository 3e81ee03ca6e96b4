import { AsyncLocalStorage } from 'node:async_hooks'
import t from 'tap'
import { settled } from './fixtures.js'
import { createHeldTracker, createTracker, GRACE, NOW, touch } from './tracker-fixtures.js'

t.test('the first use of a generation waits for its write', async t => {
  const { tracker, written, calls } = createHeldTracker(GRACE, true)
  const first = tracker.markConfirmed('s1', 3, NOW)
  let isFinished = false
  void first?.then(() => {
    isFinished = true
  })
  await settled()
  t.strictSame(written, [[touch('s1', 3)]])
  t.notOk(isFinished)
  calls[0]?.resolve()
  await first
  t.equal(tracker.markConfirmed('s1', 3, NOW + 1), null, 'the next use does not wait')
  t.equal(tracker.markConfirmed('s1', 2, NOW + 1), null, 'an earlier generation neither')
  t.equal(written.length, 1)
})

t.test('uses during a write share the next write', async t => {
  const { tracker, written, calls } = createHeldTracker(GRACE, true)
  const uses = [tracker.markConfirmed('s1', 3, NOW)]
  await settled()
  uses.push(tracker.markConfirmed('s1', 3, NOW), tracker.markConfirmed('s2', 1, NOW))
  await settled()
  t.equal(calls.length, 1, 'one write at a time')
  calls[0]?.resolve()
  await settled()
  t.strictSame(written[1], [touch('s1', 3), touch('s2', 1)])
  calls[1]?.resolve()
  await Promise.all(uses)
  t.equal(calls.length, 2)
})

t.test('a failed write rejects every use in it, after one write each', async t => {
  const { tracker, calls } = createHeldTracker(GRACE, true)
  const unavailable = { code: 'AUTH_STORE_UNAVAILABLE' }
  const first = t.rejects(tracker.markConfirmed('s1', 3, NOW) ?? Promise.resolve(), unavailable)
  await settled()
  const others = ['s2', 's3', 's4'].map(id =>
    t.rejects(tracker.markConfirmed(id, 1, NOW) ?? Promise.resolve(), unavailable)
  )
  calls[0]?.reject(new Error('no connection'))
  await first
  await settled()
  calls[1]?.reject(new Error('no connection'))
  await Promise.all(others)
  t.equal(calls.length, 2)
})

t.test('the use after a failed write tries again', async t => {
  let isDown = true
  const { tracker } = createTracker(
    async () => {
      if (isDown) {
        throw new Error('no connection')
      }
    },
    GRACE,
    true
  )
  await t.rejects(tracker.markConfirmed('s1', 3, NOW) ?? Promise.resolve())
  isDown = false
  await t.resolves(tracker.markConfirmed('s1', 3, NOW) ?? Promise.reject(new Error('no write')))
  t.equal(tracker.markConfirmed('s1', 3, NOW), null)
})

t.test('every use without rotation waits for its write', async t => {
  const { tracker, written } = createTracker(undefined, GRACE, true)
  await tracker.markUsed('s1', 0, NOW)
  await tracker.markUsed('s1', 0, NOW + 1)
  t.strictSame(written, [[touch('s1', 0)], [touch('s1', 0, NOW + 1)]])
})

t.test('a write runs in no request\'s async context', async t => {
  const request = new AsyncLocalStorage<string>()
  let seen: string | undefined = 'no write'
  const { tracker } = createTracker(
    async () => {
      seen = request.getStore()
    },
    GRACE,
    true
  )
  await request.run('ann', () => tracker.markConfirmed('s1', 3, NOW))
  t.equal(seen, undefined)
})

t.test('batched uses never wait', t => {
  const { tracker, written } = createTracker()
  t.equal(tracker.markConfirmed('s1', 3, NOW), null)
  t.equal(tracker.markUsed('s1', 4, NOW), null)
  t.strictSame(written, [])
  t.end()
})
