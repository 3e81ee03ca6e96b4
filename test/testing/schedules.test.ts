// Seeded schedules of trouble, of 100 steps each, against real servers: 200 of them. See schedule-world.ts for what must hold.
// Another range by FAULT_SEEDS=FROM-TO: 1-1000 for all of them, 77-77 for the one that failed.

import t from 'tap'
import type { Test } from 'tap'
import { createServers } from './servers.js'
import { runSchedule } from './schedule-world.js'

const STEPS = 100
const SHOWN = 3
const [from = 1, to = from + 199] = (process.env.FAULT_SEEDS ?? '').split('-').filter(text =>
  text !== ''
).map(Number)

async function run (
  t: Test,
  seeds: readonly [from: number, to: number],
  isRemote: boolean
): Promise<void> {
  const servers = createServers()
  t.teardown(() => servers.close())
  const { stackTraceLimit } = Error
  // Each abort makes an error, and each error a trace that nobody looks at.
  Error.stackTraceLimit = 0
  t.teardown(() => {
    Error.stackTraceLimit = stackTraceLimit
  })
  const failures: string[] = []
  let requests = 0

  for (let seed = seeds[0]; seed <= seeds[1]; seed++) {
    try {
      requests += (await runSchedule(seed, STEPS, servers, isRemote)).requests
    } catch (error) {
      failures.push((error as Error).message)
    }
  }

  for (const failure of failures.slice(0, SHOWN)) {
    t.comment(failure)
  }

  t.equal(failures.length, 0, `${seeds[1] - seeds[0] + 1} schedules, ${requests} requests`)
}

t.setTimeout(900_000)

t.test('schedules, by inject', t => run(t, [from, to], false))

t.test('schedules, over a port', t => run(t, [from, Math.min(to, from + 19)], true))
