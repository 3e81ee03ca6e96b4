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
  /** Which of them have begun, in order. */
  readonly begun: number[]
  /** Puts one in the queue that runs until it is told to end. */
  add(): Task
}

function createTasks (queue: HashQueue): Tasks {
  const begun: number[] = []
  let count = 0

  return {
    begun,
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
        begun.push(number)
        return work
      })
      return { done, finish, fail }
    }
  }
}

function isBusy (t: Test, work: Promise<unknown>, name = 'is refused'): Promise<unknown> {
  return t.rejects(work, { name: 'TokenAuthError', code: 'AUTH_BUSY', statusCode: 503 }, name)
}

t.test('what the work gives is handed on', async t => {
  t.equal(await new HashQueue(1).run(async () => 'hash'), 'hash')
})

t.test('under load never more run at once than the limit, and always that many', async t => {
  const queue = new HashQueue(3)
  let running = 0
  let most = 0
  const loads: number[] = []

  const work = async (turns: number): Promise<void> => {
    most = Math.max(most, ++running)

    for (let i = 0; i < turns; i++) {
      await turn()
    }

    loads.push(running)
    running--
  }

  await Promise.all(Array.from({ length: 200 }, (_, i) => queue.run(() => work(1 + i % 7 % 4))))
  t.equal(most, 3)
  t.ok(loads.slice(0, -3).every(load => load === 3), 'no place stays empty while somebody waits')
  t.equal(running, 0)
})

t.test('who waits is served in order', async t => {
  const { begun, add } = createTasks(new HashQueue(2))
  const tasks = Array.from({ length: 6 }, add)
  await turn()
  t.strictSame(begun, [0, 1])
  tasks[1]?.finish()
  await turn()
  t.strictSame(begun, [0, 1, 2])
  tasks[0]?.finish()
  tasks[2]?.finish()
  await turn()
  t.strictSame(begun, [0, 1, 2, 3, 4])

  for (const task of tasks) {
    task.finish()
  }

  t.strictSame(await Promise.all(tasks.map(task => task.done)), [0, 1, 2, 3, 4, 5])
})

t.test('256 may wait, the next is told that it is busy and its work never begins', async t => {
  const queue = new HashQueue(1)
  const { begun, add } = createTasks(queue)
  const [running, ...waiting] = Array.from({ length: 257 }, add)
  t.strictSame(queue.load, { running: 1, waiting: 256 })
  const refused = add()
  await isBusy(t, refused.done)
  running?.finish()
  await turn()
  const admitted = add()
  await isBusy(t, add().done, 'only one place was freed')

  for (const task of waiting) {
    task.finish()
  }

  admitted.finish()
  await Promise.all([...waiting, admitted].map(task => task.done))
  t.equal(begun.length, 258)
  t.strictSame(queue.load, { running: 0, waiting: 0 })
  t.notOk(begun.includes(257), 'the one that was refused')
})

t.test('work that fails, at once or later, frees its place', async t => {
  const queue = new HashQueue(1)
  const { begun, add } = createTasks(queue)
  const first = add()
  const second = add()
  first.fail(new Error('no hash'))
  await t.rejects(first.done, new Error('no hash'))
  await turn()
  t.strictSame(begun, [0, 1])
  const thrown = queue.run(() => {
    throw new Error('at once')
  })
  second.finish()
  await t.rejects(thrown, new Error('at once'))
  t.equal(await queue.run(async () => 'free'), 'free')
})

t.test('who was refused takes no place', async t => {
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
  await isBusy(t, again.add().done, 'the queue is as long as it was')
  await turn()
  t.strictSame(again.begun, [0])

  for (const task of later) {
    task.finish()
  }

  await Promise.all(later.map(task => task.done))
})

t.test('by default there is work for every core, and a thread left for others', async t => {
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
  t.equal(withThreads('many'), Math.min(availableParallelism(), 3), 'no number: the pool has four')
})
