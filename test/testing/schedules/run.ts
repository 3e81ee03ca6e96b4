import { createFaults } from '../../../src/testing/index.js'
import type { Faults, Random } from '../../../src/testing/index.js'
import { DAY, SECOND } from '../../helpers/clock.js'
import type { Servers } from '../virtual-server.js'
import { createActions } from './actions.js'
import { login } from './calls.js'
import { finishSchedule } from './recovery.js'
import { settleKilledTabs } from './sign-outs.js'
import { createSchedule } from './state.js'
import type { Schedule, Setup, Violation } from './state.js'
import { checkSubscriptions } from './subscriptions.js'
import { openTab } from './tabs.js'

/** Error of a schedule whose client has violated a rule. */
export class ViolationError extends Error {
  readonly violations: readonly Violation[]

  constructor (violations: readonly Violation[]) {
    super(violations.map(({ rule, message }) => `${rule}: ${message}`).join('\n'))
    this.violations = violations
  }
}

export interface Outcome {
  readonly setup: Setup
  readonly faults: Faults
  readonly requests: number
  readonly calls: number
}

/**
 * Runs a schedule: users call, log in and log out on an unreliable network, and checks watch.
 *
 * The checks know the store of the server and the responses of each device, but not how the client
 * works.
 *
 * @throws ScheduleError
 */
export async function runSchedule (
  seed: number,
  steps: number,
  servers: Servers,
  isRemote = false
): Promise<Outcome> {
  const faults = createFaults({ seed, start: Date.UTC(2026, 0, 1) + seed * 200 * DAY })
  const { clock, random } = faults
  const setup = drawSetup(random, isRemote)
  const server = await servers.open(setup, clock.time)
  const schedule = createSchedule(faults, setup, server)
  const check = (): void => checkSchedule(schedule)
  const realNow = Date.now
  // The date of the device is wrong, so a client that relies on it violates a check.
  Date.now = clock.date

  try {
    await faults.schedule({ begin: [1, () => startSchedule(schedule)] }, 1, check)
    await faults.schedule(createActions(schedule), steps - 2, check)
    await faults.schedule({ end: [1, () => finishSchedule(schedule)] }, 1, check)
  } catch (error) {
    ;(error as Error).message += `\n${JSON.stringify(setup)}`
    throw error
  } finally {
    Date.now = realNow

    for (const { client } of schedule.devices.flatMap(({ tabs }) => tabs)) {
      client.dispose()
    }
  }

  return { setup, faults, ...schedule.counts }
}

function drawSetup (random: Random, isRemote: boolean): Setup {
  const mode = random.pick(['cookie', 'keychain'] as const)

  return {
    mode,
    renews: random.chance(0.3),
    usesAccessCookie: mode === 'cookie' && random.chance(0.2),
    isRemote,
    locks: random.pickWeighted([['work', 3], ['none', 1], ['stuck', 1]] as const),
    channels: random.chance(0.7),
    events: random.chance(0.7),
    devices: random.pickWeighted([[1, 3], [2, 1]] as const),
    tabs: random.pickWeighted([[1, 2], [2, 2], [3, 1], [5, 1]] as const)
  }
}

async function startSchedule (schedule: Schedule): Promise<void> {
  for (const owner of schedule.devices) {
    void login(schedule, openTab(schedule, owner), 'ann')
  }

  await schedule.faults.clock.run(SECOND)
}

function checkSchedule (schedule: Schedule): void {
  const { server, report, violations, replayedSessions } = schedule
  settleKilledTabs(schedule)
  checkSubscriptions(schedule)

  for (const { name, ...event } of server.app.events) {
    if (name === 'reuse' && !replayedSessions.has((event as { sessionId: string }).sessionId)) {
      report('sign-out', `reuse of ${JSON.stringify(event)}`)
    }
  }

  if (violations.length > 0) {
    throw new ViolationError(violations)
  }
}
