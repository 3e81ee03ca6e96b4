import { AsyncLocalStorage } from 'node:async_hooks'
import { mock } from 'node:test'
import t from 'tap'
import { RotationQueue } from '../../../src/stores/sql/rotation-queue.js'
import {
  createAttempt,
  createIds,
  createSuccess,
  createTestQueue,
  nextTurn
} from './rotation-queue-helpers.js'

const GIVEN_UP = new Error('given up')
const MAX_PENDING = 10_000

t.test('an attempt whose caller has given up is not sent', async t => {
  const { queue, calls, sessionIds } = createTestQueue()
  const controller = new AbortController()
  const rejection = t.rejects(queue.rotate(createAttempt('s1'), controller.signal), GIVEN_UP)
  const other = queue.rotate(createAttempt('s2'), new AbortController().signal)
  controller.abort(GIVEN_UP)
  await nextTurn()
  await rejection
  t.strictSame(sessionIds(), [['s2']])
  await calls[0]?.respond()
  t.strictSame(await other, createSuccess(createAttempt('s2')))
})

t.test('nothing is sent if all callers have given up', async t => {
  const { queue, calls } = createTestQueue()
  const signal = AbortSignal.abort(GIVEN_UP)
  const rejections = createIds(3).map(id =>
    t.rejects(queue.rotate(createAttempt(id), signal), GIVEN_UP)
  )
  await nextTurn()
  await Promise.all(rejections)
  t.equal(calls.length, 0)
  const next = queue.rotate(createAttempt('s1'))
  await nextTurn()
  await calls[0]?.respond()
  t.strictSame(await next, createSuccess(createAttempt('s1')), 'the queue goes on')
})

t.test('another attempt takes the place of one whose caller has given up', async t => {
  const { queue, calls } = createTestQueue()
  const attempt = createAttempt('s1', { now: 7 })
  const rejection = t.rejects(
    queue.rotate(createAttempt('s1'), AbortSignal.abort(GIVEN_UP)),
    GIVEN_UP
  )
  const outcome = queue.rotate(attempt)
  await nextTurn()
  await rejection
  t.strictSame(calls[0]?.attempts, [attempt])
  await calls[0]?.respond()
  t.strictSame(await outcome, createSuccess(attempt))
})

t.test('an attempt that waits behind a sent one is dropped when its caller gives up', async t => {
  const { queue, calls } = createTestQueue()
  const controller = new AbortController()
  const sent = queue.rotate(createAttempt('s1'))
  await nextTurn()
  const rejection = t.rejects(queue.rotate(createAttempt('s1'), controller.signal), GIVEN_UP)
  controller.abort(GIVEN_UP)
  await calls[0]?.respond()
  await rejection
  t.equal((await sent).swapped, true)
  t.equal(calls.length, 1)
})

t.test('an attempt that was sent resolves although its caller has given up', async t => {
  const { queue, calls } = createTestQueue()
  const controller = new AbortController()
  const outcome = queue.rotate(createAttempt('s1'), controller.signal)
  await nextTurn()
  controller.abort(GIVEN_UP)
  await calls[0]?.respond()
  t.equal((await outcome).swapped, true)
})

t.test('the queue holds at most 10,000 attempts', async t => {
  const { queue, calls } = createTestQueue()
  const outcomes = createIds(MAX_PENDING).map(id => queue.rotate(createAttempt(id)))
  const message = 'too many rotations wait for the database'
  await t.rejects(queue.rotate(createAttempt('s1')), { message })
  await nextTurn()
  await t.rejects(queue.rotate(createAttempt('s1')), { message }, 'sent ones count')
  await calls[0]?.respond()
  outcomes.push(queue.rotate(createAttempt('next')))

  for (let i = 1; i < calls.length; i++) {
    await calls[i]?.respond()
  }

  const swapped = (await Promise.all(outcomes)).filter(outcome => outcome.swapped)
  t.equal(swapped.length, MAX_PENDING + 1, 'there is room again')
})

t.test('rejected attempts make room too', async t => {
  const { queue, calls } = createTestQueue()
  const signal = AbortSignal.abort(GIVEN_UP)
  const rejections = createIds(MAX_PENDING).map(id =>
    queue.rotate(createAttempt(id), signal).catch(() => 'rejected')
  )

  for (let i = 0; i < 40; i++) {
    await nextTurn()
  }

  t.equal(new Set(await Promise.all(rejections)).size, 1)
  const outcome = queue.rotate(createAttempt('s1'))
  await nextTurn()
  await calls[0]?.respond()
  t.equal((await outcome).swapped, true)
})

t.test('a batch runs in the async context of the queue, not in that of a request', async t => {
  const context = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const queue = context.run('queue', () =>
    new RotationQueue({
      isDataError: () => false,
      async rotateAll (attempts) {
        seen.push(context.getStore())
        await nextTurn()
        seen.push(context.getStore())
        return attempts.map(createSuccess)
      }
    }))
  const contexts = await Promise.all(
    ['one', 'two', 'three'].map(name =>
      context.run(name, async () => {
        await queue.rotate(createAttempt(name))
        return context.getStore()
      })
    )
  )
  t.strictSame(contexts, ['one', 'two', 'three'], 'a caller keeps its own')
  t.strictSame(new Set(seen), new Set(['queue']))
})

t.test('an abandoned attempt leaves the queue while a batch gets no response', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const queue = new RotationQueue({
    isDataError: () => false,
    rotateAll: () => new Promise(() => {})
  })
  void queue.rotate(createAttempt('s1'))
  await nextTurn()
  await nextTurn()
  const controller = new AbortController()
  const rejection = queue.rotate(createAttempt('s1'), controller.signal).catch(() => 'rejected')
  await nextTurn()
  controller.abort()
  mock.timers.tick(1000)
  t.equal(await rejection, 'rejected')
})
