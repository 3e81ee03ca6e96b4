import t from 'tap'
import { DAY, MINUTE, SECOND } from '../helpers/clock.js'
import { createFeed, createIds, mockTimers, PAGE, REALM, settled, tick, watch } from './fixtures.js'

t.test('an outage is reported once, by the age of the last complete read', async t => {
  mockTimers(t)
  const { feed, entries, clock, reported, logged } = createFeed({ pollInterval: SECOND })
  t.teardown(() => feed.stop())

  const pass = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second++) {
      clock.advance(SECOND)
      await tick(SECOND)
    }
  }

  await feed.start()
  const since = clock()
  entries.readsUntilFailure = 0
  await pass(10)
  t.strictSame(reported, [], 'not by the first failure')
  await pass(20)
  const event = { realm: REALM, actor: 'plugin', at: since + 11 * SECOND, since }
  t.strictSame(reported, [event])

  entries.readsUntilFailure = Infinity
  await pass(1)
  t.match(logged.filter(({ level }) => level === 'info'), [
    { facts: { after: 31 * SECOND }, message: 'revocations are read again' }
  ])
  entries.readsUntilFailure = 0
  await pass(11)
  t.equal(reported.length, 2, 'a new outage is reported again')
})

t.test('a poll after an outage finds all entries of the outage', async t => {
  const { feed, entries, clock, known } = createFeed()
  entries.add(clock(), 'before')
  await feed.start()
  entries.readsUntilFailure = 0
  const ids = createIds(10)

  for (const id of ids) {
    clock.advance(MINUTE)
    entries.add(clock(), id)
    await t.rejects(feed.poll())
  }

  t.strictSame(known(ids), [])
  entries.readsUntilFailure = Infinity
  await feed.poll()
  t.strictSame(known(ids), ids)
})

t.test('a poll that failed between two pages is continued by the next poll', async t => {
  const { feed, entries, clock, known } = createFeed()
  await feed.start()
  const ids = createIds(2 * PAGE + 1)
  clock.advance(MINUTE)
  entries.add(clock(), ...ids)
  entries.readsUntilFailure = 1
  await t.rejects(feed.poll())
  t.strictSame(known(ids), ids.slice(0, PAGE), 'the first page already counts')

  entries.add(clock() - 2, 'late')
  entries.readsUntilFailure = Infinity
  await feed.poll()
  t.strictSame(known([...ids, 'late']), [...ids, 'late'])
  t.strictSame(
    entries.reads.slice(1).map(({ after }) => after),
    [0, PAGE, PAGE, 2 * PAGE].map(count => entries.getCursor(count)),
    'no page is read twice'
  )
})

t.test('a failed poll between two pages leaves the feed stale', async t => {
  const { feed, entries, clock } = createFeed({ pollInterval: SECOND, failAfter: 10 * SECOND })
  t.teardown(() => feed.stop())
  await feed.start()
  entries.add(clock(), ...createIds(PAGE + 1))
  clock.advance(10 * SECOND + 1)
  entries.readsUntilFailure = 1
  await t.rejects(feed.poll())
  t.equal(feed.isStale(), true)
})

t.test('a failed poll stays reported when an earlier poll succeeds', async t => {
  const { feed, entries, clock, known } = createFeed()
  await feed.start()
  entries.held = []
  const earlier = feed.poll()
  clock.advance(10)
  entries.add(clock(), 's1')
  const failing = t.rejects(feed.poll(), { message: 'no connection' })
  entries.held[0]?.resolve()
  await earlier
  t.strictSame(known(['s1']), [], 'the earlier poll read the store before the entry was added')
  entries.held[1]?.reject(new Error('no connection'))
  await failing

  entries.held = null
  clock.advance(10 * MINUTE)
  await feed.poll()
  t.strictSame(known(['s1']), ['s1'])
})

t.test('calls during a poll share the next poll', async t => {
  const { feed, entries, clock, known } = createFeed()
  entries.held = []
  const first = watch(feed.poll())
  entries.add(clock(), 's1')
  const others = Array.from({ length: 5 }, () => watch(feed.poll()))
  await settled()
  t.equal(entries.reads.length, 1)

  entries.held[0]?.resolve()
  await settled()
  t.equal(first.ended(), true)
  t.strictSame(others.map(({ ended }) => ended()), Array(5).fill(false))
  t.equal(entries.reads.length, 2)
  t.strictSame(known(['s1']), [])

  entries.held[1]?.resolve()
  await Promise.all(others.map(({ polled }) => polled))
  t.equal(entries.reads.length, 2)
  t.strictSame(known(['s1']), ['s1'])
})

t.test('a call during the shared poll waits for a third poll', async t => {
  const { feed, entries } = createFeed()
  entries.held = []
  const first = feed.poll()
  const second = feed.poll()
  entries.held[0]?.resolve()
  await first
  await settled()
  const third = watch(feed.poll())
  entries.held[1]?.resolve()
  await second
  await settled()
  t.equal(third.ended(), false)
  t.equal(entries.reads.length, 3)
  entries.held[2]?.resolve()
  await t.resolves(third.polled)
})

t.test('a call during a failing poll gets the result of the next poll', async t => {
  const { feed, entries } = createFeed()
  entries.held = []
  const failing = t.rejects(feed.poll(), { message: 'no connection' })
  const next = feed.poll()
  entries.held[0]?.reject(new Error('no connection'))
  await failing
  await settled()
  entries.held[1]?.resolve()
  await t.resolves(next)
})

t.test('all calls that share a poll reject when it fails', async t => {
  const { feed, entries } = createFeed()
  entries.held = []
  const first = feed.poll()
  const shared = [feed.poll(), feed.poll()].map(polled =>
    t.rejects(polled, { message: 'no connection' })
  )
  entries.held[0]?.resolve()
  await first
  await settled()
  entries.held[1]?.reject(new Error('no connection'))
  await Promise.all(shared)
})

t.test('the feed is stale after failAfter until a poll succeeds', async t => {
  const { feed, entries, clock } = createFeed({ pollInterval: SECOND, failAfter: 10 * SECOND })
  t.teardown(() => feed.stop())
  await feed.start()
  const read = clock()
  entries.readsUntilFailure = 0
  clock.advance(SECOND)
  await t.rejects(feed.poll())

  const isStale = (after: number): boolean => {
    clock.set(read + after)
    return feed.isStale()
  }

  t.strictSame([SECOND, 10 * SECOND, 10 * SECOND + 1, DAY].map(isStale), [false, false, true, true])
  await t.rejects(feed.poll())
  t.strictSame(
    [10 * SECOND, 10 * SECOND + 1].map(isStale),
    [false, true],
    'further failures do not change the time'
  )

  entries.readsUntilFailure = Infinity
  await feed.poll()
  t.equal(feed.isStale(), false)
})

t.test('the feed is stale until the first complete read', async t => {
  const { feed } = createFeed({ pollInterval: SECOND })
  t.equal(feed.isStale(), true)
  await feed.poll()
  t.equal(feed.isStale(), false)
})

t.test('the feed of a single instance is stale only until it has started', async t => {
  const { feed, clock } = createFeed({ pollInterval: null, failAfter: 10 * SECOND })
  t.equal(feed.isStale(), true)
  await feed.start()
  clock.advance(DAY)
  t.equal(feed.isStale(), false)
})

t.test('failAfter counts from the start of the last successful poll', async t => {
  const { feed, entries, clock } = createFeed({ pollInterval: SECOND, failAfter: 10 * SECOND })
  const begun = clock()
  entries.held = []
  const polled = feed.poll()
  clock.advance(3 * SECOND)
  entries.held[0]?.resolve()
  await polled
  entries.held = null
  entries.readsUntilFailure = 0
  await t.rejects(feed.poll())
  clock.set(begun + 10 * SECOND)
  t.equal(feed.isStale(), false)
  clock.advance(1)
  t.equal(feed.isStale(), true)
})

t.test('the feed is never stale without failAfter', async t => {
  const { feed, entries, clock } = createFeed({ pollInterval: SECOND, failAfter: null })
  t.teardown(() => feed.stop())
  await feed.start()
  entries.readsUntilFailure = 0
  await t.rejects(feed.poll())
  clock.advance(100 * DAY)
  t.equal(feed.isStale(), false)
})
