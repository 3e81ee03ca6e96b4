import assert from 'node:assert/strict'
import type { Session } from '../../domain/session.js'
import { DAY } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'
import type { TokenStore, Touch } from '../token-store.js'
import {
  assertRefused,
  attemptAt,
  CONCURRENT_CALLS,
  makeSession,
  NOW,
  REALM,
  ROUNDS,
  saveSession,
  saveSessions,
  touchOf
} from './harness.js'
import type { ConformanceTest } from './harness.js'

/** Registers the tests of `create`, `find`, `list` and `touch`. */
export function testSessions (test: ConformanceTest<TokenStore>): void {
  test('create: find returns what was saved', async store => {
    const sessions = [
      makeSession(),
      makeSession({
        userId: 'o\'brien "x" \\ % _ ; -- 🦊 naïve 漢字 ',
        realm: 'Ünï \'realm\' ',
        secretHash: 'aZ-_09',
        generation: 2 ** 31,
        confirmedGeneration: 7,
        authenticatedAt: NOW - 1,
        rotatedAt: NOW + 1,
        rotatedBy: { address: null, userAgent: null },
        graceFrom: NOW + 4,
        lastUsedAt: NOW + 2,
        device: { label: '👩‍👩‍👧‍👦 "phone"\t', userAgent: 'ü'.repeat(256), address: null },
        replayRun: { generation: 2 ** 31, length: 2 }
      }),
      makeSession({ revokedAt: NOW + 3, revokedFor: 'logout' })
    ]

    for (const session of sessions) {
      await store.create(session)
      assert.deepEqual(await store.find(session.realm, session.id), session)
    }
  })

  test('create: an ID that exists is refused, in other realms too', async store => {
    const first = await saveSession(store)

    for (const realm of [REALM, 'other']) {
      const again = makeSession({ id: first.id, realm, userId: 'bob', secretHash: 'another' })
      await assertRefused('id-taken', store.create(again))
      assert.deepEqual(await store.list(realm, 'bob', { now: NOW, limit: 10 }), [])
    }

    assert.deepEqual(await store.find(REALM, first.id), first)
    assert.equal(await store.find('other', first.id), null)
  })

  test('create: only one of several concurrent sessions with one ID is saved', async (
    store,
    other
  ) => {
    const { id } = makeSession()
    const sessions = Array.from(
      { length: CONCURRENT_CALLS },
      (_, i) => makeSession({ id, secretHash: `hash ${i}` })
    )
    const results = await Promise.allSettled(
      sessions.map((session, i) => (i % 2 ? store : other).create(session))
    )
    const saved = sessions.filter((_, i) => results[i]?.status === 'fulfilled')
    assert.equal(saved.length, 1)
    assert.deepEqual(await store.find(REALM, id), saved[0])
  })

  test('find: an ID that differs in case or by a space is unknown', async store => {
    await saveSession(store, { id: 'sAbc' })

    for (const id of ['unknown', 'sabc', 'SABC', 'sAbc ', ' sAbc', '']) {
      assert.equal(await store.find(REALM, id), null, `"${id}"`)
    }
  })

  test('find and list: a realm does not see the sessions of another one', async store => {
    const [ours, theirs] = await saveSessions(store, {}, { realm: 'other' })
    assert.equal(await store.find('other', ours?.id as string), null)
    assert.equal(await store.find('Test', ours?.id as string), null)
    assert.deepEqual(await store.list(REALM, 'ann', { now: NOW, limit: 10 }), [ours])
    assert.deepEqual(await store.list('other', 'ann', { now: NOW, limit: 10 }), [theirs])
  })

  test('list: returns live sessions by descending ID, at most the limit', async store => {
    const days = [3, 1, 2]
    const [oldest, newest, middle] = await saveSessions(
      store,
      ...days.map(age => ({ createdAt: NOW - age * DAY }))
    )
    await saveSessions(
      store,
      { revokedAt: NOW, revokedFor: 'logout' },
      { expiresAt: NOW },
      { userId: 'bob' }
    )

    assert.deepEqual(await store.list(REALM, 'ann', { now: NOW, limit: 10 }), [
      newest,
      middle,
      oldest
    ])
    assert.deepEqual(await store.list(REALM, 'ann', { now: NOW, limit: 2 }), [newest, middle])
    assert.deepEqual(await store.list(REALM, 'nobody', { now: NOW, limit: 2 }), [])
  })

  test('list: user IDs and realms compare byte by byte', async store => {
    const twins = ['ann', 'Ann', 'ANN', 'ann ', ' ann', 'änn', 'a\u0308nn', 'ann%', 'an_']

    for (const twin of twins) {
      await saveSessions(store, { userId: twin }, { realm: twin, userId: 'bob' })
    }

    for (const twin of twins) {
      const byUser = await store.list(REALM, twin, { now: NOW, limit: 10 })
      assert.deepEqual(byUser.map(session => session.userId), [twin])
      const byRealm = await store.list(twin, 'bob', { now: NOW, limit: 10 })
      assert.deepEqual(byRealm.map(session => session.realm), [twin])
    }

    const target = { realm: REALM, userId: 'ann' }
    assert.equal(await store.revoke(target, { at: NOW, reason: 'revoked' }), 1)
    assert.equal((await store.list(REALM, 'Ann', { now: NOW, limit: 10 })).length, 1)
  })

  test('touch: values move forward only, and nothing else changes', async store => {
    const session = await saveSession(store, { generation: 5, confirmedGeneration: 2 })

    const touch = async (lastUsedAt: Millis, confirmedGeneration: number): Promise<unknown> => {
      await store.touch([touchOf(session, { lastUsedAt, confirmedGeneration })])
      return store.find(REALM, session.id)
    }

    const after = (lastUsedAt: Millis, confirmedGeneration: number): Session => ({
      ...session,
      lastUsedAt,
      confirmedGeneration
    })
    assert.deepEqual(await touch(NOW + 5, 3), after(NOW + 5, 3))
    assert.deepEqual(await touch(NOW + 1, 1), after(NOW + 5, 3))
    assert.deepEqual(await touch(NOW + 9, 0), after(NOW + 9, 3))
    assert.deepEqual(await touch(NOW, 99), after(NOW + 9, 5), 'never exceeds the generation')
  })

  test('touch: graceFrom moves forward while the row has the generation', async store => {
    const session = await saveSession(store, { generation: 5, graceFrom: NOW })

    const touch = async (given: Partial<Touch>): Promise<Millis | undefined> => {
      await store.touch([touchOf(session, given)])
      return (await store.find(REALM, session.id))?.graceFrom
    }

    assert.equal(await touch({ graceFrom: NOW + 5 }), NOW + 5)
    assert.equal(await touch({ graceFrom: NOW + 3 }), NOW + 5)
    assert.equal(await touch({ graceFrom: null }), NOW + 5)
    assert.equal(await touch({ graceFrom: NOW + 9, generation: 4 }), NOW + 5)
    assert.equal(await touch({ graceFrom: NOW + 9, generation: 6 }), NOW + 5)
    assert.deepEqual(await store.find(REALM, session.id), { ...session, graceFrom: NOW + 5 })
  })

  test('touch: replayRun moves forward while the row has the generation', async store => {
    const session = await saveSession(store, { generation: 5 })
    const run = (generation: number, length = 1): Partial<Touch> => ({
      replayRun: { generation, length }
    })

    const touch = async (given: Partial<Touch>): Promise<unknown> => {
      await store.touch([touchOf(session, given)])
      return (await store.find(REALM, session.id))?.replayRun
    }

    assert.deepEqual(await touch(run(4, 2)), { generation: 4, length: 2 })
    assert.deepEqual(await touch(run(5, 3)), { generation: 5, length: 3 })
    assert.deepEqual(await touch(run(5, 7)), { generation: 5, length: 3 })
    assert.deepEqual(await touch(run(4)), { generation: 5, length: 3 })
    assert.deepEqual(await touch({}), { generation: 5, length: 3 })
    assert.deepEqual(await touch({ ...run(6), generation: 6 }), { generation: 5, length: 3 })
  })

  test('touch: a batch may be empty, name a session twice, and name unknown ones', async store => {
    const [a, b, c] = await saveSessions(
      store,
      { generation: 3 },
      { generation: 3 },
      { generation: 3, realm: 'other' }
    ) as [Session, Session, Session]
    await store.touch([])
    await store.touch([
      touchOf(a, { lastUsedAt: NOW + 2, confirmedGeneration: 1, graceFrom: NOW + 8 }),
      touchOf(makeSession(), { lastUsedAt: NOW + 2, confirmedGeneration: 1 }),
      touchOf(b, { lastUsedAt: NOW + 3, confirmedGeneration: 2 }),
      touchOf(c, { realm: REALM, lastUsedAt: NOW + 2, confirmedGeneration: 1 }),
      touchOf(a, {
        lastUsedAt: NOW + 1,
        confirmedGeneration: 2,
        graceFrom: NOW + 4,
        replayRun: { generation: 3, length: 1 }
      })
    ])
    assert.deepEqual(await store.find(REALM, a.id), {
      ...a,
      lastUsedAt: NOW + 2,
      confirmedGeneration: 2,
      graceFrom: NOW + 8,
      replayRun: { generation: 3, length: 1 }
    })
    assert.deepEqual(await store.find(REALM, b.id), {
      ...b,
      lastUsedAt: NOW + 3,
      confirmedGeneration: 2
    })
    assert.deepEqual(await store.find('other', c.id), c, 'the touch named another realm')
  })

  test('touch and rotate: neither of two concurrent calls is lost', async (store, other) => {
    for (let round = 0; round < ROUNDS; round++) {
      const session = await saveSession(store, { generation: 4, graceFrom: NOW - DAY })
      await Promise.all([
        store.rotate(attemptAt(session, NOW)),
        other.touch([touchOf(session, { lastUsedAt: NOW + 7, confirmedGeneration: 4 })])
      ])
      const after = await store.find(REALM, session.id)
      const { generation, confirmedGeneration, lastUsedAt } = after ?? {}
      assert.deepEqual([generation, confirmedGeneration, lastUsedAt], [5, 4, NOW + 7])
    }
  })
}
