import { setMaxListeners } from 'node:events'
import { mkdirSync, readdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { createFileLock, MAX_SILENCE } from '../../../src/client/node/file-lock.js'
import type { LockEnvironment } from '../../../src/client/node/file-lock.js'
import { createIdentity } from '../../../src/client/node/process-identity.js'

const never = new AbortController().signal
setMaxListeners(0, never)
/** A process ID that no process has: it exceeds the maximum of Linux. */
const DEAD_PID = 2 ** 22 + 1

interface Waiter extends LockEnvironment {
  /** Milliseconds that have passed for this waiter. */
  time: number
}

/** Environment of a process with virtual time. */
function createWaiter (pid = process.pid, onSleep = (_time: number): void => {}): Waiter {
  const waiter = {
    time: 0,
    now: () => waiter.time,
    async sleep (ms: number) {
      waiter.time += ms
      onSleep(waiter.time)
    },
    createIdentity: () => createIdentity('0123456789abcdef', pid)
  }
  return waiter
}

/** Acquires the lock, and returns a function that lets its work end. */
async function hold (folder: string, environment?: LockEnvironment) {
  const lock = createFileLock(folder, environment)
  let release!: () => void
  let ended!: Promise<void>
  const ownFolder = await new Promise<string>(resolve => {
    ended = lock.run(() => {
      resolve(lock.ownFolder as string)

      return new Promise<void>(resolve => {
        release = resolve
      })
    }, never)
  })

  return {
    lock,
    ownFolder,
    release () {
      release()
      return ended
    }
  }
}

/** Creates what a process leaves behind that is killed while it has the lock. */
function leaveLock (folder: string, { createIdentity }: LockEnvironment): void {
  mkdirSync(join(folder, 'held', createIdentity().name), { recursive: true, mode: 0o700 })
}

function createFolder (t: { testdir(): string }): string {
  return join(t.testdir(), 'lock')
}

t.test('runs work of several processes one at a time', async t => {
  const folder = createFolder(t)
  let running = 0
  let maxRunning = 0
  const results = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      createFileLock(folder).run(async () => {
        maxRunning = Math.max(maxRunning, ++running)
        await delay(5)
        running--
        return index
      }, never))
  )
  t.strictSame(results, [0, 1, 2, 3, 4, 5, 6, 7])
  t.equal(maxRunning, 1)
  t.strictSame(readdirSync(folder), [], 'nothing is left')
})

t.test('runs work of one process in the order of the calls', async t => {
  const lock = createFileLock(createFolder(t))
  const order: number[] = []
  await Promise.all([1, 2, 3].map(async number =>
    lock.run(async () => {
      order.push(number)
    }, never)
  ))
  t.strictSame(order, [1, 2, 3])
  t.equal(lock.ownFolder, null)
})

t.test('rejects with the error of the work and releases the lock', async t => {
  const folder = createFolder(t)
  const error = new Error('no')
  await t.rejects(createFileLock(folder).run(() => Promise.reject(error), never), error)
  t.equal(await createFileLock(folder).run(async () => 'next', never), 'next')
})

t.test('an aborted caller does not wait for another process', async t => {
  const folder = createFolder(t)
  const owner = await hold(folder)
  const controller = new AbortController()
  const reason = new Error('canceled')
  const waiting = createFileLock(folder, {
    ...createWaiter(),
    sleep (_ms, signal) {
      const sleep = delay(3_600_000, undefined, { signal })
      controller.abort(reason)
      return sleep
    }
  })
  await t.rejects(waiting.run(async () => t.fail('must not run'), controller.signal), reason)
  await t.rejects(waiting.run(async () => t.fail('must not run'), controller.signal), reason)
  await owner.release()
  t.strictSame(readdirSync(folder), [])
})

t.test('an aborted caller does not wait for the same process', async t => {
  const folder = createFolder(t)
  const owner = await hold(folder)
  const controller = new AbortController()
  const reason = new Error('canceled')
  const waiter = owner.lock.run(async () => t.fail('must not run'), controller.signal)
  setImmediate(() => {
    controller.abort(reason)
  })
  await t.rejects(waiter, reason)
  await t.rejects(owner.lock.run(async () => t.fail('must not run'), controller.signal), reason)
  await owner.release()
  t.strictSame(readdirSync(folder), [])
})

t.test('takes over the lock of a process that has ended', async t => {
  const folder = createFolder(t)
  leaveLock(folder, createWaiter(DEAD_PID))
  const waiter = createWaiter()
  t.equal(await createFileLock(folder, waiter).run(async () => 'taken', never), 'taken')
  t.equal(waiter.time, 0, 'without waiting')
})

t.test('takes over the lock of a process on another host after 5 s of silence', async t => {
  const folder = createFolder(t)
  const otherHost = () => createIdentity('f'.repeat(16), DEAD_PID)
  leaveLock(folder, { ...createWaiter(), createIdentity: otherHost })
  const waiter = createWaiter()
  t.equal(await createFileLock(folder, waiter).run(async () => 'taken', never), 'taken')
  t.ok(waiter.time >= MAX_SILENCE && waiter.time < MAX_SILENCE + 300, `${waiter.time} ms`)
})

t.test('does not take over the lock of a process that shows signs of life', async t => {
  const folder = createFolder(t)
  const owner = await hold(folder)
  const controller = new AbortController()
  const waiter = createWaiter(process.pid, time => {
    // The clock of the owner's host is wrong, and stands still in between.
    utimesSync(owner.ownFolder, 0, Math.floor(time / 4000))

    if (time > 60_000) {
      controller.abort(new Error('60 s'))
    }
  })
  await t.rejects(
    createFileLock(folder, waiter).run(async () => t.fail('must not run'), controller.signal),
    { message: '60 s' }
  )
  await owner.release()
})

t.test('the own pause of a waiter does not count as silence', async t => {
  const folder = createFolder(t)
  leaveLock(folder, createWaiter())
  const waiter = createWaiter(process.pid, time => {
    if (time < 3_600_000) {
      waiter.time += 3_600_000
    }
  })
  await createFileLock(folder, waiter).run(async () => {}, never)
  t.ok(waiter.time >= 3_600_000 + MAX_SILENCE - 300, `${waiter.time} ms`)
})

t.test('short attempts add up to 5 s of silence', async t => {
  const folder = createFolder(t)
  leaveLock(folder, createWaiter())
  let controller = new AbortController()
  let start = 0
  const waiter = createWaiter(process.pid, time => {
    if (time - start > 1000) {
      controller.abort()
    }
  })
  const lock = createFileLock(folder, waiter)
  let attempts = 0

  for (let hasRun = false; !hasRun; attempts++) {
    controller = new AbortController()
    start = waiter.time
    hasRun = await lock.run(async () => true, controller.signal).catch(() => false)
  }

  t.ok(attempts > 3 && attempts < 8, `${attempts} attempts`)
})

t.test('a process that lost its lock does not remove the lock of the next one', async t => {
  const folder = createFolder(t)
  const first = await hold(folder, createWaiter())
  const second = await hold(folder, createWaiter())
  t.not(first.ownFolder, second.ownFolder)
  t.notOk(readdirSync(join(folder, 'held')).some(name => first.ownFolder.endsWith(name)))
  await first.release()
  t.strictSame(readdirSync(join(folder, 'held')).map(name => join(folder, 'held', name)), [
    second.ownFolder
  ])
  await second.release()
  t.strictSame(readdirSync(folder), [])
})

t.test('one of many waiters at a time takes over an abandoned lock', async t => {
  const folder = createFolder(t)
  leaveLock(folder, createWaiter(DEAD_PID))
  let running = 0
  let maxRunning = 0
  let runs = 0
  const environment = { ...createWaiter(), now: () => performance.now(), sleep: delay }
  await Promise.all(
    Array.from({ length: 16 }, () =>
      createFileLock(folder, environment).run(async () => {
        maxRunning = Math.max(maxRunning, ++running)
        await delay(1)
        running--
        runs++
      }, never))
  )
  t.strictSame({ runs, maxRunning }, { runs: 16, maxRunning: 1 })
})

t.test('files of killed processes are deleted, and those of running ones stay', async t => {
  const folder = createFolder(t)
  const { createIdentity: createDead } = createWaiter(DEAD_PID)
  const { createIdentity: createLiving } = createWaiter()
  const remote = createIdentity('f'.repeat(16), 1)
  const [living, young] = [`new.${createLiving().name}`, `value.${remote.name}`]
  const old = `new.${createIdentity('e'.repeat(16), 1).name}`

  for (const name of [living, young, old, `new.${createDead().name}`, `removed.${remote.name}`]) {
    mkdirSync(join(folder, name, 'content'), { recursive: true, mode: 0o700 })
  }

  utimesSync(join(folder, old), 0, 0)
  await createFileLock(folder, createWaiter()).run(async () => {}, never)
  t.strictSame(readdirSync(folder).sort(), [living, young].sort())
})

t.test('a folder that cannot be created rejects with the error of the system', async t => {
  const folder = join(t.testdir({ file: '' }), 'file', 'lock')
  await t.rejects(createFileLock(folder).run(async () => {}, never), { code: 'ENOTDIR' })
})
