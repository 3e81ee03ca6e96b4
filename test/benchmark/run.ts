import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import type { BenchmarkGroup, ResultRow, RunSettings } from './comparison.js'
import { hasPeers } from './http/compare-servers.js'
import { canPinProcesses } from './processes.js'

interface GroupDefinition {
  /** Loads the group when it runs, so that modules of other groups do not affect its results. */
  readonly load: () => Promise<BenchmarkGroup>
  /** Database servers that the group requires, with their ports on 127.0.0.1. */
  readonly requires?: Readonly<Record<string, number>>
}

const databasePorts = { PostgreSQL: 5432, Redis: 6379 }

const groups: Readonly<Record<string, GroupDefinition>> = {
  protected: {
    load: async () => (await import('./http/routes.js')).measureProtectedRoute
  },
  'protected-key-pairs': {
    load: async () => (await import('./http/routes.js')).measureProtectedRouteWithKeyPairs
  },
  'protected-many': {
    load: async () => (await import('./http/routes.js')).measureProtectedRouteWithManyTokens
  },
  'verifier-sync': {
    load: async () => (await import('./http/routes.js')).measureVerifierSync
  },
  refresh: {
    load: async () => (await import('./http/routes.js')).measureRefreshRoute
  },
  rotations: {
    load: async () => (await import('./stores/rotations.js')).measureRotations,
    requires: databasePorts
  },
  memory: {
    load: async () => (await import('./stores/memory.js')).measureMemory
  },
  sweeps: {
    load: async () => (await import('./stores/sweeps.js')).measureSweeps,
    requires: databasePorts
  },
  logins: {
    load: async () => (await import('./logins/logins.js')).measureLogins
  },
  start: {
    load: async () => (await import('./startup/startup.js')).measureStartup
  }
}

const usage = `
Compares this package with other packages, and prints a table with limits.

  npx tsx test/benchmark/run.ts [group ...] [options]

Groups: ${Object.keys(groups).join(', ')}. Without a group, all of them run.

  --rounds N    number of counted rounds (5)
  --ms N        milliseconds of each measurement (2000)
  --json FILE   writes the results to a file
  --smoke       runs one very short round, and ignores the limits
  --help        prints this text

The exit code is 1 if a limit is missed. The other packages are installed separately:

  npm ci --prefix test/benchmark/peers
`

const { values: { rounds, ms, json, smoke, help }, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    ms: { type: 'string', default: '2000' },
    json: { type: 'string' },
    smoke: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false }
  }
})

if (help) {
  console.log(usage)
  process.exit()
}

const settings: RunSettings = smoke
  ? { rounds: 1, ms: 50 }
  : { rounds: parseCount(rounds, 'rounds'), ms: parseCount(ms, 'ms') }
const names = positionals.length === 0 ? Object.keys(groups) : positionals
const unknownName = names.find(name => !(name in groups))

if (unknownName !== undefined) {
  throw new Error(
    `unknown group "${unknownName}"; valid groups: ${Object.keys(groups).join(', ')}`
  )
}

const [{ model = 'unknown' } = {}] = cpus()
const machine = {
  cpu: model.trim(),
  cores: cpus().length,
  node: process.version,
  date: new Date().toISOString().slice(0, 10)
}
console.log(
  `${machine.cpu}, ${machine.cores} cores, Node.js ${machine.node}, ${machine.date}; ` +
    `${settings.rounds} rounds of ${settings.ms} ms${smoke ? ', limits are ignored' : ''}`
)

if (!canPinProcesses) {
  console.log('Processes are not bound to cores, so that results vary more.')
}

if (!hasPeers) {
  console.log('Peers are not installed. Run: npm ci --prefix test/benchmark/peers')
}

const rows: ResultRow[] = []
const failedGroups: string[] = []
const skippedGroups: string[] = []

for (const name of names) {
  const { load, requires = {} } = groups[name] as GroupDefinition
  const missing = await findMissingServers(requires)

  if (missing.length > 0) {
    console.log(`Skipped ${name}: no ${missing.join(' and no ')} on 127.0.0.1`)
    skippedGroups.push(name)
    continue
  }

  process.stderr.write(`${name}\n`)

  try {
    const measureGroup = await load()
    rows.push(...await measureGroup(settings))
  } catch (error) {
    console.log(`${name} failed: ${error instanceof Error ? error.stack : String(error)}`)
    failedGroups.push(name)
  }
}

console.log(`\n${formatTable(rows)}\n`)

if (json !== undefined) {
  const results = { machine, settings, rows, failedGroups, skippedGroups }
  await writeFile(json, `${JSON.stringify(results, null, 2)}\n`)
}

const missedRows = smoke ? [] : rows.filter(({ isReached }) => !isReached)
const failures = missedRows.length + failedGroups.length
const skips = skippedGroups.length > 0 ? `, ${skippedGroups.length} skipped` : ''
console.log(`${rows.length - missedRows.length} passed, ${failures} failed${skips}`)
// Open handles of a group must not keep this process alive.
process.exit(failures > 0 ? 1 : 0)

function formatTable (rows: readonly ResultRow[]): string {
  const lines = [
    ['work', 'against', 'ours', 'theirs', 'ratio', 'limit', 'reached'],
    Array.from({ length: 7 }, () => '---'),
    ...rows.map(({ work, against, ours, theirs, ratio, limit, isReached }) => [
      work,
      against,
      ours,
      theirs,
      ratio === null ? '' : `${ratio.toFixed(2)} x`,
      limit,
      smoke ? 'ignored' : isReached ? 'yes' : '**no**'
    ])
  ]
  return lines.map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

async function findMissingServers (
  requires: Readonly<Record<string, number>>
): Promise<string[]> {
  const missing: string[] = []

  for (const [name, port] of Object.entries(requires)) {
    if (!await isListening(port)) {
      missing.push(name)
    }
  }

  return missing
}

async function isListening (port: number): Promise<boolean> {
  return await new Promise(resolve => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => {
      resolve(true)
      socket.destroy()
    })
    socket.once('error', () => {
      resolve(false)
    })
  })
}

function parseCount (value: string, name: string): number {
  const count = Number(value)

  if (!Number.isSafeInteger(count) || count < 1) {
    throw new Error(`"--${name}" must be a positive integer`)
  }

  return count
}
