import assert from 'node:assert/strict'
import type { Session } from '../../domain/session.js'
import { DAY } from '../../lib/time.js'
import type { TokenStore } from '../token-store.js'
import {
  assertRefused,
  attemptAt,
  makeSession,
  NOW,
  readFeed,
  REALM,
  saveSession,
  saveSessions
} from './harness.js'
import type { ConformanceTest } from './harness.js'

/** Registers the tests of `sweep`. */
export function testSweep (test: ConformanceTest<TokenStore>): void {
  test('sweep: deletes sessions that ended before the moment, and no others', async store => {
    const ended = await saveSessions(
      store,
      { expiresAt: NOW - 1 },
      { expiresAt: NOW - 90 * DAY, endsAt: NOW - 90 * DAY },
      { expiresAt: NOW - 1, revokedAt: NOW - 2, revokedFor: 'logout' },
      { expiresAt: NOW - 1, realm: 'other' }
    )
    const left = await saveSessions(
      store,
      { expiresAt: NOW },
      { expiresAt: NOW + 1 },
      { revokedAt: NOW - DAY, revokedFor: 'reuse' }
    )
    assert.equal(await store.sweep({ endedBefore: NOW, limit: 100 }), ended.length)

    for (const { realm, id } of ended) {
      assert.equal(await store.find(realm, id), null)
    }

    for (const session of left) {
      assert.deepEqual(await store.find(REALM, session.id), session)
    }

    assert.equal(await store.sweep({ endedBefore: NOW, limit: 100 }), 0)
  })

  test('sweep: a session that was rotated lives to its new end', async store => {
    const session = await saveSession(store)
    const { session: rotated } = await store.rotate(attemptAt(session, NOW + 6 * DAY))
    assert.equal(await store.sweep({ endedBefore: session.expiresAt + 1, limit: 10 }), 0)
    assert.equal(await store.sweep({ endedBefore: session.expiresAt + DAY, limit: 10 }), 0)
    assert.deepEqual(await store.find(REALM, session.id), rotated)
    assert.equal(await store.sweep({ endedBefore: NOW + 13 * DAY + 1, limit: 10 }), 1)
    assert.equal(await store.find(REALM, session.id), null)
  })

  test('sweep: deletes at most the limit, and less only if nothing is left', async store => {
    const sessions = await saveSessions(
      store,
      ...Array.from({ length: 24 }, () => ({ expiresAt: NOW + DAY }))
    )

    // These outlive the end that they were created with, and lie among the others.
    for (const session of sessions.slice(0, 12)) {
      await store.rotate(attemptAt(session, NOW + 1))
    }

    const counts: number[] = []

    for (let i = 0; i < 4; i++) {
      counts.push(await store.sweep({ endedBefore: NOW + 2 * DAY, limit: 5 }))
    }

    assert.deepEqual(counts, [5, 5, 2, 0])
    assert.equal((await store.list(REALM, 'ann', { now: NOW, limit: 100 })).length, 12)
  })

  test('sweep: two concurrent sweeps delete and count each record once', async (store, other) => {
    await saveSessions(store, ...Array.from({ length: 60 }, () => ({ expiresAt: NOW - 1 })))

    const sweepAll = async (by: TokenStore): Promise<number> => {
      let sum = 0

      for (let i = 0; i < 10; i++) {
        sum += await by.sweep({ endedBefore: NOW, limit: 7 })
      }

      return sum
    }

    const [one, two] = await Promise.all([sweepAll(store), sweepAll(other)])
    assert.equal(one + two + await sweepAll(store), 60)
    assert.deepEqual(await store.list(REALM, 'ann', { now: 0, limit: 100 }), [])
  })

  test('sweep: deletes the not-befores of users, within the limit', async store => {
    for (const userId of ['ann', 'bob', 'cyd']) {
      await store.revoke({ realm: REALM, userId }, { at: NOW - 1, reason: 'logout-all' })
    }

    await store.revoke({ realm: REALM, userId: 'dan' }, { at: NOW, reason: 'logout-all' })
    await saveSession(store, { userId: 'eve', expiresAt: NOW - 1 })
    assert.equal(await store.sweep({ endedBefore: NOW, limit: 2 }), 2)
    assert.ok(await sweepUntilEmpty(store, NOW) >= 2, 'the other not-before and the session')
    await saveSession(store, { userId: 'ann', authenticatedAt: NOW - 1 })
    const early = makeSession({ userId: 'dan', authenticatedAt: NOW })
    await assertRefused('revoked-since', store.create(early), NOW)
  })

  test('sweep: a not-before stays as long as a session from before it', async store => {
    const session = await saveSession(store, { createdAt: NOW - 40 * DAY, expiresAt: NOW + DAY })
    const target = { realm: REALM, userId: 'ann' }
    await store.revoke(target, { at: NOW - 39 * DAY, reason: 'logout-all' })
    await sweepUntilEmpty(store, NOW)
    const early = makeSession({ authenticatedAt: NOW - 40 * DAY })
    await assertRefused('revoked-since', store.create(early))
    await sweepUntilEmpty(store, NOW + 2 * DAY)
    assert.equal(await store.find(REALM, session.id), null)
    await store.create(early)
  })

  test('sweep: deletes feed entries by the time of their storage', async store => {
    const [a, b] = await saveSessions(store, {}, {}) as [Session, Session]
    const startedAt = (await store.revocations({ within: DAY }, 1)).now

    for (const { id: sessionId } of [a, b]) {
      // Neither the time of the revocation nor that of the session matters.
      await store.revoke({ realm: REALM, sessionId }, { at: startedAt - 9 * DAY, reason: 'logout' })
    }

    const past = startedAt - DAY
    assert.equal(await sweepUntilEmpty(store, past), 0)
    assert.equal((await readFeed(store)).entries.length, 2)
  })

  test('sweep: the not-before of a realm stays', async store => {
    await store.revoke({ realm: REALM }, { at: NOW - 90 * DAY, reason: 'revoked' })
    await sweepUntilEmpty(store, NOW + DAY)
    const early = makeSession({ authenticatedAt: NOW - 90 * DAY })
    await assertRefused('revoked-since', store.create(early), NOW - 90 * DAY)
  })

  test('sweep: readers of the feed continue after a sweep', async store => {
    const [a, b] = await saveSessions(store, {}, {}) as [Session, Session]
    await store.revoke({ realm: REALM, sessionId: a.id }, { at: NOW, reason: 'logout' })
    const { cursor, now } = await readFeed(store)
    await sweepUntilEmpty(store, now + DAY)
    await store.revoke({ realm: REALM, sessionId: b.id }, { at: NOW, reason: 'logout' })
    const { entries } = await readFeed(store, cursor)
    assert.ok(
      entries.some(entry => 'sessionId' in entry && entry.sessionId === b.id),
      'the entry after the sweep'
    )
  })
}

/**
 * Sweeps until a batch is not full, and returns the number of deleted records. With a moment that
 * is later than the clock of the database, all feed entries are among them.
 */
async function sweepUntilEmpty (store: TokenStore, endedBefore: number): Promise<number> {
  for (let sum = 0;;) {
    const count = await store.sweep({ endedBefore, limit: 10 })
    sum += count

    if (count < 10) {
      return sum
    }
  }
}
