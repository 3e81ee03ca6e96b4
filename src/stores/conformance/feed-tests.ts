import assert from 'node:assert/strict'
import type { Session } from '../../domain/session.js'
import { DAY, MINUTE, SECOND } from '../../lib/time.js'
import type { Cursor, FeedWindow, Revocation, TokenStore } from '../token-store.js'
import {
  CONCURRENT_CALLS,
  NOW,
  readFeed,
  REALM,
  ROUNDS,
  saveSession,
  saveSessions,
  sortEntries
} from './harness.js'
import type { ConformanceTest } from './harness.js'

/** Registers the tests of `revocations`. */
export function testFeed (test: ConformanceTest<TokenStore>): void {
  test('revocations: an empty feed is complete and has the time of the database', async store => {
    const first = await store.revocations({ within: DAY }, 10)
    assert.deepEqual([first.entries, first.complete], [[], true])
    const second = await store.revocations(first.cursor, 10)
    assert.deepEqual([second.entries, second.complete], [[], true])

    for (const { now } of [first, second]) {
      assert.ok(Number.isSafeInteger(now), 'whole milliseconds')
      assert.ok(Math.abs(now - Date.now()) < MINUTE, 'a plausible time')
    }

    assert.ok(second.now >= first.now, 'the time does not go back')
  })

  test('revocations: one entry for each revocation, with what it ended', async store => {
    const [a, b] = await saveSessions(
      store,
      {},
      {},
      {},
      { userId: 'bob', realm: 'other' }
    ) as [Session, Session]
    await store.revoke({ realm: REALM, sessionId: a.id }, { at: NOW + 1, reason: 'logout' })
    await store.revoke({ realm: REALM, sessionId: a.id }, { at: NOW + 2, reason: 'reuse' })
    await store.revoke({ realm: REALM, sessionId: 'unknown' }, { at: NOW + 2, reason: 'reuse' })
    const kept = { realm: REALM, userId: 'ann', keep: b.id }
    await store.revoke(kept, { at: NOW + 3, reason: 'revoked' })
    const all = { realm: 'other', userId: 'bob' }
    await store.revoke(all, { at: NOW + 4, reason: 'logout-all' })
    const nobody = { realm: REALM, userId: 'o\'brien "x" 🦊' }
    await store.revoke(nobody, { at: NOW + 5, reason: 'password-changed' })
    await store.revoke({ realm: 'third' }, { at: NOW + 6, reason: 'revoked' })
    const expected: Revocation[] = [
      { realm: REALM, at: NOW + 1, reason: 'logout', sessionId: a.id, userId: 'ann' },
      { ...kept, at: NOW + 3, reason: 'revoked', before: NOW + 3 },
      { ...all, at: NOW + 4, reason: 'logout-all', before: NOW + 4 },
      { ...nobody, at: NOW + 5, reason: 'password-changed', before: NOW + 5 },
      { realm: 'third', at: NOW + 6, reason: 'revoked', before: NOW + 6 }
    ]

    for (const limit of [1, 2, 100]) {
      const { entries } = await readFeed(store, { within: DAY }, limit)
      assert.deepEqual(distinct(entries), sortEntries(expected), `pages of ${limit}`)
    }
  })

  test('revocations: a reader that continues sees each new entry, page by page', async store => {
    const sessions = await saveSessions(store, ...Array.from({ length: 9 }, () => ({})))
    let position: Cursor | FeedWindow = { within: DAY }

    for (const [i, { id: sessionId }] of sessions.entries()) {
      await store.revoke({ realm: REALM, sessionId }, { at: NOW - i * DAY, reason: 'logout' })

      if (i % 3 === 2) {
        const { entries, cursor } = await readFeed(store, position, 2)
        const seen = new Set(entries.map(entry => (entry as { sessionId: string }).sessionId))

        for (const session of sessions.slice(i - 2, i + 1)) {
          assert.ok(seen.has(session.id), 'whatever the time of the revocation')
        }

        position = cursor
      }
    }

    const page = await store.revocations(position, 100)
    assert.equal(page.complete, true)
    assert.ok(page.entries.length < 9, 'the reader has continued')
  })

  test('revocations: no page exceeds the limit', async store => {
    const sessions = await saveSessions(store, ...Array.from({ length: 20 }, () => ({})))

    for (const { id: sessionId } of sessions) {
      await store.revoke({ realm: REALM, sessionId }, { at: NOW, reason: 'logout' })
    }

    let position: Cursor | FeedWindow = { within: DAY }
    let pages = 0
    const seen: Revocation[] = []

    for (;;) {
      const page = await store.revocations(position, 3)
      assert.ok(page.entries.length <= 3, 'at most the limit')
      seen.push(...page.entries)
      position = page.cursor

      if (page.complete) {
        break
      }

      assert.ok(++pages < 100, 'the feed is complete after 100 pages')
    }

    assert.equal(distinct(seen).length, 20)
  })

  test('revocations: cursors do not share a position', async store => {
    const [a, b] = await saveSessions(store, {}, {}) as [Session, Session]
    const { cursor: before } = await readFeed(store)
    await store.revoke({ realm: REALM, sessionId: a.id }, { at: NOW, reason: 'logout' })
    const { cursor: between } = await readFeed(store, before)
    await store.revoke({ realm: REALM, sessionId: b.id }, { at: NOW, reason: 'logout' })
    const ids = async (cursor: Cursor): Promise<string[]> =>
      distinct((await readFeed(store, cursor)).entries)
        .map(entry => (entry as { sessionId: string }).sessionId)
    assert.deepEqual(await ids(before), [a.id, b.id])
    assert.ok((await ids(between)).includes(b.id), 'the entry after the cursor')
    assert.deepEqual(await ids(before), [a.id, b.id], 'reading changes nothing')
  })

  test('revocations: a cursor that the store cannot read starts a window', async store => {
    const { id: sessionId } = await saveSession(store)
    await store.revoke({ realm: REALM, sessionId }, { at: NOW, reason: 'logout' })

    for (const cursor of ['', 'nonsense', '{}', '[]', 'null', '999999999999', '{"first":1}']) {
      const { entries, cursor: next } = await readFeed(store, cursor)
      assert.equal(distinct(entries).length, 1, `"${cursor}"`)
      assert.deepEqual((await store.revocations(next, 10)).complete, true)
    }
  })

  test('revocations: a window of 0 shows only the not-befores of realms', async store => {
    const { id: sessionId } = await saveSession(store)
    await store.revoke({ realm: REALM, sessionId }, { at: NOW, reason: 'logout' })
    await store.revoke({ realm: REALM }, { at: NOW, reason: 'revoked' })
    await store.revoke({ realm: 'other' }, { at: NOW - DAY, reason: 'revoked' })
    await store.sweep({ endedBefore: Date.now() + DAY, limit: 100 })
    const expected = [
      { realm: REALM, at: NOW, reason: 'revoked', before: NOW },
      { realm: 'other', at: NOW - DAY, reason: 'revoked', before: NOW - DAY }
    ] as const
    const { entries, cursor } = await readFeed(store, { within: 0 })
    assert.deepEqual(distinct(entries), sortEntries(expected))
    const next = await readFeed(store, cursor)
    assert.deepEqual(next.entries, [], 'a reader that continues does not see them again')
  })

  test('revocations: readers miss no entry of concurrent writers', async (store, other) => {
    const sessions = await saveSessions(
      store,
      ...Array.from({ length: CONCURRENT_CALLS }, (_, i) => ({ userId: `user ${i}` }))
    )
    let position: Cursor | FeedWindow = { within: SECOND }
    const seen: Revocation[] = []

    const read = async (): Promise<void> => {
      const { entries, cursor } = await readFeed(store, position, 3)
      seen.push(...entries)
      position = cursor
    }

    for (let i = 0; i < sessions.length; i += 4) {
      const writers = sessions.slice(i, i + 4).map(({ id: sessionId, userId }, j) =>
        (j % 2 ? store : other).revoke(
          j === 0 ? { realm: REALM, userId } : { realm: REALM, sessionId },
          { at: NOW + j, reason: 'logout' }
        )
      )
      await Promise.all([...writers, read(), read()])
    }

    // A store may find out only later that an earlier transaction was rolled back.
    for (let round = 0; round < ROUNDS && distinct(seen).length < sessions.length; round++) {
      await read()
    }

    assert.equal(distinct(seen).length, sessions.length)
  })
}

function distinct (entries: readonly Revocation[]): Revocation[] {
  return sortEntries([...new Map(entries.map(entry => [stringify(entry), entry])).values()])
}

function stringify (entry: Revocation): string {
  return JSON.stringify(Object.entries(entry).sort())
}
