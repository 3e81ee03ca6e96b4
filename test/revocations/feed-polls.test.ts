import t from 'tap'
import { DAY, MINUTE, SECOND } from '../helpers/clock.js'
import { createFeed, createIds, PAGE, REALM, settled, watch } from './fixtures.js'

t.test('failing polls are reported once per outage', async t => {
  const { feed, entries, clock, reported, logged } = createFeed()
  await feed.start()
  const since = clock()
  entries.readsUntilFailure = 0

  for (let minutes = 1; minutes <= 3; minutes++) {
    clock.advance(MINUTE)
    await t.rejects(feed.poll(), { message: 'password of the database' })
  }

  t.strictSame(reported, [{ realm: REALM, actor: 'plugin', at: since + MINUTE, since }])
  const behind = { level: 'warn', facts: { since }, message: 'failed to read revocations' }
  t.strictSame(logged, [behind], 'without the message of a driver')

  entries.readsUntilFailure = Infinity
  await feed.poll()
  const again = clock()
  entries.readsUntilFailure = 0
  clock.advance(SECOND)
  await t.rejects(feed.poll())
  t.strictSame(
    reported.slice(1),
    [{ realm: REALM, actor: 'plugin', at: again + SECOND, since: again }],
    'a new outage is reported again'
  )
  t.equal(logged.length, 2)
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
  const { feed, entries, clock, known, reported } = createFeed()
  await feed.start()
  const ids = createIds(2 * PAGE + 1)
  clock.advance(MINUTE)
  entries.add(clock(), ...ids)
  entries.readsUntilFailure = 1
  await t.rejects(feed.poll())
  t.strictSame(known(ids), ids.slice(0, PAGE), 'the first page already counts')
  t.equal(reported.length, 1)

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
  const { feed, entries, clock } = createFeed({ failAfter: 10 * SECOND })
  await feed.start()
  entries.add(clock(), ...createIds(PAGE + 1))
  clock.advance(10 * SECOND + 1)
  entries.readsUntilFailure = 1
  await t.rejects(feed.poll())
  t.equal(feed.isStale(), true)
})

t.test('a failed poll stays reported when an earlier poll succeeds', async t => {
  const { feed, entries, clock, known, reported } = createFeed()
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
  t.equal(reported.length, 1)

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
  const { feed, entries, reported } = createFeed()
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
  t.equal(reported.length, 1)
})

t.test('the feed is stale after failAfter until a poll succeeds', async t => {
  const { feed, entries, clock } = createFeed({ failAfter: 10 * SECOND })
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

t.test('the feed is not stale while no poll has failed', async t => {
  const { feed, clock } = createFeed({ failAfter: 10 * SECOND })
  await feed.start()
  clock.advance(DAY)
  t.equal(feed.isStale(), false)
})

t.test('failAfter counts from the start of the last successful poll', async t => {
  const { feed, entries, clock } = createFeed({ failAfter: 10 * SECOND })
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
  const { feed, entries, clock } = createFeed({ failAfter: null })
  await feed.start()
  entries.readsUntilFailure = 0
  await t.rejects(feed.poll())
  clock.advance(100 * DAY)
  t.equal(feed.isStale(), false)
})
