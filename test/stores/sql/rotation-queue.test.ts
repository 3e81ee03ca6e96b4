import t from 'tap'
import type { RotationOutcome } from '../../../src/domain/rotation.js'
import {
  CONNECTION_ERROR,
  createAttempt,
  createIds,
  createSession,
  createSuccess,
  createTestQueue,
  MAX_BATCH,
  nextTurn
} from './rotation-queue-helpers.js'

t.test('an idle queue sends all attempts of one turn of the event loop in one call', async t => {
  const { queue, calls, sessionIds } = createTestQueue()
  const outcomes = Promise.all(createIds(3).map(id => queue.rotate(createAttempt(id))))
  t.equal(calls.length, 0)
  await new Promise(resolve => {
    setImmediate(resolve)
  })
  t.strictSame(sessionIds(), [['s0', 's1', 's2']])
  await calls[0]?.respond()
  t.strictSame(await outcomes, createIds(3).map(id => createSuccess(createAttempt(id))))

  void queue.rotate(createAttempt('s3'))
  await nextTurn()
  t.strictSame(sessionIds()[1], ['s3'], 'the queue is idle again and sends the next attempt')
})

t.test('the queue collects attempts while two batches are pending', async t => {
  const { queue, calls, sessionIds } = createTestQueue()
  const outcomes: Array<Promise<RotationOutcome>> = []

  for (const id of createIds(10)) {
    outcomes.push(queue.rotate(createAttempt(id)))
    await nextTurn()
  }

  t.strictSame(sessionIds(), [['s0'], ['s1']])
  await calls[1]?.respond()
  t.strictSame(sessionIds().slice(2), [['s2', 's3', 's4', 's5', 's6', 's7', 's8', 's9']])
  outcomes.push(queue.rotate(createAttempt('s10')))
  await nextTurn()
  t.equal(calls.length, 3, 'two calls are pending again')
  await calls[0]?.respond()
  t.strictSame(sessionIds()[3], ['s10'])
  await calls[2]?.respond()
  await calls[3]?.respond()
  t.strictSame((await Promise.all(outcomes)).map(({ session }) => session?.id), createIds(11))
})

t.test('a batch holds at most 500 attempts in the order of their arrival', async t => {
  const { queue, calls, sessionIds } = createTestQueue()
  const ids = createIds(2 * MAX_BATCH + 7)
  const outcomes = Promise.all(ids.map(id => queue.rotate(createAttempt(id))))
  await nextTurn()
  t.strictSame(sessionIds(), [ids.slice(0, MAX_BATCH), ids.slice(MAX_BATCH, 2 * MAX_BATCH)])
  await calls[0]?.respond()
  t.strictSame(sessionIds()[2], ids.slice(2 * MAX_BATCH))
  await calls[2]?.respond()
  await calls[1]?.respond()
  t.strictSame((await outcomes).map(({ session }) => session?.id), ids)
})

t.test('fewer attempts than minBatchSize are sent in one call each', async t => {
  const { queue, calls, sessionIds } = createTestQueue({ minBatchSize: 3 })
  const outcomes = Promise.allSettled(createIds(2).map(id => queue.rotate(createAttempt(id))))
  await nextTurn()
  t.strictSame(sessionIds(), [['s0'], ['s1']])
  await calls[0]?.fail(CONNECTION_ERROR)
  await calls[1]?.respond()
  t.strictSame(await outcomes, [
    { status: 'rejected', reason: CONNECTION_ERROR },
    { status: 'fulfilled', value: createSuccess(createAttempt('s1')) }
  ])
  void Promise.all(createIds(3).map(id => queue.rotate(createAttempt(id))))
  await nextTurn()
  t.strictSame(sessionIds().slice(2), [['s0', 's1', 's2']])
})

t.test('every attempt receives its own outcome', async t => {
  const { queue, calls } = createTestQueue()
  const outcomes = ['a', 'b', 'c'].map(id => queue.rotate(createAttempt(id)))
  await nextTurn()
  const results = [
    { swapped: false, session: createSession('a', { generation: 5 }) },
    { swapped: false, session: null },
    { swapped: true, session: createSession('c', { generation: 1 }) }
  ]
  await calls[0]?.respond(results)
  t.strictSame(await Promise.all(outcomes), results)
})

t.test('concurrent batches contain each session only once', async t => {
  const { queue, calls, sessionIds } = createTestQueue()
  const wrongSecret = createAttempt('s1', { secretHash: 'other' })
  void queue.rotate(wrongSecret)
  void queue.rotate(createAttempt('s1'))
  void queue.rotate(createAttempt('s2'))
  await nextTurn()
  void queue.rotate(createAttempt('s1'))
  void queue.rotate(createAttempt('s3'))
  await nextTurn()
  t.strictSame(sessionIds(), [['s1', 's2'], ['s3']])
  await calls[1]?.respond()
  t.equal(calls.length, 2, 'the second attempt for s1 still waits')
  await calls[0]?.respond([
    { swapped: false, session: createSession('s1') },
    createSuccess(createAttempt('s2'))
  ])
  t.strictSame(sessionIds().slice(2), [['s1']])
})
