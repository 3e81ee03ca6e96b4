import { availableParallelism } from 'node:os'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { defaultConcurrency, HashQueue } from '../../src/login/hash-queue.js'

interface Task {
  readonly done: Promise<unknown>
  finish(): void
  fail(error: Error): void
}

interface Tasks {
  /** Numbers of the started tasks in order. */
  readonly started: number[]
  /** Queues a task that runs until the test settles it. */
  add(): Task
}

function createTasks (queue: HashQueue): Tasks {
  const started: number[] = []
  let count = 0

  return {
    started,
    add () {
      const number = count++

      let finish = (): void => {}

      let fail = (_error: Error): void => {}

      const work = new Promise((resolve, reject) => {
        finish = () => {
          resolve(number)
        }

        fail = reject
      })
      const done = queue.run(() => {
        started.push(number)
        return work
      })
      return { done, finish, fail }
    }
  }
}

function isBusy (t: Test, work: Promise<unknown>, name = 'is rejected'): Promise<unknown> {
  return t.rejects(work, { name: 'TokenAuthError', code: 'AUTH_BUSY', statusCode: 503 }, name)
}

t.test('run returns the result of the work', async t => {
  t.equal(await new HashQueue(1).run(async () => 'hash'), 'hash')
})

t.test('exactly the limit runs concurrently under load', async t => {
  const queue = new HashQueue(3)
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

  await Promise.all(Array.from({ length: 200 }, (_, i) => queue.run(() => work(1 + i % 7 % 4))))
  t.equal(maxRunning, 3)
  t.ok(loads.slice(0, -3).every(load => load === 3), 'no place is free while work waits')
  t.equal(running, 0)
})

t.test('waiting work runs in order', async t => {
  const { started, add } = createTasks(new HashQueue(2))
  const tasks = Array.from({ length: 6 }, add)
  await turn()
  t.strictSame(started, [0, 1])
  tasks[1]?.finish()
  await turn()
  t.strictSame(started, [0, 1, 2])
  tasks[0]?.finish()
  tasks[2]?.finish()
  await turn()
  t.strictSame(started, [0, 1, 2, 3, 4])

  for (const task of tasks) {
    task.finish()
  }

  t.strictSame(await Promise.all(tasks.map(task => task.done)), [0, 1, 2, 3, 4, 5])
})

t.test('a call beyond 256 waiting ones is rejected and its work never starts', async t => {
  const queue = new HashQueue(1)
  const { started, add } = createTasks(queue)
  const [running, ...waiting] = Array.from({ length: 257 }, add)
  t.strictSame(queue.load, { running: 1, waiting: 256 })
  const rejected = add()
  await isBusy(t, rejected.done)
  running?.finish()
  await turn()
  const admitted = add()
  await isBusy(t, add().done, 'only one place was freed')

  for (const task of waiting) {
    task.finish()
  }

  admitted.finish()
  await Promise.all([...waiting, admitted].map(task => task.done))
  t.equal(started.length, 258)
  t.strictSame(queue.load, { running: 0, waiting: 0 })
  t.notOk(started.includes(257), 'the rejected call')
})

t.test('failed work frees its place', async t => {
  const queue = new HashQueue(1)
  const { started, add } = createTasks(queue)
  const first = add()
  const second = add()
  first.fail(new Error('no hash'))
  await t.rejects(first.done, new Error('no hash'))
  await turn()
  t.strictSame(started, [0, 1])
  const thrown = queue.run(() => {
    throw new Error('immediately')
  })
  second.finish()
  await t.rejects(thrown, new Error('immediately'))
  t.equal(await queue.run(async () => 'free'), 'free')
})

t.test('a rejected call takes no place', async t => {
  const queue = new HashQueue(1)
  const { add } = createTasks(queue)
  const tasks = Array.from({ length: 257 }, add)

  for (let i = 0; i < 5; i++) {
    await isBusy(t, add().done)
  }

  for (const task of tasks) {
    task.finish()
  }

  await Promise.all(tasks.map(task => task.done))

  const again = createTasks(queue)
  const later = Array.from({ length: 257 }, again.add)
  await isBusy(t, again.add().done, 'the queue has its full length')
  await turn()
  t.strictSame(again.started, [0])

  for (const task of later) {
    task.finish()
  }

  await Promise.all(later.map(task => task.done))
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
