// The sweep of a million sessions that ended within one hour, by the plugin's own sweeper: how long it keeps the event loop from
// its other work, and what refreshes lose meanwhile.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { callInChild } from './child.js'
import { databases, isUnreachable, on } from './databases.js'
import type { DatabaseName } from './databases.js'
import { DAY, MANY } from './fill.js'
import { latenessDuring } from './lateness.js'
import { refreshing } from './refreshing.js'
import { atLeast, compare, median } from './rounds.js'
import type { Benchmark, Effort, Row } from './rounds.js'

const P99 = 2
const LONGEST = 25
const RATE = 0.7
const [DURING, WITHOUT] = ['during the sweep', 'without a sweep']

export const sweeps: Benchmark = async effort => {
  const rows: Row[] = []

  for (const name of Object.keys(databases)) {
    try {
      rows.push(
        ...await callInChild<Row[]>(import.meta.url, 'measureSweep', [name, effort], [
          '--expose-gc'
        ])
      )
    } catch (error) {
      if (!isUnreachable(error)) {
        throw error
      }

      rows.push({
        work: `sweep, ${name}`,
        against: '',
        ours: 'no server answers',
        theirs: '',
        ratio: null,
        limit: '',
        isReached: false
      })
    }
  }

  return rows
}

export function measureSweep (name: DatabaseName, { rounds, ms }: Effort): Promise<Row[]> {
  return on(databases[name], async database => {
    const work = `sweep of ${MANY.toLocaleString('en')} ended sessions, ${name}`
    const ended = { count: MANY, endsFrom: Date.now() - 2 * DAY }

    const fill = async (): Promise<void> => {
      await database.fill(ended)
      // What that has left behind is no part of the sweep.
      globalThis.gc?.()
    }

    const app = await refreshing(database.store)

    try {
      await fill()
      const idle = await latenessDuring(() => sleep(Math.max(ms, 1000)))
      const swept = await latenessDuring(async () => {
        assert.equal(await app.sweepAll(), MANY)
      })
      const row = (what: string, of: 'p99' | 'longest', limit: number): Row => ({
        work: `${work}: pauses of the event loop, ${what}`,
        against: 'an idle process',
        ours: `${swept[of].toFixed(2)} ms`,
        theirs: `${idle[of].toFixed(2)} ms`,
        ratio: null,
        limit: `at most ${limit} ms`,
        isReached: swept[of] <= limit
      })

      await fill()
      const sweepRates: number[] = []
      const sweep = app.heldSweep()
      const comparison = await compare({
        async [DURING] () {
          // Otherwise it would be a round without one.
          if (sweep.isDone()) {
            throw new Error('the sweep was over before the rounds were: ask for shorter ones')
          }

          const { swept, result } = await sweep.during(() =>
            app.refreshFor(ms, () => !sweep.isDone())
          )
          sweepRates.push(swept / result.took * 1000)
          return result.perSecond
        },
        [WITHOUT]: async () => (await app.refreshFor(ms, () => true)).perSecond
      }, { rounds })
      const refreshes = atLeast(
        RATE,
        `refreshes meanwhile, 64 at once, ${name}`,
        [DURING, WITHOUT],
        comparison,
        'a second'
      )
      const deleted = Math.round(median(sweepRates)).toLocaleString('en')

      return [row('p99', 'p99', P99), row('longest', 'longest', LONGEST), {
        ...refreshes,
        ours: `${refreshes.ours}, beside ${deleted} deleted`
      }]
    } finally {
      await app.close()
    }
  })
}
