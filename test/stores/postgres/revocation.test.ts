import t from 'tap'
import { applyRotation } from '../../../src/domain/rotation.js'
import {
  assertRefused,
  attemptAt,
  makeSession,
  NOW,
  readFeed,
  REALM,
  saveSession
} from '../../../src/stores/conformance/harness.js'
import { PostgresStore } from '../../../src/stores/postgres/index.js'
import { statements } from '../../../src/stores/postgres/statements.js'
import type { Session } from '../../../src/stores/token-store.js'
import { columns } from '../../../src/stores/sql/rows.js'
import { DAY } from '../../helpers/clock.js'
import { begin, openDatabase, waitUntilBlocked } from './postgres-helpers.js'

const DETAILS = { at: NOW, reason: 'logout-all' } as const
const ANN = { realm: REALM, userId: 'ann' }

const database = await openDatabase(t)
const pool = database.connect({ max: 20 })
const store = new PostgresStore(pool)
t.beforeEach(() => database.empty())

await t.test('a revocation waits for a login, and ends it', async t => {
  // The login was authenticated before the revocation, but created after it.
  const session = makeSession({ authenticatedAt: NOW - 5, createdAt: NOW + 50 })
  const login = await begin(pool)
  await login.create(session)
  const revocation = store.revoke(ANN, DETAILS)
  await waitUntilBlocked(pool, login.client)
  await login.end('COMMIT')
  t.equal(await revocation, 1)
  t.equal((await store.find(REALM, session.id))?.revokedAt, NOW)
  const { entries } = await readFeed(store)
  // Access tokens show only the creation of their session.
  t.strictSame(entries, [{ ...ANN, ...DETAILS, before: NOW + 50 }])
})

for (const isolation of ['read committed', 'repeatable read', 'serializable']) {
  await t.test(`a login waits for a revocation, and is refused at ${isolation}`, async t => {
    const other = database.connect({ max: 1 })
    await other.query(`SET default_transaction_isolation = '${isolation}'`)
    const session = makeSession({ authenticatedAt: NOW, createdAt: NOW + 50 })
    const revocation = await begin(pool)
    await revocation.revokeUser(ANN, DETAILS)
    const login = assertRefused('revoked-since', new PostgresStore(other).create(session), NOW)
    await waitUntilBlocked(pool, revocation.client)
    await revocation.end('COMMIT')
    await login
    t.equal(await store.find(REALM, session.id), null)
    await new PostgresStore(other).create(makeSession({ createdAt: NOW + 1 }))
  })
}

await t.test('logins of a user do not wait for each other', async t => {
  // Locks belong to the database. A revocation of this user in another file would stand between.
  const userId = 'user of this test'
  const login = await begin(pool)
  await login.create(makeSession({ userId }))
  await saveSession(store, { userId })
  await login.end('COMMIT')
  t.equal((await store.list(REALM, userId, { now: NOW, limit: 10 })).length, 2)
})

await t.test('a not-before is valid before the rows are marked', async t => {
  const [locked, other] = [await saveSession(store), await saveSession(store)]
  const refresh = await begin(pool)
  await refresh.rotate(attemptAt(locked, NOW + 1))
  const revocation = store.revoke(ANN, DETAILS)
  await waitUntilBlocked(pool, refresh.client)

  for (const { id } of [locked, other]) {
    t.equal((await store.find(REALM, id))?.revokedAt, NOW)
  }

  t.equal((await readFeed(store)).entries.length, 1)
  await refresh.end('COMMIT')
  t.equal(await revocation, 2)
  t.match(await store.find(REALM, locked.id), { generation: 1, revokedAt: NOW })
})

await t.test('a session stays revoked if marking its row has failed', async t => {
  const [session, kept] = [await saveSession(store), await saveSession(store)]
  const broken = new PostgresStore({
    query: async (text, values) => {
      if (text === statements.markRows) {
        throw new Error('connection lost')
      }

      return pool.query(text, values)
    }
  })
  await t.rejects(broken.revoke({ ...ANN, keep: kept.id }, DETAILS), { message: 'connection lost' })
  const expected: Session = { ...session, revokedAt: NOW, revokedFor: 'logout-all' }
  const details = { at: NOW + 9, reason: 'revoked' } as const
  const target = { realm: REALM, sessionId: session.id }
  t.strictSame(await store.find(REALM, session.id), expected)
  t.strictSame(await store.list(REALM, 'ann', { now: NOW, limit: 9 }), [kept])
  t.equal(await store.revoke(target, details), 0)
  t.strictSame(await store.rotate(attemptAt(session, NOW + 1)), {
    swapped: false,
    session: expected
  })
  const attempt = attemptAt(kept, NOW + 1)
  t.strictSame(
    await Promise.all([attemptAt(session, NOW + 1), attempt].map(one => store.rotate(one))),
    [
      { swapped: false, session: expected },
      { swapped: true, session: applyRotation(kept, attempt) }
    ]
  )
  t.equal((await readFeed(store)).entries.length, 1)
  t.equal(await store.revoke({ ...ANN, keep: kept.id }, details), 1, 'a second call marks the row')
  const { rows } = await pool.query(
    'SELECT revoked_at::float8, revoked_for FROM token_auth_sessions WHERE id = $1',
    [session.id]
  )
  t.strictSame(rows, [{ revoked_at: NOW, revoked_for: 'logout-all' }], 'with the first moment')
})

await t.test('a user with many sessions is revoked in batches', async t => {
  const { id } = await saveSession(store)
  const names = columns.filter(name => name !== 'id').join(', ')
  await pool.query(
    `INSERT INTO token_auth_sessions (id, ${names})
    SELECT id || n, ${names} FROM token_auth_sessions, generate_series(1, 1199) AS n WHERE id = $1`,
    [id]
  )
  const queries: string[] = []
  const recording = new PostgresStore({
    query: (text, values) => {
      queries.push(text)
      return pool.query(text, values)
    }
  })
  t.equal(await recording.revoke(ANN, DETAILS), 1200)
  t.strictSame(queries, [statements.revokeUser, ...Array(3).fill(statements.markRows)])
  t.equal((await readFeed(store)).entries.length, 1)
})

await t.test('concurrent revocations and refreshes of a user do not deadlock', async t => {
  for (let round = 0; round < 5; round++) {
    const userId = `user ${round}`
    const sessions = Array.from({ length: 30 }, () => makeSession({ userId }))
    await Promise.all(sessions.map(session => store.create(session)))
    const others = [new PostgresStore(pool), new PostgresStore(pool)]
    const counts = await Promise.all([
      ...[store, ...others].map(one => one.revoke({ realm: REALM, userId }, DETAILS)),
      ...others.map(async one => {
        await Promise.all(sessions.map(session => one.rotate(attemptAt(session, NOW + 1))))
        return 0
      })
    ])
    t.equal(counts.reduce((sum, count) => sum + count), 30, 'each row is counted once')
  }
})

await t.test('a sweep postpones the not-before of a session that is left', async t => {
  const { expiresAt } = await saveSession(store)
  await store.revoke(ANN, DETAILS)
  const counts: number[] = []

  for (const endedBefore of [NOW + DAY, NOW + 2 * DAY, expiresAt + 1]) {
    counts.push(await store.sweep({ endedBefore, limit: 10 }))
  }

  t.strictSame(counts, [1, 0, 2], 'the entry, then the session with the not-before')
  const queries: unknown[][] = []
  const recording = new PostgresStore({
    query: async (text, values) => {
      const result = await pool.query(text, values)
      queries.push([text === statements.sweepNotBefores, result.rows])
      return result
    }
  })
  await saveSession(store, { createdAt: NOW + 1 })
  await store.revoke(ANN, { ...DETAILS, at: NOW + 1 })
  await recording.sweep({ endedBefore: NOW + DAY, limit: 10 })
  await recording.sweep({ endedBefore: NOW + 2 * DAY, limit: 10 })
  const postponed = queries.filter(([isOfNotBefores]) => isOfNotBefores)
    .map(([, rows]) => Number((rows as Array<{ postponed: string }>)[0]?.postponed))
  t.strictSame(postponed, [1, 0], 'the second sweep does not examine it again')
})
