// Logins at saturation against argon2 alone, and what they do to the other routes of the same process.
//
// The server has one core, the load generator the other. On one core the package hashes one password at a time; argon2 alone runs
// on the same core, as many at once. Where processes cannot be pinned, both have every core and compete with the load generator.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { startProcess } from './logins-process.js'
import type { BenchmarkProcess } from './logins-process.js'
import { barePath, digested, fileRead, loginPath } from './logins-routes.js'
import type {
  Account,
  HashOrder,
  LoadOrder,
  LoadResult,
  Probe,
  ServerReady
} from './logins-routes.js'
import { atLeast, compare, median } from './rounds.js'
import type { Benchmark, Effort, Row } from './rounds.js'

const IN_FLIGHT = 64

/** Logins that a server has seen before it is measured. At 80 a second, its code would not be compiled for minutes. */
const WARM_UP = 5000

/** How many times as long another route may take while logins are in flight. */
const MOST = 4

type Quantile = 'p50' | 'p99'

const routes: ReadonlyArray<Probe & { readonly work: string, readonly quantile: Quantile }> = [
  { work: 'a protected route', quantile: 'p99', path: '/protected', expected: '{"hello":"{id}"}' },
  {
    work: 'a route that reads a file',
    quantile: 'p50',
    path: '/file',
    expected: readFileSync(fileRead, 'utf8')
  },
  {
    work: 'a route that uses WebCrypto',
    quantile: 'p50',
    path: '/digest',
    expected: createHash('sha256').update(digested).digest('hex')
  }
]

/** Who measures: the load generator, against one of the servers. */
type Measure = (order: Pick<LoadOrder, 'logins' | 'probes' | 'path'>) => Promise<LoadResult>

export const logins: Benchmark = async effort => {
  const processes: BenchmarkProcess[] = []

  const start = async (...args: Parameters<typeof startProcess>): Promise<BenchmarkProcess> => {
    const started = await startProcess(...args)
    processes.push(started)
    return started
  }

  try {
    const server = await start('logins-server.ts', 0)
    const unlimited = await start('logins-server.ts', 0, ['--no-limit'])
    const hashes = await start('logins-hashes.ts', 0)
    const load = await start('logins-load.ts', 1)
    const measuring = ({ ready }: BenchmarkProcess): Measure => order =>
      load.ask(
        { ...(ready as ServerReady), ms: effort.ms, ...order } satisfies LoadOrder
      ) as Promise<LoadResult>

    await expectRefusals(server.ready as ServerReady)

    for (
      const [one, path] of [[server, loginPath], [server, barePath], [
        unlimited,
        loginPath
      ]] as const
    ) {
      await load.ask(
        {
          ...(one.ready as ServerReady),
          path,
          logins: 0,
          probes: [],
          ms: 0,
          warmUp: WARM_UP
        } satisfies LoadOrder
      )
    }

    const rows = [
      ...await againstArgon2(effort, server, hashes, measuring(server)),
      ...await amongOtherRoutes(effort, measuring(server), measuring(unlimited))
    ]
    await expectRefusals(server.ready as ServerReady)
    return rows
  } finally {
    for (const process of processes) {
      process.stop()
    }
  }
}

async function againstArgon2 (
  { rounds, ms }: Effort,
  server: BenchmarkProcess,
  hashes: BenchmarkProcess,
  measure: Measure
): Promise<Row[]> {
  const storm = { logins: IN_FLIGHT, probes: [] }
  const { accounts } = server.ready as { accounts: readonly Account[] }
  const atOnce = await hashesAtOnce(server, measure)
  const ours = `${IN_FLIGHT} connections that log in`
  const theirs = `argon2 verify alone, ${atOnce} at once`
  const bare = 'a route that checks the same hash, and nothing else'
  const comparison = await compare({
    [ours]: async () => (await measure(storm)).logins as number,
    [bare]: async () => (await measure({ ...storm, path: barePath })).logins as number,
    [theirs]: async () => {
      const { rate } = await hashes.ask({ accounts, atOnce, ms } satisfies HashOrder) as {
        rate: number
      }
      return rate
    }
  }, { rounds })

  return [
    atLeast(0.95, 'login at saturation', [ours, theirs], comparison, 'a second'),
    atLeast(null, 'login at saturation', [ours, bare], comparison, 'a second')
  ]
}

// The limit is asked for, not computed anew: the peer has the one that the package has in that process.
async function hashesAtOnce (server: BenchmarkProcess, measure: Measure): Promise<number> {
  const storm = measure({ logins: IN_FLIGHT, probes: routes.slice(0, 1) })
  await new Promise(resolve => {
    setTimeout(resolve, 700)
  })
  const { running, waiting } = await server.ask({}) as { running: number, waiting: number }
  await storm

  if (running === 0 || waiting === 0) {
    throw new Error(`No storm: ${running} hashes ran, and ${waiting} waited`)
  }

  return running
}

async function amongOtherRoutes (
  { rounds }: Effort,
  limited: Measure,
  unlimited: Measure
): Promise<Row[]> {
  const results: Record<string, LoadResult[]> = {}

  const keep = (name: string, measure: Measure, logins: number) => async (): Promise<number> => {
    const result = await measure({ logins, probes: routes })
    const all = results[name] ??= []
    all.push(result)
    return result.logins ?? 0
  }

  const during = `${IN_FLIGHT} logins in flight`
  const withoutLimit = `${IN_FLIGHT} logins in flight, no limit on hashing at once`
  const comparison = await compare({
    [during]: keep(during, limited, IN_FLIGHT),
    [withoutLimit]: keep(withoutLimit, unlimited, IN_FLIGHT),
    'no logins': keep('no logins', limited, 0)
  }, { rounds })
  // All but the first round, which warms up.
  const of = (name: string, route: number, quantile: Quantile): number[] =>
    (results[name] as LoadResult[]).slice(1).map(result =>
      result.probes[route]?.[quantile] as number
    )
  const rows = routes.map(({ work, quantile }, place): Row => {
    const [ours, theirs] = [of(during, place, quantile), of('no logins', place, quantile)]
    const ratio = median(ours.map((time, round) => time / (theirs[round] as number)))

    return {
      work: `${work}, ${during}`,
      against: `the same without (with no limit on hashing: ${
        show(of(withoutLimit, place, quantile), quantile)
      })`,
      ours: show(ours, quantile),
      theirs: show(theirs, quantile),
      ratio,
      limit: `at most ${MOST}`,
      isReached: ratio <= MOST
    }
  })

  return [
    ...rows,
    atLeast(0.95, 'logins meanwhile', [during, withoutLimit], comparison, 'a second')
  ]
}

function show (times: readonly number[], quantile: Quantile): string {
  return `${quantile} ${median(times).toFixed(2)} ms`
}

/** A server that lets everybody in would be fast. */
async function expectRefusals ({ port, accounts }: ServerReady): Promise<void> {
  const base = `http://127.0.0.1:${port}`
  const wrong = await fetch(`${base}${loginPath}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: accounts[0]?.username, password: 'a wrong password' })
  })
  const unknown = await fetch(`${base}/protected`)

  if (wrong.status !== 401 || unknown.status !== 401) {
    throw new Error('Who must be refused is let in')
  }
}
