// Rotations by our stores against the same compare and swap by hand, and with a hundred times as many sessions.
//
// Everybody of a comparison works on the same rows, through the same connections, and each rotation is checked to have happened.

import type { TokenStore } from 'fastify-token-auth'
import { PostgresStore } from 'fastify-token-auth/postgres'
import { bareScript, preparedUpdate, sqliteUpdate } from './bare-rotations.js'
import { callInChild } from './child.js'
import { databases, isUnreachable, on, openPostgres, openRedis, openSqlite } from './databases.js'
import type { DatabaseName } from './databases.js'
import { DAY, MANY } from './fill.js'
import { Fleet, rotateBy } from './rotating.js'
import type { Rotate } from './rotating.js'
import { atLeast, compare, isBrief, median } from './rounds.js'
import type { Benchmark, Effort, Row } from './rounds.js'

const FEW = 10_000
const MANY_AT_ONCE = 64
/** Milliseconds. */
const WARM_UP = 15_000
const OURS = 'fastify-token-auth'

export const rotations: Benchmark = async effort => {
  const rows: Row[] = []

  for (const measure of ['onPostgres', 'onSqlite', 'onRedis']) {
    rows.push(...await measured(measure, measure.slice(2), effort))
  }

  for (const name of Object.keys(databases)) {
    rows.push(...await measured('byCount', name, name, effort))
  }

  return rows
}

async function measured (name: string, database: string, ...values: unknown[]): Promise<Row[]> {
  try {
    return await callInChild<Row[]>(import.meta.url, name, values)
  } catch (error) {
    if (!isUnreachable(error)) {
      throw error
    }

    return [{
      work: `rotation, ${database}`,
      against: '',
      ours: 'no server answers',
      theirs: '',
      ratio: null,
      limit: '',
      isReached: false
    }]
  }
}

interface Work {
  readonly work: string
  readonly bare: string
  /** `null` where it is only to be seen. */
  readonly limit: number | null
  readonly atOnce: number
}

interface Sides {
  readonly fleet: Fleet
  readonly store: TokenStore
  readonly bare: Rotate
}

/** @param withLatency Whether a line more says how long half of the rotations took at most. */
async function against (
  { work, bare, limit, atOnce }: Work,
  sides: Sides,
  { rounds, ms }: Effort,
  withLatency = false
): Promise<Row[]> {
  const p50s = { ours: [] as number[], theirs: [] as number[] }

  const contestant = (rotate: Rotate, latencies: number[]) => async (): Promise<number> => {
    const { perSecond, p50 } = await sides.fleet.run(rotate, { atOnce, ms })
    latencies.push(p50)
    return perSecond
  }

  const comparison = await compare({
    [OURS]: contestant(rotateBy(sides.store), p50s.ours),
    [bare]: contestant(sides.bare, p50s.theirs)
  }, { rounds })
  await sides.fleet.check(sides.store)
  const rate = atLeast(limit, work, [OURS, bare], comparison, 'a second')

  if (!withLatency) {
    return [rate]
  }

  // Without those of the round that warmed up.
  const [ours, theirs] = [p50s.ours.slice(1), p50s.theirs.slice(1)]
  const ratio = median(ours.map((p50, i) => p50 / (theirs[i] as number)))

  return [rate, {
    work: `${work}, p50`,
    against: bare,
    ours: `${median(ours).toFixed(2)} ms`,
    theirs: `${median(theirs).toFixed(2)} ms`,
    ratio,
    limit: 'at most 1',
    isReached: ratio <= 1
  }]
}

const living = (count: number): { count: number, endsFrom: number } => ({
  count,
  endsFrom: Date.now() + 7 * DAY
})

export function onPostgres (effort: Effort): Promise<Row[]> {
  return on(openPostgres, async database => {
    const { pool, store } = database

    for (const setting of ['fsync', 'synchronous_commit']) {
      const { rows: [row] } = await pool.query<Record<string, string>>(`SHOW ${setting}`)

      if (row?.[setting] !== 'on') {
        throw new Error(`PostgreSQL runs with ${setting} = ${row?.[setting]}`)
      }
    }

    await database.fill(living(FEW))
    const sides = { fleet: new Fleet(FEW), store, bare: preparedUpdate(pool) }
    const bare = 'one prepared UPDATE each'
    const work = 'rotation, PostgreSQL with fsync'
    const unprepared = { ...sides, store: new PostgresStore(pool) }

    return [
      ...await against(
        { work: `${work}, ${MANY_AT_ONCE} at once`, bare, limit: 3, atOnce: MANY_AT_ONCE },
        sides,
        effort,
        true
      ),
      ...await against(
        { work: `${work}, 1 at a time`, bare, limit: 0.85, atOnce: 1 },
        sides,
        effort
      ),
      ...await against(
        {
          work: `${work}, nothing prepared, ${MANY_AT_ONCE} at once`,
          bare,
          limit: null,
          atOnce: MANY_AT_ONCE
        },
        unprepared,
        effort
      ),
      ...await against(
        { work: `${work}, nothing prepared, 1 at a time`, bare, limit: null, atOnce: 1 },
        unprepared,
        effort
      )
    ]
  })
}

export function onSqlite (effort: Effort): Promise<Row[]> {
  return on(openSqlite, async database => {
    await database.fill(living(FEW))
    const sides = { fleet: new Fleet(FEW), store: database.store, bare: sqliteUpdate(database.db) }
    const work = `rotation, SQLite synchronous=FULL, ${MANY_AT_ONCE} at once`

    return against(
      { work, bare: 'one UPDATE each', limit: 10, atOnce: MANY_AT_ONCE },
      sides,
      effort
    )
  })
}

export function onRedis (effort: Effort): Promise<Row[]> {
  return on(openRedis, async database => {
    await database.fill(living(FEW))
    const bare = await bareScript(database.redis, database.prefix)
    const sides = { fleet: new Fleet(FEW), store: database.store, bare }
    const work = `rotation, Redis, ${MANY_AT_ONCE} at once`

    return against(
      { work, bare: 'the bare Lua call', limit: 0.8, atOnce: MANY_AT_ONCE },
      sides,
      effort
    )
  })
}

export function byCount (name: DatabaseName, { rounds, ms }: Effort): Promise<Row[]> {
  return on(databases[name], few =>
    on(databases[name], async many => {
      const [ours, theirs] = [
        `with ${MANY.toLocaleString('en')}`,
        `with ${FEW.toLocaleString('en')}`
      ]
      await few.fill(living(FEW))
      await many.fill(living(MANY))
      const fleets = { few: new Fleet(FEW), many: new Fleet(MANY) }
      const load = { atOnce: MANY_AT_ONCE, ms }

      // A round meets pages that nobody has touched yet, in a cache or a log; a server that has run for a while knows them.
      if (!isBrief({ ms })) {
        await fleets.many.run(rotateBy(many.store), { ...load, ms: WARM_UP })
      }

      const comparison = await compare({
        [ours]: async () => (await fleets.many.run(rotateBy(many.store), load)).perSecond,
        [theirs]: async () => (await fleets.few.run(rotateBy(few.store), load)).perSecond
      }, { rounds })
      await fleets.few.check(few.store)
      await fleets.many.check(many.store)
      const work = `rotation with ${MANY.toLocaleString('en')} sessions, ${name}`
      return [atLeast(0.7, work, [ours, theirs], comparison, 'a second')]
    }))
}
