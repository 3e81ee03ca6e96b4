import { mock } from 'node:test'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { Events } from '../../src/events.js'
import type { TokenAuthEvents } from '../../src/events.js'
import { RevocationFeed } from '../../src/revocations/feed.js'
import type { RevocationFeedContext } from '../../src/revocations/feed.js'
import { RevokedSessions } from '../../src/revocations/revoked.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import type { Cursor, Revocation, TokenStore } from '../../src/stores/token-store.js'
import { createTestApp } from '../helpers/app.js'
import { createBreakableStore } from '../helpers/broken-store.js'
import { createClock, DAY, HOUR, MINUTE, SECOND } from '../helpers/clock.js'
import type { TestClock } from '../helpers/clock.js'

const KEEP = 16 * MINUTE
const LOOK_BACK = MINUTE
const PAGE = 500

interface Read {
  resolve(): void
  reject(error: Error): void
}

/** What other instances have revoked. Remembers what it was asked, fails when told to, and answers late while it is held. */
class Entries {
  readonly asked: Array<Cursor & { limit: number }> = []
  /** How many reads are answered before they fail. */
  readsUntilFailure = Infinity
  /** The reads under way, in order; `null` while reads are answered at once. */
  held: Read[] | null = null
  readonly #entries: Revocation[] = []

  add (at: number, ...sessionIds: string[]): void {
    for (const sessionId of sessionIds) {
      this.#entries.push({ at, sessionId })
    }

    this.#entries.sort((a, b) => isAfter(a, b) ? 1 : -1)
  }

  async revocations (after: Cursor, limit: number): Promise<Revocation[]> {
    this.asked.push({ ...after, limit })
    // What is there when it is asked, as a database shows it, however late the answer comes.
    const page = this.#entries.filter(entry => isAfter(entry, after)).slice(0, limit)

    if (this.held !== null) {
      await new Promise<void>((resolve, reject) => {
        this.held?.push({ resolve, reject })
      })
    }

    if (this.readsUntilFailure-- <= 0) {
      throw new Error('password of the database')
    }

    return page
  }
}

function isAfter (a: Cursor, b: Cursor): boolean {
  return a.at > b.at || (a.at === b.at && a.sessionId > b.sessionId)
}

interface Followed {
  readonly feed: RevocationFeed
  readonly entries: Entries
  readonly clock: TestClock
  readonly told: Array<TokenAuthEvents['revocations-stalled']>
  readonly logged: Array<{ level: string, facts: object, message: string }>
  /** Which of these sessions are known to be revoked. */
  known(ids: readonly string[]): string[]
}

function aFeed (
  given: Partial<Pick<RevocationFeedContext, 'pollInterval' | 'failAfter' | 'subscribe'>> = {}
): Followed {
  const entries = new Entries()
  const clock = createClock()
  const told: Followed['told'] = []
  const logged: Followed['logged'] = []

  const at = (level: string) => (facts: object, message: string) => {
    logged.push({ level, facts, message })
  }

  const logger = { error: at('error'), warn: at('warn'), info: at('info') }
  const events = new Events({ 'revocations-stalled': event => told.push(event) }, logger)
  const revoked = new RevokedSessions(KEEP)
  const feed = new RevocationFeed({
    store: entries as unknown as TokenStore,
    revoked,
    events,
    logger,
    clock,
    pollInterval: null,
    reach: KEEP,
    failAfter: null,
    subscribe: undefined,
    ...given
  })
  return { feed, entries, clock, told, logged, known: ids => ids.filter(id => revoked.has(id)) }
}

const numbered = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `s${String(index).padStart(5, '0')}`)

/** Long enough for all that waits for nothing but its turn. */
async function settled (): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise(resolve => {
      setImmediate(resolve)
    })
  }
}

function mockTimers (t: Test): void {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => {
    mock.timers.reset()
  })
}

async function tick (by: number): Promise<void> {
  mock.timers.tick(by)
  await settled()
}

/** A poll that is under way until the store answers; says whether it has ended. */
function watch (
  polled: Promise<void>
): { readonly ended: () => boolean, readonly polled: Promise<void> } {
  let ended = false

  const mark = (): void => {
    ended = true
  }

  polled.then(mark, mark)
  return { ended: () => ended, polled }
}

t.test('the start reads the window that still matters, and a minute more', async t => {
  const { feed, entries, clock, known } = aFeed()
  entries.add(clock() - KEEP + 1, 'still matters')
  entries.add(clock() - KEEP, 'over')
  entries.add(clock(), 'new')
  await feed.start()
  t.strictSame(known(['still matters', 'over', 'new']), ['still matters', 'new'])
  t.strictSame(entries.asked, [{ at: clock() - KEEP - LOOK_BACK, sessionId: '', limit: PAGE }])
})

for (const count of [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 50]) {
  t.test(`it reads ${count} sessions that were revoked in one moment, page by page`, async t => {
    const { feed, entries, clock, known } = aFeed()
    const ids = numbered(count)
    entries.add(clock(), ...ids)
    await feed.start()
    t.strictSame(known(ids), ids)
    const ends = ids.filter((_, index) => index % PAGE === PAGE - 1)
    t.strictSame(
      entries.asked.slice(1),
      ends.map(sessionId => ({ at: clock(), sessionId, limit: PAGE }))
    )
  })
}

t.test('it reads on from the last entry of a page, whatever its moment, and ties may lie across two pages', async t => {
  const { feed, entries, clock, known } = aFeed()
  const ids = numbered(2 * PAGE + 1)

  for (const [index, id] of ids.entries()) {
    entries.add(clock() - KEEP / 2 + Math.floor(index / 3), id)
  }

  await feed.start()
  t.strictSame(known(ids), ids)
  t.match(entries.asked, [{ sessionId: '' }, { sessionId: ids[PAGE - 1] }, {
    sessionId: ids[2 * PAGE - 1]
  }])
})

t.test('a poll begins a minute before the newest entry that was seen', async t => {
  const { feed, entries, clock } = aFeed()
  entries.add(clock() - 5 * MINUTE, 'old')
  entries.add(clock() - 2 * MINUTE, 'newest')
  await feed.start()
  clock.advance(10 * MINUTE)
  await feed.poll()
  await feed.poll()
  const place = { at: clock() - 12 * MINUTE - LOOK_BACK, sessionId: '', limit: PAGE }
  t.strictSame(entries.asked.slice(1), [place, place])
})

t.test('a poll finds what is new, and moves on', async t => {
  const { feed, entries, clock, known } = aFeed()
  await feed.start()

  for (const id of ['a', 'b', 'c']) {
    clock.advance(5 * MINUTE)
    entries.add(clock(), id)
    await feed.poll()
    t.strictSame(known([id]), [id])
  }

  await feed.poll()
  t.match(entries.asked.at(-1), { at: clock() - LOOK_BACK })
})

for (
  const { late, found } of [
    { late: 1, found: true },
    { late: LOOK_BACK, found: true },
    { late: LOOK_BACK + 1, found: false }
  ]
) {
  t.test(`an entry that comes in ${late} ms behind the newest is ${found ? 'found' : 'not looked for'}`, async t => {
    const { feed, entries, clock, known } = aFeed()
    entries.add(clock(), 'newest')
    await feed.start()
    entries.add(clock() - late, 'late')
    clock.advance(SECOND)
    await feed.poll()
    t.strictSame(known(['late']), found ? ['late'] : [])
  })
}

t.test('a late entry does not carry the place back', async t => {
  const { feed, entries, clock } = aFeed()
  const newest = clock()
  entries.add(newest, 'newest')
  await feed.start()
  entries.add(newest - SECOND, 'late')
  clock.advance(MINUTE)
  await feed.poll()
  await feed.poll()
  t.match(entries.asked.at(-1), { at: newest - LOOK_BACK })
})

t.test('an entry by a clock that is an hour ahead counts at once, and does not carry the place past later ones', async t => {
  const { feed, entries, clock, known } = aFeed()
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

t.test('a page full of entries by a clock that is ahead hides nothing', async t => {
  const { feed, entries, clock, known } = aFeed()
  const ids = numbered(2 * PAGE)
  entries.add(clock() + HOUR, ...ids)
  await feed.start()
  t.strictSame(known(ids), ids)
  clock.advance(MINUTE)
  entries.add(clock(), 'after')
  await feed.poll()
  t.strictSame(known(['after']), ['after'])
})

t.test('when the own clock was an hour ahead for a moment, later entries are found all the same', async t => {
  const { feed, entries, clock, known } = aFeed()
  await feed.start()
  clock.advance(HOUR)
  entries.add(clock(), 'revoked here meanwhile')
  await feed.poll()
  clock.advance(-HOUR)
  entries.add(clock(), 'revoked elsewhere')
  await feed.poll()
  t.strictSame(known(['revoked elsewhere']), ['revoked elsewhere'])
})

t.test('a poll that fails tells of it once, and the next success ends it', async t => {
  const { feed, entries, clock, told, logged } = aFeed()
  await feed.start()
  const since = clock()
  entries.readsUntilFailure = 0

  for (let minutes = 1; minutes <= 3; minutes++) {
    clock.advance(MINUTE)
    await t.rejects(feed.poll(), { message: 'password of the database' })
  }

  t.strictSame(told, [{ at: since + MINUTE, since }])
  const behind = { level: 'warn', facts: { since }, message: 'failed to read revocations' }
  t.strictSame(logged, [behind], 'without the words of a driver')

  entries.readsUntilFailure = Infinity
  await feed.poll()
  const again = clock()
  entries.readsUntilFailure = 0
  clock.advance(SECOND)
  await t.rejects(feed.poll())
  t.strictSame(told.slice(1), [{ at: again + SECOND, since: again }], 'and a new gap is told anew')
  t.equal(logged.length, 2)
})

t.test('nothing is missed over a gap, however long', async t => {
  const { feed, entries, clock, known } = aFeed()
  entries.add(clock(), 'before')
  await feed.start()
  entries.readsUntilFailure = 0
  const ids = numbered(10)

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

t.test('what failed in the middle of the pages is read again from its beginning', async t => {
  const { feed, entries, clock, known, told } = aFeed()
  await feed.start()
  const begin = entries.asked[0]
  const ids = numbered(2 * PAGE + 1)
  clock.advance(MINUTE)
  entries.add(clock(), ...ids)
  entries.readsUntilFailure = 1
  await t.rejects(feed.poll())
  t.strictSame(known(ids), ids.slice(0, PAGE), 'the first page counts already')
  t.equal(told.length, 1)

  entries.add(clock() - 2, 'late')
  entries.readsUntilFailure = Infinity
  await feed.poll()
  t.strictSame(known([...ids, 'late']), [...ids, 'late'])
  t.strictSame(entries.asked[3], begin)
})

t.test('a poll that fails is not forgotten because an earlier one ends well', async t => {
  const { feed, entries, clock, known, told } = aFeed()
  await feed.start()
  entries.held = []
  const earlier = feed.poll()
  clock.advance(10)
  entries.add(clock(), 's1')
  const failing = t.rejects(feed.poll(), { message: 'no connection' })
  entries.held[0]?.resolve()
  await earlier
  t.strictSame(known(['s1']), [], 'the earlier one was asked before the entry came')
  entries.held[1]?.reject(new Error('no connection'))
  await failing
  t.equal(told.length, 1)

  entries.held = null
  clock.advance(10 * MINUTE)
  await feed.poll()
  t.strictSame(known(['s1']), ['s1'])
})

t.test('polls that come while one is under way wait for the one after it, and share it', async t => {
  const { feed, entries, clock, known } = aFeed()
  entries.held = []
  const first = watch(feed.poll())
  entries.add(clock(), 's1')
  const others = Array.from({ length: 5 }, () => watch(feed.poll()))
  await settled()
  t.equal(entries.asked.length, 1)

  entries.held[0]?.resolve()
  await settled()
  t.equal(first.ended(), true)
  t.strictSame(others.map(({ ended }) => ended()), Array(5).fill(false))
  t.equal(entries.asked.length, 2)
  t.strictSame(known(['s1']), [])

  entries.held[1]?.resolve()
  await Promise.all(others.map(({ polled }) => polled))
  t.equal(entries.asked.length, 2)
  t.strictSame(known(['s1']), ['s1'])
})

t.test('a poll that comes during the shared one waits for a third', async t => {
  const { feed, entries } = aFeed()
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
  t.equal(entries.asked.length, 3)
  entries.held[2]?.resolve()
  await t.resolves(third.polled)
})

t.test('polls that wait behind one that fails have an answer of their own', async t => {
  const { feed, entries } = aFeed()
  entries.held = []
  const failing = t.rejects(feed.poll(), { message: 'no connection' })
  const next = feed.poll()
  entries.held[0]?.reject(new Error('no connection'))
  await failing
  await settled()
  entries.held[1]?.resolve()
  await t.resolves(next)
})

t.test('all that share a poll are told when it fails', async t => {
  const { feed, entries, told } = aFeed()
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
  t.equal(told.length, 1)
})

t.test('it is lost when it has been behind for longer than the patience, until a poll succeeds', async t => {
  const { feed, entries, clock } = aFeed({ failAfter: 10 * SECOND })
  await feed.start()
  const read = clock()
  entries.readsUntilFailure = 0
  clock.advance(SECOND)
  await t.rejects(feed.poll())
  const isLost = (after: number): boolean => feed.isStale(read + after)
  t.strictSame([SECOND, 10 * SECOND, 10 * SECOND + 1, DAY].map(isLost), [false, false, true, true])

  clock.advance(DAY)
  await t.rejects(feed.poll())
  t.strictSame(
    [10 * SECOND, 10 * SECOND + 1].map(isLost),
    [false, true],
    'further failures neither shorten nor lengthen it'
  )

  entries.readsUntilFailure = Infinity
  await feed.poll()
  t.equal(feed.isStale(clock()), false)
})

t.test('it is not lost while it is not behind, however long ago it read', async t => {
  const { feed, clock } = aFeed({ failAfter: 10 * SECOND })
  await feed.start()
  t.equal(feed.isStale(clock() + DAY), false)
})

t.test('the patience begins when the last good poll began, not when it ended', async t => {
  const { feed, entries, clock } = aFeed({ failAfter: 10 * SECOND })
  const begun = clock()
  entries.held = []
  const polled = feed.poll()
  clock.advance(3 * SECOND)
  entries.held[0]?.resolve()
  await polled
  entries.held = null
  entries.readsUntilFailure = 0
  await t.rejects(feed.poll())
  t.equal(feed.isStale(begun + 10 * SECOND + 1), true)
})

t.test('without a patience it is never lost', async t => {
  const { feed, entries, clock } = aFeed({ failAfter: null })
  await feed.start()
  entries.readsUntilFailure = 0
  await t.rejects(feed.poll())
  t.equal(feed.isStale(clock() + 100 * DAY), false)
})

t.test('once started it polls again and again, and a failure does not end that', async t => {
  mockTimers(t)
  const { feed, entries, told } = aFeed({ pollInterval: SECOND })
  await feed.start()
  t.equal(entries.asked.length, 1)
  await tick(SECOND - 1)
  t.equal(entries.asked.length, 1)
  await tick(1)
  t.equal(entries.asked.length, 2)
  entries.readsUntilFailure = 1

  for (let polls = 3; polls <= 5; polls++) {
    await tick(SECOND)
    t.equal(entries.asked.length, polls)
  }

  t.equal(told.length, 1)
  await feed.stop()
})

t.test('a poll that takes long is over before the next pause begins', async t => {
  mockTimers(t)
  const { feed, entries } = aFeed({ pollInterval: SECOND })
  await feed.start()
  entries.held = []
  await tick(SECOND)
  await tick(10 * SECOND)
  t.equal(entries.asked.length, 2)
  entries.held[0]?.resolve()
  await settled()
  await tick(SECOND - 1)
  t.equal(entries.asked.length, 2)
  await tick(1)
  t.equal(entries.asked.length, 3)
  entries.held[1]?.resolve()
  await feed.stop()
})

t.test('without a pause it polls at the start and by hand alone', async t => {
  mockTimers(t)
  const { feed, entries } = aFeed({ pollInterval: null })
  await feed.start()
  await tick(100 * DAY)
  t.equal(entries.asked.length, 1)
  await feed.poll()
  await tick(100 * DAY)
  t.equal(entries.asked.length, 2)
})

t.test('its timer keeps no process alive', async t => {
  const set = mock.method(globalThis, 'setTimeout')
  t.teardown(() => mock.restoreAll())
  const { feed } = aFeed({ pollInterval: SECOND })
  await feed.start()
  const timers = set.mock.calls.map(call => call.result as NodeJS.Timeout)
  t.equal(timers.length, 1)
  t.equal(timers[0]?.hasRef(), false)
  await feed.stop()
})

t.test('the start rejects where the store does not answer, and nothing is scheduled', async t => {
  mockTimers(t)
  const { feed, entries, told } = aFeed({
    pollInterval: SECOND,
    subscribe: () => t.fail('nobody is subscribed') as never
  })
  entries.readsUntilFailure = 0
  await t.rejects(feed.start(), { message: 'password of the database' })
  t.equal(told.length, 1)
  await tick(MINUTE)
  t.equal(entries.asked.length, 1)
  await t.resolves(feed.stop())
})

t.test('a hint polls at once, and the subscription ends with the feed', async t => {
  let hint: () => void = () => t.fail('there is no subscription')
  let ended = 0
  const { feed, entries, clock, known } = aFeed({
    subscribe: async poll => {
      hint = poll

      return async () => {
        ended++
      }
    }
  })
  await feed.start()
  await settled()
  t.equal(entries.asked.length, 2, 'once more after the subscription')
  entries.add(clock(), 's1')
  hint()
  await settled()
  t.strictSame(known(['s1']), ['s1'])
  t.equal(ended, 0)
  await feed.stop()
  t.equal(ended, 1)
})

t.test('a thousand hints at once are two polls', async t => {
  let hint: () => void = () => t.fail('there is no subscription')
  const { feed, entries } = aFeed({
    subscribe: poll => {
      hint = poll

      return () => {}
    }
  })
  await feed.start()

  for (let count = 0; count < 1000; count++) {
    hint()
  }

  await settled()
  t.equal(entries.asked.length, 3)
  await feed.stop()
})

t.test('a hint whose poll fails is told like any other failure, and rejects nowhere', async t => {
  let hint: () => void = () => t.fail('there is no subscription')
  const { feed, entries, told } = aFeed({
    subscribe: poll => {
      hint = poll

      return () => {}
    }
  })
  await feed.start()
  entries.readsUntilFailure = 0
  hint()
  hint()
  await settled()
  t.equal(entries.asked.length, 3)
  t.equal(told.length, 1)
  await feed.stop()
})

t.test('a subscription that fails fails the start, and nothing is scheduled', async t => {
  mockTimers(t)
  const { feed, entries } = aFeed({
    pollInterval: SECOND,
    subscribe: () => Promise.reject(new Error('no LISTEN'))
  })
  await t.rejects(feed.start(), { message: 'no LISTEN' })
  await tick(MINUTE)
  t.equal(entries.asked.length, 1)
  await t.resolves(feed.stop())
})

t.test('after stop nothing is polled any more', async t => {
  mockTimers(t)
  const { feed, entries } = aFeed({ pollInterval: SECOND })
  await feed.start()
  await feed.stop()
  await tick(HOUR)
  t.equal(entries.asked.length, 1)
})

t.test('stop waits for the poll under way, and no pause follows', async t => {
  mockTimers(t)
  const { feed, entries } = aFeed({ pollInterval: SECOND })
  await feed.start()
  entries.held = []
  await tick(SECOND)
  t.equal(entries.asked.length, 2)
  const stopping = watch(feed.stop())
  await settled()
  t.equal(stopping.ended(), false)
  entries.held[0]?.resolve()
  await stopping.polled
  await tick(HOUR)
  t.equal(entries.asked.length, 2)
})

t.test('stop does not fail with the poll under way', async t => {
  const { feed, entries } = aFeed()
  entries.held = []
  const failing = t.rejects(feed.poll(), { message: 'no connection' })
  const stopping = feed.stop()
  entries.held[0]?.reject(new Error('no connection'))
  await t.resolves(stopping)
  await failing
})

t.test('no poll is under way when stop is through, not even one that waited its turn', async t => {
  const { feed, entries } = aFeed()
  await feed.start()
  const reads: Read[] = entries.held = []
  const polls = [feed.poll(), feed.poll()]
  const stopping = watch(feed.stop())
  reads[0]?.resolve()
  await settled()
  t.ok(reads.length === 1 || !stopping.ended())
  entries.held = null
  reads[1]?.resolve()
  await Promise.allSettled([...polls, stopping.polled])
})

t.test('a hint that comes after stop asks nothing', async t => {
  let hint: () => void = () => t.fail('there is no subscription')
  const { feed, entries } = aFeed({
    subscribe: poll => {
      hint = poll

      return () => {}
    }
  })
  await feed.start()
  await feed.stop()
  hint()
  await settled()
  t.equal(entries.asked.length, 2)
})

t.test('stop without a start is fine, also twice', async t => {
  const { feed } = aFeed({ pollInterval: SECOND })
  await t.resolves(feed.stop())
  await t.resolves(feed.stop())
})

t.test('an app whose store does not answer is not ready', async t => {
  const { store, break: breakStore } = createBreakableStore(new MemoryStore())
  breakStore('throws', ['revocations'])
  let app: FastifyInstance | undefined
  await t.rejects(
    createTestApp({
      store,
      before: created => {
        app = created
      }
    }),
    { code: 'AUTH_STORE_UNAVAILABLE' }
  )
  await app?.close()
})

t.test('an app whose subscription fails is not ready', async t => {
  let app: FastifyInstance | undefined
  await t.rejects(
    createTestApp({
      options: { revocations: { subscribe: () => Promise.reject(new Error('no LISTEN')) } },
      before: created => {
        app = created
      }
    }),
    { message: 'no LISTEN' }
  )
  await app?.close()
})

t.test('an app ends its subscription when it closes', async t => {
  const calls: string[] = []
  const { app } = await createTestApp({
    options: {
      revocations: {
        subscribe: () => {
          calls.push('begun')

          return () => {
            calls.push('ended')
          }
        }
      }
    }
  })
  t.strictSame(calls, ['begun'])
  await app.close()
  t.strictSame(calls, ['begun', 'ended'])
})
