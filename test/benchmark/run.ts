// `npx tsx test/benchmark/run.ts [GROUP ..]`: this package and its peers side by side, as a table with the limits that must
// be kept. All groups, where none is named. It ends with 1 where a limit is missed.
//
//   --rounds N    rounds that are counted (5)
//   --ms N        milliseconds that each is measured for in a round (2000)
//   --json FILE   writes the lines, the machine and the effort to that file
//   --smoke       one very short round, to see that all of it works; limits are shown and not judged
//
// Peers of the HTTP groups: npm ci --prefix test/benchmark/peers

import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import type { Benchmark, Effort, Row } from './rounds.js'
import { canPin } from './processes.js'
import { hasPeers } from './race.js'

interface Group {
  readonly load: () => Promise<Benchmark>
  /** Databases that it cannot do without, by their port on 127.0.0.1. */
  readonly needs?: Readonly<Record<string, number>>
}

const databases = { PostgreSQL: 5432, Redis: 6379 }

// Loaded when they are run: one group's modules must not weigh on another's figures.
const groups: Readonly<Record<string, Group>> = {
  protected: { load: async () => (await import('./http.js')).protectedRoute },
  'protected-key-pairs': { load: async () => (await import('./http.js')).protectedRouteByKeyPairs },
  'protected-many': { load: async () => (await import('./http.js')).protectedRouteManyTokens },
  refresh: { load: async () => (await import('./http.js')).refreshRoute },
  rotations: { load: async () => (await import('./stores.js')).rotations, needs: databases },
  memory: { load: async () => (await import('./memory.js')).memory },
  sweeps: { load: async () => (await import('./sweep.js')).sweeps, needs: databases },
  logins: { load: async () => (await import('./logins.js')).logins },
  start: { load: async () => (await import('./start.js')).start }
}

const { values: { rounds, ms, json, smoke }, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    ms: { type: 'string', default: '2000' },
    json: { type: 'string' },
    smoke: { type: 'boolean', default: false }
  }
})
const effort: Effort = smoke
  ? { rounds: 1, ms: 50 }
  : { rounds: count(rounds, 'rounds'), ms: count(ms, 'ms') }
const names = positionals.length === 0 ? Object.keys(groups) : positionals
const stray = names.find(name => !(name in groups))

if (stray !== undefined) {
  throw new Error(`There is no group ${stray}: there are ${Object.keys(groups).join(', ')}`)
}

const [{ model = 'unknown' } = {}] = cpus()
const machine = {
  cpu: model.trim(),
  cores: cpus().length,
  node: process.version,
  date: new Date().toISOString().slice(0, 10)
}
say(
  `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${machine.date}; ` +
    `${effort.rounds} rounds of ${effort.ms} ms${smoke ? ', too short to be judged' : ''}`
)

if (!canPin) {
  say(
    'Processes are not bound to cores (there is no taskset, or one core alone): figures are less steady.'
  )
}

if (!hasPeers) {
  say('Peers are not installed, their lines are left out: npm ci --prefix test/benchmark/peers')
}

const rows: Row[] = []
const broken: string[] = []
const skipped: string[] = []

for (const name of names) {
  const { load, needs = {} } = groups[name] as Group
  const missing = await missingOf(needs)

  if (missing.length > 0) {
    say(`${name} is left out: there is no ${missing.join(' and no ')} on 127.0.0.1`)
    skipped.push(name)
    continue
  }

  process.stderr.write(`${name}\n`)

  try {
    const benchmark = await load()
    rows.push(...await benchmark(effort))
  } catch (error) {
    say(`${name} has failed: ${error instanceof Error ? error.stack : String(error)}`)
    broken.push(name)
  }
}

say(`\n${table(rows)}\n`)

if (json !== undefined) {
  await writeFile(json, `${JSON.stringify({ machine, effort, rows, broken, skipped }, null, 2)}\n`)
}

const missed = smoke ? [] : rows.filter(({ isReached }) => !isReached)
const failed = missed.length + broken.length
say(
  `${rows.length - missed.length} passed, ${failed} failed${
    skipped.length > 0 ? `, ${skipped.length} skipped` : ''
  }`
)
// What a group leaves open must not keep this from ending.
process.exit(failed > 0 ? 1 : 0)

function table (lines: readonly Row[]): string {
  const cells = lines.map((
    { work, against, ours, theirs, ratio, limit, isReached }
  ) => [
    work,
    against,
    ours,
    theirs,
    ratio === null ? '' : `${ratio.toFixed(2)} x`,
    limit,
    smoke ? 'not judged' : isReached ? 'yes' : '**no**'
  ])
  const all = [
    ['work', 'against', 'ours', 'theirs', 'ratio', 'limit', 'reached'],
    Array.from({ length: 7 }, () => '---'),
    ...cells
  ]
  return all.map(line => `| ${line.join(' | ')} |`).join('\n')
}

async function missingOf (needs: Readonly<Record<string, number>>): Promise<string[]> {
  const missing: string[] = []

  for (const [name, port] of Object.entries(needs)) {
    if (!await listens(port)) {
      missing.push(name)
    }
  }

  return missing
}

async function listens (port: number): Promise<boolean> {
  return await new Promise(resolve => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => {
      resolve(true)
    }).once('error', () => {
      resolve(false)
    })
    socket.once('connect', () => {
      socket.destroy()
    })
  })
}

function count (text: string, name: string): number {
  const number = Number(text)

  if (!Number.isSafeInteger(number) || number < 1) {
    throw new Error(`--${name} must be a whole number from 1 on`)
  }

  return number
}

function say (line: string): void {
  process.stdout.write(`${line}\n`)
}
