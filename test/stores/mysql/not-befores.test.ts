import type mysql from 'mysql2/promise'
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
import { columns, toValues } from '../../../src/stores/sql/rows.js'
import { MysqlStore } from '../../../src/stores/mysql/index.js'
import { whyNoMysql } from '../../helpers/databases/mysql.js'
import { createMysqlDatabase } from './mysql-helpers.js'

const ann = { realm: REALM, userId: 'ann' }

t.test('MySQL not-befores', { skip: await whyNoMysql() }, async t => {
  const { clear, connect, defaultPool: pool, waitUntilBlocked } = await createMysqlDatabase(t)
  const store = new MysqlStore(pool)

  const addNotBefore = (
    on: mysql.Pool | mysql.PoolConnection,
    before: number,
    at: number
  ): Promise<unknown> =>
    on.query('INSERT INTO token_auth_not_befores VALUES ?', [
      [[REALM, 'ann', before, '', at, 'logout-all', before]]
    ])

  for (const level of ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']) {
    await t.test(`rotations do not wait for a revocation in progress, at ${level}`, async t => {
      await clear()
      const rotating = new MysqlStore(connect({
        setup: [
          `SET SESSION TRANSACTION ISOLATION LEVEL ${level}`,
          'SET SESSION innodb_lock_wait_timeout = 1'
        ]
      }))
      const sessions = await saveSessions(store, ...Array.from({ length: 30 }, () => ({})))
      const blocker = await pool.getConnection()
      await blocker.beginTransaction()
      await addNotBefore(blocker, NOW, NOW)
      const [first, ...others] = sessions.map(session => attemptAt(session, NOW + 1))
      t.equal(first && (await rotating.rotate(first)).swapped, true)
      const outcomes = await Promise.all(others.map(attempt => rotating.rotate(attempt)))
      t.ok(outcomes.every(outcome => outcome.swapped))
      await blocker.commit()
      blocker.release()
      const late = await Promise.all(
        sessions.map(session =>
          rotating.rotate(attemptAt({ ...session, generation: 1 }, NOW + DAY))
        )
      )
      t.ok(late.every(({ swapped, session }) => !swapped && session?.revokedAt === NOW))
    })
  }

  await t.test('a revocation is in force while it waits for a locked session', async t => {
    await clear()
    const session = await saveSession(store)
    const blocker = await pool.getConnection()
    await blocker.beginTransaction()
    await blocker.query('SELECT * FROM token_auth_sessions WHERE id = ? FOR UPDATE', [session.id])
    const revoked = store.revoke(ann, { at: NOW + 1, reason: 'logout-all' })
    await Promise.race([waitUntilBlocked(), revoked])
    t.equal((await store.find(REALM, session.id))?.revokedAt, NOW + 1)
    t.same(await store.list(REALM, 'ann', { now: NOW, limit: 10 }), [])
    t.equal((await readFeed(store)).entries.length, 1)
    await assertRefused('revoked-since', store.create(makeSession()), NOW + 1)
    await blocker.commit()
    blocker.release()
    t.equal(await revoked, 1)
  })

  await t.test('a login that commits during a revocation gets an entry of its own', async t => {
    await clear()
    const blocker = await pool.getConnection()
    await blocker.beginTransaction()
    const session = makeSession({ authenticatedAt: NOW - 50, createdAt: NOW + 2 })
    const values = toValues(session)
    await blocker.query(
      `INSERT INTO token_auth_sessions (${columns.join(', ')}) VALUES (?)`,
      [values]
    )
    const revoked = store.revoke(ann, { at: NOW, reason: 'password-changed' })
    await Promise.race([waitUntilBlocked(), revoked])
    await blocker.commit()
    blocker.release()
    t.equal(await revoked, 1)
    const { entries } = await readFeed(store)
    const details = { realm: REALM, at: NOW, reason: 'password-changed', userId: 'ann' }
    t.same(entries.find(entry => 'sessionId' in entry), { ...details, sessionId: session.id })
    t.same(entries.find(entry => 'before' in entry), { ...details, before: NOW })
  })

  await t.test('a repeated revocation completes one that was interrupted', async t => {
    await clear()
    const session = await saveSession(store)
    await addNotBefore(pool, NOW + 1, NOW + 1)
    t.equal(await store.revoke(ann, { at: NOW + 5, reason: 'revoked' }), 1)
    const expected = { ...session, revokedAt: NOW + 1, revokedFor: 'logout-all' }
    t.same(await store.find(REALM, session.id), expected)
    const [[row]] = await pool.query<mysql.RowDataPacket[]>(
      'SELECT revoked_at, revoked_for FROM token_auth_sessions'
    )
    t.same({ ...row }, { revoked_at: NOW + 1, revoked_for: 'logout-all' })
  })

  await t.test('the earlier of two revocations with one not-before counts', async t => {
    for (const [first, second] of [[1, 2], [2, 1]] as const) {
      await clear()
      const { id } = await saveSession(store, { createdAt: NOW + DAY })
      const other = makeSession({ createdAt: NOW + DAY })
      // Both have the creation of the session as their not-before.
      await pool.query('UPDATE token_auth_sessions SET revoked_at = NULL')
      await store.revoke({ ...ann, keep: other.id }, { at: NOW + first, reason: 'revoked' })
      await pool.query('UPDATE token_auth_sessions SET revoked_at = NULL')
      await store.revoke({ ...ann, keep: other.id }, { at: NOW + second, reason: 'logout-all' })
      const found = await store.find(REALM, id)
      t.equal(found?.revokedAt, NOW + 1)
      t.equal(found?.revokedFor, first === 1 ? 'revoked' : 'logout-all')
      t.equal((await readFeed(store)).entries.length, 2)
      const [rows] = await pool.query<mysql.RowDataPacket[]>('SELECT * FROM token_auth_not_befores')
      t.equal(rows.length, 1)
    }
  })

  await t.test('the sessions of a user are marked in batches', async t => {
    await clear()
    const [session] = await saveSessions(store, {}, { userId: 'bob' })
    const ids = Array.from({ length: 1_700 }, (_, i) => [`t${i}`])
    await pool.query(
      `INSERT INTO token_auth_sessions
      SELECT batch.id, s.realm, s.user_id, s.secret_hash, s.generation, s.confirmed_generation,
        s.created_at, s.authenticated_at, s.rotated_at, s.rotated_by_address,
        s.rotated_by_user_agent, s.grace_from, s.last_used_at, s.expires_at, s.ends_at,
        s.revoked_at, s.revoked_for, s.device_label, s.device_user_agent, s.device_address,
        s.replay_generation, s.replay_length, s.sweep_after
      FROM JSON_TABLE(?, '$[*]' COLUMNS (id VARCHAR(9) PATH '$[0]')) AS batch
      JOIN token_auth_sessions AS s ON s.id = ?`,
      [JSON.stringify(ids), session?.id]
    )
    const target = { ...ann, keep: 't1000' }
    t.equal(await store.revoke(target, { at: NOW + 1, reason: 'revoked' }), 1_700)
    const left = await store.list(REALM, 'ann', { now: NOW, limit: 10 })
    t.same(left.map(({ id }) => id), ['t1000'])
    t.equal(await store.revoke(target, { at: NOW + 2, reason: 'revoked' }), 0)
    t.equal((await store.list(REALM, 'bob', { now: NOW, limit: 10 })).length, 1)
  })

  await t.test('list reads little more than it returns', async t => {
    await clear()
    const single = connect({ connectionLimit: 1 })
    await saveSessions(store, ...Array.from({ length: 200 }, () => ({})))
    await pool.query('ANALYZE TABLE token_auth_sessions')
    const counted = new MysqlStore(single)
    await counted.list(REALM, 'ann', { now: NOW, limit: 5 })
    await single.query('FLUSH STATUS')
    t.equal((await counted.list(REALM, 'ann', { now: NOW, limit: 5 })).length, 5)
    const [rows] = await single.query<mysql.RowDataPacket[]>(
      'SHOW SESSION STATUS LIKE \'Handler_read%\''
    )
    const reads = rows.reduce((sum, row) => sum + Number(row.Value), 0)
    t.ok(reads < 60, `${reads} rows`)
  })

  await t.test('a sweep does not examine a not-before again while its sessions live', async t => {
    await clear()
    const { id } = await saveSession(store, { expiresAt: NOW + DAY })
    await store.revoke({ ...ann, keep: id }, { at: NOW + 1, reason: 'revoked' })
    await pool.query('DELETE FROM token_auth_revocations')
    t.equal(await store.sweep({ endedBefore: NOW + 100, limit: 10 }), 0)
    const [[row]] = await pool.query<mysql.RowDataPacket[]>(
      'SELECT sweep_after FROM token_auth_not_befores'
    )
    t.equal(row?.sweep_after, NOW + DAY)
    t.equal(await store.sweep({ endedBefore: NOW + DAY + 1, limit: 10 }), 2)
  })
})
