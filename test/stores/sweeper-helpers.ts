import { mock } from 'node:test'
import type { Test } from 'tap'
import { Events } from '../../src/events.js'
import type { TokenAuthEvents } from '../../src/events.js'
import { MemoryAttempts } from '../../src/stores/memory/index.js'
import { Sweeper } from '../../src/stores/sweeper.js'
import type { TokenStore } from '../../src/stores/token-store.js'
import { createClock, HOUR, MINUTE } from '../helpers/clock.js'
import type { TestClock } from '../helpers/clock.js'

export const KEEP = 16 * MINUTE
/** At least the limit of every batch. */
export const BATCH = 200

type Sweep = (
  batch: { readonly endedBefore: number, readonly limit: number }
) => number | Promise<number>

export interface TestSweeper {
  readonly sweeper: Sweeper
  readonly clock: TestClock
  readonly events: Array<TokenAuthEvents['sweep']>
  readonly logged: Array<{ level: string, facts: object, message: string }>
}

/** Sweeper with a clock that stands still and with recorded events and log lines. */
export function createTestSweeper (
  sweep: Sweep,
  interval: number | null = HOUR,
  getTime?: () => number | null
): TestSweeper {
  const clock = createClock()
  const emitted: TestSweeper['events'] = []
  const logged: TestSweeper['logged'] = []

  const at = (level: string) => (facts: object, message: string) => {
    logged.push({ level, facts, message })
  }

  const logger = { error: at('error'), warn: at('warn'), info: at('info') }
  const events = new Events({ sweep: event => emitted.push(event) }, logger, 'test')
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
      clock: getTime ?? clock,
      interval,
      keep: KEEP
    }),
    clock,
    events: emitted,
    logged
  }
}

/** Returns each count once and then 0. Records the arguments of every call. */
export function createScriptedSweep (
  ...counts: number[]
): { readonly sweep: Sweep, readonly calls: Array<Parameters<Sweep>[0]> } {
  const calls: Array<Parameters<Sweep>[0]> = []

  return {
    calls,
    sweep: batch => {
      calls.push(batch)
      return counts.shift() ?? 0
    }
  }
}

interface Call {
  resolve(count: number): void
  reject(error: Error): void
}

/** Batches stay pending until the test resolves or rejects them. */
export function createManualSweep (): { readonly sweep: Sweep, readonly calls: Call[] } {
  const calls: Call[] = []

  return {
    calls,
    sweep: () =>
      new Promise<number>((resolve, reject) => {
        calls.push({ resolve, reject })
      })
  }
}

/** Waits for the callbacks that are due in the next turns of the event loop. */
export async function waitForCallbacks (): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise(resolve => {
      setImmediate(resolve)
    })
  }
}

export function mockTimers (t: Test, { random = 0.5 } = {}): void {
  mock.timers.enable({ apis: ['setTimeout'] })
  mock.method(Math, 'random', () => random)
  t.teardown(() => {
    mock.timers.reset()
    mock.restoreAll()
  })
}

/** Lets the durations that a sweeper measures follow a clock. */
export function mockDurations (t: Test, clock: TestClock): void {
  const mocked = mock.method(performance, 'now', clock)
  t.teardown(() => {
    mocked.mock.restore()
  })
}

export async function tick (by: number): Promise<void> {
  mock.timers.tick(by)
  await waitForCallbacks()
}
