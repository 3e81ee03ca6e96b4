import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { compare, median } from '../comparison.js'
import type { ResultRow, RunSettings } from '../comparison.js'

/** Milliseconds that the plugin may add to a start. */
const MAX_ADDED_TIME = 60

/** Starts per round. Their median counts, because a start is short and easily disturbed. */
const STARTS_PER_ROUND = 10

/** Packages that an app with a secret loads at its first login, or never. */
const lazyPackages = [
  'jose',
  '@fastify/jwt',
  'fast-jwt',
  '@node-rs/argon2',
  '@node-rs/bcrypt',
  'pg',
  'postgres',
  'mysql2',
  'ioredis',
  'redis',
  'libsql',
  'better-sqlite3'
]

const packageNamePattern = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*\/node_modules\/)/

/** Measures the time that the plugin adds to a start, and the packages that it loads. */
export async function measureStartup ({ rounds }: RunSettings): Promise<ResultRow[]> {
  const ours = 'start with the plugin'
  const theirs = 'fastify alone'
  const comparison = await compare({
    [ours]: () => measureTime('with-plugin'),
    [theirs]: () => measureTime('without-plugin')
  }, { rounds })
  const addedTime = median(
    comparison.rounds.map(round => (round[ours] as number) - (round[theirs] as number))
  )
  const format = (name: string): string => `${Math.round(comparison.medians[name] as number)} ms`

  return [{
    work: ours,
    against: theirs,
    ours: `${format(ours)} (+ ${Math.round(addedTime)} ms)`,
    theirs: format(theirs),
    ratio: comparison.getRatio(ours, theirs),
    limit: `at most + ${MAX_ADDED_TIME} ms`,
    isReached: addedTime <= MAX_ADDED_TIME
  }, await measureLoadedPackages()]
}

async function measureLoadedPackages (): Promise<ResultRow> {
  const withoutPlugin = await readPackages('without-plugin', 200)
  const withPlugin = await readPackages('with-plugin', 401)
  const times = new Map<string, number>()

  for (const name of [...withPlugin].filter(name => !withoutPlugin.has(name)).sort()) {
    times.set(name, await measureTime(name))
  }

  const isLazy = (name: string): boolean =>
    lazyPackages.some(lazyName => name === lazyName || name.startsWith(`${lazyName}-`))
  const tooEarly = [...times.keys()].filter(isLazy)
  const needed = [...times.keys()].filter(name => !isLazy(name))
  const format = (names: readonly string[]): string =>
    names.map(name => `${name} ${Math.round(times.get(name) as number)} ms`).join(', ') || 'none'

  return {
    work: 'packages that a start loads without using them',
    against: 'fastify alone',
    ours: format(tooEarly),
    theirs: `needed: ${format(needed)}`,
    ratio: null,
    limit: 'none',
    isReached: tooEarly.length === 0
  }
}

async function readPackages (target: string, expectedStatus: number): Promise<Set<string>> {
  const { urls, status } = await runProcess(target, '--list') as { urls: string[], status: number }

  if (status !== expectedStatus) {
    throw new Error(`App responded with ${status} instead of ${expectedStatus}`)
  }

  return new Set(urls.flatMap(url => packageNamePattern.exec(url)?.[1] ?? []))
}

async function measureTime (target: string): Promise<number> {
  const times: number[] = []

  for (let count = 0; count < STARTS_PER_ROUND; count++) {
    times.push((await runProcess(target) as { ms: number }).ms)
  }

  return median(times)
}

function runProcess (...args: readonly string[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const script = fileURLToPath(new URL('startup-process.js', import.meta.url))
    // Without the options of this process, so that it does not load the TypeScript compiler.
    const child = fork(script, args, { execArgv: [] })
    let result: unknown
    child.once('message', message => {
      result = message
    })
    child.once('error', reject)
    child.once('exit', code => {
      if (result === undefined || code !== 0) {
        reject(new Error(`startup-process.js ${args.join(' ')} failed`))
      } else {
        resolve(result)
      }
    })
  })
}
