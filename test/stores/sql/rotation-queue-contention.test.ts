import t from 'tap'
import { canRotate } from '../../../src/domain/rotation.js'
import { DAY, MINUTE } from '../../helpers/clock.js'
import {
  createAttempt,
  createSession,
  createSuccess,
  createTestQueue,
  GRACE,
  nextTurn,
  NOW
} from './rotation-queue-helpers.js'

t.test('attempts behind a successful rotation receive its session without a call', async t => {
  const { queue, calls } = createTestQueue()
  const attempt = createAttempt('s1')
  const outcomes = Array.from({ length: 20 }, () => queue.rotate(attempt))
  await nextTurn()
  await calls[0]?.respond()
  const success = createSuccess(attempt)
  t.strictSame(await Promise.all(outcomes), [
    success,
    ...Array(19).fill({ ...success, swapped: false })
  ])
  t.equal(calls.length, 1)
})

t.test('a waiting attempt is sent only if it can rotate the received session', async t => {
  const received = createSession('s1', { generation: 3, graceFrom: NOW - MINUTE })
  const attempts = [
    createAttempt('s1', { generation: 3 }),
    createAttempt('s1', { generation: 2 }),
    createAttempt('s1', { generation: 4 }),
    createAttempt('s1', { generation: 3, secretHash: 'other' }),
    createAttempt('s1', { generation: 3, now: NOW + DAY }),
    createAttempt('s1', { generation: 3, now: received.graceFrom + GRACE - 1 }),
    createAttempt('s1', { generation: 3, now: received.graceFrom + GRACE })
  ]
  t.strictSame(attempts.map(attempt => canRotate(received, attempt)), [
    true,
    false,
    false,
    false,
    false,
    false,
    true
  ])

  for (const attempt of attempts) {
    const { queue, calls } = createTestQueue()
    void queue.rotate(createAttempt('s1', { generation: 2 }))
    const outcome = queue.rotate(attempt)
    await nextTurn()
    await calls[0]?.respond([{ swapped: true, session: received }])

    if (canRotate(received, attempt)) {
      t.strictSame(calls[1]?.attempts, [attempt])
      await calls[1]?.respond()
      t.strictSame(await outcome, createSuccess(attempt))
    } else {
      t.equal(calls.length, 1)
      t.strictSame(await outcome, { swapped: false, session: received })
    }
  }
})

t.test('waiting attempts use the outcome of the one that is sent', async t => {
  const { queue, calls } = createTestQueue()
  const rejected = queue.rotate(createAttempt('s1', { secretHash: 'other' }))
  const outcomes = Array.from({ length: 5 }, () => queue.rotate(createAttempt('s1')))
  await nextTurn()
  await calls[0]?.respond([{ swapped: false, session: createSession('s1') }])
  t.strictSame(await rejected, { swapped: false, session: createSession('s1') })
  t.strictSame(calls[1]?.attempts, [createAttempt('s1')])
  await calls[1]?.respond()
  t.strictSame((await Promise.all(outcomes)).map(({ swapped }) => swapped), [
    true,
    false,
    false,
    false,
    false
  ])
  t.equal(calls.length, 2)
})

t.test('attempts behind a revoked session receive that session', async t => {
  const { queue, calls } = createTestQueue()
  const outcomes = Promise.all([
    queue.rotate(createAttempt('s1')),
    queue.rotate(createAttempt('s1'))
  ])
  await nextTurn()
  const outcome = {
    swapped: false,
    session: createSession('s1', { revokedAt: NOW, revokedFor: 'logout' })
  }
  await calls[0]?.respond([outcome])
  t.strictSame(await outcomes, [outcome, outcome])
  t.equal(calls.length, 1)
})

t.test('attempts behind an unknown session receive null', async t => {
  const { queue, calls } = createTestQueue()
  const outcomes = Promise.all([
    queue.rotate(createAttempt('s1')),
    queue.rotate(createAttempt('s1'))
  ])
  await nextTurn()
  const outcome = { swapped: false, session: null }
  await calls[0]?.respond([outcome])
  t.strictSame(await outcomes, [outcome, outcome])
  t.equal(calls.length, 1)
})

t.test('an attempt never receives a session that was read before the attempt', async t => {
  const { queue, calls } = createTestQueue()
  void queue.rotate(createAttempt('s1'))
  await nextTurn()
  const before = createSuccess(createAttempt('s1'))
  const revoked = createSession('s1', { ...before.session, revokedAt: NOW, revokedFor: 'logout' })
  // The session is revoked after the first call has read it and before that call resolves.
  const late = queue.rotate(createAttempt('s1'))
  await calls[0]?.respond([before])
  t.equal(calls.length, 2, 'the database is queried again')
  await calls[1]?.respond([{ swapped: false, session: revoked }])
  t.strictSame(await late, { swapped: false, session: revoked })
})

t.test('an attempt behind one of another realm is sent', async t => {
  const { queue, calls } = createTestQueue()
  const first = queue.rotate(createAttempt('s1', { realm: 'other' }))
  const second = queue.rotate(createAttempt('s1'))
  await nextTurn()
  await calls[0]?.respond([{ swapped: false, session: null }])
  t.strictSame(await first, { swapped: false, session: null })
  t.strictSame(calls[1]?.attempts, [createAttempt('s1')])
  await calls[1]?.respond()
  t.strictSame(await second, createSuccess(createAttempt('s1')))
})

t.test('an attempt that heals is sent behind the one whose session it can move', async t => {
  const { queue, calls } = createTestQueue()
  const attempt = { ...createAttempt('s1'), to: 7, heals: true }
  const received = createSession('s1', { graceFrom: NOW })
  const refused = queue.rotate(createAttempt('s1', { generation: 7 }))
  const healed = queue.rotate(attempt)
  await nextTurn()
  await calls[0]?.respond([{ swapped: false, session: received }])
  t.strictSame(await refused, { swapped: false, session: received })
  await calls[1]?.respond()
  t.match(await healed, { swapped: true, session: { generation: 7 } })
})
