import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { createSessionId } from '../../src/domain/session.js'
import { tokenAuth } from '../../src/index.js'
import { MysqlStore } from '../../src/stores/mysql/index.js'
import { PostgresStore } from '../../src/stores/postgres/index.js'
import { getShard, RedisKeys } from '../../src/stores/redis/keys.js'
import { RedisStore } from '../../src/stores/redis/index.js'
import type { IoredisClient } from '../../src/stores/redis/index.js'
import type { Revocation, TokenStore } from '../../src/stores/token-store.js'
import { SECRET } from '../helpers/app.js'
import { SECOND } from '../helpers/clock.js'
import { whyNoMysql } from '../helpers/databases/mysql.js'
import { whyNoRedis } from '../helpers/databases/redis.js'
import { createEmptyMysqlDatabase } from '../stores/mysql/mysql-helpers.js'
import { openDatabase } from '../stores/postgres/postgres-helpers.js'
import { connectRedisClients } from '../stores/redis/redis-helpers.js'

const REALM = 'members'
const COUNT = 100_000
const ROUND_TRIP = 2
const IDLE_TIME = 3 * SECOND
// A tenth of the limits for 1,000,000 revocations, and room for the rest of the process.
const MAX_HEAP = 15e6
const MAX_CPU = 2 * SECOND

/** Database with revocations. `calls` are round trips that the store has begun. */
interface Database {
  readonly store: TokenStore
  readonly calls: () => number
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function getHeap (): number {
  collectGarbage()
  collectGarbage()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Creates the entry with a number. */
type CreateEntry = (i: number) => Revocation

const logout: CreateEntry = i => ({
  realm: REALM,
  at: Date.now(),
  reason: 'logout',
  sessionId: createSessionId(Date.now() - SECOND),
  userId: `user ${i}`
})

const logoutOfUser: CreateEntry = i => ({
  realm: REALM,
  at: Date.now(),
  reason: 'revoked',
  userId: `user ${i}`,
  before: Date.now()
})

/** Returns entries as JSON, in batches of 10,000. */
function* createBatches (createEntry: CreateEntry): Generator<string[], void> {
  for (let start = 0; start < COUNT; start += 10_000) {
    yield Array.from({ length: 10_000 }, (_, i) => JSON.stringify(createEntry(start + i)))
  }
}

async function openPostgres (t: Test, createEntry: CreateEntry | null): Promise<Database> {
  const pool = (await openDatabase(t)).connect()

  for (const batch of createEntry === null ? [] : createBatches(createEntry)) {
    await pool.query(
      `INSERT INTO token_auth_revocations (entry)
      SELECT json_array_elements_text($1::json)`,
      [JSON.stringify(batch)]
    )
  }

  let calls = 0
  const store = new PostgresStore({
    async query (text, values) {
      calls++
      await sleep(ROUND_TRIP)
      return pool.query(text, values)
    }
  })
  return { store, calls: () => calls }
}

async function openMysql (t: Test): Promise<Database> {
  const pool = (await createEmptyMysqlDatabase(t)).connect()
  await new MysqlStore(pool).migrate()

  for (const batch of createBatches(logout)) {
    const rows = batch.map(entry => [Date.now(), entry])
    await pool.query('INSERT INTO token_auth_revocations (at, entry) VALUES ?', [rows])
  }

  let calls = 0

  // Calls of the pool and of its connections.
  const countCalls = <T extends object>(target: T): T =>
    new Proxy(target, {
      get (_target, property) {
        const value: unknown = Reflect.get(target, property)

        if (typeof value !== 'function') {
          return value
        }

        return async (...input: unknown[]) => {
          if (property === 'query' || property === 'execute') {
            calls++
            await sleep(ROUND_TRIP)
          }

          const result: unknown = await Reflect.apply(value, target, input)
          return property === 'getConnection' ? countCalls(result as object) : result
        }
      }
    })

  return { store: new MysqlStore(countCalls(pool)), calls: () => calls }
}

async function openRedis (t: Test): Promise<Database> {
  const { redis, newPrefix } = await connectRedisClients(t)
  const prefix = newPrefix()
  const keys = new RedisKeys(prefix)

  for (const batch of createBatches(logout)) {
    const pipeline = redis.pipeline()

    for (const entry of batch) {
      const { sessionId } = JSON.parse(entry) as { sessionId: string }
      pipeline.xadd(keys.feed(getShard(sessionId)), '*', 'e', entry)
    }

    await pipeline.exec()
  }

  let calls = 0
  const client = {
    async evalsha (...input: Parameters<typeof redis.evalsha>) {
      calls++
      await sleep(ROUND_TRIP)
      return redis.evalsha(...input)
    },
    async eval (...input: Parameters<typeof redis.eval>) {
      await sleep(ROUND_TRIP)
      return redis.eval(...input)
    }
  } as IoredisClient
  // A round trip has a script for each of 16 shards.
  return { store: new RedisStore(client, { prefix }), calls: () => calls / 16 }
}

/** Starts an app, and returns what the start took. */
async function start (t: Test, { store, calls }: Database) {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(tokenAuth, {
    name: REALM,
    secret: SECRET,
    store,
    sweep: false,
    users: { findByLogin: () => null, findById: id => ({ id }) }
  })
  const heap = getHeap()
  const [callsBefore, cpuBefore] = [calls(), process.cpuUsage()]
  await app.ready()
  const cpu = process.cpuUsage(cpuBefore)
  // A start that takes more than 5 s continues after `ready`.
  await app.tokenAuth.revokeUser('nobody')

  return {
    heap: getHeap() - heap,
    calls: calls() - callsBefore,
    cpu: (cpu.user + cpu.system) / 1000
  }
}

const databases = [
  ['PostgreSQL', false, (t: Test) => openPostgres(t, logout)],
  ['MySQL', await whyNoMysql(), openMysql],
  ['Redis', await whyNoRedis(), openRedis]
] as const

for (const [name, skip, open] of databases) {
  t.test(`${name}: an instance starts after a mass logout and then only polls`, {
    skip
  }, async t => {
    const database = await open(t)
    const { heap, calls, cpu } = await start(t, database)
    t.ok(cpu < MAX_CPU, `${cpu} ms of CPU`)
    t.ok(calls >= COUNT / 5000 && calls < 60, `${calls} round trips`)
    t.ok(heap < MAX_HEAP, `${heap} bytes`)
    const before = database.calls()
    await sleep(IDLE_TIME)
    const perSecond = (database.calls() - before) / (IDLE_TIME / SECOND)
    t.ok(perSecond > 0 && perSecond < 3, `${perSecond} round trips per second`)
  })
}

t.test('100,000 revoked users take less than 30 MB', async t => {
  const { heap } = await start(t, await openPostgres(t, logoutOfUser))
  t.ok(heap < 30e6, `${heap} bytes`)
})

t.test('a revocation of all users takes less than 5 MB', async t => {
  const database = await openPostgres(t, null)
  await database.store.revoke({ realm: REALM }, { at: Date.now(), reason: 'revoked' })
  const { heap } = await start(t, database)
  t.ok(heap < 5e6, `${heap} bytes`)
})
