import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { compare, createRatioRow, isSmokeRun, median } from '../comparison.js'
import type { ResultRow, RunSettings } from '../comparison.js'
import { startProcess } from '../processes.js'
import type { CallableProcess } from '../processes.js'
import { BASELINE_PATH, DATA_TO_DIGEST, FILE_TO_READ, LOGIN_PATH } from './shared.js'
import type {
  HashLoad,
  LoginLoad,
  LoginLoadResult,
  LoginServer,
  Probe,
  ProbeLatency
} from './shared.js'

/** Number of connections that log in continuously. */
const CONNECTIONS = 64

/** Logins before the measurement. At 80 per second, the code would not be compiled for minutes. */
const WARM_UP_LOGINS = 5000

/** Minimum time of a measurement, in milliseconds. A shorter one has too few logins for a rate. */
const MIN_TIME = 1000

/** Time until all connections log in, in milliseconds. */
const SETTLE_TIME = 700

/** Maximum latency of another route during logins, as a multiple of its latency without. */
const MAX_SLOWDOWN = 4

const UNIT = 'per second'

interface RouteProbe extends Probe {
  readonly work: string
  readonly quantile: keyof ProbeLatency
}

const probes: readonly RouteProbe[] = [
  {
    work: 'a protected route',
    quantile: 'p99',
    path: '/protected',
    expected: '{"userId":"{id}"}'
  },
  {
    work: 'a route that reads a file',
    quantile: 'p50',
    path: '/file',
    expected: readFileSync(FILE_TO_READ, 'utf8')
  },
  {
    work: 'a route that uses WebCrypto',
    quantile: 'p50',
    path: '/digest',
    expected: createHash('sha256').update(DATA_TO_DIGEST).digest('hex')
  }
]

type MeasureLoad = (
  load: Pick<LoginLoad, 'connections' | 'probes' | 'path'>
) => Promise<LoginLoadResult>

/**
 * Compares logins with argon2 alone, and other routes during logins with the same routes without.
 *
 * The server has one core and the load process has the other one. On one core, the plugin computes
 * one hash at a time. argon2 alone runs on the same core with the same concurrency.
 */
export async function measureLogins ({ rounds, ms }: RunSettings): Promise<ResultRow[]> {
  const settings = { rounds, ms: Math.max(ms, MIN_TIME) }
  const warmUpLogins = isSmokeRun({ ms }) ? 1 : WARM_UP_LOGINS
  const start = (file: string, core: 0 | 1): CallableProcess =>
    startProcess(new URL(file, import.meta.url), core)
  const limited = start('server-process.ts', 0)
  const unlimited = start('server-process.ts', 0)
  const argon2 = start('argon2-process.ts', 0)
  const loadProcess = start('load-process.ts', 1)

  try {
    const limitedServer = await limited.call<LoginServer>('start', { hasHashLimit: true })
    const unlimitedServer = await unlimited.call<LoginServer>('start', { hasHashLimit: false })
    const runLoad = (load: LoginLoad): Promise<LoginLoadResult> =>
      loadProcess.call<LoginLoadResult>('run', load)
    const createMeasure = (server: LoginServer): MeasureLoad => load =>
      runLoad({ server, ms: settings.ms, ...load })

    await assertRejections(limitedServer)
    const warmUp = { connections: 0, probes: [], ms: 0, warmUpLogins }
    await runLoad({ ...warmUp, server: limitedServer })
    await runLoad({ ...warmUp, server: limitedServer, path: BASELINE_PATH })
    await runLoad({ ...warmUp, server: unlimitedServer })
    const measureLimited = createMeasure(limitedServer)

    const rows = [
      ...await compareWithArgon2(settings, limited, limitedServer, argon2, measureLimited),
      ...await compareOtherRoutes(settings, measureLimited, createMeasure(unlimitedServer))
    ]
    await assertRejections(limitedServer)
    return rows
  } finally {
    await Promise.all(
      [limited, unlimited, argon2, loadProcess].map(async process => {
        await process.stop()
      })
    )
  }
}

async function compareWithArgon2 (
  { rounds, ms }: RunSettings,
  serverProcess: CallableProcess,
  { accounts }: LoginServer,
  argon2: CallableProcess,
  measure: MeasureLoad
): Promise<ResultRow[]> {
  const load = { connections: CONNECTIONS, probes: [] }
  const concurrency = await readHashConcurrency(serverProcess, measure)
  const ours = `${CONNECTIONS} connections that log in`
  const theirs = `argon2 alone, ${concurrency} concurrent`
  const baseline = 'a route that only verifies the hash'
  const comparison = await compare({
    [ours]: async () => (await measure(load)).loginsPerSecond as number,
    [baseline]: async () =>
      (await measure({ ...load, path: BASELINE_PATH })).loginsPerSecond as number,
    [theirs]: () => argon2.call<number>('verify', { accounts, concurrency, ms } satisfies HashLoad)
  }, { rounds })

  return [
    createRatioRow(0.95, 'login at saturation', [ours, theirs], comparison, UNIT),
    createRatioRow(null, 'login at saturation', [ours, baseline], comparison, UNIT)
  ]
}

/** Reads the number of concurrent hashes during logins, so that argon2 runs with the same one. */
async function readHashConcurrency (
  serverProcess: CallableProcess,
  measure: MeasureLoad
): Promise<number> {
  const load = measure({ connections: CONNECTIONS, probes: probes.slice(0, 1) })
  await sleep(SETTLE_TIME)
  const { running, waiting } = await serverProcess
    .call<{ running: number, waiting: number }>('readHashLoad')
  await load

  if (running === 0 || waiting === 0) {
    throw new Error(`Server is not saturated: ${running} hashes run, and ${waiting} wait`)
  }

  return running
}

async function compareOtherRoutes (
  { rounds }: RunSettings,
  measureLimited: MeasureLoad,
  measureUnlimited: MeasureLoad
): Promise<ResultRow[]> {
  const results = new Map<string, LoginLoadResult[]>()

  const createMeasure = (
    name: string,
    measure: MeasureLoad,
    connections: number
  ): () => Promise<number> => {
    const namedResults: LoginLoadResult[] = []
    results.set(name, namedResults)

    return async () => {
      const result = await measure({ connections, probes })
      namedResults.push(result)
      return result.loginsPerSecond ?? 0
    }
  }

  const duringLogins = `${CONNECTIONS} concurrent logins`
  const withoutLimit = `${CONNECTIONS} concurrent logins without a limit on hashes`
  const withoutLogins = 'no logins'
  const comparison = await compare({
    [duringLogins]: createMeasure(duringLogins, measureLimited, CONNECTIONS),
    [withoutLimit]: createMeasure(withoutLimit, measureUnlimited, CONNECTIONS),
    [withoutLogins]: createMeasure(withoutLogins, measureLimited, 0)
  }, { rounds })

  // The first round is the warm-up.
  const getLatencies = (name: string, probe: number, quantile: keyof ProbeLatency): number[] =>
    (results.get(name) ?? []).slice(1).map(result => result.probes[probe]?.[quantile] as number)

  const rows = probes.map(({ work, quantile }, probe): ResultRow => {
    const ours = getLatencies(duringLogins, probe, quantile)
    const theirs = getLatencies(withoutLogins, probe, quantile)
    const unlimited = formatLatency(getLatencies(withoutLimit, probe, quantile), quantile)
    const ratio = median(ours.map((latency, round) => latency / (theirs[round] as number)))

    return {
      work: `${work}, ${duringLogins}`,
      against: `the same without logins (without a limit on hashes: ${unlimited})`,
      ours: formatLatency(ours, quantile),
      theirs: formatLatency(theirs, quantile),
      ratio,
      limit: `at most ${MAX_SLOWDOWN}`,
      isReached: ratio <= MAX_SLOWDOWN
    }
  })

  return [
    ...rows,
    createRatioRow(0.95, 'logins meanwhile', [duringLogins, withoutLimit], comparison, UNIT)
  ]
}

function formatLatency (latencies: readonly number[], quantile: keyof ProbeLatency): string {
  return `${quantile} ${median(latencies).toFixed(2)} ms`
}

/** Asserts that the server rejects a wrong password, because a server that accepts all is fast. */
async function assertRejections ({ port, accounts }: LoginServer): Promise<void> {
  const url = `http://127.0.0.1:${port}`
  const wrongPassword = await fetch(url + LOGIN_PATH, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: accounts[0]?.username, password: 'a wrong password' })
  })
  const withoutToken = await fetch(`${url}/protected`)

  if (wrongPassword.status !== 401 || withoutToken.status !== 401) {
    throw new Error('Server accepts a wrong password or a request without a token')
  }
}
