import t from 'tap'
import type { Test } from 'tap'
import { createServers } from './virtual-server.js'
import { runSchedule } from './schedules/run.js'

const STEPS = 100
/** Number of failures to print. */
const MAX_REPORTED = 3
/** Set FAULT_SEEDS=1-1000 for more seeds, or FAULT_SEEDS=77-77 to replay one. */
const [from = 1, to = from + 199] = (process.env.FAULT_SEEDS ?? '').split('-')
  .filter(part => part !== '').map(Number)

async function run (
  t: Test,
  seeds: readonly [from: number, to: number],
  isRemote: boolean
): Promise<void> {
  const servers = createServers()
  t.teardown(() => servers.close())
  const { stackTraceLimit } = Error
  // Each abort creates an error. Its stack trace costs time, and no check reads it.
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

  for (const failure of failures.slice(0, MAX_REPORTED)) {
    t.comment(failure)
  }

  t.equal(failures.length, 0, `${seeds[1] - seeds[0] + 1} schedules, ${requests} requests`)
}

t.setTimeout(900_000)

t.test('clients keep their sessions on an unreliable network', t => run(t, [from, to], false))

t.test('clients keep their sessions on an unreliable network over a real port', t =>
  run(t, [from, Math.min(to, from + 19)], true))
