import assert from 'node:assert/strict'
import type { Session } from '../../domain/session.js'
import { DAY } from '../../lib/time.js'
import { SessionRefusedError } from '../token-store.js'
import type { TokenStore } from '../token-store.js'
import {
  assertRefused,
  attemptAt,
  CONCURRENT_CALLS,
  makeSession,
  NOW,
  readFeed,
  REALM,
  ROUNDS,
  saveSession,
  saveSessions,
  sortEntries
} from './harness.js'
import type { ConformanceTest } from './harness.js'

/** Registers the tests of `revoke` and of not-befores. */
export function testRevocations (test: ConformanceTest<TokenStore>): void {
  testSessionTargets(test)
  testUserTargets(test)
  testRealmTargets(test)
}

function testSessionTargets (test: ConformanceTest<TokenStore>): void {
  test('revoke: the first time and reason stay, and later calls return 0', async store => {
    const session = await saveSession(store)
    const { realm, id: sessionId, userId } = session
    assert.equal(await store.revoke({ realm, sessionId }, { at: NOW + 1, reason: 'reuse' }), 1)
    assert.equal(await store.revoke({ realm, sessionId }, { at: NOW + 2, reason: 'logout' }), 0)
    assert.equal(await store.revoke({ realm, userId }, { at: NOW + 3, reason: 'logout-all' }), 0)
    const expected = { ...session, revokedAt: NOW + 1, revokedFor: 'reuse' }
    assert.deepEqual(await store.find(REALM, sessionId), expected)
  })

  test('revoke: leaves other sessions alone, and ignores unknown IDs', async store => {
    const [a, b] = await saveSessions(store, {}, {}) as [Session, Session]
    const details = { at: NOW, reason: 'logout' } as const
    const ignored = [
      { realm: REALM, sessionId: 'unknown' },
      { realm: REALM, userId: 'unknown' },
      { realm: 'other', sessionId: a.id },
      { realm: 'other', userId: 'ann' },
      { realm: REALM, sessionId: a.id, secretHash: 'another' }
    ]

    for (const target of ignored) {
      assert.equal(await store.revoke(target, details), 0, JSON.stringify(target))
      assert.deepEqual(await store.find(REALM, a.id), a)
    }

    const target = { realm: REALM, sessionId: a.id, secretHash: a.secretHash }
    assert.equal(await store.revoke(target, details), 1)
    assert.deepEqual(await store.find(REALM, b.id), b)
  })

  test('revoke: one of several concurrent calls counts', async (store, other) => {
    const { id: sessionId } = await saveSession(store)
    const counts = await Promise.all(
      Array.from(
        { length: CONCURRENT_CALLS },
        (_, i) =>
          (i % 2 ? store : other).revoke({ realm: REALM, sessionId }, {
            at: NOW + i,
            reason: 'reuse'
          })
      )
    )
    assert.equal(counts.reduce((sum, count) => sum + count, 0), 1)
    assert.equal((await readFeed(store)).entries.length, 1, 'one entry in the feed')
  })
}

function testUserTargets (test: ConformanceTest<TokenStore>): void {
  test('revoke of a user: ends all sessions except `keep`, and leaves other users', async store => {
    const [a, b, kept, bobs, theirs] = await saveSessions(
      store,
      {},
      {},
      {},
      { userId: 'bob' },
      { realm: 'other' }
    ) as [Session, Session, Session, Session, Session]
    const details = { at: NOW + 1, reason: 'revoked' } as const
    const target = { realm: REALM, userId: 'ann', keep: kept.id }
    assert.equal(await store.revoke(target, details), 2)

    for (const session of [a, b]) {
      const expected = { ...session, revokedAt: NOW + 1, revokedFor: 'revoked' }
      assert.deepEqual(await store.find(REALM, session.id), expected)
      const outcome = await store.rotate(attemptAt(session, NOW + 2))
      assert.deepEqual(outcome, { swapped: false, session: expected })
    }

    for (const session of [kept, bobs, theirs]) {
      assert.deepEqual(await store.find(session.realm, session.id), session)
    }

    assert.deepEqual(await store.list(REALM, 'ann', { now: NOW, limit: 10 }), [kept])
    const outcome = await store.rotate(attemptAt(kept, NOW + 2))
    assert.equal(outcome.swapped, true)
  })

  test('revoke of a user: a later call ends the session that an earlier one kept', async store => {
    const kept = await saveSession(store)
    const target = { realm: REALM, userId: 'ann' }
    assert.equal(
      await store.revoke({ ...target, keep: kept.id }, { at: NOW + 1, reason: 'revoked' }),
      0
    )
    assert.equal(await store.revoke(target, { at: NOW + 2, reason: 'logout-all' }), 1)
    assert.equal(
      await store.revoke({ ...target, keep: kept.id }, { at: NOW + 3, reason: 'revoked' }),
      0
    )
    const expected = { ...kept, revokedAt: NOW + 2, revokedFor: 'logout-all' }
    assert.deepEqual(await store.find(REALM, kept.id), expected)
  })

  test('create: a session from before the revocation of its user is refused', async store => {
    await store.revoke({ realm: REALM, userId: 'ann' }, { at: NOW, reason: 'logout-all' })
    const early = [
      { authenticatedAt: NOW - 1, createdAt: NOW + 5 },
      { authenticatedAt: NOW }
    ]

    for (const given of early) {
      const session = makeSession(given)
      await assertRefused('revoked-since', store.create(session), NOW)
      assert.equal(await store.find(REALM, session.id), null)
    }

    for (
      const given of [
        { authenticatedAt: NOW + 1 },
        { authenticatedAt: NOW - 1, userId: 'bob' },
        { authenticatedAt: NOW - 1, realm: 'other' }
      ]
    ) {
      await saveSession(store, given)
    }
  })

  test('create: the latest not-before counts, and each `keep` only for itself', async store => {
    const { id } = makeSession()
    const target = { realm: REALM, userId: 'ann' }
    await store.revoke({ ...target, keep: id }, { at: NOW + 9, reason: 'revoked' })
    await store.revoke(target, { at: NOW, reason: 'revoked' })
    await assertRefused('revoked-since', store.create(makeSession({ id })), NOW)
    await assertRefused('revoked-since', store.create(makeSession()), NOW + 9)
    await saveSession(store, { id, authenticatedAt: NOW + 1 })
  })

  test('revoke of a user: also ends sessions that were created later than `at`', async store => {
    const session = await saveSession(store, { createdAt: NOW + 30 })
    const target = { realm: REALM, userId: 'ann' }
    assert.equal(await store.revoke(target, { at: NOW, reason: 'password-changed' }), 1)
    const { entries: [entry] } = await readFeed(store)
    assert.deepEqual(entry, { ...target, at: NOW, reason: 'password-changed', before: NOW + 30 })
    assert.equal((await store.find(REALM, session.id))?.revokedAt, NOW)
    await assertRefused(
      'revoked-since',
      store.create(makeSession({ authenticatedAt: NOW + 30 })),
      NOW + 30
    )
    await saveSession(store, { authenticatedAt: NOW + 31 })
  })

  test('create and revoke of a user: no earlier session outlives a concurrent revocation', async (
    store,
    other
  ) => {
    for (let round = 0; round < ROUNDS; round++) {
      const userId = `user ${round}`
      const sessions = Array.from(
        { length: 4 },
        () => makeSession({ userId, authenticatedAt: NOW - 1 })
      )
      const creations = sessions.map(async session => {
        try {
          await store.create(session)
        } catch (error) {
          assert.ok(error instanceof SessionRefusedError, String(error))
        }
      })
      const target = { realm: REALM, userId }
      await Promise.all([...creations, other.revoke(target, { at: NOW, reason: 'logout-all' })])
      assert.deepEqual(await store.list(REALM, userId, { now: NOW, limit: 10 }), [])

      for (const { id } of sessions) {
        assert.notEqual((await store.find(REALM, id))?.revokedAt, null)
      }
    }
  })

  test('rotate and revoke of a user: nothing rotates after the revocation', async (
    store,
    other
  ) => {
    for (let round = 0; round < ROUNDS; round++) {
      const session = await saveSession(store, { userId: `user ${round}` })
      const target = { realm: REALM, userId: session.userId }
      await Promise.all([
        store.rotate(attemptAt(session, NOW + 1)),
        other.revoke(target, { at: NOW + 1, reason: 'logout-all' })
      ])
      const after = await store.find(REALM, session.id) as Session
      assert.equal(after.revokedAt, NOW + 1)
      const late = await store.rotate(attemptAt(after, NOW + DAY))
      assert.deepEqual(late, { swapped: false, session: after })
    }
  })
}

function testRealmTargets (test: ConformanceTest<TokenStore>): void {
  test('revoke of a realm: ends all its sessions, and leaves other realms', async store => {
    const [ann, bob, theirs] = await saveSessions(
      store,
      {},
      { userId: 'bob' },
      { realm: 'other' }
    ) as [Session, Session, Session]
    assert.equal(await store.revoke({ realm: REALM }, { at: NOW + 1, reason: 'revoked' }), 0)

    for (const session of [ann, bob]) {
      const expected = { ...session, revokedAt: NOW + 1, revokedFor: 'revoked' }
      assert.deepEqual(await store.find(REALM, session.id), expected)
      assert.deepEqual(await store.list(REALM, session.userId, { now: NOW, limit: 10 }), [])
      const outcome = await store.rotate(attemptAt(session, NOW + 2))
      assert.deepEqual(outcome, { swapped: false, session: expected })
    }

    assert.deepEqual(await store.find('other', theirs.id), theirs)
    await assertRefused(
      'revoked-since',
      store.create(makeSession({ authenticatedAt: NOW + 1 })),
      NOW + 1
    )
    await saveSession(store, { authenticatedAt: NOW + 2 })
  })

  test('revoke of a realm: only a later moment counts', async store => {
    await store.revoke({ realm: REALM }, { at: NOW, reason: 'revoked' })
    await store.revoke({ realm: REALM }, { at: NOW - DAY, reason: 'logout-all' })
    await assertRefused('revoked-since', store.create(makeSession()), NOW)
    const { entries } = await readFeed(store)
    const expected = { realm: REALM, at: NOW, reason: 'revoked', before: NOW }
    assert.deepEqual(new Set(entries.map(entry => JSON.stringify(entry))).size, 1)
    assert.deepEqual(entries[0], expected)
  })

  test('revoke: a session that a not-before ended keeps its details', async store => {
    const session = await saveSession(store)
    await store.revoke({ realm: REALM }, { at: NOW + 1, reason: 'revoked' })
    const { cursor } = await readFeed(store)
    const target = { realm: REALM, sessionId: session.id }
    assert.equal(await store.revoke(target, { at: NOW + 2, reason: 'logout' }), 0)
    const ofUser = { realm: REALM, userId: 'ann' }
    assert.equal(await store.revoke(ofUser, { at: NOW + 3, reason: 'logout-all' }), 0)
    const expected = { ...session, revokedAt: NOW + 1, revokedFor: 'revoked' }
    assert.deepEqual(await store.find(REALM, session.id), expected)
    const { entries } = await readFeed(store, cursor)
    assert.deepEqual(sortEntries(entries), [
      { ...ofUser, at: NOW + 3, reason: 'logout-all', before: NOW + 3 }
    ])
  })
}
