import { AsyncLocalStorage } from 'node:async_hooks'
import t from 'tap'
import { StoreClock } from '../../src/revocations/store-clock.js'
import type { ClockSkew } from '../../src/revocations/store-clock.js'
import { createClock, DAY, HOUR, MINUTE, SECOND } from '../helpers/clock.js'
import { createFeed, createIds, KEEP, mockTimers, PAGE, REALM, tick, WINDOW } from './fixtures.js'

t.test('start reads the revocations that still matter', async t => {
  const { feed, entries, clock, known } = createFeed()
  entries.add(clock(), 'over')
  clock.advance(1)
  entries.add(clock(), 'still matters')
  clock.advance(KEEP)
  entries.add(clock(), 'new')
  await feed.start()
  t.strictSame(known(['over', 'still matters', 'new']), ['still matters', 'new'])
  t.strictSame(entries.reads, [WINDOW])
})

for (const count of [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 50]) {
  t.test(`a feed reads ${count} sessions that were revoked at the same moment`, async t => {
    const { feed, entries, clock, known } = createFeed()
    const ids = createIds(count)
    entries.add(clock(), ...ids)
    await feed.start()
    t.strictSame(known(ids), ids)
    const pages = Math.max(1, Math.ceil(count / PAGE))
    t.strictSame(entries.reads, [
      WINDOW,
      ...Array.from({ length: pages - 1 }, (_, page) => ({
        after: entries.getCursor((page + 1) * PAGE),
        limit: PAGE
      }))
    ])
  })
}

t.test('an incomplete page without entries does not end a poll', async t => {
  const { feed, entries, clock, known } = createFeed()
  const read = entries.revocations.bind(entries)
  let isFirst = true

  entries.revocations = async (after, limit) => {
    const page = await read(after, limit)

    if (!isFirst) {
      return page
    }

    isFirst = false
    return { ...page, cursor: entries.getCursor(0), complete: false, entries: [] }
  }

  entries.add(clock(), 's1')
  await feed.start()
  t.strictSame(known(['s1']), ['s1'])
  t.strictSame(entries.reads[1], { after: entries.getCursor(0), limit: PAGE })
})

t.test('a poll continues from the last cursor, however old the entries are', async t => {
  const { feed, entries, clock } = createFeed()
  entries.add(clock(), 'old', 'newest')
  await feed.start()
  clock.advance(DAY)
  await feed.poll()
  await feed.poll()
  const place = { after: entries.getCursor(2), limit: PAGE }
  t.strictSame(entries.reads.slice(1), [place, place])
})

t.test('a poll finds new entries and moves its position', async t => {
  const { feed, entries, clock, known } = createFeed()
  await feed.start()

  for (const id of ['a', 'b', 'c']) {
    clock.advance(5 * MINUTE)
    entries.add(clock(), id)
    await feed.poll()
    t.strictSame(known([id]), [id])
  }

  await feed.poll()
  t.match(entries.reads.at(-1), { after: entries.getCursor(3) })
})

for (const late of [1, MINUTE, MINUTE + 1, DAY]) {
  t.test(`an entry that commits ${late} ms late is found`, async t => {
    const { feed, entries, clock, known } = createFeed()
    entries.add(clock(), 'newest')
    await feed.start()
    entries.add(clock() - late, 'late')
    clock.advance(SECOND)
    await feed.poll()
    t.strictSame(known(['late']), ['late'])
  })
}

for (const ahead of [SECOND, HOUR, 10 * DAY]) {
  t.test(`an entry from a clock that is ${ahead} ms ahead hides no later entry`, async t => {
    const { feed, entries, clock, known } = createFeed()
    await feed.start()
    entries.add(clock() + ahead, 'ahead')
    await feed.poll()
    t.strictSame(known(['ahead']), ['ahead'])

    for (let minutes = 1; minutes <= 15; minutes++) {
      clock.advance(MINUTE)
      const id = `after ${minutes} minutes`
      entries.add(clock() - 5 * SECOND, id)
      await feed.poll()
      t.strictSame(known([id]), [id])
    }
  })
}

t.test('full pages of entries from a clock that is ahead hide no later entry', async t => {
  const { feed, entries, clock, known } = createFeed()
  const ids = createIds(2 * PAGE)
  entries.add(clock() + HOUR, ...ids)
  await feed.start()
  t.strictSame(known(ids), ids)
  clock.advance(MINUTE)
  entries.add(clock(), 'after')
  await feed.poll()
  t.strictSame(known(['after']), ['after'])
})

t.test('a poll finds later entries after the own clock was ahead for a moment', async t => {
  const { feed, entries, clock, known } = createFeed()
  await feed.start()
  clock.advance(HOUR)
  entries.add(clock(), 'revoked here meanwhile')
  await feed.poll()
  clock.advance(-HOUR)
  entries.add(clock(), 'revoked elsewhere')
  await feed.poll()
  t.strictSame(known(['revoked elsewhere']), ['revoked elsewhere'])
})

t.test('entries of other realms are ignored', async t => {
  const { feed, entries, clock, known } = createFeed()
  const at = clock()
  const details = { realm: 'other', at, reason: 'logout' } as const
  entries.addEntry({ ...details, sessionId: 's1', userId: 'ann' })
  entries.addEntry({ ...details, userId: 'ann', before: at })
  entries.addEntry({ ...details, before: at })
  entries.add(at, 's2')
  await feed.start()
  t.strictSame(known(['s1', 's2', 's3']), ['s2'])

  entries.addEntry({ ...details, realm: REALM, before: at })
  await feed.poll()
  t.strictSame(known(['s1', 's2', 's3']), ['s1', 's2', 's3'])
})

/** Feed of an instance whose clocks are those of no database. */
function createFeedWithClocks (
  { storeAhead = 0, pollInterval = null }: {
    readonly storeAhead?: number
    readonly pollInterval?: number | null
  } = {}
) {
  const clock = createClock()
  const skews: ClockSkew[] = []
  const start = clock()
  const monotonic = (): number => clock() - start
  const time = new StoreClock({ wall: clock, monotonic }, skew => {
    skews.push(skew)
  })
  const created = createFeed({ time, pollInterval, failAfter: 10 * SECOND }, clock)
  const read = created.entries.revocations.bind(created.entries)
  let ahead = storeAhead

  created.entries.revocations = async (after, limit) => {
    const page = await read(after, limit)
    return { ...page, now: page.now + ahead }
  }

  return {
    ...created,
    time,
    skews,
    step (by: number) {
      ahead += by
    }
  }
}

t.test('every page is a sample of the clock of the database', async t => {
  const { feed, entries, clock, time, skews, step } = createFeedWithClocks({ storeAhead: 3 * HOUR })
  t.equal(time.isKnown, false)
  entries.held = []
  const started = feed.start()
  clock.advance(40)
  entries.held[0]?.resolve()
  await started
  t.ok(Math.abs(time.now() - (clock() - 40 + 3 * HOUR)) <= 41, 'within the round trip')
  t.match(skews, [{ source: 'instance' }])

  entries.held = null
  step(DAY)
  await feed.poll()
  t.ok(Math.abs(time.now() - (clock() + DAY + 3 * HOUR)) <= 1)
  t.match(skews[1], { source: 'store' })
})

t.test('revocations-stalled names store time', async t => {
  mockTimers(t)
  const { feed, entries, clock, reported } = createFeedWithClocks({
    storeAhead: HOUR,
    pollInterval: SECOND
  })
  t.teardown(() => feed.stop())
  await feed.start()
  const since = clock() + HOUR
  clock.advance(MINUTE + 0.25)
  entries.readsUntilFailure = 0
  await tick(SECOND)
  t.equal(reported.length, 0, 'nothing was sent before')
  await tick(SECOND)
  t.equal(reported.length, 1)
  t.ok(Number.isInteger(reported[0]?.since), 'though the monotonic clock has fractions')
  t.ok(Math.abs((reported[0]?.at ?? 0) - since - MINUTE) <= 1)
  t.ok(Math.abs((reported[0]?.since ?? 0) - since) <= 1)
})

t.test('a standstill after which the store responds is not reported', async t => {
  mockTimers(t)
  const { feed, entries, clock, reported, known } = createFeedWithClocks({ pollInterval: SECOND })
  t.teardown(() => feed.stop())
  await feed.start()
  clock.advance(MINUTE)
  entries.add(clock(), 's1')
  await tick(SECOND)
  t.strictSame(known(['s1']), ['s1'])
  await tick(SECOND)
  t.equal(reported.length, 0)
})

t.test('failAfter does not follow a step of the database clock', async t => {
  const { feed, entries, clock, step } = createFeedWithClocks({ pollInterval: SECOND })
  t.teardown(() => feed.stop())
  await feed.start()
  step(10 * DAY)
  await feed.poll()
  entries.readsUntilFailure = 0
  clock.advance(10 * SECOND)
  await t.rejects(feed.poll())
  t.equal(feed.isStale(), false)
  clock.advance(1)
  t.equal(feed.isStale(), true)
})

t.test('a first read that fails is not reported, because the time is not known', async t => {
  const { feed, entries, reported, logged } = createFeedWithClocks()
  entries.readsUntilFailure = 0
  await t.rejects(feed.start(), { message: 'password of the database' })
  t.strictSame([reported, logged], [[], []])
})

t.test('no poll runs in the async context of a request', async t => {
  mockTimers(t)
  const requests = new AsyncLocalStorage<string>()
  const { feed, entries } = createFeed({ pollInterval: SECOND })
  const read = entries.revocations.bind(entries)
  const contexts: Array<string | undefined> = []

  entries.revocations = (after, limit) => {
    contexts.push(requests.getStore())
    return read(after, limit)
  }

  await requests.run('request', async () => {
    await feed.start()
    await feed.poll()
    await Promise.all([feed.poll(), feed.poll()])
  })
  await tick(SECOND)
  t.strictSame(contexts, Array(5).fill(undefined))
  await feed.stop()
})
