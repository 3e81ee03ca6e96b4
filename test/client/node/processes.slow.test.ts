import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { createAuthClient } from '../../../src/client/index.js'
import { fileStorage } from '../../../src/client/node/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { bundleScript, findLockOwner, startScript } from '../../helpers/node-processes.js'
import type { ScriptProcess } from '../../helpers/node-processes.js'

const skip = process.platform === 'win32'
const LIFETIME = 2000

interface Agents {
  readonly server: TestApp
  readonly baseUrl: string
  readonly refreshes: { running: number, maxConcurrent: number }
  readonly path: string
  readonly running: ScriptProcess[]
  /** All processes, with the killed ones. */
  readonly all: ScriptProcess[]
  start(): ScriptProcess
}

/** Signs ann in, and starts processes that share her session. */
async function startAgents (t: Test, count: number): Promise<Agents> {
  const clock = Object.assign(() => Date.now(), { advance () {}, set () {} })
  const refreshes = { running: 0, maxConcurrent: 0 }
  const server = await createTestApp({
    clock,
    options: { accessToken: { lifetime: `${LIFETIME}ms` } },
    before (app) {
      app.addHook('onRequest', async ({ url }) => {
        if (url === '/auth/refresh') {
          refreshes.maxConcurrent = Math.max(refreshes.maxConcurrent, ++refreshes.running)
          // Refreshes that are not serialized overlap for certain.
          await sleep(20)
        }
      })
      app.addHook('onResponse', async ({ url }) => {
        refreshes.running -= url === '/auth/refresh' ? 1 : 0
      })
    }
  })
  t.teardown(() => server.app.close())
  const baseUrl = await server.app.listen({ host: '127.0.0.1', port: 0 })
  const folder = t.testdir()
  const path = join(folder, 'session.json')
  const client = createAuthClient({ baseUrl, storage: fileStorage(path) })
  await client.login({ username: 'ann', password: PASSWORD })
  client.dispose()

  const script = await bundleScript('test/client/node/agent-process.ts', folder)
  const all: ScriptProcess[] = []

  const start = (): ScriptProcess => {
    const started = startScript(t, script, [baseUrl, path])
    all.push(started)
    return started
  }

  return {
    server,
    baseUrl,
    refreshes,
    path,
    all,
    start,
    running: Array.from({ length: count }, start)
  }
}

/**
 * Kills, restarts and pauses processes at random.
 *
 * Long pauses and some kills hit the owner of the lock. Returns the number of long pauses that did.
 */
async function disturb ({ running, start, path }: Agents, duration: number): Promise<number> {
  const end = performance.now() + duration
  const pauses: Array<Promise<void>> = []
  const paused = new Set<ScriptProcess>()
  let pausedOwners = 0

  async function waitForOwner (): Promise<ScriptProcess | undefined> {
    for (let turn = 0; turn < 200; turn++) {
      const owner = findLockOwner(path, running)

      if (owner) {
        return owner
      }

      await sleep(1)
    }

    return undefined
  }

  // Chance pauses the owner of the lock a few times, but rarely not at all.
  while (performance.now() < (pausedOwners > 0 ? end : end + duration)) {
    await sleep(Math.random() * 400)
    const dice = Math.random()
    const isLong = dice < 0.15
    const owner = isLong || dice < 0.3 ? await waitForOwner() : undefined
    const target = owner ?? running[Math.floor(Math.random() * running.length)] as ScriptProcess

    if (paused.has(target)) {
      continue
    }

    if (dice >= 0.15 && dice < 0.6) {
      await target.kill()
      running[running.indexOf(target)] = start()
    } else {
      pausedOwners += isLong && owner ? 1 : 0
      paused.add(target)
      target.pause()
      const length = isLong ? 5000 + Math.random() * 3000 : Math.random() * 1500
      pauses.push(
        sleep(length).then(() => {
          target.resume()
          paused.delete(target)
        })
      )
    }
  }

  await Promise.all(pauses)
  return pausedOwners
}

/** Waits until every running process has called the server once more. */
async function waitForCalls ({ running }: Agents): Promise<void> {
  const before = running.map(({ lines }) => lines.length)

  for (let index = 0; index < running.length; index++) {
    const { lines } = running[index] as ScriptProcess

    while (!lines.slice(before[index]).includes('200')) {
      await sleep(50)
    }
  }
}

function assertSignedIn (t: Test, { server, all }: Agents): void {
  const lines = all.flatMap(({ lines }) => lines)
  const counts: Record<string, number> = {}

  for (const line of lines) {
    counts[line] = (counts[line] ?? 0) + 1
  }

  t.comment(counts)
  t.strictSame(lines.filter(line => /^signed-out|AUTH_/.test(line)), [], 'no sign-out')
  t.strictSame(server.rejections, [])
  const names = server.events.map(({ name }) => name)
  t.strictSame(names.filter(name => /^(?:reuse|session-|suspicious)/.test(name)), [])
  // A token may expire between the moment of a pause and the end of the request.
  const refused = counts['401'] ?? 0
  t.ok(refused <= lines.length / 200, `${refused} of ${lines.length} calls are refused`)
}

t.test('processes with one file stay signed in', { skip }, async t => {
  for (const [count, duration] of [[2, 20_000], [20, 60_000]] as const) {
    await t.test(`${count} processes that are killed and paused for ${duration} ms`, async t => {
      const agents = await startAgents(t, count)
      await waitForCalls(agents)
      const pausedOwners = await disturb(agents, duration)
      await waitForCalls(agents)
      assertSignedIn(t, agents)
      t.ok(agents.all.length > count, `${agents.all.length} processes`)
      t.ok(pausedOwners > 0, `${pausedOwners} owners of the lock lost it`)
    })
  }
})

t.test('each process sends one refresh per lifetime of its token', { skip }, async t => {
  const agents = await startAgents(t, 10)
  await waitForCalls(agents)
  const { events } = agents.server
  const count = (): number => events.filter(({ name }) => name === 'refresh').length
  const before = count()
  await sleep(10 * LIFETIME)
  const perProcess = (count() - before) / 10
  assertSignedIn(t, agents)
  // A refresh is due at 70 to 80 % of the lifetime.
  t.ok(perProcess >= 9 && perProcess <= 15, `${perProcess} refreshes in 10 lifetimes`)
  t.equal(agents.refreshes.maxConcurrent, 1, 'one process at a time')
})

t.test('a logout of one process signs the others out', { skip }, async t => {
  const agents = await startAgents(t, 3)
  await waitForCalls(agents)
  const client = createAuthClient({ baseUrl: agents.baseUrl, storage: fileStorage(agents.path) })
  await client.ready
  await client.logout()
  client.dispose()

  for (const { lines } of agents.running) {
    while (!lines.some(line => line.startsWith('signed-out'))) {
      await sleep(20)
    }
  }

  t.equal(await fileStorage(agents.path).get(), null)
})
