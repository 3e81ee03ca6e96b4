import t from 'tap'
import { InFlight } from '../../src/throttle/in-flight.js'

t.test('an attempt is running from its start until it is settled, for its keys only', async t => {
  const inFlight = new InFlight()
  const first = inFlight.track(['account', 'address'])
  const second = inFlight.track(['account'])
  t.equal(inFlight.size, 2)
  first.settle('counted')
  t.equal(inFlight.size, 1)
  t.equal(await inFlight.getRunning('address').waitForCounted(), false)
  second.settle('not-counted')
  t.equal(inFlight.size, 0)
})

t.test('a caller learns whether one of the running attempts was counted', async t => {
  for (const result of ['counted', 'not-counted'] as const) {
    const inFlight = new InFlight()
    const attempts = [inFlight.track(['key', 'other']), inFlight.track(['key'])]
    const [running, others] = [inFlight.getRunning('key'), inFlight.getRunning('other')]
    let isSettled = false
    const waiting = running.waitForCounted().finally(() => {
      isSettled = true
    })
    attempts[1]?.settle('not-counted')
    await new Promise(setImmediate)
    t.equal(isSettled, false, 'the first attempt is still running')
    attempts[0]?.settle(result)
    t.equal(await waiting, result === 'counted')
    t.equal(await others.waitForCounted(), result === 'counted')
  }
})

t.test('an attempt that was counted before the caller asked does not count', async t => {
  const inFlight = new InFlight()
  const [first, second] = [inFlight.track(['key']), inFlight.track(['key'])]
  first.settle('counted')
  const waiting = inFlight.getRunning('key').waitForCounted()
  second.settle('not-counted')
  t.equal(await waiting, false)
})

t.test('a caller that tracks itself later does not wait for itself', async t => {
  const inFlight = new InFlight()
  const before = inFlight.getRunning('key')
  const running = inFlight.track(['key'])
  t.equal(await before.waitForCounted(), false)
  running.settle('counted')
})

t.test('an attempt without keys is never running', async t => {
  const inFlight = new InFlight()
  const attempt = inFlight.track([])
  t.doesNotThrow(() => {
    attempt.settle('counted')
  })
  t.equal(inFlight.size, 0)
})

t.test('20,000 attempts with one name wait for each other in linear time', async t => {
  const inFlight = new InFlight()
  const attempts = Array.from({ length: 20_000 }, () => {
    const running = inFlight.getRunning('key')
    return { running, attempt: inFlight.track(['key']) }
  })
  const startedAt = performance.now()
  const waiting = attempts.map(({ running }) => running.waitForCounted())

  for (const { attempt } of attempts) {
    attempt.settle('not-counted')
  }

  t.notOk((await Promise.all(waiting)).includes(true))
  const took = performance.now() - startedAt
  t.ok(took < 5000, `${took} ms`)
})
