import t from 'tap'
import { RateLimit } from '../../src/lib/rate-limit.js'
import { createClock, SECOND } from '../helpers/clock.js'

t.test('next accepts a number of reports per window, and counts the others', async t => {
  const clock = createClock()
  const limit = new RateLimit(2, 10 * SECOND, clock)
  t.strictSame([limit.next(), limit.next(), limit.next(), limit.next()], [0, 0, null, null])
  clock.advance(10 * SECOND - 1)
  t.equal(limit.next(), null)
  clock.advance(1)
  t.strictSame([limit.next(), limit.next(), limit.next()], [3, 0, null])
})

t.test('next accepts reports after the clock was set back', async t => {
  const clock = createClock()
  const limit = new RateLimit(1, 10 * SECOND, clock)
  t.equal(limit.next(), 0)
  clock.advance(-60 * SECOND)
  t.equal(limit.next(), 0)
  t.equal(limit.next(), null)
})

t.test('the default clock is monotonic', async t => {
  const limit = new RateLimit(1, 60 * SECOND)
  t.strictSame([limit.next(), limit.next()], [0, null])
})
