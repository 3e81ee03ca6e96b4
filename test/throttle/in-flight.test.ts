import t from 'tap'
import { InFlight } from '../../src/throttle/in-flight.js'

t.test('an attempt is running from its start until it is settled, for its keys only', async t => {
  const inFlight = new InFlight()
  const first = inFlight.track(['account', 'address'])
  const second = inFlight.track(['account'])
  t.equal(inFlight.getRunning('account').length, 2)
  t.equal(inFlight.getRunning('address').length, 1)
  t.strictSame(inFlight.getRunning('other'), [])

  first.settle('counted')
  t.equal(inFlight.getRunning('account').length, 1)
  t.strictSame(inFlight.getRunning('address'), [])
  second.settle('not-counted')
  t.strictSame(inFlight.getRunning('account'), [])
})

t.test('running attempts tell their result when they are settled', async t => {
  for (const result of ['counted', 'not-counted'] as const) {
    const inFlight = new InFlight()
    const attempt = inFlight.track(['key', 'other'])
    const [running] = inFlight.getRunning('key')
    t.equal(inFlight.getRunning('other')[0], running, 'one promise for all keys')
    attempt.settle(result)
    t.equal(await running, result)
  }
})

t.test('a caller that tracks itself later does not wait for itself', async t => {
  const inFlight = new InFlight()
  const before = inFlight.getRunning('key')
  inFlight.track(['key'])
  t.strictSame(before, [])
})

t.test('an attempt without keys is never running', async t => {
  const inFlight = new InFlight()
  const attempt = inFlight.track([])
  t.doesNotThrow(() => {
    attempt.settle('counted')
  })
})
