// How much longer an app takes to start with the plugin than without, each time in a new process, and what is loaded for it.

import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { compare, median } from './rounds.js'
import type { Benchmark, Row } from './rounds.js'

/** Milliseconds that the plugin may add. */
const MOST = 60

/** Starts in a round, of which the median counts: they are short, and one is easily disturbed. */
const STARTS = 10

/** What an app with a secret needs at its first login, or never. */
const heavy = [
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

const packages = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*\/node_modules\/)/

export const start: Benchmark = async ({ rounds }) => {
  const ours = 'import and start with the plugin'
  const theirs = 'fastify alone'
  const comparison = await compare({
    [ours]: () => startOften('plugin'),
    [theirs]: () => startOften('alone')
  }, { rounds })
  const more = median(
    comparison.rounds.map(round => (round[ours] as number) - (round[theirs] as number))
  )
  const show = (name: string): string => `${Math.round(comparison.medians[name] as number)} ms`

  return [{
    work: ours,
    against: theirs,
    ours: `${show(ours)} (+ ${Math.round(more)} ms)`,
    theirs: show(theirs),
    ratio: comparison.ratio(ours, theirs),
    limit: `at most + ${MOST} ms`,
    isReached: more <= MOST
  }, await loadedBeforeUse()]
}

/** The packages that the plugin brings into a process that has only started, and how long each takes by itself. */
export async function addedPackages (): Promise<ReadonlyMap<string, number>> {
  const [alone, plugin] = [await packagesOf('alone', 200), await packagesOf('plugin', 401)]
  const added = [...plugin].filter(name => !alone.has(name)).sort()
  const times = new Map<string, number>()

  for (const name of added) {
    times.set(name, await startOften(name))
  }

  return times
}

async function loadedBeforeUse (): Promise<Row> {
  const added = await addedPackages()
  const found = [...added.keys()].filter(name =>
    heavy.some(one => name === one || name.startsWith(`${one}-`))
  )
  const show = (names: readonly string[]): string =>
    names.map(name => `${name} ${Math.round(added.get(name) as number)} ms`).join(', ') || 'nothing'

  return {
    work: 'loaded by a start, and not used yet',
    against: 'fastify alone',
    ours: show(found),
    theirs: `needed: ${show([...added.keys()].filter(name => !found.includes(name)))}`,
    ratio: null,
    limit: 'nothing heavy',
    isReached: found.length === 0
  }
}

async function packagesOf (what: string, expected: number): Promise<Set<string>> {
  const { urls, refusal } = await run(what, '--list') as { urls: string[], refusal: number }

  if (refusal !== expected) {
    throw new Error(`The app that was started answered ${refusal}, not ${expected}`)
  }

  return new Set(urls.flatMap(url => packages.exec(url)?.[1] ?? []))
}

async function startOften (what: string): Promise<number> {
  const times: number[] = []

  for (let count = 0; count < STARTS; count++) {
    times.push((await run(what) as { ms: number }).ms)
  }

  return median(times)
}

function run (...args: readonly string[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    // None of our own flags: what compiles this file is not to be loaded in there.
    const child = fork(fileURLToPath(new URL('start-process.js', import.meta.url)), args, {
      execArgv: []
    })
    let answer: unknown
    child.once('message', message => {
      answer = message
    })
    child.once('error', reject)
    child.once('exit', code => {
      if (answer === undefined || code !== 0) {
        reject(new Error(`A start of ${args.join(' ')} has failed`))
      } else {
        resolve(answer)
      }
    })
  })
}
