import type mysql from 'mysql2/promise'
import t from 'tap'
import { HOUR, MINUTE } from '../../../src/lib/time.js'
import { NOW, readFeed, REALM } from '../../../src/stores/conformance/harness.js'
import { addEntry } from '../../../src/stores/mysql/feed.js'
import { MysqlStore } from '../../../src/stores/mysql/index.js'
import type { Cursor, Revocation } from '../../../src/stores/token-store.js'
import { whyNoMysql } from '../../helpers/databases/mysql.js'
import { createMysqlDatabase } from './mysql-helpers.js'

type Runs = Array<[first: number, count: number, since: number]>

function makeEntry (userId: string): Revocation {
  return { realm: REALM, at: NOW, reason: 'logout-all', userId, before: NOW }
}

function getUserIds (entries: readonly Revocation[]): Array<string | undefined> {
  return entries.map(entry => 'userId' in entry ? entry.userId : undefined)
}

function getRuns (cursor: Cursor): Runs {
  return (JSON.parse(cursor) as [number, number, Runs])[2]
}

/** Returns the cursor as it is a minute later. */
function age (cursor: Cursor): Cursor {
  const [id, at, runs] = JSON.parse(cursor) as [number, number, Runs]

  return JSON.stringify([
    id,
    at,
    runs.map(([first, count, since]) => [first, count, since - MINUTE])
  ])
}

t.test('MySQL feed', { skip: await whyNoMysql() }, async t => {
  const { clear, connect, defaultPool: pool } = await createMysqlDatabase(t)
  const store = new MysqlStore(pool)

  const begin = async (userId: string): Promise<mysql.PoolConnection> => {
    const connection = await pool.getConnection()
    await connection.beginTransaction()
    await addEntry(connection, makeEntry(userId))
    return connection
  }

  const finish = async (
    connection: mysql.PoolConnection,
    how: 'commit' | 'rollback'
  ): Promise<void> => {
    await connection[how]()
    connection.release()
  }

  const revoke = (userId: string): Promise<number> =>
    store.revoke({ realm: REALM, userId }, { at: NOW, reason: 'logout-all' })

  await t.test('a reader sees an entry that commits after later ones', async t => {
    for (const limit of [1, 100]) {
      await clear()
      const { cursor: start } = await readFeed(store)
      await revoke('earlier')
      const slow = await begin('late')
      await revoke('later')
      const before = await readFeed(store, start, limit)
      t.same(getUserIds(before.entries), ['earlier', 'later'])
      await finish(slow, 'commit')
      const after = await readFeed(store, before.cursor, limit)
      t.same(getUserIds(after.entries), ['late'])
      t.same((await readFeed(store, after.cursor, limit)).entries, [])
    }
  })

  await t.test('a reader that starts in between sees an entry that commits late', async t => {
    for (const others of [[], ['later'], ['earlier', 'later']]) {
      await clear()

      if (others.includes('earlier')) {
        await revoke('earlier')
      }

      const slow = await begin('late')

      if (others.includes('later')) {
        await revoke('later')
      }

      const start = await readFeed(store, { within: 0 })
      t.same(getUserIds(start.entries), others)
      await finish(slow, 'commit')
      t.same(getUserIds((await readFeed(store, start.cursor)).entries), ['late'])
    }
  })

  await t.test('a reader sees a late entry whose neighbors are older than its window', async t => {
    await clear()
    await revoke('earlier')
    await pool.query('UPDATE token_auth_revocations SET at = at - ?', [HOUR])
    const another = await begin('another')
    const start = await readFeed(store, { within: 0 })
    t.same(start.entries, [])
    await finish(another, 'commit')
    t.same(getUserIds((await readFeed(store, start.cursor)).entries), ['another'])
  })

  await t.test('a reader continues after a rollback and after a savepoint', async t => {
    await clear()
    const { cursor: start } = await readFeed(store)
    const undone = await begin('undone')
    const halfUndone = await pool.getConnection()
    await halfUndone.beginTransaction()
    await halfUndone.query('SAVEPOINT a')
    await addEntry(halfUndone, makeEntry('undone too'))
    await halfUndone.query('ROLLBACK TO SAVEPOINT a')
    await addEntry(halfUndone, makeEntry('late'))
    await revoke('later')
    const before = await readFeed(store, start)
    t.same(getUserIds(before.entries), ['later'])
    await finish(undone, 'rollback')
    await finish(halfUndone, 'commit')
    const after = await readFeed(store, before.cursor)
    t.same(getUserIds(after.entries), ['late'])
    t.ok(getRuns(after.cursor).length > 0, 'the missing entries may still commit')
    const settled = await readFeed(store, age(after.cursor))
    t.same(settled.entries, [])
    t.same(getRuns(settled.cursor), [], 'no open transaction can add them')
  })

  await t.test('a gap of an open transaction stays, however old it is', async t => {
    await clear()
    const { cursor: start } = await readFeed(store)
    await revoke('earlier')
    const slow = await begin('late')
    await revoke('later')
    let { cursor } = await readFeed(store, start)

    for (let i = 0; i < 3; i++) {
      const page = await readFeed(store, age(cursor))
      t.same(page.entries, [])
      t.equal(getRuns(page.cursor).length > 0, true)
      cursor = page.cursor
    }

    await finish(slow, 'commit')
    t.same(getUserIds((await readFeed(store, age(cursor))).entries), ['late'])
  })

  await t.test('many late entries are shown in pages within the limit', async t => {
    await clear()
    await revoke('first')
    const slow = []

    for (let i = 0; i < 6; i++) {
      slow.push(await begin(`late ${i}`))
    }

    await revoke('later')
    let { cursor } = await readFeed(store)
    await Promise.all(slow.map(connection => finish(connection, 'commit')))
    await revoke('last')
    const seen = new Set<string | undefined>()

    for (let isComplete = false; !isComplete;) {
      const page = await store.revocations(cursor, 2)
      t.ok(page.entries.length <= 2)
      getUserIds(page.entries).forEach(userId => seen.add(userId))
      isComplete = page.complete
      cursor = page.cursor
    }

    t.equal(seen.size, 7)
  })

  await t.test('a reader starts again if the store lost its last entry', async t => {
    await clear()
    await revoke('kept')
    await revoke('lost')
    const { cursor } = await readFeed(store)
    const [[lost]] = await pool.query<mysql.RowDataPacket[]>(
      'SELECT id, at FROM token_auth_revocations ORDER BY id DESC LIMIT 1'
    )
    await pool.query('DELETE FROM token_auth_revocations WHERE id = ?', [lost?.id])
    t.same(getUserIds((await readFeed(store, cursor)).entries), ['kept'])
    await pool.query('INSERT INTO token_auth_revocations VALUES (?, ?, ?)', [
      lost?.id,
      lost?.at + 1,
      JSON.stringify(makeEntry('new'))
    ])
    t.same(getUserIds((await readFeed(store, cursor)).entries), ['kept', 'new'])
  })

  await t.test('a malformed cursor starts again', async t => {
    await clear()
    await revoke('ann')

    for (
      const cursor of [
        '',
        '5',
        '[]',
        '[1,2]',
        '[-1,0,[]]',
        '[1,"2",[]]',
        '[1,2,[[1,2]]]',
        '[1,2,[[1,1e15,0]]]',
        '[1e300,2,[]]',
        '{"last":[1,2]}',
        '\ud83e'
      ]
    ) {
      t.same(getUserIds((await readFeed(store, cursor)).entries), ['ann'], cursor)
    }
  })

  await t.test('an idle poll and a start do not read the whole feed', async t => {
    await clear()
    const counted = connect({ connectionLimit: 1 })
    const entries = Array.from({ length: 5_000 }, (_, i) => [
      Date.now() - 20 * HOUR + i,
      JSON.stringify(makeEntry(`user ${i}`))
    ])
    await pool.query('INSERT INTO token_auth_revocations (at, entry) VALUES ?', [entries])
    await pool.query('ANALYZE TABLE token_auth_revocations')
    const single = new MysqlStore(counted)

    const countReads = async (work: () => Promise<unknown>): Promise<number> => {
      await counted.query('FLUSH STATUS')
      await work()
      const [rows] = await counted.query<mysql.RowDataPacket[]>(
        'SHOW SESSION STATUS LIKE \'Handler_read%\''
      )
      return rows.reduce((sum, row) => sum + Number(row.Value), 0)
    }

    const { cursor } = await readFeed(single, { within: 0 })
    const idle = await countReads(async () => {
      const page = await single.revocations(cursor, 1_000)
      t.same([page.entries, page.complete], [[], true])
    })
    t.ok(idle < 50, `an idle poll reads ${idle} rows`)
    const start = await countReads(() => single.revocations({ within: HOUR }, 1_000))
    t.ok(start < 4_500, `a start reads ${start} rows`)
    await revoke('new')
    const next = await countReads(async () => {
      t.equal((await single.revocations(cursor, 1_000)).entries.length, 1)
    })
    t.ok(next < 50, `a poll with one new entry reads ${next} rows`)
  })
})
