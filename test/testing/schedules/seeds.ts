import type { Test } from 'tap'
import { ScheduleError } from '../../../src/testing/index.js'
import { createServers } from '../virtual-server.js'
import { runSchedule, ViolationError } from './run.js'
import type { Rule } from './state.js'

const STEPS = 100
/** Number of failures to print. */
const MAX_REPORTED = 3

const titles: Readonly<Record<Rule, string>> = {
  'sign-out': 'nobody is signed out by accident',
  rate: 'a client sends at most 6 refreshes and logouts in any 10 s of failure',
  state: 'the last state that a subscription was told is the state',
  token: 'no token of another session is used or shown',
  logout: 'a logout leaves nothing behind',
  call: 'a call settles in time, and its body arrives whole or not at all'
}

/** Range of seeds, both included. */
export type Seeds = readonly [from: number, to: number]

/**
 * Runs one schedule of 100 steps for each seed, and tests that no client violates a rule.
 *
 * @param isRemote - Whether requests go through a port.
 */
export async function testSeeds (t: Test, [from, to]: Seeds, isRemote = false): Promise<void> {
  t.setTimeout(900_000)
  const servers = createServers()
  t.teardown(() => servers.close())
  const { stackTraceLimit } = Error
  // Each abort creates an error. Its stack trace costs time, and no check reads it.
  Error.stackTraceLimit = 0
  t.teardown(() => {
    Error.stackTraceLimit = stackTraceLimit
  })
  const violations = new Map<Rule, number>()
  let failures = 0

  for (let seed = from; seed <= to; seed++) {
    try {
      await runSchedule(seed, STEPS, servers, isRemote)
    } catch (error) {
      if (!(error instanceof ScheduleError && error.cause instanceof ViolationError)) {
        throw error
      }

      if (++failures <= MAX_REPORTED) {
        t.comment(error.message)
      }

      for (const { rule } of error.cause.violations) {
        violations.set(rule, (violations.get(rule) ?? 0) + 1)
      }
    }
  }

  for (const [rule, title] of Object.entries(titles) as Array<[Rule, string]>) {
    t.equal(violations.get(rule) ?? 0, 0, title)
  }
}
