import t from 'tap'
import {
  makeSession,
  NOW,
  readFeed,
  REALM,
  saveSession
} from '../../../src/stores/conformance/harness.js'
import { feedStatements } from '../../../src/stores/postgres/feed.js'
import { PostgresStore } from '../../../src/stores/postgres/index.js'
import type { Cursor, FeedWindow, Revocation } from '../../../src/stores/token-store.js'
import { DAY } from '../../helpers/clock.js'
import { begin, countRowsRead, openDatabase } from './postgres-helpers.js'
import type { Transaction } from './postgres-helpers.js'

const FEED = 'token_auth_revocations'
const LOGOUT = { at: NOW, reason: 'logout' } as const

const database = await openDatabase(t)
const pool = database.connect({ max: 20 })
const store = new PostgresStore(pool)
t.beforeEach(() => database.empty())

const toIds = (entries: readonly Revocation[]): string[] =>
  entries.map(entry => 'sessionId' in entry ? entry.sessionId : 'other')

/** Continues to read, and returns the IDs of the sessions. */
async function readIds (after: Cursor | FeedWindow, limit = 100): Promise<[string[], Cursor]> {
  const { entries, cursor } = await readFeed(store, after, limit)
  return [toIds(entries), cursor]
}

async function revokeInTransaction (...ids: readonly string[]): Promise<Transaction> {
  const transaction = await begin(pool)

  for (const id of ids) {
    await transaction.revokeOne(id, LOGOUT)
  }

  return transaction
}

await t.test('an entry that commits after a later one is shown once', async t => {
  const [first, later] = [await saveSession(store), await saveSession(store)]
  const [, start] = await readIds({ within: DAY })
  const transaction = await revokeInTransaction(first.id)
  await store.revoke({ realm: REALM, sessionId: later.id }, LOGOUT)
  const [before, cursor] = await readIds(start)
  t.strictSame(before, [later.id])
  await transaction.end('COMMIT')
  const [after, next] = await readIds(cursor)
  t.strictSame(after, [first.id])
  t.strictSame((await readIds(next))[0], [])
  t.strictSame((await readIds(start))[0].sort(), [first.id, later.id].sort())
})

for (const within of [0, DAY]) {
  await t.test(`a reader that starts during a transaction sees it, window ${within}`, async t => {
    const session = await saveSession(store)
    const transaction = await revokeInTransaction(session.id)
    const [before, cursor] = await readIds({ within })
    t.strictSame(before, [])
    await transaction.end('COMMIT')
    t.strictSame((await readIds(cursor))[0], [session.id])
  })
}

await t.test('an entry that is rolled back is not shown', async t => {
  const [undone, other] = [await saveSession(store), await saveSession(store)]
  const [, start] = await readIds({ within: DAY })
  const transaction = await revokeInTransaction(undone.id)
  await store.revoke({ realm: REALM, sessionId: other.id }, LOGOUT)
  const [before, cursor] = await readIds(start)
  t.strictSame(before, [other.id])
  await transaction.end('ROLLBACK')
  t.strictSame((await readIds(cursor))[0], [])
})

await t.test('an entry of a savepoint is shown if the savepoint was released', async t => {
  const [undone, kept] = [await saveSession(store), await saveSession(store)]
  const [, start] = await readIds({ within: DAY })
  const transaction = await begin(pool)
  await transaction.client.query('SAVEPOINT one')
  await transaction.revokeOne(kept.id, LOGOUT)
  await transaction.client.query('SAVEPOINT two')
  await transaction.revokeOne(undone.id, LOGOUT)
  await transaction.client.query('ROLLBACK TO two')
  await transaction.client.query('RELEASE one')
  const [, cursor] = await readIds(start)
  await transaction.end('COMMIT')
  t.strictSame((await readIds(cursor))[0], [kept.id])
})

await t.test('pages of one entry show what commits between them', async t => {
  const ids: string[] = []
  const [, start] = await readIds({ within: DAY })
  const transactions: Transaction[] = []

  for (let i = 0; i < 5; i++) {
    const [one, two] = [await saveSession(store), await saveSession(store)]
    ids.push(one.id, two.id)
    transactions.push(await revokeInTransaction(one.id, two.id))
  }

  const seen: string[] = []
  let cursor = start

  for (const transaction of transactions.reverse()) {
    await transaction.end('COMMIT')
    const page = await store.revocations(cursor, 1)
    seen.push(...toIds(page.entries))
    cursor = page.cursor
  }

  const [left] = await readIds(cursor, 1)
  t.strictSame([...seen, ...left].sort(), ids.sort(), 'each entry once')
})

await t.test('a page is complete if it shows exactly the last entries', async t => {
  for (let i = 0; i < 4; i++) {
    const { id: sessionId } = await saveSession(store)
    await store.revoke({ realm: REALM, sessionId }, LOGOUT)
  }

  t.equal((await store.revocations({ within: DAY }, 3)).complete, false)
  t.equal((await store.revocations({ within: DAY }, 4)).complete, true)
})

await t.test('an entry with the ID of a deleted one is shown', async t => {
  const [first, second] = [await saveSession(store), await saveSession(store)]
  await store.revoke({ realm: REALM, sessionId: first.id }, LOGOUT)
  const [, cursor] = await readIds({ within: DAY })
  const { rows: [{ id }] } = await pool.query('DELETE FROM token_auth_revocations RETURNING id')
  await pool.query(`ALTER TABLE token_auth_revocations ALTER COLUMN id RESTART WITH ${id}`)
  await store.revoke({ realm: REALM, sessionId: second.id }, LOGOUT)
  t.strictSame((await readIds(cursor))[0], [second.id])
})

await t.test('readers see each entry of random transactions once', async t => {
  const random = createRandom(3)
  const choose = <T>(values: T[]): T | undefined => values[Math.floor(random() * values.length)]
  const open: Array<{ readonly transaction: Transaction, readonly ids: string[] }> = []
  const expected: string[] = []
  const [, start] = await readIds({ within: 0 })
  const readers = [1, 2, 7].map(limit => ({ limit, cursor: start, seen: [] as string[] }))

  for (let step = 0; step < 400; step++) {
    const dice = random()

    if (dice < 0.2 && open.length < 10) {
      open.push({ transaction: await begin(pool), ids: [] })
    } else if (dice < 0.55) {
      const chosen = choose(open)

      if (chosen !== undefined) {
        const { id } = await saveSession(store)
        await chosen.transaction.revokeOne(id, LOGOUT)
        chosen.ids.push(id)
      }
    } else if (dice < 0.7) {
      const chosen = choose(open)

      if (chosen !== undefined) {
        open.splice(open.indexOf(chosen), 1)
        const how = random() < 0.7 ? 'COMMIT' : 'ROLLBACK'
        await chosen.transaction.end(how)
        expected.push(...how === 'COMMIT' ? chosen.ids : [])
      }
    } else {
      const reader = choose(readers) as typeof readers[number]
      const page = await store.revocations(reader.cursor, reader.limit)
      reader.seen.push(...toIds(page.entries))
      reader.cursor = page.cursor
    }
  }

  for (const { transaction, ids } of open) {
    await transaction.end('COMMIT')
    expected.push(...ids)
  }

  t.ok(expected.length > 20)

  for (const { limit, cursor, seen } of readers) {
    const [left] = await readIds(cursor, limit)
    t.strictSame([...seen, ...left].sort(), expected.sort(), `pages of ${limit}`)
  }
})

await t.test('a cursor of another server, or from after a crash, starts a window', async t => {
  const { id: sessionId } = await saveSession(store)
  await store.revoke({ realm: REALM, sessionId }, LOGOUT)
  await store.revoke({ realm: REALM }, LOGOUT)
  const [, cursor] = await readIds({ within: DAY })
  t.strictSame((await readIds(cursor))[0], [])
  const [server, snapshot] = cursor.split(';') as [string, string]
  const xmax = Number(snapshot.split(':')[1])
  const cursors = [
    cursor.replace(server, '1-1'),
    cursor.replace(snapshot, `${xmax + 1e6}:${xmax + 1e6}:`),
    cursor.replace(snapshot, '9:1:'),
    cursor.replace(snapshot, '::,'),
    cursor.replace(/0$/, '9'.repeat(30))
  ]

  for (const cursor of cursors) {
    t.strictSame((await readIds(cursor))[0].sort(), ['other', 'other', sessionId].sort(), cursor)
  }
})

await t.test('a window shows entries of a restored backup', async t => {
  const { id: sessionId } = await saveSession(store)
  await store.revoke({ realm: REALM, sessionId }, LOGOUT)
  await pool.query('UPDATE token_auth_revocations SET xid = xid + 1000000000')
  t.strictSame((await readIds({ within: DAY }))[0], [sessionId])
})

await t.test('a window shows the not-before of each realm on its first page only', async t => {
  for (let i = 0; i < 3; i++) {
    const { id: sessionId } = await saveSession(store)
    await store.revoke({ realm: REALM, sessionId }, LOGOUT)
    await store.revoke({ realm: `realm ${i}` }, LOGOUT)
  }

  await pool.query('DELETE FROM token_auth_revocations WHERE entry LIKE \'%realm %\'')
  const pages = [await store.revocations({ within: DAY }, 1)]

  while (pages.at(-1)?.complete === false) {
    pages.push(await store.revocations(pages.at(-1)?.cursor as string, 1))
  }

  // A transaction of another test may make one more page necessary.
  t.strictSame(pages.slice(0, 3).map(({ entries }) => entries.length), [4, 1, 1])
  t.strictSame(pages.slice(3).flatMap(({ entries }) => entries), [])
})

await t.test('a read costs no more than what is new', async t => {
  // All of them are older than every transaction that can still be open.
  await pool.query(`
    INSERT INTO token_auth_revocations (xid, stored_at, entry)
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint * n / 50001,
      extract(epoch FROM now()) * 1000 - 80000000 + n * 1000, '{}'
    FROM generate_series(1, 50000) AS n`)
  await pool.query('ANALYZE token_auth_revocations')
  const open = await revokeInTransaction((await saveSession(store)).id)
  const { cursor } = await store.revocations({ within: 0 }, 10)
  const snapshot = cursor.split(';')[1]

  for (const mode of ['force_custom_plan', 'force_generic_plan']) {
    const read = async (name: keyof typeof feedStatements, values: unknown[]): Promise<number> =>
      countRowsRead(pool, mode, { table: FEED, text: feedStatements[name], values })
    const idle = [null, 5001, snapshot, 0, 0]
    t.equal(await read('difference', idle), 0, `an idle poll with a ${mode}`)
    t.equal(await read('window', [null, 5001, 0, null, 0]), 0, `an empty window with a ${mode}`)
  }

  for (let i = 0; i < 3; i++) {
    const { id: sessionId } = await saveSession(store)
    await store.revoke({ realm: REALM, sessionId }, LOGOUT)
  }

  const busy = [null, 5001, snapshot, 0, 0]
  const statement = { table: FEED, text: feedStatements.difference, values: busy }
  const rows = await countRowsRead(pool, 'auto', statement)
  t.equal(rows, 3, 'as many rows as there are new entries')
  await open.end('ROLLBACK')
})

await t.test('only calls that revoke something notify listeners', async t => {
  const listener = await pool.connect()
  let notifications = 0
  listener.on('notification', () => {
    notifications++
  })
  await listener.query('LISTEN token_auth_revoked')

  const count = async (work: () => Promise<unknown>): Promise<number> => {
    notifications = 0
    await work()
    // The server sends notifications before the result of the next statement.
    await listener.query('SELECT 1')
    return notifications
  }

  const session = makeSession()
  await store.create(session)
  const target = { realm: REALM, sessionId: session.id }
  t.equal(await count(() => store.revoke(target, LOGOUT)), 1)
  t.equal(await count(() => store.revoke(target, LOGOUT)), 0)
  t.equal(await count(() => store.revoke({ realm: REALM, userId: 'nobody' }, LOGOUT)), 1)
  t.equal(await count(() => store.revoke({ realm: REALM }, LOGOUT)), 1)
  t.equal(await count(() => store.revoke({ realm: REALM }, LOGOUT)), 0)
  listener.release(true)
})

// A linear congruential generator: the same numbers in every run.
function createRandom (seed: number): () => number {
  let state = seed

  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
