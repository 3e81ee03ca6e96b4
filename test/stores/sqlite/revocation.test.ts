import t from 'tap'
import { DAY } from '../../../src/lib/time.js'
import {
  assertRefused,
  attemptAt,
  makeSession,
  NOW,
  readFeed,
  REALM,
  saveSession,
  saveSessions
} from '../../../src/stores/conformance/harness.js'
import { SqliteStore } from '../../../src/stores/sqlite/index.js'
import { SessionRefusedError } from '../../../src/stores/token-store.js'
import { openTestStore, readRows, watchExec } from './sqlite-helpers.js'

const ann = { realm: REALM, userId: 'ann' }
const COUNT_MARKED = `
  SELECT count(*) AS count FROM token_auth_sessions WHERE revoked_at IS NOT NULL`

t.test('no early login survives while a user with many sessions is revoked', async t => {
  const { store, db, connect } = await openTestStore(t)
  const other = new SqliteStore(connect())
  await saveSessions(store, ...Array.from({ length: 1200 }, () => ({})))
  const logins = Array.from({ length: 200 }, () => makeSession({ authenticatedAt: NOW - 1 }))
  let refused = 0

  const logIn = async (): Promise<void> => {
    for (const session of logins) {
      try {
        await other.create(session)
      } catch (error) {
        t.ok(error instanceof SessionRefusedError)
        refused++
      }

      await new Promise(resolve => {
        setImmediate(resolve)
      })
    }
  }

  const [marked] = await Promise.all([
    store.revoke(ann, { at: NOW, reason: 'logout-all' }),
    logIn()
  ])
  t.equal(marked, 1200 + logins.length - refused)
  t.match(readRows(db, COUNT_MARKED), [{ count: marked }], 'all rows bear the mark')
  t.strictSame(await store.list(REALM, 'ann', { now: NOW, limit: 10 }), [])
})

t.test('a crash between two batches of marks revives no session', async t => {
  const { store, db, connect } = await openTestStore(t)
  const sessions = await saveSessions(store, ...Array.from({ length: 1200 }, () => ({})))
  let transactions = 0
  const crashing = new SqliteStore(watchExec(connect(), sql => {
    if (sql === 'BEGIN IMMEDIATE' && ++transactions === 2) {
      throw new Error('crash')
    }
  }))
  await t.rejects(crashing.revoke(ann, { at: NOW, reason: 'password-changed' }), /crash/)
  t.match(readRows(db, COUNT_MARKED), [{ count: 500 }])
  t.strictSame(await store.list(REALM, 'ann', { now: NOW, limit: 10 }), [])

  for (const session of [sessions[0], sessions[1199]] as const) {
    t.ok(session)
    const expected = { ...session, revokedAt: NOW, revokedFor: 'password-changed' }
    t.strictSame(await store.find(REALM, session?.id ?? ''), expected)
    const attempt = attemptAt(session ?? makeSession(), NOW + 1)
    t.strictSame(await store.rotate(attempt), { swapped: false, session: expected })
  }

  const last = { realm: REALM, sessionId: sessions[1199]?.id ?? '' }
  t.equal(await store.revoke(last, { at: NOW + 1, reason: 'logout' }), 0)
  t.equal((await readFeed(store)).entries.length, 1)

  t.equal(await store.revoke(ann, { at: NOW + 5, reason: 'logout-all' }), 700, 'completes it')
  t.match(readRows(db, COUNT_MARKED), [{ count: 1200 }])
  t.match(
    await store.find(REALM, last.sessionId),
    { revokedAt: NOW, revokedFor: 'password-changed' },
    'the first revocation stays'
  )
})

t.test('a not-before that no session needs is not examined again', async t => {
  const { store, db } = await openTestStore(t)
  const SELECT = 'SELECT user_id, sweep_after FROM token_auth_user_not_befores ORDER BY 1'
  const kept = await saveSession(store, { userId: 'bob', expiresAt: NOW + 5 * DAY })
  await saveSession(store, { expiresAt: NOW + 3 * DAY })
  await saveSession(store, { expiresAt: NOW + 4 * DAY })
  await store.revoke(ann, { at: NOW, reason: 'logout-all' })
  const bob = { realm: REALM, userId: 'bob', keep: kept.id }
  await store.revoke(bob, { at: NOW, reason: 'revoked' })
  await store.revoke({ realm: REALM, userId: 'cyd' }, { at: NOW, reason: 'revoked' })
  t.match(readRows(db, SELECT), [
    { user_id: 'ann', sweep_after: NOW },
    { user_id: 'bob', sweep_after: NOW },
    { user_id: 'cyd', sweep_after: NOW }
  ])
  // The feed has three entries, which were stored before the time of the tests.
  t.equal(await store.sweep({ endedBefore: NOW + 1, limit: 10 }), 2 + 3, 'bob\'s ends no session')
  t.match(readRows(db, SELECT), [{ user_id: 'ann', sweep_after: NOW + 4 * DAY }])
  t.equal(await store.sweep({ endedBefore: NOW + 3 * DAY + 1, limit: 10 }), 1)
  await assertRefused('revoked-since', store.create(makeSession()), NOW)
  const endedBefore = NOW + 4 * DAY + 1
  t.equal(await store.sweep({ endedBefore, limit: 1 }), 1, 'the session')
  t.equal(await store.sweep({ endedBefore, limit: 1 }), 1, 'the not-before')
  t.strictSame(readRows(db, SELECT), [])
  await store.create(makeSession())
})

t.test('two revocations of a user at the same moment both add an entry', async t => {
  const { store, db } = await openTestStore(t)
  await store.revoke(ann, { at: NOW, reason: 'logout-all' })
  await store.revoke(ann, { at: NOW, reason: 'revoked' })
  const { entries } = await readFeed(store)
  t.strictSame(entries.map(({ reason }) => reason), ['logout-all', 'revoked'])
  t.match(readRows(db, 'SELECT reason FROM token_auth_user_not_befores'), [
    { reason: 'logout-all' }
  ])
})

t.test('user IDs and realms may be empty', async t => {
  const { store } = await openTestStore(t)
  const session = await saveSession(store, { realm: '', userId: '' })
  const everybody = await saveSession(store, { realm: '', userId: 'ann' })
  t.strictSame(await store.list('', '', { now: NOW, limit: 10 }), [session])
  t.equal(await store.revoke({ realm: '', userId: '' }, { at: NOW, reason: 'revoked' }), 1)
  t.strictSame(await store.find('', everybody.id), everybody)
  await store.revoke({ realm: '' }, { at: NOW, reason: 'revoked' })
  t.match(await store.find('', everybody.id), { revokedAt: NOW })
})
