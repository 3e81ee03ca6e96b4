import { mock } from 'node:test'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { createTestApp } from '../helpers/app.js'
import { createBreakableStore } from '../helpers/broken-store.js'
import { DAY, HOUR, MINUTE, SECOND } from '../helpers/clock.js'
import { createFeed, mockTimers, settled, tick, watch } from './fixtures.js'
import type { Read } from './fixtures.js'

t.test('a started feed polls at its interval and continues after a failure', async t => {
  mockTimers(t)
  const { feed, entries } = createFeed({ pollInterval: SECOND })
  await feed.start()
  t.equal(entries.reads.length, 1)
  await tick(SECOND - 1)
  t.equal(entries.reads.length, 1)
  await tick(1)
  t.equal(entries.reads.length, 2)
  entries.readsUntilFailure = 1

  for (let polls = 3; polls <= 5; polls++) {
    await tick(SECOND)
    t.equal(entries.reads.length, polls)
  }

  await feed.stop()
})

t.test('the next interval starts after the end of a slow poll', async t => {
  mockTimers(t)
  const { feed, entries } = createFeed({ pollInterval: SECOND })
  await feed.start()
  entries.held = []
  await tick(SECOND)
  await tick(10 * SECOND)
  t.equal(entries.reads.length, 2)
  entries.held[0]?.resolve()
  await settled()
  await tick(SECOND - 1)
  t.equal(entries.reads.length, 2)
  await tick(1)
  t.equal(entries.reads.length, 3)
  entries.held[1]?.resolve()
  await feed.stop()
})

t.test('a feed without an interval polls only at the start and when called', async t => {
  mockTimers(t)
  const { feed, entries } = createFeed({ pollInterval: null })
  await feed.start()
  await tick(100 * DAY)
  t.equal(entries.reads.length, 1)
  await feed.poll()
  await tick(100 * DAY)
  t.equal(entries.reads.length, 2)
})

t.test('the timer does not keep the process alive', async t => {
  const set = mock.method(globalThis, 'setTimeout')
  t.teardown(() => mock.restoreAll())
  const { feed } = createFeed({ pollInterval: SECOND })
  await feed.start()
  // The test runner sets timers too, so only those with the delay of the interval count.
  const timers = set.mock.calls.filter(({ arguments: [, delay] }) => delay === SECOND)
    .map(({ result }) => result as NodeJS.Timeout)
  t.strictSame(timers.map(timer => timer.hasRef()), [false])
  await feed.stop()
})

t.test('start rejects when the store fails and schedules no poll', async t => {
  mockTimers(t)
  const { feed, entries } = createFeed({
    pollInterval: SECOND,
    subscribe: () => t.fail('there must be no subscription') as never
  })
  entries.readsUntilFailure = 0
  await t.rejects(feed.start(), { message: 'password of the database' })
  await tick(MINUTE)
  t.equal(entries.reads.length, 1)
  await t.resolves(feed.stop())
})

t.test('a push triggers a poll and stop ends the subscription', async t => {
  mockTimers(t)
  let hint: () => void = () => t.fail('there is no subscription')
  let ended = 0
  const { feed, entries, clock, known } = createFeed({
    subscribe: async poll => {
      hint = poll

      return async () => {
        ended++
      }
    }
  })
  await feed.start()
  await settled()
  t.equal(entries.reads.length, 2, 'a second poll follows the subscription')
  entries.add(clock(), 's1')
  clock.advance(100)
  hint()
  await settled()
  t.strictSame(known(['s1']), ['s1'])
  t.equal(ended, 0)
  await feed.stop()
  t.equal(ended, 1)
})

t.test('1000 pushes during a poll cause one poll after it', async t => {
  mockTimers(t)
  let hint: () => void = () => t.fail('there is no subscription')
  const { feed, entries } = createFeed({
    subscribe: poll => {
      hint = poll

      return () => {}
    }
  })
  await feed.start()

  for (let count = 0; count < 1000; count++) {
    hint()
  }

  await tick(100)
  t.equal(entries.reads.length, 3)
  await feed.stop()
})

t.test('a failed poll after a push rejects nowhere', async t => {
  mockTimers(t)
  let hint: () => void = () => t.fail('there is no subscription')
  const { feed, entries } = createFeed({
    subscribe: poll => {
      hint = poll

      return () => {}
    }
  })
  await feed.start()
  entries.readsUntilFailure = 0
  hint()
  hint()
  await tick(100)
  t.equal(entries.reads.length, 3)
  await feed.stop()
})

t.test('start rejects when the subscription fails and schedules no poll', async t => {
  mockTimers(t)
  const { feed, entries } = createFeed({
    pollInterval: SECOND,
    subscribe: () => Promise.reject(new Error('no LISTEN'))
  })
  await t.rejects(feed.start(), { message: 'no LISTEN' })
  await tick(MINUTE)
  t.equal(entries.reads.length, 1)
  await t.resolves(feed.stop())
})

t.test('a stopped feed no longer polls', async t => {
  mockTimers(t)
  const { feed, entries } = createFeed({ pollInterval: SECOND })
  await feed.start()
  await feed.stop()
  await tick(HOUR)
  t.equal(entries.reads.length, 1)
})

t.test('stop waits for the current poll and schedules no other', async t => {
  mockTimers(t)
  const { feed, entries } = createFeed({ pollInterval: SECOND })
  await feed.start()
  entries.held = []
  await tick(SECOND)
  t.equal(entries.reads.length, 2)
  const stopping = watch(feed.stop())
  await settled()
  t.equal(stopping.ended(), false)
  entries.held[0]?.resolve()
  await stopping.polled
  await tick(HOUR)
  t.equal(entries.reads.length, 2)
})

t.test('stop resolves when the current poll fails', async t => {
  const { feed, entries } = createFeed()
  entries.held = []
  const failing = t.rejects(feed.poll(), { message: 'no connection' })
  const stopping = feed.stop()
  entries.held[0]?.reject(new Error('no connection'))
  await t.resolves(stopping)
  await failing
})

t.test('no poll runs after stop, not even a waiting one', async t => {
  const { feed, entries } = createFeed()
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

t.test('a push after stop causes no poll', async t => {
  let hint: () => void = () => t.fail('there is no subscription')
  const { feed, entries } = createFeed({
    subscribe: poll => {
      hint = poll

      return () => {}
    }
  })
  await feed.start()
  await feed.stop()
  hint()
  await settled()
  t.equal(entries.reads.length, 2)
})

t.test('stop works without a start and a second time', async t => {
  const { feed } = createFeed({ pollInterval: SECOND })
  await t.resolves(feed.stop())
  await t.resolves(feed.stop())
})

t.test('an app does not become ready when the store fails', async t => {
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

t.test('an app does not become ready when the subscription fails', async t => {
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

t.test('an app that closes during its start keeps no subscription', async t => {
  const order: string[] = []
  let subscribed: () => void = () => t.fail('there is no subscription')
  const { feed } = createFeed({
    pollInterval: MINUTE,
    subscribe: () => {
      order.push('subscribe')

      return new Promise(resolve => {
        subscribed = () => {
          resolve(() => order.push('unsubscribe'))
        }
      })
    }
  })
  const starting = feed.start()
  await settled()
  t.strictSame(order, ['subscribe'])
  await feed.stop()
  subscribed()
  await starting
  t.strictSame(order, ['subscribe', 'unsubscribe'])
  await feed.start()
  t.strictSame(order, ['subscribe', 'unsubscribe'], 'a late attempt does not subscribe')
})
