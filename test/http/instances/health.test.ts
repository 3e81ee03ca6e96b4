import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'libsql'
import pg from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import type { Health, TokenAuthOptions, TokenStore } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { PostgresStore } from '../../../src/stores/postgres/index.js'
import { SqliteStore } from '../../../src/stores/sqlite/index.js'
import { createTestApp, PASSWORD, SECRET } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'

const MINUTE = 60_000

/** Options of an instance whose wall clock is ahead. */
function createClocks (ahead: number): Partial<TokenAuthOptions> {
  return { clock: { wall: () => Date.now() + ahead, monotonic: () => performance.now() } }
}

interface CapturedLogs {
  readonly lines: string[]
  write(line: string): void
}

function captureLogs (): CapturedLogs {
  const lines: string[] = []
  return { lines, write: line => lines.push(line) }
}

async function start (
  t: Test,
  store: TokenStore,
  options: Partial<TokenAuthOptions> = {}
): Promise<TestApp> {
  const test = await createTestApp({ store, options })
  t.teardown(() => test.app.close())
  return test
}

const getCodes = ({ reasons }: Health): string[] => reasons.map(({ code }) => code)

t.test('a healthy instance is ok, and its health has no secret', async t => {
  const { app, login } = await start(t, new MemoryStore(), createClocks(0))
  const tokens = await login()
  await app.tokenAuth.sweep()
  const health = await app.tokenAuth.health()
  t.match(health, {
    status: 'ok',
    reasons: [],
    acceptsTokens: true,
    store: { roundTrip: Number, failure: null, pendingRotations: null },
    revocations: { age: Number },
    clock: { isKnown: true, offset: Number },
    hashes: { running: 0, waiting: 0 },
    usage: { pending: Number, hasFailed: false },
    lastSweep: { deleted: 0, failed: false }
  })
  const json = JSON.stringify(health)

  for (const secret of [SECRET, PASSWORD, tokens.access_token, 'u-ann', '127.0.0.1']) {
    t.notOk(json.includes(secret))
  }
})

/** Store that works, except that the test defines how it finds a session. */
function createStore (find: TokenStore['find'], clock?: () => number): TokenStore {
  const memory = new MemoryStore(clock === undefined ? {} : { clock })

  return new Proxy<TokenStore>(memory, {
    get: (target, verb) => verb === 'find' ? find : Reflect.get(target, verb)?.bind(target)
  })
}

t.test('an instance whose database refuses connections is unavailable', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  const password = 'a-password-of-the-database'
  const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'postgres', password })
  t.teardown(() => pool.end())
  const postgres = new PostgresStore(pool)
  const store = createStore((realm, id) => postgres.find(realm, id))
  const logs = captureLogs()
  const test = await createTestApp({
    store,
    options: createClocks(0),
    fastify: { logger: { stream: logs } }
  })
  t.teardown(() => test.app.close())
  const health = await test.app.tokenAuth.health()
  t.match(health, {
    status: 'unavailable',
    reasons: [{ code: 'store-failed', message: /ECONNREFUSED/ }],
    acceptsTokens: true,
    store: { roundTrip: null, failure: /ECONNREFUSED/ }
  })
  t.notMatch(JSON.stringify(health), /a-password|127\.0\.0\.1|postgres/)
  t.notMatch(logs.lines.join(''), /ECONNREFUSED/, 'a probe logs nothing')
})

t.test('a store that does not respond within 800 ms counts as failed', async t => {
  const { app } = await start(t, createStore(() => new Promise(() => {})))
  const startedAt = performance.now()
  const health = await app.tokenAuth.health()
  const took = performance.now() - startedAt
  t.ok(took > 700, `${took} ms`)
  t.match(health, { status: 'unavailable', store: { failure: 'no response within 800 ms' } })
})

t.test('a slow store is degraded', async t => {
  const { app } = await start(t, createStore(() => sleep(300, null)))
  const health = await app.tokenAuth.health()
  t.match(health, { status: 'degraded', reasons: [{ code: 'store-slow' }], acceptsTokens: true })
  t.ok((health.store.roundTrip ?? 0) >= 290)
})

t.test('concurrent and repeated probes share one look-up per second', async t => {
  let lookups = 0
  const { app } = await start(
    t,
    createStore(async () => {
      lookups++
      await sleep(20)
      return null
    })
  )
  await Promise.all(Array.from({ length: 50 }, () => app.tokenAuth.health()))
  await app.tokenAuth.health()
  t.equal(lookups, 1)
  await sleep(1100)
  await app.tokenAuth.health()
  t.equal(lookups, 2)
})

t.test('a stalled feed is late, and stale after failAfter', async t => {
  const breakable = createBreakableStore(new MemoryStore())
  let monotonic = 1_000_000
  const { app, login, get } = await start(t, breakable.store, {
    clock: { wall: () => Date.now(), monotonic: () => monotonic },
    revocations: { failAfter: '30s', pollInterval: '50ms' }
  })
  const { access_token: token } = await login()
  breakable.break('throws', ['revocations'])
  monotonic += 10_000
  await sleep(150)
  const late = await app.tokenAuth.health()
  t.match(late, { status: 'degraded', acceptsTokens: true })
  t.ok(getCodes(late).includes('revocations-late'))
  t.ok((late.revocations?.age ?? 0) >= 10_000)
  t.equal((await get('/protected', token)).statusCode, 200)
  monotonic += 30_000
  await sleep(150)
  const stale = await app.tokenAuth.health()
  t.match(stale, { status: 'unavailable', acceptsTokens: false })
  t.ok(getCodes(stale).includes('revocations-stale'))
  t.equal((await get('/protected', token)).statusCode, 503)
})

for (const skew of [-MINUTE, MINUTE]) {
  t.test(`an instance whose clock is wrong by ${skew} ms is degraded`, async t => {
    const { app, events } = await start(t, new MemoryStore(), createClocks(skew))
    const { status, reasons, clock } = await app.tokenAuth.health()
    t.match({ status, reasons }, { status: 'degraded', reasons: [{ code: 'clock-skew' }] })
    t.ok(Math.abs((clock.offset ?? 0) + skew) < 1000)
    t.match(events, [{ name: 'clock-skew', source: 'instance', actor: 'plugin' }])
  })
}

t.test('an app with a single instance has no feed and no offset', async t => {
  const { app } = await start(t, new MemoryStore(), { revocations: false })
  t.match(await app.tokenAuth.health(), {
    status: 'ok',
    revocations: null,
    clock: { isKnown: true, offset: 0 }
  })
})

t.test('usage data and sweeps that fail are degraded', async t => {
  const breakable = createBreakableStore(new MemoryStore())
  const { app, login, get } = await start(t, breakable.store, {
    refreshToken: { grace: '20ms' }
  })
  const { access_token: token } = await login()
  breakable.break('throws', ['touch', 'sweep'])
  await get('/protected', token)
  await t.rejects(app.tokenAuth.sweep())
  await sleep(100)
  const health = await app.tokenAuth.health()
  t.strictSame(getCodes(health), ['usage-failed', 'sweep-failed'])
  t.match(health, { status: 'degraded', usage: { pending: 1 }, lastSweep: { failed: true } })
  breakable.break(null)
  await app.tokenAuth.sweep()
  t.match((await app.tokenAuth.health()).lastSweep, { failed: false })
})

t.test('rotations that wait for a SQL database are counted', async t => {
  const db = new Database(':memory:')
  t.teardown(() => {
    db.close()
  })
  const store = new SqliteStore(db)
  await store.migrate()
  const { app } = await start(t, store)
  t.equal((await app.tokenAuth.health()).store.pendingRotations, 0)
})
