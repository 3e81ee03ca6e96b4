import t from 'tap'
import type { Test } from 'tap'
import { createClock, MINUTE, SECOND } from '../helpers/clock.js'
import { createFeed, createIds, mockTimers, PAGE, settled, tick, watch } from './fixtures.js'

/** Starts a feed that polls each second. */
async function startFeed (t: Test): Promise<ReturnType<typeof createFeed>> {
  mockTimers(t)
  const test = createFeed({ pollInterval: SECOND })
  t.teardown(() => test.feed.stop())
  await test.feed.start()
  return test
}

t.test('a process that stood still waits for a poll that is sent now', async t => {
  const { feed, entries, clock, known } = await startFeed(t)
  entries.held = []
  await tick(SECOND)
  t.equal(entries.held.length, 1, 'a poll is under way when the process stands still')

  clock.advance(8 * SECOND)
  entries.add(clock(), 's1')
  t.equal(feed.isOverdue(), true)
  const waiting = [watch(feed.catchUp()), watch(feed.catchUp())]
  entries.held[0]?.resolve()
  await settled()
  t.strictSame(known(['s1']), [], 'the earlier poll does not know')
  t.strictSame(waiting.map(({ ended }) => ended()), [false, false])
  t.equal(feed.isOverdue(), true, 'until the store has answered')
  entries.held[1]?.resolve()
  await Promise.all(waiting.map(({ polled }) => polled))
  t.strictSame(known(['s1']), ['s1'])
  t.equal(feed.isOverdue(), false)
  t.equal(entries.reads.length, 3)
  entries.held = null
})

t.test('a timer that runs first after a standstill sends the poll', async t => {
  const { feed, entries, clock } = await startFeed(t)
  entries.held = []
  clock.advance(8 * SECOND)
  await tick(SECOND)
  t.equal(feed.isOverdue(), true)
  t.equal(entries.held.length, 1)
  entries.held[0]?.resolve()
  await feed.catchUp()
  t.equal(entries.reads.length, 2)
  t.equal(feed.isOverdue(), false)
  entries.held = null
})

t.test('a standstill while a request waits for a poll costs another poll', async t => {
  mockTimers(t)

  for (const runsTimerFirst of [false, true]) {
    const { feed, entries, clock, known } = createFeed({ pollInterval: SECOND })
    await feed.start()
    entries.held = []
    clock.advance(8 * SECOND)
    const waiting = watch(feed.catchUp())
    await settled()
    t.equal(entries.held.length, 1, 'the poll is sent')
    clock.advance(8 * SECOND)
    entries.add(clock(), 's1')

    if (runsTimerFirst) {
      await tick(SECOND)
    }

    entries.held[0]?.resolve()
    await settled()
    t.equal(waiting.ended(), false, 'the poll is from before the second standstill')
    t.equal(feed.isOverdue(), true)
    entries.held[1]?.resolve()
    await waiting.polled
    t.strictSame(known(['s1']), ['s1'])
    t.equal(feed.isOverdue(), false)
    entries.held = null
    await feed.stop()
  }
})

t.test('a slow poll after a standstill makes nobody wait again', async t => {
  const { feed, entries, clock } = await startFeed(t)
  entries.held = []
  clock.advance(8 * SECOND)
  const waiting = watch(feed.catchUp())

  for (let second = 0; second < 5; second++) {
    clock.advance(SECOND)
    await tick(SECOND)
  }

  entries.held[0]?.resolve()
  await waiting.polled
  t.equal(feed.isOverdue(), false)
  t.equal(entries.reads.length, 2)
  entries.held = null
})

t.test('a poll that fails after a standstill ends the wait', async t => {
  const { feed, entries, clock } = createFeed({ pollInterval: MINUTE })
  t.teardown(() => feed.stop())
  await feed.start()
  entries.readsUntilFailure = 0
  clock.advance(2 * MINUTE + 1)
  t.equal(feed.isOverdue(), true)
  await t.resolves(feed.catchUp())
  t.equal(feed.isOverdue(), false)
})

t.test('a slow or failing poll that was sent in time makes nobody wait', async t => {
  const { feed, entries, clock } = await startFeed(t)
  entries.held = []

  for (let second = 0; second < 10; second++) {
    clock.advance(SECOND)
    await tick(SECOND)
    t.equal(feed.isOverdue(), false)
  }

  t.equal(entries.reads.length, 2)
  entries.held[0]?.reject(new Error('no connection'))
  await settled()
  entries.held = null
  t.equal(feed.isOverdue(), false)
})

t.test('a poll is overdue after 3 s or two intervals', async t => {
  for (const [pollInterval, limit] of [[SECOND, 3 * SECOND], [MINUTE, 2 * MINUTE]] as const) {
    const { feed, clock } = createFeed({ pollInterval })
    t.equal(feed.isOverdue(), false, 'not before the start')
    await feed.start()
    clock.advance(limit)
    t.equal(feed.isOverdue(), false)
    clock.advance(1)
    t.equal(feed.isOverdue(), true)
    await feed.stop()
    t.equal(feed.isOverdue(), false, 'not after the end')
  }
})

t.test('a suspended machine shows in the wall clock', async t => {
  const [wall, monotonic] = [createClock(), createClock()]
  const { feed, entries } = createFeed({ pollInterval: SECOND, clocks: { wall, monotonic } })
  t.teardown(() => feed.stop())
  await feed.start()
  wall.advance(8 * SECOND)
  t.equal(feed.isOverdue(), true)
  await feed.catchUp()
  t.equal(entries.reads.length, 2)
  t.equal(feed.isOverdue(), false, 'a step of the clock costs one poll')
  wall.advance(-8 * SECOND)
  t.equal(feed.isOverdue(), false)
  monotonic.advance(8 * SECOND)
  t.equal(feed.isOverdue(), true)
})

t.test('the feed of a single instance is never overdue', async t => {
  const { feed, entries, clock } = createFeed({ pollInterval: null })
  await feed.start()
  clock.advance(8 * SECOND)
  t.equal(feed.isOverdue(), false)
  await feed.catchUp()
  t.equal(entries.reads.length, 1)
})

t.test('a start with many revocations ends at its deadline and goes on', async t => {
  mockTimers(t)
  const { feed, entries, clock, known, logged } = createFeed({ pollInterval: SECOND })
  t.teardown(() => feed.stop())
  const ids = createIds(PAGE + 1)
  entries.add(clock(), ...ids)
  entries.held = []
  const starting = watch(feed.start())
  await settled()
  entries.held[0]?.resolve()
  await tick(5 * SECOND - 1)
  t.equal(starting.ended(), false)
  await tick(1)
  t.equal(starting.ended(), true)
  t.equal(feed.isStale(), true)
  t.match(logged, [{ level: 'warn', facts: { read: PAGE } }])
  clock.advance(10 * SECOND)
  await feed.catchUp()
  t.equal(entries.reads.length, 2, 'nothing is read twice')

  entries.held[1]?.resolve()
  await settled()
  entries.held = null
  t.equal(feed.isStale(), false)
  t.strictSame(known(ids), ids)
  t.match(logged[1], {
    level: 'info',
    facts: { read: PAGE + 1 },
    message: 'read all revocations'
  })
})

t.test('a start without any response fails at its deadline', async t => {
  mockTimers(t)
  const { feed, entries } = createFeed({ pollInterval: SECOND })
  entries.held = []
  const failing = t.rejects(feed.start(), { code: 'AUTH_STORE_UNAVAILABLE' })
  await tick(5 * SECOND)
  await failing
  entries.held[0]?.resolve()
})

t.test('a single instance reads the rest after its start until it succeeds', async t => {
  mockTimers(t)
  const { feed, entries, known } = createFeed({ pollInterval: null })
  t.teardown(() => feed.stop())
  const ids = Array.from({ length: PAGE + 1 }, (_, i) => `s${i}`)
  entries.add(0, ...ids)
  entries.held = []
  const starting = feed.start()
  entries.held[0]?.resolve()
  await settled()
  await tick(5 * SECOND)
  await starting
  t.equal(feed.isStale(), true)

  entries.held[1]?.reject(new Error('no connection'))
  entries.held = null
  entries.readsUntilFailure = 0
  await tick(SECOND)
  t.equal(feed.isStale(), true)
  entries.readsUntilFailure = Infinity
  await tick(SECOND)
  t.equal(feed.isStale(), false)
  t.strictSame(known(ids), ids)
})

t.test('a feed that starts at the second attempt waits for overdue polls', async t => {
  mockTimers(t)
  const { feed, entries, clock } = createFeed({ pollInterval: SECOND })
  t.teardown(() => feed.stop())
  entries.readsUntilFailure = 0
  await t.rejects(feed.start())
  entries.readsUntilFailure = Infinity
  await feed.start()
  clock.advance(8 * SECOND)
  const before = entries.reads.length
  t.equal(feed.isOverdue(), true)
  await feed.catchUp()
  t.equal(entries.reads.length, before + 1)
})

t.test('pushes cause at most one poll in 100 ms', async t => {
  mockTimers(t)
  let push: () => void = () => t.fail('there is no subscription')
  const { feed, entries, clock } = createFeed({
    subscribe: poll => {
      push = poll

      return () => {}
    }
  })
  await feed.start()
  await settled()
  const before = entries.reads.length

  for (let millis = 0; millis < 1000; millis++) {
    push()
    clock.advance(1)
    await tick(1)
  }

  const polls = entries.reads.length - before
  t.ok(polls >= 9 && polls <= 10, `${polls} polls`)
  await feed.stop()
})
