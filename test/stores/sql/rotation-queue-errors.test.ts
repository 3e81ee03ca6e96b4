import { mock } from 'node:test'
import t from 'tap'
import { RotationQueue } from '../../../src/stores/sql/rotation-queue.js'
import { SECOND } from '../../helpers/clock.js'
import {
  CONNECTION_ERROR,
  createAttempt,
  createIds,
  createSuccess,
  createTestQueue,
  DATA_ERROR,
  nextTurn
} from './rotation-queue-helpers.js'

t.test('a call without a response fails after 30 s', async t => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  t.teardown(() => mock.timers.reset())
  const { queue, calls, sessionIds } = createTestQueue()
  const rejections: Array<Promise<unknown>> = []

  for (const id of ['s0', 's1']) {
    rejections.push(
      t.rejects(queue.rotate(createAttempt(id)), { message: 'the database does not respond' }, id)
    )
    await nextTurn()
    mock.timers.tick(5 * SECOND)
  }

  const next = queue.rotate(createAttempt('s2'))
  mock.timers.tick(20 * SECOND - 1)
  await nextTurn()
  t.strictSame(sessionIds(), [['s0'], ['s1']])
  mock.timers.tick(1)
  await nextTurn()
  await rejections[0]
  t.strictSame(sessionIds().slice(2), [['s2']])
  await calls[2]?.respond()
  t.equal((await next).swapped, true)

  // A response after the timeout has no effect.
  await calls[0]?.respond()
  mock.timers.tick(5 * SECOND)
  await nextTurn()
  await rejections[1]
  const again = queue.rotate(createAttempt('s0'))
  await nextTurn()
  await calls[3]?.respond()
  t.equal((await again).swapped, true, 'a later attempt for the same session is sent')
})

t.test('after a data error only the invalid attempt of the batch fails', async t => {
  const { queue, calls, sessionIds } = createTestQueue()
  const outcomes = ['a', 'invalid', 'c'].map(id => queue.rotate(createAttempt(id)))
  const rejection = t.rejects(outcomes[1] as Promise<unknown>, DATA_ERROR)
  await nextTurn()
  await calls[0]?.fail(DATA_ERROR)
  t.strictSame(sessionIds().slice(1), [['a']], 'one after the other')
  await calls[1]?.respond()
  await calls[2]?.fail(DATA_ERROR)
  await calls[3]?.respond()
  t.strictSame(sessionIds().slice(1), [['a'], ['invalid'], ['c']])
  t.strictSame(await outcomes[0], createSuccess(createAttempt('a')))
  t.strictSame(await outcomes[2], createSuccess(createAttempt('c')))
  await rejection
})

t.test('at most two calls are pending while attempts are sent one by one', async t => {
  const { queue, calls, sessionIds } = createTestQueue()
  const [a, b] = ['a', 'b'].map(id => queue.rotate(createAttempt(id)))
  await nextTurn()
  await calls[0]?.fail(DATA_ERROR)
  void queue.rotate(createAttempt('c'))
  await nextTurn()
  void queue.rotate(createAttempt('d'))
  void queue.rotate(createAttempt('b'))
  await nextTurn()
  t.strictSame(sessionIds().slice(1), [['a'], ['c']])
  await calls[1]?.respond()
  t.strictSame(sessionIds().slice(3), [['b']])
  await calls[3]?.respond()
  await Promise.all([a, b])
  t.strictSame(sessionIds()[4]?.[0], 'd')
})

t.test('a single attempt with an invalid value is not sent again', async t => {
  const { queue, calls } = createTestQueue()
  const rejection = t.rejects(queue.rotate(createAttempt('invalid')), DATA_ERROR)
  await nextTurn()
  await calls[0]?.fail(DATA_ERROR)
  await rejection
  t.equal(calls.length, 1)
})

t.test('another error rejects the whole batch', async t => {
  const { queue, calls } = createTestQueue()
  const rejections = createIds(3).map(id =>
    t.rejects(queue.rotate(createAttempt(id)), CONNECTION_ERROR)
  )
  await nextTurn()
  await calls[0]?.fail(CONNECTION_ERROR)
  await Promise.all(rejections)
  t.equal(calls.length, 1)

  const outcome = queue.rotate(createAttempt('s0'))
  await nextTurn()
  await calls[1]?.respond()
  t.strictSame(await outcome, createSuccess(createAttempt('s0')))
})

t.test('an error rejects only the attempts that were sent', async t => {
  const { queue, calls, sessionIds } = createTestQueue()
  const rejection = t.rejects(queue.rotate(createAttempt('s1')), CONNECTION_ERROR)
  const waiting = queue.rotate(createAttempt('s1'))
  await nextTurn()
  const concurrent = queue.rotate(createAttempt('s2'))
  await nextTurn()
  await calls[0]?.fail(CONNECTION_ERROR)
  await rejection
  t.strictSame(sessionIds(), [['s1'], ['s2'], ['s1']])
  await calls[1]?.respond()
  await calls[2]?.respond()
  t.strictSame(await Promise.all([concurrent, waiting]), [
    createSuccess(createAttempt('s2')),
    createSuccess(createAttempt('s1'))
  ])
})

t.test('an exception of rotateAll rejects the attempt', async t => {
  const queue = new RotationQueue({
    rotateAll: () => {
      throw CONNECTION_ERROR
    },
    isDataError: () => false
  })

  for (let count = 0; count < 3; count++) {
    await t.rejects(queue.rotate(createAttempt('s1')), CONNECTION_ERROR)
  }
})
