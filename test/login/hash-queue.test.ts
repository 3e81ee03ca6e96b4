import { availableParallelism } from 'node:os'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import {
  defaultConcurrency,
  HashQueue,
  requestForAddress,
  requestForApp,
  requestForUser
} from '../../src/login/hash-queue.js'
import type { HashRequest } from '../../src/login/hash-queue.js'

interface Task {
  readonly done: Promise<unknown>
  finish(): Promise<void>
  fail(error: Error): void
}

interface TestQueue {
  readonly queue: HashQueue
  /** Names of the started tasks in order. */
  readonly started: string[]
  /** Queues a task. It ends when the test settles it, or at its start if that was before. */
  add(name: string, request?: HashRequest): Task
  /** Sets the duration that the queue measures for every further task. */
  setDuration(millis: number): void
}

/** Creates a queue whose hashes take 100 ms of a clock that the test moves. */
async function createTestQueue ({ places = 1, maxWait = 1000 } = {}): Promise<TestQueue> {
  let now = 0
  let duration = 100
  const queue = new HashQueue({ places, maxWait, now: () => now })
  const started: string[] = []

  const add: TestQueue['add'] = (name, request = requestForAddress('192.0.2.1')) => {
    const { promise, resolve, reject } = createDeferred<string>()
    const done = queue.run(async () => {
      started.push(name)
      const result = await promise
      now += duration
      return result
    }, request)
    done.catch(() => {})
    promise.catch(() => {})

    return {
      done,
      async finish () {
        resolve(name)
        await turn()
      },
      fail: reject
    }
  }

  // The measured duration approaches 100 ms from its first value.
  for (let i = 0; i < 60; i++) {
    await add('warm-up').finish()
  }

  started.length = 0

  return {
    queue,
    started,
    add,
    setDuration (millis) {
      duration = millis
    }
  }
}

function createDeferred<T> (): {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: Error): void
} {
  let resolve = (_value: T): void => {}

  let reject = (_error: Error): void => {}

  const promise = new Promise<T>((_resolve, _reject) => {
    resolve = _resolve
    reject = _reject
  })
  return { promise, resolve, reject }
}

function isBusy (t: Test, work: Promise<unknown>, retryAfter: number): Promise<unknown> {
  return t.rejects(work, { code: 'AUTH_BUSY', statusCode: 503, retryAfter })
}

async function finishAll (tasks: readonly Task[]): Promise<void> {
  for (const task of tasks) {
    await task.finish()
  }

  await Promise.allSettled(tasks.map(task => task.done))
}

t.test('run returns the result of the work', async t => {
  t.equal(await new HashQueue({ places: 1 }).run(async () => 'hash', requestForApp()), 'hash')
})

t.test('exactly the limit runs concurrently under load', async t => {
  const queue = new HashQueue({ places: 3, maxWait: 60_000 })
  let running = 0
  let maxRunning = 0
  const loads: number[] = []

  const work = async (turns: number): Promise<void> => {
    maxRunning = Math.max(maxRunning, ++running)

    for (let i = 0; i < turns; i++) {
      await turn()
    }

    loads.push(running)
    running--
  }

  await Promise.all(
    Array.from({ length: 200 }, (_, i) => queue.run(() => work(1 + i % 7 % 4), requestForApp()))
  )
  t.equal(maxRunning, 3)
  t.ok(loads.slice(0, -3).every(load => load === 3), 'no place is free while work waits')
  t.equal(running, 0)
})

t.test('calls of one address run in order', async t => {
  const { started, add } = await createTestQueue({ places: 2 })
  const tasks = ['a', 'b', 'c', 'd'].map(name => add(name))
  t.strictSame(started, ['a', 'b'])
  await tasks[1]?.finish()
  t.strictSame(started, ['a', 'b', 'c'])
  await tasks[0]?.finish()
  t.strictSame(started, ['a', 'b', 'c', 'd'])
  await finishAll(tasks)
  t.strictSame(await Promise.all(tasks.map(task => task.done)), ['a', 'b', 'c', 'd'])
})

t.test('a call that would wait longer than the limit is rejected with the expected wait', async t => {
  const { queue, started, add } = await createTestQueue()
  const tasks = Array.from({ length: 11 }, (_, i) => add(`${i}`))
  t.strictSame(queue.load, { running: 1, waiting: 10, expectedWait: 1100 })
  t.throws(() => {
    queue.assertCapacity(requestForAddress('192.0.2.1'))
  }, { code: 'AUTH_BUSY' })
  await isBusy(t, add('rejected').done, 2)
  await tasks[0]?.finish()
  t.doesNotThrow(() => {
    queue.assertCapacity(requestForAddress('192.0.2.1'))
  })
  const admitted = add('admitted')
  await isBusy(t, add('rejected').done, 2)
  await finishAll([...tasks, admitted])
  t.notOk(started.includes('rejected'))
  t.strictSame(queue.load, { running: 0, waiting: 0, expectedWait: 0 })
})

t.test('slower hashes shorten the queue', async t => {
  const { queue, add, setDuration } = await createTestQueue()
  setDuration(500)

  for (let i = 0; i < 60; i++) {
    await add('slow').finish()
  }

  const tasks = [add('a'), add('b'), add('c')]
  t.equal(queue.load.waiting, 2)
  await isBusy(t, add('d').done, 2)
  setDuration(5000)
  await finishAll(tasks)
  const slowest = [add('a'), add('b')]
  t.equal(queue.load.waiting, 1, 'as many calls as places may wait for the slowest hash')
  await finishAll(slowest)
})

t.test('networks take turns, and so do the addresses of a network', async t => {
  const { started, add } = await createTestQueue()
  const tasks = [
    add('first'),
    ...['a1', 'a2', 'a3'].map(name => add(name, requestForAddress('198.51.100.1'))),
    add('b1', requestForAddress('198.51.100.2')),
    ...['c1', 'c2'].map(name => add(name, requestForAddress('2001:db8:1:1::1'))),
    add('d1', requestForAddress('2001:db8:1:2::1'))
  ]
  await finishAll(tasks)
  t.strictSame(started, ['first', 'a1', 'c1', 'b1', 'd1', 'a2', 'c2', 'a3'])
})

t.test('a network that fills the queue loses places to the others', async t => {
  const { queue, started, add } = await createTestQueue()
  const flood = Array.from(
    { length: 11 },
    (_, i) => add(`flood-${i}`, requestForAddress(`2001:db8:1:${i}::1`))
  )
  t.doesNotThrow(() => {
    queue.assertCapacity(requestForAddress('192.0.2.1'))
  })
  const others = Array.from(
    { length: 9 },
    (_, i) => add(`other-${i}`, requestForAddress(`203.0.${i}.1`))
  )
  t.equal(queue.load.waiting, 10, 'the queue does not grow')
  await isBusy(t, flood[10]?.done as Promise<unknown>, 2)
  await isBusy(t, add('late', requestForAddress('203.0.99.1')).done, 2)
  await finishAll([...flood, ...others])
  t.strictSame(started.slice(0, 4), ['flood-0', 'flood-1', 'other-0', 'other-1'])
  t.equal(started.length, 11)
})

t.test('an address that fills the share of its network loses places to its neighbors', async t => {
  const { started, add } = await createTestQueue()
  const flood = Array.from({ length: 11 }, (_, i) => add(`flood-${i}`))
  const neighbor = add('neighbor', requestForAddress('192.0.2.2'))
  await finishAll([...flood, neighbor])
  t.strictSame(started.slice(0, 3), ['flood-0', 'flood-1', 'neighbor'])
  t.notOk(started.includes('flood-10'))
})

t.test('unknown devices do not delay known ones', async t => {
  const { started, add } = await createTestQueue()
  const flood = Array.from(
    { length: 11 },
    (_, i) => add(`flood-${i}`, requestForAddress(`203.0.${i}.1`))
  )
  const known = ['k0', 'k1', 'k2'].map(name => add(name, requestForUser('u-ann')))
  const app = add('app', requestForApp())
  await finishAll([...flood, ...known, app])
  t.strictSame(
    started.filter(name => !name.startsWith('flood')),
    ['k0', 'app', 'k1', 'k2']
  )
  t.ok(started.indexOf('k2') <= 7, started.join(' '))
  t.equal(started.length, 15, 'every call is served')
})

t.test('known devices leave every fourth place to unknown ones', async t => {
  const { started, add } = await createTestQueue({ maxWait: 10_000 })
  const known = Array.from({ length: 20 }, (_, i) => add(`known-${i}`, requestForUser('u-ann')))
  const other = add('other', requestForAddress('203.0.113.1'))
  await finishAll([...known, other])
  t.ok(started.indexOf('other') <= 4, started.join(' '))
})

t.test('one user cannot fill the lane of known devices', async t => {
  const { started, add } = await createTestQueue()
  const flood = Array.from({ length: 30 }, (_, i) => add(`flood-${i}`, requestForUser('u-eve')))
  const ann = add('ann', requestForUser('u-ann'))
  await finishAll([...flood, ann])
  t.ok(started.indexOf('ann') <= 2)
})

t.test('a call whose client disconnects leaves the queue', async t => {
  const { queue, started, add } = await createTestQueue()
  const controller = new AbortController()
  const first = add('first')
  const gone = Array.from(
    { length: 5 },
    (_, i) => add(`gone-${i}`, requestForAddress(`198.51.100.${i}`, controller.signal))
  )
  const later = add('later')
  t.equal(queue.load.waiting, 6)
  controller.abort()
  t.equal(queue.load.waiting, 1)
  const disconnected = { code: 'AUTH_REQUEST_INVALID', statusCode: 400 }

  for (const { done } of gone) {
    await t.rejects(done, disconnected)
  }

  await t.rejects(add('late', requestForAddress('192.0.2.9', controller.signal)).done, disconnected)
  await finishAll([first, later])
  t.strictSame(started, ['first', 'later'])
})

t.test('a disconnect after the start does not stop the work', async t => {
  const { queue, add } = await createTestQueue()
  const controller = new AbortController()
  const request = requestForAddress('192.0.2.1', controller.signal)
  const tasks = [add('running', request), add('waiting', request)] as const
  await tasks[0].finish()
  controller.abort()
  t.equal(queue.load.running, 1)
  await tasks[1].finish()
  t.equal(await tasks[1].done, 'waiting')
  t.equal(queue.load.running, 0)
})

t.test('failed work frees its place', async t => {
  const { queue, started, add } = await createTestQueue()
  const first = add('first')
  const second = add('second')
  first.fail(new Error('no hash'))
  await t.rejects(first.done, new Error('no hash'))
  await turn()
  t.strictSame(started, ['first', 'second'])
  const thrown = t.rejects(
    queue.run(() => {
      throw new Error('immediately')
    }, requestForApp()),
    new Error('immediately')
  )
  await second.finish()
  await thrown
  t.equal(await queue.run(async () => 'free', requestForApp()), 'free')
})

t.test('the default limit uses every core and leaves one thread free', async t => {
  const before = process.env.UV_THREADPOOL_SIZE
  t.teardown(() => {
    if (before === undefined) {
      delete process.env.UV_THREADPOOL_SIZE
    } else {
      process.env.UV_THREADPOOL_SIZE = before
    }
  })

  const withThreads = (threads: string): number => {
    process.env.UV_THREADPOOL_SIZE = threads
    return defaultConcurrency()
  }

  t.equal(withThreads('1'), 1, 'the only thread')
  t.equal(withThreads('2'), 1)
  t.equal(withThreads('1024'), availableParallelism())
  t.equal(
    withThreads('many'),
    Math.min(availableParallelism(), 3),
    'an invalid number means the default of four threads'
  )
})
