import assert from 'node:assert/strict'
import { applyRotation, planRotation } from '../../domain/rotation.js'
import type { RotationAttempt } from '../../domain/rotation.js'
import type { Session } from '../../domain/session.js'
import { DAY, SECOND } from '../../lib/time.js'
import { defineTest, makeSession as createSession, NOW } from './harness.js'
import type { HarnessOptions, Opened } from './harness.js'
import { SessionRefusedError } from '../token-store.js'
import type { Revocation, TokenStore } from '../token-store.js'
import type { Millis } from '../../lib/time.js'

/** Options of {@link testTokenStore}. */
export type ConformanceOptions = HarnessOptions<TokenStore>
/** Token store that a test uses. */
export type OpenStore = Opened<TokenStore>

const GRACE = 10 * SECOND
const START = { at: 0, sessionId: '' }
const ROUNDS = 50
const AT_ONCE = 20

function attemptAt (
  session: Session,
  now: Millis,
  changes: Partial<RotationAttempt> = {}
): RotationAttempt {
  const { id: sessionId, secretHash, generation } = session
  const by = { address: '2001:db8::1', userAgent: null }

  return {
    ...planRotation({ sessionId, secretHash, generation }, {
      now,
      lifetime: 7 * DAY,
      grace: GRACE,
      by
    }),
    ...changes
  }
}

/**
 * Registers the conformance tests of a token store.
 *
 * Tests every sentence of {@link TokenStore}, with concurrent calls. Never sleeps.
 *
 * @example
 * ```ts
 * import { test } from 'node:test'
 * import { testTokenStore } from 'fastify-token-auth/conformance'
 *
 * testTokenStore({ test, open: async () => ({ store: new MyStore() }) })
 * ```
 */
export function testTokenStore (options: ConformanceOptions): void {
  let made = 0
  // IDs in ascending order.
  const makeSession = (given: Partial<Session> = {}): Session =>
    createSession(given.id ?? `s${String(++made).padStart(8, '0')}`, given)
  const test = defineTest(options)

  test('create: what went in comes back as it was', async store => {
    const plain = makeSession()
    const odd = makeSession({
      userId: 'o\'brien "x" \\ % _ ; -- 🦊 naïve 漢字 ',
      secretHash: 'aZ-_09',
      generation: 2 ** 31,
      confirmedGeneration: 7,
      authenticatedAt: NOW - 1,
      rotatedAt: NOW + 1,
      rotatedBy: { address: null, userAgent: null },
      lastUsedAt: NOW + 2,
      device: { label: '👩‍👩‍👧‍👦 "phone"\t', userAgent: 'ü'.repeat(256), address: null }
    })
    const revoked = makeSession({ revokedAt: NOW + 3, revokedFor: 'logout' })

    for (const session of [plain, odd, revoked]) {
      await store.create(session)
      assert.deepEqual(await store.find(session.id), session)
    }
  })

  test('create: an id that is taken is refused, and what is there stays', async store => {
    const first = makeSession()
    await store.create(first)
    await refused(
      'id-taken',
      store.create(makeSession({ id: first.id, userId: 'bob', secretHash: 'another' }))
    )
    assert.deepEqual(await store.find(first.id), first)
    assert.deepEqual(await store.list('bob', { now: NOW, limit: 10 }), [])
  })

  test('create: of the same id at once, one gets in', async (store, other) => {
    const sessions = Array.from(
      { length: AT_ONCE },
      (_, i) => makeSession({ id: 'same', secretHash: `hash ${i}` })
    )
    const results = await Promise.allSettled(
      sessions.map((session, i) => (i % 2 ? store : other).create(session))
    )
    assert.equal(results.filter(result => result.status === 'fulfilled').length, 1)
    const kept = sessions[results.findIndex(result => result.status === 'fulfilled')]
    assert.deepEqual(await store.find('same'), kept)
  })

  test(
    'create: a session that was authenticated before all of its user were revoked is refused',
    async store => {
      await store.revoke({ userId: 'ann' }, { at: NOW, reason: 'logout-all' })
      await refused(
        'revoked-since',
        store.create(makeSession({ authenticatedAt: NOW - 1, createdAt: NOW + 5 }))
      )
      await refused('revoked-since', store.create(makeSession({ authenticatedAt: NOW })))
      await store.create(makeSession({ authenticatedAt: NOW + 1 }))
      await store.create(makeSession({ authenticatedAt: NOW - 1, userId: 'bob' }))
    }
  )

  test(
    'create: the moment before which sessions are refused only moves forward, and counts with `keep` too',
    async store => {
      await store.revoke({ userId: 'ann', keep: 'any' }, { at: NOW, reason: 'revoked' })
      await store.revoke({ userId: 'ann' }, { at: NOW - DAY, reason: 'revoked' })
      await refused('revoked-since', store.create(makeSession({ authenticatedAt: NOW })))
    }
  )

  test(
    'create and revoke at once: no session of before outlives the revocation',
    async (store, other) => {
      for (let round = 0; round < ROUNDS; round++) {
        const userId = `user ${round}`
        const sessions = Array.from(
          { length: 4 },
          () => makeSession({ userId, authenticatedAt: NOW - 1 })
        )
        const work = sessions.map(session =>
          store.create(session).catch((error: unknown) => {
            if (!(error instanceof SessionRefusedError)) {
              throw error
            }
          })
        )
        await Promise.all([...work, other.revoke({ userId }, { at: NOW, reason: 'logout-all' })])
        assert.deepEqual(await store.list(userId, { now: NOW, limit: 10 }), [])
      }
    }
  )

  test(
    'rotate: a fitting attempt writes exactly the swap, and shows the row after it',
    async store => {
      const session = makeSession()
      await store.create(session)
      let expected = session

      for (const now of [NOW + 1, NOW + DAY, NOW + 2 * DAY]) {
        const attempt = attemptAt(expected, now)
        expected = applyRotation(expected, attempt)
        assert.deepEqual(await store.rotate(attempt), { swapped: true, session: expected })
        assert.deepEqual(await store.find(session.id), expected)
      }
    }
  )

  test(
    'rotate: the idle end never passes the absolute one, and the last use never goes back',
    async store => {
      const session = makeSession({ endsAt: NOW + 8 * DAY, lastUsedAt: NOW + 5 * DAY })
      await store.create(session)
      const { session: rotated } = await store.rotate(attemptAt(session, NOW + 2 * DAY))
      assert.equal(rotated?.expiresAt, session.endsAt)
      assert.equal(rotated?.endsAt, session.endsAt)
      assert.equal(rotated?.lastUsedAt, NOW + 5 * DAY)
    }
  )

  test('rotate: what does not fit is left as it is, and shown', async store => {
    const once = (): Session => makeSession({ generation: 1, rotatedAt: NOW })
    const cases: Array<
      [why: string, session: Session, attempt: (session: Session) => RotationAttempt]
    > = [
      ['another secret', makeSession(), s => attemptAt(s, NOW + DAY, { secretHash: 'another' })],
      ['the generation before', once(), s => attemptAt(s, NOW + DAY, { generation: 0 })],
      ['the generation after', once(), s => attemptAt(s, NOW + DAY, { generation: 2 })],
      [
        'revoked',
        makeSession({ revokedAt: NOW, revokedFor: 'reuse' }),
        s => attemptAt(s, NOW + DAY)
      ],
      ['just ended', makeSession(), s => attemptAt(s, s.expiresAt)],
      ['within the grace', makeSession({ generation: 1 }), s => attemptAt(s, NOW + GRACE - 1)],
      [
        'a little in the future',
        makeSession({ generation: 1, rotatedAt: NOW + 60 * SECOND }),
        s => attemptAt(s, NOW)
      ]
    ]

    for (const [why, session, attempt] of cases) {
      await store.create(session)
      assert.deepEqual(await store.rotate(attempt(session)), { swapped: false, session }, why)
      assert.deepEqual(await store.find(session.id), session, why)
    }
  })

  test('rotate: fits to the millisecond', async store => {
    const cases: Array<[why: string, session: Session, now: Millis]> = [
      ['a moment before the end', makeSession(), NOW + 7 * DAY - 1],
      ['the grace is just over', makeSession({ generation: 1 }), NOW + GRACE],
      ['never rotated, within the grace', makeSession(), NOW],
      ['far in the future', makeSession({ generation: 1, rotatedAt: NOW + 60 * SECOND + 1 }), NOW]
    ]

    for (const [why, session, now] of cases) {
      await store.create(session)
      const attempt = attemptAt(session, now)
      assert.deepEqual(await store.rotate(attempt), {
        swapped: true,
        session: applyRotation(session, attempt)
      }, why)
    }
  })

  test(
    'rotate: takes an attempt that heals, whose limit is the greatest whole number',
    async store => {
      const session = makeSession({ generation: 3 })
      await store.create(session)
      const attempt = attemptAt(session, NOW, { rotatedBefore: Number.MAX_SAFE_INTEGER })
      assert.deepEqual(await store.rotate(attempt), {
        swapped: true,
        session: applyRotation(session, attempt)
      })
    }
  )

  test('rotate: an unknown id shows nothing', async store => {
    assert.deepEqual(await store.rotate(attemptAt(makeSession(), NOW)), {
      swapped: false,
      session: null
    })
  })

  test(
    'rotate: of equal attempts at once exactly one swaps, and all are shown the row after it',
    async (store, other) => {
      let session = makeSession()
      await store.create(session)

      for (let round = 1; round <= ROUNDS; round++) {
        const attempt = attemptAt(session, NOW + round * 60 * SECOND)
        const outcomes = await Promise.all(
          Array.from({ length: AT_ONCE }, (_, i) => (i % 2 ? store : other).rotate(attempt))
        )
        session = applyRotation(session, attempt)
        assert.equal(
          outcomes.filter(outcome => outcome.swapped).length,
          1,
          `round ${round}: winners`
        )

        for (const outcome of outcomes) {
          assert.deepEqual(outcome.session, session, `round ${round}: the row that is shown`)
        }
      }
    }
  )

  test(
    'rotate: of different attempts at one generation at once exactly one swaps',
    async (store, other) => {
      const session = makeSession()
      await store.create(session)
      const attempts = Array.from({ length: AT_ONCE }, (_, i) => attemptAt(session, NOW + i))
      const outcomes = await Promise.all(
        attempts.map((attempt, i) => (i % 2 ? store : other).rotate(attempt))
      )
      const winners = outcomes.flatMap((outcome, i) =>
        outcome.swapped ? [applyRotation(session, attempts[i] as RotationAttempt)] : []
      )
      assert.equal(winners.length, 1)

      for (const outcome of outcomes) {
        assert.deepEqual(outcome.session, winners[0])
      }
    }
  )

  test(
    'rotate: many sessions at once, by two ways each: each swaps once, and none hinders another',
    async (store, other) => {
      let sessions = Array.from({ length: 3 * AT_ONCE }, () => makeSession())
      await Promise.all(sessions.map(session => store.create(session)))

      for (let round = 1; round <= ROUNDS / 5; round++) {
        const attempts = sessions.map(session => attemptAt(session, NOW + round * 60 * SECOND))
        const [ones, others] = await Promise.all([
          Promise.all(attempts.map(attempt => store.rotate(attempt))),
          Promise.all(attempts.toReversed().map(attempt => other.rotate(attempt)))
        ])
        others.reverse()
        sessions = sessions.map((session, i) =>
          applyRotation(session, attempts[i] as RotationAttempt)
        )

        for (const [i, session] of sessions.entries()) {
          assert.equal(
            Number(ones[i]?.swapped) + Number(others[i]?.swapped),
            1,
            `round ${round}: winners`
          )
          assert.deepEqual(
            [ones[i]?.session, others[i]?.session],
            [session, session],
            `round ${round}: the row that is shown`
          )
        }
      }
    }
  )

  test(
    'rotate and revoke at once: the revocation stays, and nothing is rotated after it',
    async (store, other) => {
      for (let round = 0; round < ROUNDS; round++) {
        const session = makeSession()
        await store.create(session)
        const [outcome] = await Promise.all([
          store.rotate(attemptAt(session, NOW + 1)),
          other.revoke({ sessionId: session.id }, { at: NOW + 1, reason: 'logout' })
        ])
        const after = await store.find(session.id)
        assert.equal(after?.revokedAt, NOW + 1)
        assert.equal(after?.generation, outcome.swapped ? 1 : 0)
        const late = await store.rotate(attemptAt(after as Session, NOW + DAY))
        assert.deepEqual(late, { swapped: false, session: after })
      }
    }
  )

  test('find: an unknown id, and one that differs in case or by a space, is null', async store => {
    await store.create(makeSession({ id: 'sAbc' }))

    for (const id of ['unknown', 'sabc', 'SABC', 'sAbc ', ' sAbc', '']) {
      assert.equal(await store.find(id), null, `"${id}"`)
    }
  })

  test(
    'list: the live sessions of the user, newest login first, no more than the limit',
    async store => {
      const sessions = [3, 1, 2].map(days => makeSession({ createdAt: NOW - days * DAY }))
      const [oldest, newest, middle] = sessions
      const gone = [
        makeSession({ revokedAt: NOW, revokedFor: 'logout' }),
        makeSession({ expiresAt: NOW }),
        makeSession({ userId: 'bob' })
      ]

      for (const session of [...sessions, ...gone]) {
        await store.create(session)
      }

      assert.deepEqual(await store.list('ann', { now: NOW, limit: 10 }), [newest, middle, oldest])
      assert.deepEqual(await store.list('ann', { now: NOW, limit: 2 }), [newest, middle])
      assert.deepEqual(await store.list('nobody', { now: NOW, limit: 2 }), [])
    }
  )

  test('list: user ids compare byte by byte', async store => {
    const twins = ['ann', 'Ann', 'ANN', 'ann ', ' ann', 'änn', 'a\u0308nn', 'ann%', 'an_']

    for (const userId of twins) {
      await store.create(makeSession({ userId }))
    }

    for (const userId of twins) {
      const found = await store.list(userId, { now: NOW, limit: 10 })
      assert.deepEqual(found.map(session => session.userId), [userId])
    }

    assert.equal(await store.revoke({ userId: 'ann' }, { at: NOW, reason: 'revoked' }), 1)
    assert.equal((await store.list('Ann', { now: NOW, limit: 10 })).length, 1)
  })

  test('revoke: is sticky; the first moment and reason stay, and it counts once', async store => {
    const session = makeSession()
    await store.create(session)
    assert.equal(await store.revoke({ sessionId: session.id }, { at: NOW + 1, reason: 'reuse' }), 1)
    assert.equal(
      await store.revoke({ sessionId: session.id }, { at: NOW + 2, reason: 'logout' }),
      0
    )
    assert.equal(await store.revoke({ userId: 'ann' }, { at: NOW + 3, reason: 'logout-all' }), 0)
    assert.deepEqual(await store.find(session.id), {
      ...session,
      revokedAt: NOW + 1,
      revokedFor: 'reuse'
    })
    assert.equal(await store.revoke({ sessionId: 'unknown' }, { at: NOW, reason: 'logout' }), 0)
    assert.equal(await store.revoke({ userId: 'unknown' }, { at: NOW, reason: 'logout' }), 0)
  })

  test(
    'revoke: one session leaves the others, all of a user leaves `keep` and other users',
    async store => {
      const [a, b, c, d] = [
        makeSession(),
        makeSession(),
        makeSession(),
        makeSession({ userId: 'bob' })
      ] as const

      for (const session of [a, b, c, d]) {
        await store.create(session)
      }

      await store.revoke({ sessionId: a.id }, { at: NOW, reason: 'logout' })
      assert.deepEqual(await store.find(b.id), b)
      assert.equal(
        await store.revoke({ userId: 'ann', keep: c.id }, { at: NOW, reason: 'revoked' }),
        1
      )
      assert.deepEqual(await store.find(b.id), { ...b, revokedAt: NOW, revokedFor: 'revoked' })
      assert.deepEqual(await store.find(c.id), c)
      assert.deepEqual(await store.find(d.id), d)
    }
  )

  test('revoke: of many at once, one counts', async (store, other) => {
    const session = makeSession()
    await store.create(session)
    const counts = await Promise.all(
      Array.from(
        { length: AT_ONCE },
        (_, i) =>
          (i % 2 ? store : other).revoke({ sessionId: session.id }, {
            at: NOW + i,
            reason: 'reuse'
          })
      )
    )
    assert.equal(counts.reduce((sum, count) => sum + count, 0), 1)
  })

  test('touch: both values move only forward, and nothing else changes', async store => {
    const session = makeSession({ generation: 5, confirmedGeneration: 2 })
    await store.create(session)

    const touch = async (
      lastUsedAt: Millis,
      confirmedGeneration: number
    ): Promise<Session | null> => {
      await store.touch([{ sessionId: session.id, lastUsedAt, confirmedGeneration }])
      return store.find(session.id)
    }

    assert.deepEqual(await touch(NOW + 5, 3), {
      ...session,
      lastUsedAt: NOW + 5,
      confirmedGeneration: 3
    })
    assert.deepEqual(await touch(NOW + 1, 1), {
      ...session,
      lastUsedAt: NOW + 5,
      confirmedGeneration: 3
    })
    assert.deepEqual(await touch(NOW + 9, 0), {
      ...session,
      lastUsedAt: NOW + 9,
      confirmedGeneration: 3
    })
    assert.deepEqual(await touch(NOW, 99), {
      ...session,
      lastUsedAt: NOW + 9,
      confirmedGeneration: 5
    })
  })

  test('touch: takes a batch, an empty one, an id twice and unknown ids', async store => {
    const [a, b] = [makeSession({ generation: 3 }), makeSession({ generation: 3 })] as const
    await store.create(a)
    await store.create(b)
    await store.touch([])
    await store.touch([
      { sessionId: a.id, lastUsedAt: NOW + 2, confirmedGeneration: 1 },
      { sessionId: 'unknown', lastUsedAt: NOW + 2, confirmedGeneration: 1 },
      { sessionId: b.id, lastUsedAt: NOW + 3, confirmedGeneration: 2 },
      { sessionId: a.id, lastUsedAt: NOW + 1, confirmedGeneration: 2 }
    ])
    assert.deepEqual(await store.find(a.id), { ...a, lastUsedAt: NOW + 2, confirmedGeneration: 2 })
    assert.deepEqual(await store.find(b.id), { ...b, lastUsedAt: NOW + 3, confirmedGeneration: 2 })
    assert.equal(await store.find('unknown'), null)
  })

  test('touch and rotate at once: neither is lost', async (store, other) => {
    for (let round = 0; round < ROUNDS; round++) {
      const session = makeSession({ generation: 4, rotatedAt: NOW - DAY })
      await store.create(session)
      await Promise.all([
        store.rotate(attemptAt(session, NOW)),
        other.touch([{ sessionId: session.id, lastUsedAt: NOW + 7, confirmedGeneration: 4 }])
      ])
      const after = await store.find(session.id)
      assert.deepEqual([after?.generation, after?.confirmedGeneration, after?.lastUsedAt], [
        5,
        4,
        NOW + 7
      ])
    }
  })

  test('revocations: in the order of moment and id, after the cursor, page by page', async store => {
    const sessions = Array.from({ length: 9 }, () => makeSession())

    for (const session of sessions) {
      await store.create(session)
    }

    const ids = sessions.map(session => session.id)

    // Later ids first, and three moments with three entries each.
    for (const [i, sessionId] of [...ids.entries()].reverse()) {
      await store.revoke({ sessionId }, { at: NOW + i % 3, reason: 'logout' })
    }

    const expected = [0, 1, 2].flatMap(rest =>
      ids.flatMap((sessionId, i) => i % 3 === rest ? [{ at: NOW + rest, sessionId }] : [])
    )
    assert.deepEqual(await store.revocations(START, 100), expected)
    const paged: Revocation[] = []

    while (paged.length < expected.length) {
      const page = await store.revocations(paged.at(-1) ?? START, 2)
      assert.ok(
        page.length === 1 || page.length === 2,
        'a page that is neither empty nor over the limit'
      )
      paged.push(...page)
    }

    assert.deepEqual(paged, expected)
    assert.deepEqual(await store.revocations(paged.at(-1) as Revocation, 2), [])
    assert.deepEqual(
      await store.revocations({ at: NOW + 2, sessionId: ids[5] as string }, 100),
      expected.slice(8)
    )
    assert.deepEqual(await store.revocations({ at: NOW + 3, sessionId: '' }, 100), [])
  })

  test(
    'revocations: an entry for each session that was revoked with all of its user, none for those that were not',
    async store => {
      const [a, b, c] = [makeSession(), makeSession(), makeSession()] as const

      for (const session of [a, b, c]) {
        await store.create(session)
      }

      await store.revoke({ sessionId: a.id }, { at: NOW, reason: 'logout' })
      await store.revoke({ userId: 'ann', keep: c.id }, { at: NOW + 1, reason: 'revoked' })
      assert.deepEqual(await store.revocations(START, 100), [{ at: NOW, sessionId: a.id }, {
        at: NOW + 1,
        sessionId: b.id
      }])
    }
  )

  test(
    'sweep: deletes what has ended before the moment, revoked or not, and nothing else',
    async store => {
      const ended = [
        makeSession({ expiresAt: NOW - 1 }),
        makeSession({ expiresAt: NOW - 90 * DAY, endsAt: NOW - 90 * DAY }),
        makeSession({ expiresAt: NOW - 1, revokedAt: NOW - 2, revokedFor: 'logout' })
      ]
      const staying = [
        makeSession({ expiresAt: NOW }),
        makeSession({ expiresAt: NOW + 1 }),
        makeSession({ revokedAt: NOW - DAY, revokedFor: 'reuse' })
      ]

      for (const session of [...ended, ...staying]) {
        await store.create(session)
      }

      assert.equal(await store.sweep({ endedBefore: NOW, limit: 100 }), ended.length)

      for (const { id } of ended) {
        assert.equal(await store.find(id), null)
      }

      for (const session of staying) {
        assert.deepEqual(await store.find(session.id), session)
      }

      assert.equal(await store.sweep({ endedBefore: NOW, limit: 100 }), 0)
      assert.deepEqual(await store.revocations(START, 100), [{
        at: NOW - DAY,
        sessionId: staying[2]?.id
      }])
    }
  )

  test('sweep: a session that was rotated lives to its new end', async store => {
    const session = makeSession()
    await store.create(session)
    const { session: rotated } = await store.rotate(attemptAt(session, NOW + 6 * DAY))
    assert.equal(await store.sweep({ endedBefore: session.expiresAt + 1, limit: 10 }), 0)
    assert.equal(await store.sweep({ endedBefore: session.expiresAt + DAY, limit: 10 }), 0)
    assert.deepEqual(await store.find(session.id), rotated)
    assert.equal(await store.sweep({ endedBefore: NOW + 13 * DAY + 1, limit: 10 }), 1)
    assert.equal(await store.find(session.id), null)
  })

  test('sweep: no more than the limit, and less only when nothing is left', async store => {
    // Half of them live on beyond the end that they were created with, and stand in the way.
    const sessions = Array.from({ length: 24 }, () => makeSession({ expiresAt: NOW + DAY }))

    for (const session of sessions) {
      await store.create(session)
    }

    for (const session of sessions.slice(0, 12)) {
      await store.rotate(attemptAt(session, NOW + 1))
    }

    const counts: number[] = []

    for (let i = 0; i < 4; i++) {
      counts.push(await store.sweep({ endedBefore: NOW + 2 * DAY, limit: 5 }))
    }

    assert.deepEqual(counts, [5, 5, 2, 0])
    assert.equal((await store.list('ann', { now: NOW, limit: 100 })).length, 12)
  })

  test('sweep: by two at once, everything is deleted and counted once', async (store, other) => {
    for (let i = 0; i < 60; i++) {
      await store.create(makeSession({ expiresAt: NOW - 1 }))
    }

    const sweepAll = async (by: TokenStore): Promise<number> => {
      let sum = 0

      for (let i = 0; i < 10; i++) {
        sum += await by.sweep({ endedBefore: NOW, limit: 7 })
      }

      return sum
    }

    const [one, two] = await Promise.all([sweepAll(store), sweepAll(other)])
    assert.equal(one + two + await sweepAll(store), 60)
    assert.deepEqual(await store.list('ann', { now: 0, limit: 100 }), [])
  })

  test('sweep: forgets not-befores of users too, within the limit', async store => {
    for (const userId of ['ann', 'bob', 'cyd']) {
      await store.revoke({ userId }, { at: NOW - 1, reason: 'logout-all' })
    }

    await store.revoke({ userId: 'dan' }, { at: NOW, reason: 'logout-all' })
    await store.create(makeSession({ userId: 'eve', expiresAt: NOW - 1 }))
    assert.equal(await store.sweep({ endedBefore: NOW, limit: 2 }), 2)
    assert.equal(await store.sweep({ endedBefore: NOW, limit: 10 }), 2)
    await store.create(makeSession({ userId: 'ann', authenticatedAt: NOW - 1 }))
    await refused(
      'revoked-since',
      store.create(makeSession({ userId: 'dan', authenticatedAt: NOW }))
    )
  })
}

async function refused (reason: SessionRefusedError['reason'], work: Promise<void>): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof SessionRefusedError, 'a SessionRefusedError')
    assert.equal(error.reason, reason)
    return true
  })
}
