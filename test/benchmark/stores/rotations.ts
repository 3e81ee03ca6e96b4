import type { TokenStore } from 'fastify-token-auth'
import { PostgresStore } from 'fastify-token-auth/postgres'
import { callInChildProcess } from '../child-process.js'
import { compare, createRatioRow, isSmokeRun, median } from '../comparison.js'
import type { ResultRow, RunSettings } from '../comparison.js'
import {
  createPostgresRotation,
  createRedisRotation,
  createSqliteRotation
} from './baseline-rotations.js'
import {
  databases,
  isConnectionError,
  openPostgres,
  openRedis,
  openSqlite,
  withDatabase
} from './databases.js'
import type { DatabaseName } from './databases.js'
import { createStoreRotation, RotationLoad } from './rotation-load.js'
import type { Rotate } from './rotation-load.js'
import { DAY, MANY_SESSIONS } from './seed.js'
import type { Seed } from './seed.js'

const FEW_SESSIONS = 10_000
const CONCURRENCY = 64
const WARM_UP_TIME = 15_000
const OURS = 'fastify-token-auth'
const UNIT = 'per second'

/** Compares rotations of the stores with hand-written ones, and small tables with large ones. */
export async function measureRotations (settings: RunSettings): Promise<ResultRow[]> {
  const rows: ResultRow[] = []

  for (const database of ['PostgreSQL', 'SQLite', 'Redis']) {
    rows.push(...await measureInChildProcess(`measure${database}`, database, [settings]))
  }

  for (const database of Object.keys(databases)) {
    rows.push(...await measureInChildProcess('measureTableSizes', database, [database, settings]))
  }

  return rows
}

async function measureInChildProcess (
  functionName: string,
  database: string,
  args: readonly unknown[]
): Promise<ResultRow[]> {
  try {
    return await callInChildProcess<ResultRow[]>(import.meta.url, functionName, args)
  } catch (error) {
    if (!isConnectionError(error)) {
      throw error
    }

    return [{
      work: `rotation, ${database}`,
      against: '',
      ours: 'database is not reachable',
      theirs: '',
      ratio: null,
      limit: '',
      isReached: false
    }]
  }
}

interface RotationCase {
  readonly work: string
  readonly baseline: string
  /** Minimum ratio, or `null` for a row without a limit. */
  readonly limit: number | null
  readonly concurrency: number
}

interface RotationSides {
  readonly load: RotationLoad
  readonly store: TokenStore
  readonly rotateBaseline: Rotate
}

/** Compares both sides on the same rows. @param withLatency Whether to add a row for the median. */
async function compareWithBaseline (
  { work, baseline, limit, concurrency }: RotationCase,
  { load, store, rotateBaseline }: RotationSides,
  { rounds, ms }: RunSettings,
  withLatency = false
): Promise<ResultRow[]> {
  const latencies = { ours: [] as number[], theirs: [] as number[] }

  const createMeasure = (rotate: Rotate, p50s: number[]) => async (): Promise<number> => {
    const { perSecond, p50 } = await load.run(rotate, { concurrency, ms })
    p50s.push(p50)
    return perSecond
  }

  const comparison = await compare({
    [OURS]: createMeasure(createStoreRotation(store), latencies.ours),
    [baseline]: createMeasure(rotateBaseline, latencies.theirs)
  }, { rounds })
  await load.assertSaved(store)
  const rateRow = createRatioRow(limit, work, [OURS, baseline], comparison, UNIT)

  if (!withLatency) {
    return [rateRow]
  }

  // The first round is the warm-up.
  const [ours, theirs] = [latencies.ours.slice(1), latencies.theirs.slice(1)]
  const ratio = median(ours.map((p50, i) => p50 / (theirs[i] as number)))

  return [rateRow, {
    work: `${work}, p50`,
    against: baseline,
    ours: `${median(ours).toFixed(2)} ms`,
    theirs: `${median(theirs).toFixed(2)} ms`,
    ratio,
    limit: 'at most 1',
    isReached: ratio <= 1
  }]
}

const createSeed = (count: number): Seed => ({ count, firstExpiry: Date.now() + 7 * DAY })

/** Compares rotations on PostgreSQL with a prepared UPDATE. */
export function measurePostgreSQL (settings: RunSettings): Promise<ResultRow[]> {
  return withDatabase(openPostgres, async ({ pool, store, seed }) => {
    for (const name of ['fsync', 'synchronous_commit']) {
      const { rows: [row] } = await pool.query<Record<string, string>>(`SHOW ${name}`)

      if (row?.[name] !== 'on') {
        throw new Error(`PostgreSQL runs with ${name} = ${row?.[name]}`)
      }
    }

    await seed(createSeed(FEW_SESSIONS))
    const rotateBaseline = createPostgresRotation(pool)
    const load = new RotationLoad(FEW_SESSIONS)
    const prepared = { load, store, rotateBaseline }
    const unprepared = { load, store: new PostgresStore(pool), rotateBaseline }
    const baseline = 'one prepared UPDATE each'
    const work = 'rotation, PostgreSQL with fsync'
    const unpreparedWork = `${work}, no prepared statements`

    return [
      ...await compareWithBaseline(
        {
          work: `${work}, ${CONCURRENCY} concurrent`,
          baseline,
          limit: 3,
          concurrency: CONCURRENCY
        },
        prepared,
        settings,
        true
      ),
      ...await compareWithBaseline(
        { work: `${work}, one at a time`, baseline, limit: 0.85, concurrency: 1 },
        prepared,
        settings
      ),
      ...await compareWithBaseline(
        {
          work: `${unpreparedWork}, ${CONCURRENCY} concurrent`,
          baseline,
          limit: null,
          concurrency: CONCURRENCY
        },
        unprepared,
        settings
      ),
      ...await compareWithBaseline(
        { work: `${unpreparedWork}, one at a time`, baseline, limit: null, concurrency: 1 },
        unprepared,
        settings
      )
    ]
  })
}

/** Compares rotations on SQLite with an UPDATE. */
export function measureSQLite (settings: RunSettings): Promise<ResultRow[]> {
  return withDatabase(openSqlite, async ({ db, store, seed }) => {
    await seed(createSeed(FEW_SESSIONS))
    const load = new RotationLoad(FEW_SESSIONS)
    const work = `rotation, SQLite synchronous=FULL, ${CONCURRENCY} concurrent`

    return compareWithBaseline(
      { work, baseline: 'one UPDATE each', limit: 4.5, concurrency: CONCURRENCY },
      { load, store, rotateBaseline: createSqliteRotation(db) },
      settings
    )
  })
}

/** Compares rotations on Redis with a Lua script. */
export function measureRedis (settings: RunSettings): Promise<ResultRow[]> {
  return withDatabase(openRedis, async ({ redis, prefix, store, seed }) => {
    await seed(createSeed(FEW_SESSIONS))
    const load = new RotationLoad(FEW_SESSIONS)
    const rotateBaseline = await createRedisRotation(redis, prefix)
    const work = `rotation, Redis, ${CONCURRENCY} concurrent`

    return compareWithBaseline(
      { work, baseline: 'one Lua call each', limit: 0.8, concurrency: CONCURRENCY },
      { load, store, rotateBaseline },
      settings
    )
  })
}

/** Compares rotations in a large table with rotations in a small one. */
export function measureTableSizes (
  name: DatabaseName,
  { rounds, ms }: RunSettings
): Promise<ResultRow[]> {
  return withDatabase(databases[name], small =>
    withDatabase(databases[name], async large => {
      const ours = `with ${MANY_SESSIONS.toLocaleString('en')}`
      const theirs = `with ${FEW_SESSIONS.toLocaleString('en')}`
      await small.seed(createSeed(FEW_SESSIONS))
      await large.seed(createSeed(MANY_SESSIONS))
      const smallLoad = new RotationLoad(FEW_SESSIONS)
      const largeLoad = new RotationLoad(MANY_SESSIONS)
      const rotateSmall = createStoreRotation(small.store)
      const rotateLarge = createStoreRotation(large.store)
      const run = { concurrency: CONCURRENCY, ms }

      // A server that has run for a while has the pages of its tables in caches.
      if (!isSmokeRun({ ms })) {
        await largeLoad.run(rotateLarge, { ...run, ms: WARM_UP_TIME })
      }

      const comparison = await compare({
        [ours]: async () => (await largeLoad.run(rotateLarge, run)).perSecond,
        [theirs]: async () => (await smallLoad.run(rotateSmall, run)).perSecond
      }, { rounds })
      await smallLoad.assertSaved(small.store)
      await largeLoad.assertSaved(large.store)
      const work = `rotation with ${MANY_SESSIONS.toLocaleString('en')} sessions, ${name}`
      return [createRatioRow(0.7, work, [ours, theirs], comparison, UNIT)]
    }))
}
