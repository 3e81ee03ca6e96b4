import { mock } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { Events } from '../../src/events.js'
import type { TokenAuthEvents } from '../../src/events.js'
import { Sweeper } from '../../src/stores/sweeper.js'
import { MemoryAttempts } from '../../src/stores/memory/index.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import type { Session, TokenStore } from '../../src/stores/token-store.js'
import { createClock, DAY, HOUR, MINUTE } from '../helpers/clock.js'
import type { TestClock } from '../helpers/clock.js'

const KEEP = 16 * MINUTE
/** No less than what is asked for, whatever that is. */
const BATCH = 200

type Sweep = (
  batch: { readonly endedBefore: number, readonly limit: number }
) => number | Promise<number>

interface Swept {
  readonly sweeper: Sweeper
  readonly clock: TestClock
  readonly told: Array<TokenAuthEvents['sweep']>
  readonly logged: Array<{ level: string, facts: object, message: string }>
}

function aSweeper (sweep: Sweep, every: number | null = HOUR): Swept {
  const clock = createClock()
  const told: Swept['told'] = []
  const logged: Swept['logged'] = []

  const at = (level: string) => (facts: object, message: string) => {
    logged.push({ level, facts, message })
  }

  const logger = { error: at('error'), warn: at('warn'), info: at('info') }
  const events = new Events({ sweep: event => told.push(event) }, logger)
  const store = {
    sweep: async (batch: Parameters<Sweep>[0]) => sweep(batch)
  } as unknown as TokenStore
  const attempts = new MemoryAttempts()

  return {
    sweeper: new Sweeper({
      store,
      attempts: [attempts],
      events,
      logger,
      clock,
      interval: every,
      keep: KEEP
    }),
    clock,
    told,
    logged
  }
}

/**
 * Answers one after the other, and then for ever that nothing is left; remembers what it was asked.
 */
function answering (
  ...answers: number[]
): { readonly sweep: Sweep, readonly asked: Array<Parameters<Sweep>[0]> } {
  const asked: Array<Parameters<Sweep>[0]> = []

  return {
    asked,
    sweep: batch => {
      asked.push(batch)
      return answers.shift() ?? 0
    }
  }
}

interface Call {
  resolve(count: number): void
  reject(error: Error): void
}

/** A sweep whose batches are under way until they are told their answer. */
function held (): { readonly sweep: Sweep, readonly asked: Call[] } {
  const asked: Call[] = []

  return {
    asked,
    sweep: () =>
      new Promise<number>((resolve, reject) => {
        asked.push({ resolve, reject })
      })
  }
}

/** Long enough for all that waits for nothing but its turn. */
async function settled (): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise(resolve => {
      setImmediate(resolve)
    })
  }
}

function mockTimers (t: Test, { random = 0.5 } = {}): void {
  mock.timers.enable({ apis: ['setTimeout'] })
  mock.method(Math, 'random', () => random)
  t.teardown(() => {
    mock.timers.reset()
    mock.restoreAll()
  })
}

async function tick (by: number): Promise<void> {
  mock.timers.tick(by)
  await settled()
}

t.test('it sweeps in bounded batches until one is not full', async t => {
  const { sweep, asked } = answering(BATCH, BATCH, 3, BATCH)
  const { sweeper, clock } = aSweeper(sweep)
  t.equal(await sweeper.sweep(), 2 * BATCH + 3)
  t.strictSame(asked.map(({ endedBefore }) => endedBefore), Array(3).fill(clock() - KEEP))
  t.ok(asked.every(({ limit }) => limit > 0 && limit <= BATCH))
})

t.test('a full batch may be the last one', async t => {
  const { sweep, asked } = answering(BATCH)
  t.equal(await aSweeper(sweep).sweeper.sweep(), BATCH)
  t.equal(asked.length, 2)
})

t.test('where nothing has ended it asks once', async t => {
  const { sweep, asked } = answering()
  t.equal(await aSweeper(sweep).sweeper.sweep(), 0)
  t.equal(asked.length, 1)
})

t.test('what has ended when it begins is what it sweeps, however long it takes', async t => {
  const asked: number[] = []
  const { sweeper, clock, told } = aSweeper(({ endedBefore }) => {
    clock.advance(20_000)
    return asked.push(endedBefore) < 3 ? BATCH : 0
  })
  const begun = clock()
  await sweeper.sweep()
  t.strictSame(asked, Array(3).fill(begun - KEEP))
  t.strictSame(told, [{ at: begun, deleted: 2 * BATCH, took: MINUTE }])
  await sweeper.sweep()
  t.equal(asked[3], begun + MINUTE - KEEP, 'the next sweep begins later')
})

t.test('others have their turn between two batches', async t => {
  const order: string[] = []
  const { sweeper } = aSweeper(() => {
    order.push('batch')
    setImmediate(() => order.push('other'))
    return order.length < 5 ? BATCH : 0
  })
  await sweeper.sweep()
  t.strictSame(order, ['batch', 'other', 'batch', 'other', 'batch'])
})

t.test('it tells of itself once, in the log and as an event', async t => {
  const { sweeper, clock, told, logged } = aSweeper(answering(BATCH, 7).sweep)
  await sweeper.sweep()
  const event = { at: clock(), deleted: BATCH + 7, took: 0 }
  t.strictSame(told, [event])
  t.strictSame(logged, [{ level: 'info', facts: event, message: 'deleted expired records' }])
})

t.test('it deletes what has ended and nothing else', async t => {
  const store = new MemoryStore()
  const { sweeper, clock } = aSweeper(batch => store.sweep(batch))
  const end = clock() - KEEP
  const nobody = { address: null, userAgent: null }
  const put = (id: string, expiresAt: number): Promise<void> =>
    store.create({
      id,
      userId: 'u-ann',
      expiresAt,
      endsAt: expiresAt,
      createdAt: end - DAY,
      authenticatedAt: end - DAY,
      device: { label: null, ...nobody }
    } as Session)

  for (let index = 0; index < 2 * BATCH + 203; index++) {
    await put(`over${index}`, end - 1 - index * MINUTE)
  }

  await put('just not over', end)
  await put('alive', clock() + DAY)
  t.equal(await sweeper.sweep(), 2 * BATCH + 203)
  t.equal(await sweeper.sweep(), 0)
  t.match(await store.find('just not over'), { id: 'just not over' })
  t.match(await store.find('alive'), { id: 'alive' })
  t.equal(await store.find('over0'), null)
})

t.test('a sweep joins the one that is under way', async t => {
  const { sweep, asked } = held()
  const { sweeper, told } = aSweeper(sweep)
  const sweeps = [sweeper.sweep(), sweeper.sweep()]
  await settled()
  sweeps.push(sweeper.sweep())
  t.equal(asked.length, 1)
  asked[0]?.resolve(5)
  t.strictSame(await Promise.all(sweeps), [5, 5, 5])
  t.equal(told.length, 1)

  const next = sweeper.sweep()
  await settled()
  t.equal(asked.length, 2, 'and begins anew when that is over')
  asked[1]?.resolve(1)
  t.equal(await next, 1)
})

t.test('a sweep that fails says so to whoever called or joined it, and the next one works', async t => {
  const { sweep, asked } = held()
  const { sweeper, told, logged } = aSweeper(sweep)
  const sweeps = [sweeper.sweep(), sweeper.sweep()]
  await settled()
  asked[0]?.reject(new Error('no connection'))

  for (const failed of sweeps) {
    await t.rejects(failed, { message: 'no connection' })
  }

  t.strictSame([told, logged], [[], []])

  const next = sweeper.sweep()
  await settled()
  asked[1]?.resolve(2)
  t.equal(await next, 2)
})

t.test('stop ends the batch that is under way and begins no other', async t => {
  const { sweep, asked } = held()
  const { sweeper, told } = aSweeper(sweep)
  const swept = sweeper.sweep()
  await settled()
  asked[0]?.resolve(BATCH)

  // After a pause, which on a busy machine is longer than a turn.
  while (asked.length < 2) {
    await settled()
  }

  t.equal(asked.length, 2)

  let stopped = false
  const stopping = sweeper.stop().then(() => {
    stopped = true
  })
  await settled()
  t.equal(stopped, false, 'the second batch is waited for')
  asked[1]?.resolve(BATCH)
  await stopping
  t.equal(await swept, 2 * BATCH)
  t.equal(asked.length, 2)
  t.match(told, [{ deleted: 2 * BATCH }], 'what was deleted is told')
})

t.test('stop does not fail with the sweep that is under way', async t => {
  const { sweep, asked } = held()
  const { sweeper } = aSweeper(sweep)
  const failure = t.rejects(sweeper.sweep(), { message: 'no connection' })
  await settled()
  const stopping = sweeper.stop()
  asked[0]?.reject(new Error('no connection'))
  await t.resolves(stopping)
  await failure
})

t.test('stop without a sweep or a start is fine, also twice', async t => {
  const { sweeper } = aSweeper(answering().sweep)
  await t.resolves(sweeper.stop())
  await t.resolves(sweeper.stop())
})

t.test('once started it sweeps again and again', async t => {
  mockTimers(t)
  const { sweep, asked } = answering()
  const { sweeper, told } = aSweeper(sweep)
  sweeper.start()
  await tick(HOUR / 2 - 1)
  t.equal(asked.length, 0, 'at any moment of the first hour, here in the middle')
  await tick(1)
  t.equal(asked.length, 1)
  await tick(HOUR - 1)
  t.equal(asked.length, 1)
  await tick(1)
  t.equal(asked.length, 2)
  t.equal(told.length, 2)
  await sweeper.stop()
})

for (const [random, pause] of [[0, 54 * MINUTE], [1, 66 * MINUTE]] as const) {
  t.test(`a die that shows ${random} makes it wait for ${pause / MINUTE} minutes`, async t => {
    mockTimers(t, { random })
    const { sweep, asked } = answering()
    const { sweeper } = aSweeper(sweep)
    sweeper.start()
    await tick(random * HOUR + 1)
    t.equal(asked.length, 1)
    await tick(pause - 2)
    t.equal(asked.length, 1)
    await tick(2)
    t.equal(asked.length, 2)
    await sweeper.stop()
  })
}

t.test('a sweep that takes long is over before the next pause begins', async t => {
  mockTimers(t)
  const { sweep, asked } = held()
  const { sweeper } = aSweeper(sweep)
  sweeper.start()
  await tick(HOUR)
  await tick(5 * HOUR)
  t.equal(asked.length, 1)
  asked[0]?.resolve(0)
  await settled()
  await tick(HOUR - 1)
  t.equal(asked.length, 1)
  await tick(1)
  t.equal(asked.length, 2)
  asked[1]?.resolve(0)
  await sweeper.stop()
})

t.test('a store that fails is logged without its words, and tried again at the next time', async t => {
  mockTimers(t)
  let calls = 0
  const { sweeper, told, logged } = aSweeper(() => {
    if (++calls < 3) {
      throw new Error('password of the database')
    }

    return 4
  })
  sweeper.start()
  await tick(HOUR)
  await tick(HOUR)
  const failure = {
    level: 'warn',
    facts: {},
    message: 'failed to delete expired records'
  }
  t.strictSame(logged, [failure, failure])
  t.strictSame(told, [])
  await tick(HOUR)
  t.equal(calls, 3)
  t.match(told, [{ deleted: 4 }])
  await sweeper.stop()
})

t.test('after stop nothing is swept any more, and it cannot be started', async t => {
  mockTimers(t)
  const { sweep, asked } = answering()
  const { sweeper, told } = aSweeper(sweep)
  sweeper.start()
  await sweeper.stop()
  await tick(10 * HOUR)
  t.strictSame([asked, told], [[], []])
  sweeper.start()
  await tick(10 * HOUR)
  t.strictSame([asked, told], [[], []])
})

t.test('stop during a scheduled sweep begins no further pause', async t => {
  mockTimers(t)
  const { sweep, asked } = held()
  const { sweeper, told } = aSweeper(sweep)
  sweeper.start()
  await tick(HOUR)
  const stopping = sweeper.stop()
  asked[0]?.resolve(0)
  await stopping
  await tick(10 * HOUR)
  t.equal(asked.length, 1)
  t.equal(told.length, 1)
})

t.test('without a schedule it sweeps by hand alone', async t => {
  mockTimers(t)
  const { sweep, asked } = answering(6)
  const { sweeper } = aSweeper(sweep, null)
  sweeper.start()
  await tick(100 * DAY)
  t.equal(asked.length, 0)
  t.equal(await sweeper.sweep(), 6)
})

t.test('its timer keeps no process alive', async t => {
  const set = mock.method(globalThis, 'setTimeout')
  t.teardown(() => mock.restoreAll())
  const { sweeper } = aSweeper(answering().sweep)
  sweeper.start()
  const timers = set.mock.calls.map(call => call.result as NodeJS.Timeout)
  t.equal(timers.length, 1)
  t.equal(timers[0]?.hasRef(), false)
  await sweeper.stop()
})

t.test('a pause that is too long for a timer is cut, not made short', async t => {
  mock.method(Math, 'random', () => 0.5)
  const set = mock.method(globalThis, 'setTimeout')
  t.teardown(() => mock.restoreAll())
  const { sweeper } = aSweeper(answering().sweep, 365 * DAY)
  sweeper.start()
  t.equal(set.mock.calls[0]?.arguments[1], 2 ** 31 - 1)
  await sweeper.stop()
})

t.test('a sweep ends when its time is up, and what is left waits for the next one', async t => {
  const asked: number[] = []
  const { sweeper, clock, told } = aSweeper(({ limit }) => {
    clock.advance(20_000)
    asked.push(limit)
    return limit
  })
  const deleted = await sweeper.sweep()
  t.equal(asked.length, 3)
  t.equal(deleted, asked.reduce((sum, limit) => sum + limit))
  t.match(told, [{ deleted, took: MINUTE }])
})

t.test('what is left waits for a minute, and not for an hour', async t => {
  mockTimers(t)
  let rows = 0
  const { sweeper, clock, told } = aSweeper(({ limit }) => {
    if (rows > 0) {
      clock.advance(MINUTE)
    }

    const count = Math.min(rows, limit)
    rows -= count
    return count
  })
  rows = 250
  sweeper.start()
  await tick(HOUR / 2)
  t.match(told, [{ deleted: 100 }])
  await tick(MINUTE - 1)
  t.equal(told.length, 1)
  await tick(1)
  t.match(told, [{ deleted: 100 }, { deleted: 100 }])
  await tick(MINUTE)
  t.match(told, [{ deleted: 100 }, { deleted: 100 }, { deleted: 50 }])
  await tick(HOUR - 1)
  t.equal(told.length, 3, 'nothing is left')
  await tick(1)
  t.equal(told.length, 4)
  await sweeper.stop()
})

t.test('every batch has the same limit, for a quick store and for a slow one', async t => {
  for (const duration of [0, 30]) {
    const { sweep, asked } = answering(100, 100, 100)
    const { sweeper } = aSweeper(async batch => {
      await sleep(duration)
      return sweep(batch)
    })
    t.equal(await sweeper.sweep(), 300)
    t.strictSame(asked.map(batch => batch.limit), [100, 100, 100, 100])
  }
})

t.test('between two batches others have three times as long as one took', async t => {
  const begun: number[] = []
  const ended: number[] = []
  const { sweeper } = aSweeper(async ({ limit }) => {
    begun.push(performance.now())
    await sleep(20)
    return ended.push(performance.now()) < 3 ? limit : 0
  })
  await sweeper.sweep()

  for (const n of [1, 2]) {
    t.ok((begun[n] as number) - (ended[n - 1] as number) > 50)
  }
})

t.test('stop does not wait for the end of such a pause', async t => {
  const { sweeper } = aSweeper(async ({ limit }) => {
    await sleep(250)
    return limit
  })
  const swept = sweeper.sweep()
  await sleep(300)
  const stopped = performance.now()
  await sweeper.stop()
  await swept
  t.ok(performance.now() - stopped < 400)
})
