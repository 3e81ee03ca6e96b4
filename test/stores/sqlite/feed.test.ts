import t from 'tap'
import { DAY, HOUR } from '../../../src/lib/time.js'
import { NOW, readFeed, REALM } from '../../../src/stores/conformance/harness.js'
import { SqliteConnection } from '../../../src/stores/sqlite/connection.js'
import { SqliteFeed } from '../../../src/stores/sqlite/feed.js'
import type { Revocation } from '../../../src/stores/token-store.js'
import { openTestStore, readRows } from './sqlite-helpers.js'

function createEntry (sessionId: string): Revocation {
  return { realm: REALM, at: NOW, reason: 'logout', sessionId, userId: 'ann' }
}

t.test('an entry of an open transaction appears when it commits', async t => {
  const { store, db } = await openTestStore(t)
  const writer = new SqliteFeed(new SqliteConnection(db))
  writer.add(createEntry('before'))
  const early = await readFeed(store)

  db.exec('BEGIN IMMEDIATE')
  writer.add(createEntry('first'))
  const during = await readFeed(store, early.cursor)
  t.strictSame(during.entries, [], 'a reader that continues does not see it')
  const late = await readFeed(store)
  t.strictSame(late.entries, [createEntry('before')], 'nor does a reader that starts')
  db.exec('COMMIT')
  writer.add(createEntry('second'))

  const expected = [createEntry('first'), createEntry('second')]

  for (const { cursor } of [early, during, late]) {
    for (const limit of [1, 100]) {
      t.strictSame((await readFeed(store, cursor, limit)).entries, expected)
    }
  }
})

t.test('an entry takes the ID of one that was rolled back', async t => {
  const { store, db } = await openTestStore(t)
  const writer = new SqliteFeed(new SqliteConnection(db))
  const { cursor } = await readFeed(store)

  db.exec('BEGIN IMMEDIATE')
  writer.add(createEntry('undone'))
  db.exec('ROLLBACK')
  const { cursor: afterRollback } = await readFeed(store, cursor)
  db.exec('BEGIN IMMEDIATE; SAVEPOINT part')
  writer.add(createEntry('undone too'))
  db.exec('ROLLBACK TO part')
  writer.add(createEntry('saved'))
  db.exec('COMMIT')

  for (const position of [cursor, afterRollback]) {
    t.strictSame((await readFeed(store, position)).entries, [createEntry('saved')])
  }
})

t.test('a reader notices that its last entry was replaced by another one', async t => {
  const { store, db } = await openTestStore(t)
  const writer = new SqliteFeed(new SqliteConnection(db))
  writer.add(createEntry('lost'))
  const { cursor } = await readFeed(store)

  // As if a backup from before the entry had been restored.
  db.exec('DELETE FROM token_auth_revocations; DELETE FROM sqlite_sequence')
  writer.add(createEntry('a'))
  writer.add(createEntry('b'))
  t.match(readRows(db, 'SELECT id FROM token_auth_revocations'), [{ id: 1 }, { id: 2 }])
  t.strictSame((await readFeed(store, cursor)).entries, [createEntry('a'), createEntry('b')])
})

t.test('a cursor of another file starts a window', async t => {
  const [one, two] = [await openTestStore(t), await openTestStore(t)]

  for (const { db } of [one, two]) {
    new SqliteFeed(new SqliteConnection(db)).add(createEntry('a'))
  }

  const { cursor } = await readFeed(one.store)
  t.strictSame((await readFeed(two.store, cursor)).entries, [createEntry('a')])
  t.strictSame((await readFeed(one.store, cursor)).entries, [])
})

t.test('a reader whose last entry was swept misses nothing', async t => {
  const { store, db } = await openTestStore(t)
  const writer = new SqliteFeed(new SqliteConnection(db))
  writer.add(createEntry('swept'))
  const { cursor } = await readFeed(store)
  t.equal(await store.sweep({ endedBefore: Date.now() + DAY, limit: 10 }), 1)
  const idle = await readFeed(store, cursor)
  t.strictSame(idle.entries, [])
  writer.add(createEntry('new'))

  for (const position of [cursor, idle.cursor]) {
    const { entries, cursor: next } = await readFeed(store, position)
    t.strictSame(entries, [createEntry('new')])
    t.strictSame((await readFeed(store, next)).entries, [])
  }
})

t.test('a reader starts at the first entry of its window, also after a clock step', async t => {
  const { store, db } = await openTestStore(t)
  const writer = new SqliteFeed(new SqliteConnection(db))
  const ages = [30 * HOUR, 20 * HOUR, HOUR, 22 * HOUR, 40 * HOUR, 0]

  for (const [i, age] of ages.entries()) {
    writer.add(createEntry(`${age / HOUR} h`))
    db.exec(`
      UPDATE token_auth_revocations SET stored_at = stored_at - ${age} WHERE id = ${i + 1}`)
  }

  const getAges = (entries: readonly Revocation[]): string[] =>
    entries.map(entry => (entry as { sessionId: string }).sessionId)
  const { entries } = await store.revocations({ within: DAY }, 100)
  t.strictSame(getAges(entries), ['20 h', '1 h', '22 h', '0 h'])
  const unreadable = await store.revocations('', 100)
  t.strictSame(getAges(unreadable.entries), ['20 h', '1 h', '22 h', '0 h'], '25 hours')
  const none = await store.revocations({ within: -HOUR }, 100)
  t.strictSame(none.entries, [])
  t.strictSame((await readFeed(store, none.cursor)).entries, [], 'continues at the last entry')
})

t.test('every page says whether it is the last', async t => {
  const { store, db } = await openTestStore(t)
  const writer = new SqliteFeed(new SqliteConnection(db))
  const { cursor } = await readFeed(store)

  for (const name of ['a', 'b', 'c', 'd']) {
    writer.add(createEntry(name))
  }

  for (const start of [cursor, { within: DAY }]) {
    const one = await store.revocations(start, 2)
    const two = await store.revocations(one.cursor, 2)
    t.strictSame(one.entries, [createEntry('a'), createEntry('b')])
    t.strictSame(two.entries, [createEntry('c'), createEntry('d')])
    t.strictSame([one.complete, two.complete], [false, true])
  }
})
