import { randomBytes } from 'node:crypto'
import mysql from 'mysql2/promise'
import t from 'tap'
import { planRotation } from '../../../src/domain/rotation.js'
import type { RotationAttempt } from '../../../src/domain/rotation.js'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { MysqlStore } from '../../../src/stores/mysql/index.js'
import type { MysqlPool } from '../../../src/stores/mysql/index.js'
import { SessionRefusedError } from '../../../src/stores/token-store.js'
import type { Session } from '../../../src/stores/token-store.js'
import { mysqlUrl, whyNoMysql } from '../../helpers/databases/mysql.js'
import { DAY } from '../../../src/lib/time.js'
import { makeSession, NOW } from '../../../src/stores/conformance/harness.js'

const skip = await whyNoMysql()

const pools: mysql.Pool[] = []

interface PoolOptions extends mysql.PoolOptions {
  /** What each new connection is told first. */
  readonly setup?: readonly string[]
}

function connect (database: string, { setup = [], ...options }: PoolOptions = {}): mysql.Pool {
  const pool = mysql.createPool({
    uri: mysqlUrl,
    database,
    connectionLimit: 8,
    maxIdle: 1,
    idleTimeout: 500,
    ...options
  })
  pool.pool.on('connection', connection => {
    for (const statement of setup) {
      connection.query(statement)
    }
  })
  pools.push(pool)
  return pool
}

function attemptFor ({ id: sessionId, secretHash, generation }: Session): RotationAttempt {
  const by = { address: null, userAgent: null }

  return planRotation({ sessionId, secretHash, generation }, {
    now: NOW,
    lifetime: 7 * DAY,
    grace: 10_000,
    by
  })
}

/** A promise, and the function that keeps it. */
function makeGate (): { readonly opened: Promise<void>, readonly open: () => void } {
  let open = (): void => {}

  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  return { opened, open }
}

/** Resolves once somebody waits for a lock on a row, or after seconds in which nobody did. */
async function lockWait (admin: mysql.Pool, database: string): Promise<void> {
  for (let waiting = 0, looks = 0; waiting === 0 && looks < 20; looks++) {
    // The server looks anew every 0.1 s only.
    await new Promise(resolve => {
      setTimeout(resolve, 120)
    })
    const [rows] = await admin.query<mysql.RowDataPacket[]>(
      `
      SELECT 1 FROM information_schema.INNODB_TRX JOIN information_schema.PROCESSLIST ON ID = trx_mysql_thread_id
      WHERE DB = ? AND trx_state = 'LOCK WAIT'`,
      [database]
    )
    waiting = rows.length
  }
}

type Answer = [unknown, unknown]

/** The same pool, whose prepared statements, in transactions or not, go through `around`. */
function intercept (
  pool: mysql.Pool,
  around: (run: () => Promise<Answer>) => Promise<Answer>
): MysqlPool {
  return {
    execute: (sql, values) => around(() => pool.execute(sql, values)),
    async getConnection () {
      const connection = await pool.getConnection()

      return {
        execute: (sql, values) => around(() => connection.execute(sql, values)),
        query: sql => connection.query(sql),
        beginTransaction: () => connection.beginTransaction(),
        commit: () => connection.commit(),
        rollback: () => connection.rollback(),
        release: () => {
          connection.release()
        },
        destroy: () => {
          connection.destroy()
        }
      }
    }
  }
}

/** The same pool, which tells of the errors of its statements. */
function watch (pool: mysql.Pool, onError: (errno: number) => Promise<void> | void): MysqlPool {
  return intercept(pool, async run => {
    try {
      return await run()
    } catch (error) {
      await onError((error as { errno: number }).errno)
      throw error
    }
  })
}

/** The same pool, which stands still after so many statements. */
function pausing (pool: mysql.Pool, after: number, pause: () => Promise<void>): MysqlPool {
  let statements = 0

  return intercept(pool, async run => {
    const answer = await run()

    if (++statements === after) {
      await pause()
    }

    return answer
  })
}

if (skip !== false) {
  t.pass(skip, { skip: true })
} else {
  const database = `token_auth_test_${randomBytes(6).toString('hex')}`
  const admin = connect('', { connectionLimit: 3, multipleStatements: true })
  await admin.query(`CREATE DATABASE ${database}`)
  const plain = connect(database)
  const empty = (): Promise<unknown> =>
    admin.query(
      `DELETE FROM ${database}.token_auth_sessions; DELETE FROM ${database}.token_auth_revoked_users`
    )

  /** Two stores with a pool each, whose errors are noted. */
  const openTwo = (errors: number[] = []): [MysqlStore, MysqlStore] => {
    const open = (): MysqlStore =>
      new MysqlStore(watch(connect(database), errno => {
        errors.push(errno)
      }))
    return [open(), open()]
  }

  t.teardown(async () => {
    await admin.query(`DROP DATABASE ${database}`)
    await Promise.all(pools.map(pool => pool.end()))
  })

  await t.test('migrate, by five at once on an empty database', async t => {
    const instances = Array.from(
      { length: 5 },
      () => new MysqlStore(connect(database, { connectionLimit: 1 }))
    )
    await Promise.all(instances.map(instance => instance.migrate()))
    await Promise.all(instances.map(instance => instance.migrate()))
    const [rows] = await plain.query<mysql.RowDataPacket[]>(
      'SELECT version FROM token_auth_migrations ORDER BY version'
    )
    t.same(rows.map(row => row.version), MysqlStore.migrations.map((_, i) => i + 1))
  })

  await t.test('migrate, after one that died half-way', async t => {
    const store = new MysqlStore(plain)
    await store.create(makeSession('before'))
    await plain.query('DELETE FROM token_auth_migrations')
    await plain.query('DROP TABLE token_auth_revoked_users')
    await store.migrate()
    t.equal(await store.revoke({ userId: 'ann' }, { at: NOW, reason: 'revoked' }), 1)
    await empty()
  })

  await t.test('migrate, on a connection that cannot: rejects, and leaves the lock to others', async t => {
    const store = new MysqlStore(
      connect(database, { connectionLimit: 1, setup: ['SET SESSION TRANSACTION READ ONLY'] })
    )
    await plain.query('DELETE FROM token_auth_migrations')
    await t.rejects(store.migrate(), /READ ONLY transaction/)
    await new MysqlStore(plain).migrate()
  })

  const ansi = 'SET SESSION sql_mode = \'ANSI,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES\''
  // A comment to MySQL, and to a MariaDB that does not know it.
  const snapshots =
    'SET SESSION sql_mode = \'\' /*M!101108 , SESSION innodb_snapshot_isolation = ON */'
  const variants: Record<string, [store: PoolOptions, other: PoolOptions]> = {
    'as the server is': [{}, {}],
    'odd options of the driver, and affected rows as changed rows': [
      {
        supportBigNumbers: true,
        bigNumberStrings: true,
        dateStrings: true,
        namedPlaceholders: true,
        flags: ['-FOUND_ROWS']
      },
      {
        supportBigNumbers: true,
        decimalNumbers: true,
        disableEval: true,
        timezone: '+05:00',
        flags: ['-FOUND_ROWS']
      }
    ],
    'ANSI, without backslash escapes, at READ COMMITTED': [
      { setup: [ansi, 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED'] },
      { setup: [ansi, 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED'] }
    ],
    'not strict, with the snapshot isolation of MariaDB 11.6, at READ UNCOMMITTED and SERIALIZABLE':
      [
        { setup: [snapshots, 'SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED'] },
        { setup: [snapshots, 'SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE'] }
      ]
  }

  for (const [name, options] of Object.entries(variants)) {
    await t.test(`the laws over two pools: ${name}`, async t => {
      const [store, other] = options.map(given => new MysqlStore(connect(database, given))) as [
        MysqlStore,
        MysqlStore
      ]
      testTokenStore({
        test: (name, run) => t.test(name, run),
        open: async () => {
          await empty()
          return { store, other }
        }
      })
    })
  }

  await t.test('rotations of many sessions at once, by two instances: in one transaction, each with one winner', async t => {
    await empty()
    let transactions = 0
    const pool = connect(database)
    const counting: MysqlPool = {
      execute: (sql, values) => pool.execute(sql, values),
      getConnection: () => {
        transactions++
        return pool.getConnection()
      }
    }
    const stores = [new MysqlStore(counting), new MysqlStore(connect(database))] as const
    const sessions = Array.from({ length: 64 }, (_, i) => makeSession(`s${i}`))
    await Promise.all(sessions.map(session => stores[1].create(session)))
    const by = [{ address: null, userAgent: null }, { address: '', userAgent: 'null "\\\n\0🦊' }]

    for (let generation = 0; generation < 10; generation++) {
      const attempts = sessions.map((session, i) => ({
        ...attemptFor({ ...session, generation }),
        now: NOW + 60_000 * (generation + 1),
        rotatedBefore: NOW + 60_000 * generation,
        by: by[i % 2] ?? makeSession('').rotatedBy
      }))
      const outcomes = await Promise.all(stores.map(store =>
        Promise.all([
          ...attempts.map(attempt => store.rotate(attempt)),
          store.rotate({ ...attempts[0] as RotationAttempt, sessionId: 'nobody' })
        ])
      ))

      for (const [i, session] of sessions.entries()) {
        const shown = outcomes.map(each => each[i])
        t.equal(shown.filter(outcome => outcome?.swapped).length, 1)
        const { now, expiresAt, by } = attempts[i] as RotationAttempt
        const expected = {
          ...session,
          generation: generation + 1,
          rotatedAt: now,
          rotatedBy: by,
          lastUsedAt: now,
          expiresAt
        }

        for (const outcome of shown) {
          t.same(outcome?.session, expected)
        }

        t.same(await stores[0].find(session.id), expected)
      }

      for (const each of outcomes) {
        t.same(each.at(-1), { swapped: false, session: null })
      }
    }

    t.ok(transactions >= 10, 'they were gathered')
    t.ok(transactions < 30, `they were gathered: ${transactions}`)
  })

  await t.test('rotations of many sessions at once: one that the database refuses fails alone', async t => {
    await empty()
    const store = new MysqlStore(connect(database))
    const sessions = Array.from({ length: 20 }, (_, i) => makeSession(`s${i}`))
    await Promise.all(sessions.map(session => store.create(session)))
    const results = await Promise.allSettled(sessions.map((session, i) =>
      store.rotate({
        ...attemptFor(session),
        by: { address: null, userAgent: i === 7 ? 'x'.repeat(70_000) : 'short' }
      })
    ))
    t.strictSame(results.flatMap(({ status }, i) => status === 'rejected' ? [i] : []), [7])
    t.equal((await store.find('s7'))?.generation, 0)

    for (const result of results) {
      if (result.status === 'fulfilled') {
        t.equal(result.value.swapped, true)
      }
    }
  })

  for (const level of ['READ UNCOMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']) {
    await t.test(`a login that is being written while all of its user are revoked, at ${level}`, async t => {
      const pool = connect(database, {
        setup: [`SET SESSION TRANSACTION ISOLATION LEVEL ${level}`]
      })
      const store = new MysqlStore(pool)

      // The login stands still at this point of its transaction, while another instance revokes.
      const race = async (
        point: number
      ): Promise<{ login: PromiseSettledResult<void>, revoked: number }> => {
        await empty()
        const [reached, gate] = [makeGate(), makeGate()]
        const slow = new MysqlStore(pausing(pool, point, async () => {
          reached.open()
          await gate.opened
        }))
        const login = Promise.allSettled([
          slow.create(makeSession('late', { authenticatedAt: NOW - 1 }))
        ])
        await reached.opened

        if (level !== 'READ UNCOMMITTED') {
          t.equal(await store.find('late'), null, 'nobody sees it yet')
        }

        const revocation = store.revoke({ userId: 'ann' }, { at: NOW, reason: 'logout-all' })
        await Promise.race([lockWait(admin, database), revocation])
        gate.open()
        return { login: (await login)[0], revoked: await revocation }
      }

      const written = await race(1)
      t.match(written, {
        login: { status: 'rejected', reason: { reason: 'revoked-since' } },
        revoked: 0
      })
      t.equal(
        await store.find('late'),
        null,
        'it is refused where it looks for the not-before afterwards'
      )
      const checked = await race(2)
      t.match(checked, { login: { status: 'fulfilled' }, revoked: 1 })
      t.equal((await store.find('late'))?.revokedAt, NOW, 'it is ended where it has looked before')
    })
  }

  await t.test('whose locks are lost to a deadlock tries again', async t => {
    await empty()
    const errors: number[] = []
    const store = new MysqlStore(watch(plain, errno => {
      errors.push(errno)
    }))

    for (const id of ['a', 'b']) {
      await store.create(makeSession(id))
    }

    const rival = await plain.getConnection()
    await rival.beginTransaction()
    // The server undoes the transaction that has written less.
    await rival.query('INSERT INTO token_auth_revoked_users VALUES ?', [
      Array.from({ length: 100 }, (_, i) => [`user ${i}`, NOW])
    ])
    await rival.query(
      'UPDATE token_auth_sessions SET last_used_at = last_used_at + 1 WHERE id = \'b\''
    )
    const touched = store.touch(
      ['b', 'a'].map(sessionId => ({ sessionId, lastUsedAt: NOW + 5, confirmedGeneration: 0 }))
    )
    await lockWait(admin, database)
    await rival.query(
      'UPDATE token_auth_sessions SET last_used_at = last_used_at + 1 WHERE id = \'a\''
    )
    await rival.commit()
    rival.release()
    await touched
    t.same(errors, [1213])

    for (const id of ['a', 'b']) {
      t.equal((await store.find(id))?.lastUsedAt, NOW + 5)
    }
  })

  await t.test('who has waited too long for a lock tries again, once', async t => {
    await empty()
    const impatient = connect(database, { setup: ['SET SESSION innodb_lock_wait_timeout = 1'] })
    await new MysqlStore(plain).create(makeSession('a'))
    const rival = await plain.getConnection()

    const hold = async (): Promise<void> => {
      await rival.beginTransaction()
      await rival.query('SELECT * FROM token_auth_sessions WHERE id = \'a\' FOR UPDATE')
    }

    await hold()
    const store = new MysqlStore(watch(impatient, () => rival.commit()))
    t.equal(await store.revoke({ sessionId: 'a' }, { at: NOW, reason: 'logout' }), 1)

    await hold()
    const errors: number[] = []
    const unlucky = new MysqlStore(watch(impatient, errno => {
      errors.push(errno)
    }))
    await t.rejects(
      unlucky.touch([{ sessionId: 'a', lastUsedAt: NOW, confirmedGeneration: 0 }]),
      /Lock wait timeout/
    )
    t.same(errors, [1205, 1205])
    await rival.commit()
    rival.release()
  })

  await t.test('everything at once to the same sessions, in any order: nothing fails', async t => {
    await empty()
    const stores = openTwo()
    const [store, other] = stores
    const users = ['ann', 'bob', 'cyd', 'dan']
    let swept = 0
    let made = 0

    for (let round = 0; round < 15; round++) {
      const sessions = users.flatMap(userId =>
        Array.from({ length: 8 }, (_, i) =>
          makeSession(`s${++made}`, {
            userId,
            authenticatedAt: NOW + round,
            expiresAt: i % 2 === 0 ? NOW + DAY : NOW - 1
          }))
      )
      await Promise.all(sessions.map(session => store.create(session)))
      const touches = sessions.map(({ id }) => ({
        sessionId: id,
        lastUsedAt: NOW + 1,
        confirmedGeneration: 1
      }))
      const sweeps = stores.map(async by => {
        const count = await by.sweep({ endedBefore: NOW, limit: 10 })
        swept += count
      })
      await Promise.all([
        store.touch(touches),
        other.touch(touches.toReversed()),
        other.touch(touches.slice(9)),
        ...sweeps,
        ...users.map((userId, i) =>
          stores[i % 2]?.revoke({ userId }, { at: NOW + round, reason: 'revoked' })
        ),
        ...users.toReversed().map((userId, i) =>
          stores[i % 2]?.revoke({ userId }, { at: NOW + round, reason: 'logout-all' })
        ),
        ...sessions.toReversed().map(({ id: sessionId }) =>
          other.revoke({ sessionId }, { at: NOW, reason: 'logout' })
        ),
        ...sessions.map(session =>
          store.rotate({ ...attemptFor(session), now: NOW - 2, expiresAt: session.expiresAt })
        )
      ])
    }

    for (const userId of users) {
      t.same(await store.list(userId, { now: 0, limit: 10 }), [])
    }

    swept += await store.sweep({ endedBefore: NOW, limit: 1000 })
    t.equal(swept, made / 2)
    t.equal((await store.revocations({ at: 0, sessionId: '' }, 1000)).length, made / 2)
  })

  await t.test('revoke: all of a user waits for no session of another', async t => {
    await empty()
    const store = new MysqlStore(plain)

    for (const userId of ['bob', 'bob ', 'boa']) {
      await store.create(makeSession(`s of ${userId}`, { userId }))
    }

    const rival = await plain.getConnection()
    await rival.beginTransaction()

    for (const id of ['s of bob ', 's of boa']) {
      await rival.query(
        'UPDATE token_auth_sessions SET last_used_at = last_used_at + 1 WHERE id = ?',
        [Buffer.from(id)]
      )
    }

    const revoked = store.revoke({ userId: 'bob' }, { at: NOW, reason: 'revoked' })
    t.equal(await Promise.race([lockWait(admin, database), revoked]), 1)
    await rival.commit()
    rival.release()
  })

  await t.test('sweep: takes what nobody holds, and does not wait for the rest', async t => {
    await empty()
    const store = new MysqlStore(
      connect(database, { setup: ['SET SESSION innodb_lock_wait_timeout = 1'] })
    )

    for (const id of ['a', 'b', 'c']) {
      await store.create(makeSession(id, { userId: id, expiresAt: NOW - 1 }))
    }

    for (const userId of ['x', 'y']) {
      await store.revoke({ userId }, { at: NOW - 1, reason: 'revoked' })
    }

    const rival = await plain.getConnection()
    await rival.beginTransaction()
    await rival.query(
      'UPDATE token_auth_sessions SET last_used_at = last_used_at + 1 WHERE id = \'b\''
    )
    await rival.query(
      'UPDATE token_auth_revoked_users SET revoked_at = revoked_at + 0 WHERE user_id = \'x\''
    )
    t.equal(await store.sweep({ endedBefore: NOW, limit: 10 }), 3)
    await rival.commit()
    rival.release()
    t.equal(await store.sweep({ endedBefore: NOW, limit: 10 }), 2)
  })

  await t.test('touch and revoke at once, in any order: all lock in the order of ids, and never each other out', async t => {
    await empty()
    const errors: number[] = []
    const [store, other] = openTwo(errors)
    const ids = Array.from({ length: 120 }, (_, i) => `s${i}`)
    const users = Array.from({ length: 10 }, (_, i) => `user ${i}`)

    for (let round = 0; round < 5; round++) {
      await plain.query('DELETE FROM token_auth_sessions')
      await Promise.all(
        ids.map((id, i) => store.create(makeSession(id, { userId: users[i % 10] as string })))
      )
      const touches = ids.map(sessionId => ({
        sessionId,
        lastUsedAt: NOW + round,
        confirmedGeneration: 0
      }))
      await Promise.all(
        Array.from({ length: 10 }, (_, i) => [
          store.touch(touches),
          other.touch(touches.toReversed()),
          other.touch([...touches.slice(i * 12), ...touches.slice(0, i * 12)]),
          store.revoke({ userId: users[i] as string }, { at: NOW - 99, reason: 'revoked' }),
          other.revoke({ userId: users[9 - i] as string }, { at: NOW - 99, reason: 'revoked' })
        ]).flat()
      )
    }

    t.notOk(errors.includes(1213), 'no deadlock')
  })

  await t.test('sweep: no login waits for it', async t => {
    await empty()
    const [store, other] = openTwo()
    await store.create(makeSession('a', { expiresAt: NOW - 10 }))
    await store.create(makeSession('b', { expiresAt: NOW + 10 }))
    const [reached, gate] = [makeGate(), makeGate()]
    const slow = new MysqlStore(pausing(plain, 1, async () => {
      reached.open()
      await gate.opened
    }))
    const sweep = slow.sweep({ endedBefore: NOW, limit: 1000 })
    await reached.opened
    const login = Promise.all(
      [-11, -9, 9, 11].map(after =>
        other.create(makeSession(`c${after}`, { expiresAt: NOW + after }))
      )
    )
    const waited = await Promise.race([
      lockWait(admin, database).then(() => true),
      login.then(() => false)
    ])
    gate.open()
    t.notOk(waited)
    await Promise.all([sweep, login])
  })

  await t.test('sweep: two who postpone what lives on stand neither in each other\'s way nor in that of a login', async t => {
    await empty()
    const errors: number[] = []
    const [store, other] = openTwo(errors)
    await Promise.all(
      Array.from(
        { length: 60 },
        (_, i) => store.create(makeSession(`s${i}`, { expiresAt: NOW + i }))
      )
    )
    await plain.query('UPDATE token_auth_sessions SET expires_at = expires_at + 60')
    const sweeps = Array.from(
      { length: 8 },
      (_, i) => (i % 2 ? store : other).sweep({ endedBefore: NOW + 60, limit: 7 })
    )
    const logins = Array.from(
      { length: 40 },
      (_, i) => makeSession(`later${i}`, { expiresAt: NOW + 60 + (i * 37) % 60 })
    )
    await Promise.all(logins.map(login => other.create(login)))
    t.same(await Promise.all(sweeps), sweeps.map(() => 0))
    t.equal((await store.list('ann', { now: NOW, limit: 200 })).length, 100)
    t.notOk(errors.includes(1213), 'no deadlock')
  })

  await t.test('one connection is enough', async t => {
    await empty()
    const store = new MysqlStore(connect(database, { connectionLimit: 1 }))
    await Promise.all(Array.from({ length: 30 }, (_, i) => store.create(makeSession(`s${i}`))))
    const [counts] = await Promise.all([
      Promise.all([
        store.revoke({ userId: 'ann' }, { at: NOW, reason: 'revoked' }),
        store.sweep({ endedBefore: NOW, limit: 5 })
      ]),
      t.rejects(store.create(makeSession('s1')), new SessionRefusedError('id-taken'))
    ])
    t.same(counts, [30, 0])
  })

  await t.test('ids: what a server would cut off or an encoding replace is refused, where it would be written', async t => {
    await empty()
    const store = new MysqlStore(connect(database, { setup: ['SET SESSION sql_mode = \'\''] }))
    const longest = '🦊'.repeat(63) + 'abc'
    const device = { label: '🦊'.repeat(1000), userAgent: 'x'.repeat(60_000), address: '' }
    await store.create(makeSession('s1', { userId: longest, device }))
    t.same((await store.list(longest, { now: NOW, limit: 10 }))[0]?.device, device)

    for (const id of [longest + 'd', 'fox \ud83e', '\udd8a']) {
      await t.rejects(store.create(makeSession('s2', { userId: id })), RangeError)
      await t.rejects(store.create(makeSession(id)), RangeError)
      await t.rejects(store.revoke({ userId: id }, { at: NOW, reason: 'revoked' }), RangeError)
      t.same(await store.list(id, { now: NOW, limit: 10 }), [])
      t.equal(await store.find(id), null)
      t.equal(await store.revoke({ sessionId: id }, { at: NOW, reason: 'revoked' }), 0)
      await store.touch([{ sessionId: id, lastUsedAt: NOW, confirmedGeneration: 0 }])
    }

    for (const id of ['a', 'A', 'a ', 'á', 'a\0', 'ａ']) {
      await store.create(makeSession(id))
    }

    for (const id of ['a', 'A', 'a ', 'á', 'a\0', 'ａ']) {
      await store.touch([{ sessionId: id, lastUsedAt: NOW + 1, confirmedGeneration: 0 }])
      t.equal((await store.find(id))?.lastUsedAt, NOW + 1)
    }
  })

  await t.test('touch: more than goes into one statement', async t => {
    await empty()
    const store = new MysqlStore(plain)
    const ids = Array.from({ length: 1201 }, (_, i) => `s${i}`)

    for (const id of [ids[0], ids[1200]]) {
      await store.create(makeSession(id as string))
    }

    await store.touch(
      ids.map(sessionId => ({ sessionId, lastUsedAt: NOW + 1, confirmedGeneration: 0 }))
    )

    for (const id of [ids[0], ids[1200]]) {
      t.equal((await store.find(id as string))?.lastUsedAt, NOW + 1)
    }
  })
}
