import t from 'tap'
import { createFaults } from '../../src/testing/index.js'

t.test('timers run in the order of their times', async t => {
  const { clock } = createFaults()
  const fired: string[] = []
  void clock.sleep(20).then(() => fired.push('20'))
  void clock.sleep(10).then(() => fired.push('10'))
  void clock.sleep(10).then(() => fired.push('10, second'))
  await clock.run(15)
  t.strictSame(fired, ['10', '10, second'])
  t.equal(clock.now(), 15)
  clock.suspend(1000)
  t.equal(fired.length, 2)
  await clock.run(0)
  t.equal(fired.length, 3, 'a due timer runs after the sleep of the device')
})

t.test('suspend and shiftDate change the clocks of device and server differently', async t => {
  const { clock } = createFaults({ start: 0 })
  await clock.run(15)
  clock.suspend(1000)
  clock.suspend(500, false)
  clock.shiftDate(-60_000)
  t.strictSame([clock.now(), clock.time(), clock.date(), clock.slept()], [
    1015,
    1515,
    -58_485,
    1500
  ])
})

t.test('until rejects with the error of the promise or after its limit', async t => {
  const { clock } = createFaults()
  await t.rejects(
    clock.until(new Promise(() => {}), 100),
    new Error('promise did not settle within 100 ms')
  )
  await t.rejects(
    clock.until(
      clock.sleep(5).then(() => {
        throw new Error('mine')
      })
    ),
    /mine/
  )
})

t.test('an abort wakes a sleep', async t => {
  const { clock } = createFaults()
  const abort = new AbortController()
  const woken = clock.sleep(1000, abort.signal)
  abort.abort()
  await woken
  t.equal(clock.now(), 0)
})
