import t from 'tap'
import { createFaults } from '../../src/testing/index.js'
import type { Device, Faults, Tab } from '../../src/testing/index.js'
import { HOUR, MINUTE } from '../helpers/clock.js'
import { calm, COUNTER_URL, createCounter } from './counter.js'

const START = Date.UTC(2026, 0, 1)

interface Sleeper {
  readonly faults: Faults
  readonly device: Device
  readonly tab: Tab
  /** Virtual times of the wake events of the tab. */
  readonly wokenAt: number[]
}

function createSleeper (): Sleeper {
  const faults = createFaults({ ...calm, start: START })
  const device = faults.device()
  const tab = device.open()
  const wokenAt: number[] = []
  tab.platform.onWake?.(() => {
    wokenAt.push(faults.clock.now())
  })
  return { faults, device, tab, wokenAt }
}

/** Waits on the timer of a tab, and returns the virtual times at which it fired. */
function startTimer ({ faults: { clock }, tab }: Sleeper, ms: number): number[] {
  const firedAt: number[] = []
  void tab.platform.sleep(ms, new AbortController().signal).then(() => {
    firedAt.push(clock.now())
  })
  return firedAt
}

t.test('the monotonic clock of a device stands still while it sleeps', async t => {
  const { faults: { clock, device: createDevice }, device, tab } = createSleeper()
  const other = createDevice().open()
  await clock.run(MINUTE)
  device.suspend(HOUR)
  await clock.run(HOUR / 2)
  t.ok(device.isAsleep)
  t.equal(tab.platform.now(), MINUTE)
  await clock.run(HOUR / 2 + MINUTE)
  t.notOk(device.isAsleep)
  t.equal(tab.platform.now(), 2 * MINUTE)
  t.equal(tab.platform.date(), START + HOUR + 2 * MINUTE, 'the wall clock goes on')
  t.equal(clock.time(), START + HOUR + 2 * MINUTE)
  t.equal(other.platform.now(), HOUR + 2 * MINUTE, 'another device is awake')
})

t.test('the monotonic clock of some devices counts their sleep', async t => {
  const { faults: { clock }, device, tab } = createSleeper()
  device.suspend(HOUR, true)
  await clock.run(HOUR)
  t.equal(tab.platform.now(), HOUR)
})

t.test('a tab counts its monotonic clock from its start', async t => {
  const { faults: { clock }, device } = createSleeper()
  await clock.run(MINUTE)
  t.equal(device.open().platform.now(), 0)
})

t.test('a timer goes on after a sleep with the time that it had left', async t => {
  const sleeper = createSleeper()
  const { faults: { clock }, device } = sleeper
  const firedAt = startTimer(sleeper, 10 * MINUTE)
  await clock.run(4 * MINUTE)
  device.suspend(HOUR)
  await clock.run(HOUR)
  t.strictSame(firedAt, [])
  await clock.run(6 * MINUTE - 1)
  t.strictSame(firedAt, [])
  await clock.run(1)
  t.strictSame(firedAt, [HOUR + 10 * MINUTE])
})

t.test('a timer fires at the end of a counted sleep if it is due', async t => {
  const sleeper = createSleeper()
  const { faults: { clock }, device } = sleeper
  const firedAt = startTimer(sleeper, 10 * MINUTE)
  device.suspend(HOUR, true)
  await clock.run(2 * HOUR)
  t.strictSame(firedAt, [HOUR])
})

t.test('a timer takes at least a millisecond, like those of browsers', async t => {
  const sleeper = createSleeper()
  await sleeper.faults.clock.run(HOUR)
  const firedAt = startTimer(sleeper, 1e-10)
  await sleeper.faults.clock.run(MINUTE)
  t.strictSame(firedAt, [HOUR + 1])
})

t.test('a timer survives several sleeps', async t => {
  const sleeper = createSleeper()
  const { faults: { clock }, device } = sleeper
  const firedAt = startTimer(sleeper, 10 * MINUTE)

  for (let i = 0; i < 3; i++) {
    await clock.run(3 * MINUTE)
    device.suspend(HOUR)
    await clock.run(HOUR)
  }

  await clock.run(HOUR)
  t.strictSame(firedAt, [3 * HOUR + 10 * MINUTE])
})

t.test('suspend of the clock keeps the time that timers have left', async t => {
  const sleeper = createSleeper()
  const { faults: { clock }, wokenAt } = sleeper
  const firedAt = startTimer(sleeper, 10 * MINUTE)
  await clock.run(4 * MINUTE)
  clock.suspend(HOUR, false)
  await clock.run(6 * MINUTE - 1)
  t.strictSame(firedAt, [])
  await clock.run(1)
  t.strictSame(firedAt, [10 * MINUTE])
  t.equal(clock.time(), START + HOUR + 10 * MINUTE)
  t.strictSame(wokenAt, [], 'the page was visible all the time')
})

t.test('a request does not survive the sleep of its device, but one of another does', async t => {
  const { faults, device, tab } = createSleeper()
  const { send, handledAt } = createCounter(faults)
  const results: string[] = []

  const record = (name: string) => (outcome: Response | Error): void => {
    results.push(`${name} ${outcome instanceof Error ? outcome.name : outcome.status}`)
  }

  void tab.wrap(send)(COUNTER_URL).catch(error => error).then(record('sleeper'))
  void faults.device().open().wrap(send)(COUNTER_URL).then(record('other'))
  await faults.clock.run(6)
  t.equal(handledAt.length, 2)
  device.suspend(HOUR)
  await faults.clock.run(HOUR - 1)
  t.strictSame(results, ['other 200'], 'a device that sleeps notices nothing')
  await faults.clock.run(MINUTE)
  t.strictSame(results, ['other 200', 'sleeper TypeError'])
})

t.test('storage and channels of a device stand still while it sleeps', async t => {
  const { faults: { clock }, device, tab } = createSleeper()
  const [sender, receiver] = ['a', 'a'].map(name => device.open().platform.openChannel?.(name))
  const events: string[] = []

  if (receiver) {
    receiver.onmessage = () => {
      events.push('message')
    }
  }

  void tab.storage.set('token').then(() => events.push('stored'))
  sender?.postMessage({})
  device.suspend(HOUR)
  await clock.run(HOUR - 1)
  t.strictSame(events, [])
  await clock.run(MINUTE)
  t.strictSame(events.sort(), ['message', 'stored'])
})

t.test('the tabs of a device get an event at the end of its sleep', async t => {
  const { faults: { clock, log }, device, wokenAt } = createSleeper()
  device.suspend(HOUR)
  await clock.run(2 * HOUR)
  t.strictSame(wokenAt, [HOUR])
  t.strictSame(log.map(({ at, event, source }) => [at, event, source]), [
    [0, 'asleep', 'device 1'],
    [HOUR, 'awake', 'device 1']
  ])
})

t.test('wake ends a sleep early, and the event comes once', async t => {
  const sleeper = createSleeper()
  const { faults: { clock }, device, tab, wokenAt } = sleeper
  const firedAt = startTimer(sleeper, MINUTE)
  device.suspend(2 * HOUR)
  await clock.run(HOUR)
  device.wake()
  t.notOk(device.isAsleep)
  t.equal(tab.platform.now(), 0)
  await clock.run(2 * HOUR)
  t.strictSame(wokenAt, [HOUR])
  t.strictSame(firedAt, [HOUR + MINUTE])
})

t.test('wake of a device that is awake is the return of its user to the page', async t => {
  const { device, wokenAt } = createSleeper()
  device.wake()
  device.wake()
  t.strictSame(wokenAt, [0, 0])
})

t.test('a second sleep replaces the first', async t => {
  const { faults: { clock }, device, tab, wokenAt } = createSleeper()
  device.suspend(HOUR)
  await clock.run(MINUTE)
  device.suspend(2 * HOUR)
  await clock.run(5 * HOUR)
  t.strictSame(wokenAt, [2 * HOUR + MINUTE])
  t.equal(tab.platform.now(), 3 * HOUR)
})

t.test('goOnline and heal send an event if the network was offline', async t => {
  const { faults, wokenAt } = createSleeper()
  faults.goOnline()
  faults.heal()
  t.strictSame(wokenAt, [])
  faults.goOffline()
  t.strictSame(wokenAt, [])
  faults.goOnline()
  t.strictSame(wokenAt, [0])
  faults.goOffline()
  faults.heal()
  t.strictSame(wokenAt, [0, 0])
})

t.test('a device that sleeps gets the event of the network at the end of its sleep', async t => {
  const { faults, device, wokenAt } = createSleeper()
  faults.goOffline()
  device.suspend(HOUR)
  faults.goOnline()
  t.strictSame(wokenAt, [])
  await faults.clock.run(HOUR)
  t.strictSame(wokenAt, [HOUR])
})

t.test('killed tabs and removed listeners get no event', async t => {
  const faults = createFaults(calm)
  const device = faults.device()
  const events: string[] = []
  const [killed, other] = [device.open(), device.open()]
  killed.platform.onWake?.(() => events.push('killed'))
  other.platform.onWake?.(() => {
    events.push('first')
    remove?.()
  })
  const remove = other.platform.onWake?.(() => events.push('removed'))

  const twice = (): void => {
    events.push('twice')
  }

  other.platform.onWake?.(twice)
  const removeSecond = other.platform.onWake?.(twice)
  removeSecond?.()
  removeSecond?.()
  killed.kill()
  faults.goOffline()
  faults.goOnline()
  device.wake()
  t.strictSame(events, ['first', 'twice', 'first', 'twice'])
})

t.test('a tab without events has no onWake', async t => {
  t.equal(createFaults().device().open({ events: 'none' }).platform.onWake, null)
})

t.test('shiftDate of a device changes its wall clock only', async t => {
  const { faults: { clock, device: createDevice }, device, tab } = createSleeper()
  const other = createDevice().open()
  device.shiftDate(-HOUR)
  t.strictSame(
    [tab.platform.date(), other.platform.date(), clock.date(), clock.time()],
    [START - HOUR, START, START, START]
  )
  clock.shiftDate(MINUTE)
  t.equal(tab.platform.date(), START - HOUR + MINUTE)
  t.equal(tab.platform.now(), 0)
})
