import t from 'tap'
import { CallLimit } from '../../src/lib/call-limit.js'
import { SECOND } from '../helpers/clock.js'

t.test('a full limit lets one call per second through', async t => {
  let now = 0
  const limit = new CallLimit(2, () => now)
  t.strictSame([limit.start(), limit.start()], [true, true])
  limit.abandon()
  t.equal(limit.start(), true, 'the first probe')
  t.equal(limit.start(), false)
  now += SECOND - 1
  t.equal(limit.start(), false)
  now += 1
  t.strictSame([limit.start(), limit.start()], [true, false])
})

t.test('a call that settles makes room for another one', async t => {
  const limit = new CallLimit(1, () => 0)
  t.equal(limit.start(), true)
  limit.finish(false)
  t.equal(limit.start(), true)
  const settle = limit.abandon()
  t.equal(limit.start(), true, 'the first probe')
  limit.finish(false)
  t.equal(limit.start(), false)
  settle()
  t.equal(limit.start(), true)
})

t.test('a success forgets calls that the driver never settles', async t => {
  let now = 0
  const limit = new CallLimit(2, () => now)
  t.ok(limit.start() && limit.start())
  const settlers = [limit.abandon(), limit.abandon()]
  t.equal(limit.start(), true)
  t.equal(limit.start(), false)
  limit.finish(true)

  for (const settle of settlers) {
    settle()
  }

  now += SECOND
  t.strictSame([limit.start(), limit.start()], [true, true])
  t.equal(limit.start(), true, 'a probe')
  t.equal(limit.start(), false)
})
