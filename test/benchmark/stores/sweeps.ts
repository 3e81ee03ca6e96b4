import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { callInChildProcess } from '../child-process.js'
import { compare, createRatioRow, median } from '../comparison.js'
import type { ResultRow, RunSettings } from '../comparison.js'
import { measureEventLoopDelay } from '../event-loop-delay.js'
import { databases, isConnectionError, withDatabase } from './databases.js'
import type { DatabaseName } from './databases.js'
import { startRefreshLoad } from './refresh-load.js'
import { DAY, MANY_SESSIONS } from './seed.js'

const MAX_P99 = 2
const MAX_PAUSE = 25
const MIN_REFRESH_RATIO = 0.7
const WITH_SWEEP = 'during the sweep'
const WITHOUT_SWEEP = 'without a sweep'

/** Measures how long sweeps of each database block the event loop, and slow down refreshes. */
export async function measureSweeps (settings: RunSettings): Promise<ResultRow[]> {
  const rows: ResultRow[] = []

  for (const name of Object.keys(databases)) {
    try {
      rows.push(
        ...await callInChildProcess<ResultRow[]>(
          import.meta.url,
          'measureSweep',
          [name, settings],
          ['--expose-gc']
        )
      )
    } catch (error) {
      if (!isConnectionError(error)) {
        throw error
      }

      rows.push({
        work: `sweep, ${name}`,
        against: '',
        ours: 'database is not reachable',
        theirs: '',
        ratio: null,
        limit: '',
        isReached: false
      })
    }
  }

  return rows
}

/** Measures the sweep of sessions that all expired within one hour. */
export function measureSweep (
  name: DatabaseName,
  { rounds, ms }: RunSettings
): Promise<ResultRow[]> {
  return withDatabase(databases[name], async database => {
    const work = `sweep of ${MANY_SESSIONS.toLocaleString('en')} expired sessions, ${name}`

    const seedExpiredSessions = async (): Promise<void> => {
      await database.seed({ count: MANY_SESSIONS, firstExpiry: Date.now() - 2 * DAY })
      // Garbage of the seed must not count as a pause of the sweep.
      globalThis.gc?.()
    }

    const load = await startRefreshLoad(database.store)

    try {
      await seedExpiredSessions()
      const idleDelay = await measureEventLoopDelay(() => sleep(Math.max(ms, 1000)))
      const sweepDelay = await measureEventLoopDelay(async () => {
        assert.equal(await load.sweepAll(), MANY_SESSIONS)
      })

      const createDelayRow = (quantile: 'p99' | 'max', limit: number): ResultRow => ({
        work: `${work}: pauses of the event loop, ${quantile}`,
        against: 'an idle process',
        ours: `${sweepDelay[quantile].toFixed(2)} ms`,
        theirs: `${idleDelay[quantile].toFixed(2)} ms`,
        ratio: null,
        limit: `at most ${limit} ms`,
        isReached: sweepDelay[quantile] <= limit
      })

      await seedExpiredSessions()
      const sweepRates: number[] = []
      const sweep = load.startPausedSweep()
      const comparison = await compare({
        async [WITH_SWEEP] () {
          // Otherwise this would be a round without a sweep.
          if (sweep.isFinished()) {
            throw new Error('Sweep finished before the rounds; use a shorter --ms')
          }

          const { swept, result } = await sweep.runDuring(() =>
            load.refreshFor(ms, () => !sweep.isFinished())
          )
          sweepRates.push(swept / result.elapsed * 1000)
          return result.perSecond
        },
        [WITHOUT_SWEEP]: async () => (await load.refreshFor(ms, () => true)).perSecond
      }, { rounds })
      const refreshRow = createRatioRow(
        MIN_REFRESH_RATIO,
        `refreshes during a sweep, 64 concurrent, ${name}`,
        [WITH_SWEEP, WITHOUT_SWEEP],
        comparison,
        'per second'
      )
      const sweepRate = Math.round(median(sweepRates)).toLocaleString('en')

      return [createDelayRow('p99', MAX_P99), createDelayRow('max', MAX_PAUSE), {
        ...refreshRow,
        ours: `${refreshRow.ours}, and ${sweepRate} deleted per second`
      }]
    } finally {
      await load.close()
    }
  })
}
