import t from 'tap'
import { makeSession, NOW, REALM, saveSession } from '../../src/stores/conformance/harness.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { MysqlStore } from '../../src/stores/mysql/index.js'
import { PostgresStore } from '../../src/stores/postgres/index.js'
import { statements } from '../../src/stores/postgres/statements.js'
import { RedisStore } from '../../src/stores/redis/index.js'
import { columns } from '../../src/stores/sql/rows.js'
import type { TokenStore } from '../../src/stores/token-store.js'
import { whyNoMysql } from '../helpers/databases/mysql.js'
import { hooked, whyNoRedis } from '../helpers/databases/redis.js'
import { createEmptyMysqlDatabase } from './mysql/mysql-helpers.js'
import { countRowsRead, openDatabase } from './postgres/postgres-helpers.js'
import { connectRedisClients } from './redis/redis-helpers.js'

const COUNT = 2000
const PAGE = { now: NOW + 1, limit: 10 }
const REVOKED = { revokedAt: NOW, revokedFor: 'logout' } as const
const ended = 'ended by the realm'
/** Realm and user of each list, and the number of sessions that it returns. */
const LISTS = [[REALM, 'many', 10], [REALM, 'revoked', 5], [ended, 'many', 5]] as const

/** Saves 2,000 sessions of each kind, and 5 later ones that are live. */
async function fill (
  store: TokenStore,
  copy: (id: string) => Promise<unknown>
): Promise<void> {
  const many = { createdAt: NOW - 1 }
  await copy((await saveSession(store, { userId: 'many', ...many })).id)
  await copy((await saveSession(store, { userId: 'revoked', ...many, ...REVOKED })).id)
  await copy((await saveSession(store, { userId: 'many', realm: ended, ...many })).id)
  await store.revoke({ realm: ended }, { at: NOW - 1, reason: 'revoked' })

  for (let i = 0; i < 5; i++) {
    await saveSession(store, { userId: 'revoked' })
    await saveSession(store, { userId: 'many', realm: ended })
  }
}

/** Returns a statement that copies the session with an ID. `numbers` is a table with a column n. */
function copyStatement (numbers: string, id: string): string {
  const others = columns.slice(1).join(', ')

  return `INSERT INTO token_auth_sessions (id, ${others})
    SELECT CONCAT(id, n), ${others} FROM token_auth_sessions, ${numbers} WHERE id = '${id}'`
}

async function createMany (store: TokenStore, id: string): Promise<void> {
  const { id: _, ...session } = await store.find(REALM, id) ??
    await store.find(ended, id) ?? makeSession()

  await Promise.all(
    Array.from({ length: COUNT }, (_, i) => store.create({ ...session, id: `${id}${i}` }))
  )
}

t.test('PostgreSQL reads as many sessions as the page of a list has', async t => {
  const pool = (await openDatabase(t)).connect()
  const store = new PostgresStore(pool)
  await fill(store, id => pool.query(copyStatement(`generate_series(1, ${COUNT}) AS n`, id)))
  await pool.query('ANALYZE token_auth_sessions')

  for (const [realm, userId, length] of LISTS) {
    t.equal((await store.list(realm, userId, PAGE)).length, length)

    for (const mode of ['force_custom_plan', 'force_generic_plan']) {
      const rows = await countRowsRead(pool, mode, {
        table: 'token_auth_sessions',
        text: statements.list,
        values: [realm, userId, PAGE.now, PAGE.limit]
      })
      t.equal(rows, length, `${realm}, ${userId}, ${mode}`)
    }
  }
})

t.test('MySQL reads as many sessions as the page of a list has', {
  skip: await whyNoMysql()
}, async t => {
  const pool = (await createEmptyMysqlDatabase(t)).connect({ connectionLimit: 1 })
  const store = new MysqlStore(pool)
  await store.migrate()
  const numbers = JSON.stringify(Array.from({ length: COUNT }, (_, i) => i))
  const table = `JSON_TABLE('${numbers}', '$[*]' COLUMNS (n INT PATH '$')) AS numbers`
  await fill(store, id => pool.query(copyStatement(table, id)))

  for (const [realm, userId, length] of LISTS) {
    await pool.query('FLUSH STATUS')
    t.equal((await store.list(realm, userId, PAGE)).length, length)
    const [rows] = await pool.query('SHOW SESSION STATUS LIKE \'Handler_read_%\'')
    const read = (rows as Array<{ Value: string }>).reduce((sum, row) => sum + Number(row.Value), 0)
    // For each row the look-ups of its not-befores too.
    t.ok(read < 100, `${realm}, ${userId}: ${read} reads`)
  }
})

t.test('Redis reads as many sessions as the page of a list has', {
  skip: await whyNoRedis()
}, async t => {
  const { redis, newPrefix } = await connectRedisClients(t)
  let calls = 0
  const client = hooked(redis, (_, send) => {
    calls++
    return send()
  })
  const store = new RedisStore(client, { prefix: newPrefix() })
  await fill(store, id => createMany(store, id))

  for (const [realm, userId, length] of LISTS) {
    calls = 0
    t.equal((await store.list(realm, userId, PAGE)).length, length)
    // A spare session for each one of the page, and the index and not-befores.
    t.ok(calls < 40, `${realm}, ${userId}: ${calls} calls`)
  }
})

t.test('MemoryStore examines as many sessions as the page of a list has', async t => {
  const store = new MemoryStore()
  await fill(store, id => createMany(store, id))

  for (let i = 0; i < 10; i++) {
    await saveSession(store, { userId: 'few' })
  }

  const few = await measureList(store, REALM, 'few')

  for (const [realm, userId, length] of LISTS) {
    t.equal((await store.list(realm, userId, PAGE)).length, length)
    // All 2,000 sessions take more than 100 times as long as 10.
    const many = await measureList(store, realm, userId)
    t.ok(many < 20 * few, `${realm}, ${userId}: ${many} ms, and ${few} ms for few sessions`)
  }
})

/** Returns the shortest time of a list. Other processes do not lengthen the shortest one. */
async function measureList (store: TokenStore, realm: string, userId: string): Promise<number> {
  let shortest = Infinity

  for (let i = 0; i < 50; i++) {
    const startedAt = performance.now()
    await store.list(realm, userId, PAGE)
    shortest = Math.min(shortest, performance.now() - startedAt)
  }

  return shortest
}
