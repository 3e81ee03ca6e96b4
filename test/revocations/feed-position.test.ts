import t from 'tap'
import { HOUR, MINUTE, SECOND } from '../helpers/clock.js'
import { createFeed, createIds, KEEP, LOOK_BACK, PAGE } from './fixtures.js'

t.test('start reads the revocations that still matter and one minute more', async t => {
  const { feed, entries, clock, known } = createFeed()
  entries.add(clock() - KEEP + 1, 'still matters')
  entries.add(clock() - KEEP, 'over')
  entries.add(clock(), 'new')
  await feed.start()
  t.strictSame(known(['still matters', 'over', 'new']), ['still matters', 'new'])
  t.strictSame(entries.reads, [{ at: clock() - KEEP - LOOK_BACK, sessionId: '', limit: PAGE }])
})

for (const count of [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 50]) {
  t.test(`a feed reads ${count} sessions that were revoked at the same moment`, async t => {
    const { feed, entries, clock, known } = createFeed()
    const ids = createIds(count)
    entries.add(clock(), ...ids)
    await feed.start()
    t.strictSame(known(ids), ids)
    const ends = ids.filter((_, index) => index % PAGE === PAGE - 1)
    t.strictSame(
      entries.reads.slice(1),
      ends.map(sessionId => ({ at: clock(), sessionId, limit: PAGE }))
    )
  })
}

t.test('a page continues after the last entry of the previous page', async t => {
  const { feed, entries, clock, known } = createFeed()
  const ids = createIds(2 * PAGE + 1)

  for (const [index, id] of ids.entries()) {
    entries.add(clock() - KEEP / 2 + Math.floor(index / 3), id)
  }

  await feed.start()
  t.strictSame(known(ids), ids)
  t.match(entries.reads, [{ sessionId: '' }, { sessionId: ids[PAGE - 1] }, {
    sessionId: ids[2 * PAGE - 1]
  }])
})

t.test('a poll starts one minute before the newest known entry', async t => {
  const { feed, entries, clock } = createFeed()
  entries.add(clock() - 5 * MINUTE, 'old')
  entries.add(clock() - 2 * MINUTE, 'newest')
  await feed.start()
  clock.advance(10 * MINUTE)
  await feed.poll()
  await feed.poll()
  const place = { at: clock() - 12 * MINUTE - LOOK_BACK, sessionId: '', limit: PAGE }
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
  t.match(entries.reads.at(-1), { at: clock() - LOOK_BACK })
})

for (
  const { late, found } of [
    { late: 1, found: true },
    { late: LOOK_BACK, found: true },
    { late: LOOK_BACK + 1, found: false }
  ]
) {
  t.test(`an entry that is ${late} ms late is ${found ? 'found' : 'not found'}`, async t => {
    const { feed, entries, clock, known } = createFeed()
    entries.add(clock(), 'newest')
    await feed.start()
    entries.add(clock() - late, 'late')
    clock.advance(SECOND)
    await feed.poll()
    t.strictSame(known(['late']), found ? ['late'] : [])
  })
}

t.test('a late entry does not move the position back', async t => {
  const { feed, entries, clock } = createFeed()
  const newest = clock()
  entries.add(newest, 'newest')
  await feed.start()
  entries.add(newest - SECOND, 'late')
  clock.advance(MINUTE)
  await feed.poll()
  await feed.poll()
  t.match(entries.reads.at(-1), { at: newest - LOOK_BACK })
})

t.test('an entry from a clock that is ahead counts and hides no later entry', async t => {
  const { feed, entries, clock, known } = createFeed()
  await feed.start()
  entries.add(clock() + HOUR, 'ahead')
  await feed.poll()
  t.strictSame(known(['ahead']), ['ahead'])

  for (let minutes = 1; minutes <= 70; minutes++) {
    clock.advance(MINUTE)
    const id = `after ${minutes} minutes`
    entries.add(clock() - 5 * SECOND, id)
    await feed.poll()
    t.strictSame(known([id]), [id])
  }
})

t.test('a full page of entries from a clock that is ahead hides no later entry', async t => {
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
