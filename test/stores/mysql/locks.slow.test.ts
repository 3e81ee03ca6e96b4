import t from 'tap'
import { makeSession, NOW, REALM, touchOf } from '../../../src/stores/conformance/harness.js'
import { MysqlStore } from '../../../src/stores/mysql/index.js'
import { whyNoMysql } from '../../helpers/databases/mysql.js'
import { createGate, createMysqlDatabase, handleErrors, pauseAfter } from './mysql-helpers.js'

t.test('MySQL locks', { skip: await whyNoMysql() }, async t => {
  const { clear, connect, defaultPool, openTwoStores, waitUntilBlocked } =
    await createMysqlDatabase(t)

  for (const level of ['READ UNCOMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']) {
    await t.test(`a concurrent logout-all rejects or revokes a login, at ${level}`, async t => {
      const pool = connect({
        setup: [`SET SESSION TRANSACTION ISOLATION LEVEL ${level}`]
      })
      const store = new MysqlStore(pool)

      // Pauses the login after the given number of statements while another instance revokes.
      const race = async (
        statements: number
      ): Promise<{ login: PromiseSettledResult<void>, revoked: number }> => {
        await clear()
        const [reached, gate] = [createGate(), createGate()]
        const slow = new MysqlStore(pauseAfter(pool, statements, async () => {
          reached.open()
          await gate.opened
        }))
        const login = Promise.allSettled([
          slow.create(makeSession({ id: 'late', authenticatedAt: NOW - 1 }))
        ])
        await reached.opened

        if (level !== 'READ UNCOMMITTED') {
          t.equal(
            await store.find(REALM, 'late'),
            null,
            'the session is not visible before the commit'
          )
        }

        const revocation = store.revoke({ realm: REALM, userId: 'ann' }, {
          at: NOW,
          reason: 'logout-all'
        })
        await Promise.race([waitUntilBlocked(), revocation])
        gate.open()
        return { login: (await login)[0], revoked: await revocation }
      }

      const written = await race(1)
      t.match(written, {
        login: { status: 'rejected', reason: { reason: 'revoked-since' } },
        revoked: 0
      })
      t.equal(
        await store.find(REALM, 'late'),
        null,
        'the login reads the not-before after the pause and is rejected'
      )
      const checked = await race(2)
      t.match(checked, { login: { status: 'fulfilled' }, revoked: 1 })
      t.equal(
        (await store.find(REALM, 'late'))?.revokedAt,
        NOW,
        'the login read the not-before before the pause, so its session is revoked'
      )
    })
  }

  await t.test('a transaction is retried after a deadlock', async t => {
    await clear()
    const errors: number[] = []
    const store = new MysqlStore(handleErrors(defaultPool, errno => {
      errors.push(errno)
    }))

    for (const id of ['a', 'b']) {
      await store.create(makeSession({ id }))
    }

    const blocker = await defaultPool.getConnection()
    await blocker.beginTransaction()
    // InnoDB rolls back the transaction with fewer changes.
    await blocker.query('INSERT INTO token_auth_not_befores VALUES ?', [
      Array.from({ length: 100 }, (_, i) => [REALM, `user ${i}`, NOW, '', NOW, 'revoked', NOW])
    ])
    await blocker.query(
      'UPDATE token_auth_sessions SET last_used_at = last_used_at + 1 WHERE id = \'b\''
    )
    const touched = store.touch(
      ['b', 'a'].map(id => touchOf(makeSession({ id }), { lastUsedAt: NOW + 5 }))
    )
    await waitUntilBlocked()
    await blocker.query(
      'UPDATE token_auth_sessions SET last_used_at = last_used_at + 1 WHERE id = \'a\''
    )
    await blocker.commit()
    blocker.release()
    await touched
    t.same(errors, [1213])

    for (const id of ['a', 'b']) {
      t.equal((await store.find(REALM, id))?.lastUsedAt, NOW + 5)
    }
  })

  await t.test('a transaction is retried once after a lock wait timeout', async t => {
    await clear()
    const shortTimeoutPool = connect({ setup: ['SET SESSION innodb_lock_wait_timeout = 1'] })
    await new MysqlStore(defaultPool).create(makeSession({ id: 'a' }))
    const blocker = await defaultPool.getConnection()

    const hold = async (): Promise<void> => {
      await blocker.beginTransaction()
      await blocker.query('SELECT * FROM token_auth_sessions WHERE id = \'a\' FOR UPDATE')
    }

    await hold()
    const store = new MysqlStore(handleErrors(shortTimeoutPool, () => blocker.commit()))
    t.equal(await store.revoke({ realm: REALM, sessionId: 'a' }, { at: NOW, reason: 'logout' }), 1)

    await hold()
    const errors: number[] = []
    const failingStore = new MysqlStore(handleErrors(shortTimeoutPool, errno => {
      errors.push(errno)
    }))
    await t.rejects(
      failingStore.touch([touchOf(makeSession({ id: 'a' }), {})]),
      /Lock wait timeout/
    )
    t.same(errors, [1205, 1205])
    await blocker.commit()
    blocker.release()
  })

  await t.test('revoking a user does not wait for locked sessions of other users', async t => {
    await clear()
    const store = new MysqlStore(defaultPool)

    for (const userId of ['bob', 'bob ', 'boa']) {
      await store.create(makeSession({ id: `session of ${userId}`, userId }))
    }

    const blocker = await defaultPool.getConnection()
    await blocker.beginTransaction()

    for (const id of ['session of bob ', 'session of boa']) {
      await blocker.query(
        'UPDATE token_auth_sessions SET last_used_at = last_used_at + 1 WHERE id = ?',
        [Buffer.from(id)]
      )
    }

    const revoked = store.revoke({ realm: REALM, userId: 'bob' }, { at: NOW, reason: 'revoked' })
    t.equal(await Promise.race([waitUntilBlocked(), revoked]), 1)
    await blocker.commit()
    blocker.release()
  })

  await t.test('concurrent touch and revoke calls cause no deadlock', async t => {
    await clear()
    const errors: number[] = []
    const [store, other] = openTwoStores(errors)
    const ids = Array.from({ length: 120 }, (_, i) => `s${i}`)
    const users = Array.from({ length: 10 }, (_, i) => `user ${i}`)

    for (let round = 0; round < 5; round++) {
      await clear()
      await Promise.all(
        ids.map((id, i) => store.create(makeSession({ id, userId: users[i % 10] as string })))
      )
      const touches = ids.map(id => touchOf(makeSession({ id }), { lastUsedAt: NOW + round }))
      await Promise.all(
        Array.from({ length: 10 }, (_, i) => [
          store.touch(touches),
          other.touch(touches.toReversed()),
          other.touch([...touches.slice(i * 12), ...touches.slice(0, i * 12)]),
          store.revoke({ realm: REALM, userId: users[i] as string }, {
            at: NOW - 99,
            reason: 'revoked'
          }),
          other.revoke({ realm: REALM, userId: users[9 - i] as string }, {
            at: NOW - 99,
            reason: 'revoked'
          })
        ]).flat()
      )
    }

    t.notOk(errors.includes(1213), 'no deadlock')
  })
})
