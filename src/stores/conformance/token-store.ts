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
const CONCURRENCY = 20

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
  let count = 0
  // IDs in ascending order.
  const makeSession = (given: Partial<Session> = {}): Session =>
    createSession(given.id ?? `s${String(++count).padStart(8, '0')}`, given)
  const test = defineTest(options)

  test('create saves a session that `find` returns unchanged', async store => {
    const plain = makeSession()
    const unusual = makeSession({
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

    for (const session of [plain, unusual, revoked]) {
      await store.create(session)
      assert.deepEqual(await store.find(session.id), session)
    }
  })

  test('create rejects an existing id and keeps the existing session', async store => {
    const first = makeSession()
    await store.create(first)
    await assertRefused(
      'id-taken',
      store.create(makeSession({ id: first.id, userId: 'bob', secretHash: 'another' }))
    )
    assert.deepEqual(await store.find(first.id), first)
    assert.deepEqual(await store.list('bob', { now: NOW, limit: 10 }), [])
  })

  test('create saves one of several concurrent sessions with the same id', async (store, other) => {
    const sessions = Array.from(
      { length: CONCURRENCY },
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
    'create rejects sessions authenticated before all sessions of the user were revoked',
    async store => {
      await store.revoke({ userId: 'ann' }, { at: NOW, reason: 'logout-all' })
      await assertRefused(
        'revoked-since',
        store.create(makeSession({ authenticatedAt: NOW - 1, createdAt: NOW + 5 }))
      )
      await assertRefused('revoked-since', store.create(makeSession({ authenticatedAt: NOW })))
      await store.create(makeSession({ authenticatedAt: NOW + 1 }))
      await store.create(makeSession({ authenticatedAt: NOW - 1, userId: 'bob' }))
    }
  )

  test(
    'create compares with the latest revocation of the user, also one with `keep`',
    async store => {
      await store.revoke({ userId: 'ann', keep: 'any' }, { at: NOW, reason: 'revoked' })
      await store.revoke({ userId: 'ann' }, { at: NOW - DAY, reason: 'revoked' })
      await assertRefused('revoked-since', store.create(makeSession({ authenticatedAt: NOW })))
    }
  )

  test(
    'create leaves no live session of a user whose sessions are revoked concurrently',
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
    'rotate saves and returns the session that `applyRotation` computes',
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
    'rotate never moves `expiresAt` past `endsAt` or `lastUsedAt` back',
    async store => {
      const session = makeSession({ endsAt: NOW + 8 * DAY, lastUsedAt: NOW + 5 * DAY })
      await store.create(session)
      const { session: rotated } = await store.rotate(attemptAt(session, NOW + 2 * DAY))
      assert.equal(rotated?.expiresAt, session.endsAt)
      assert.equal(rotated?.endsAt, session.endsAt)
      assert.equal(rotated?.lastUsedAt, NOW + 5 * DAY)
    }
  )

  test('rotate returns the session unchanged if `canRotate` rejects the attempt', async store => {
    const once = (): Session => makeSession({ generation: 1, rotatedAt: NOW })
    const cases: Array<
      [why: string, session: Session, attempt: (session: Session) => RotationAttempt]
    > = [
      ['another secret', makeSession(), s => attemptAt(s, NOW + DAY, { secretHash: 'another' })],
      ['the previous generation', once(), s => attemptAt(s, NOW + DAY, { generation: 0 })],
      ['the next generation', once(), s => attemptAt(s, NOW + DAY, { generation: 2 })],
      [
        'revoked',
        makeSession({ revokedAt: NOW, revokedFor: 'reuse' }),
        s => attemptAt(s, NOW + DAY)
      ],
      ['just expired', makeSession(), s => attemptAt(s, s.expiresAt)],
      [
        'within the grace period',
        makeSession({ generation: 1 }),
        s => attemptAt(s, NOW + GRACE - 1)
      ],
      [
        'rotated shortly in the future',
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

  test('rotate applies time limits to the millisecond', async store => {
    const cases: Array<[why: string, session: Session, now: Millis]> = [
      ['1 ms before the expiry', makeSession(), NOW + 7 * DAY - 1],
      ['at the end of the grace period', makeSession({ generation: 1 }), NOW + GRACE],
      ['never rotated, within the grace period', makeSession(), NOW],
      [
        'rotated far in the future',
        makeSession({ generation: 1, rotatedAt: NOW + 60 * SECOND + 1 }),
        NOW
      ]
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
    'rotate accepts a healing attempt, whose `rotatedBefore` is the largest safe integer',
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

  test('rotate returns no session for an unknown id', async store => {
    assert.deepEqual(await store.rotate(attemptAt(makeSession(), NOW)), {
      swapped: false,
      session: null
    })
  })

  test(
    'rotate accepts one of several equal concurrent attempts and returns the new session to all',
    async (store, other) => {
      let session = makeSession()
      await store.create(session)

      for (let round = 1; round <= ROUNDS; round++) {
        const attempt = attemptAt(session, NOW + round * 60 * SECOND)
        const outcomes = await Promise.all(
          Array.from({ length: CONCURRENCY }, (_, i) => (i % 2 ? store : other).rotate(attempt))
        )
        session = applyRotation(session, attempt)
        assert.equal(
          outcomes.filter(outcome => outcome.swapped).length,
          1,
          `round ${round}: winners`
        )

        for (const outcome of outcomes) {
          assert.deepEqual(outcome.session, session, `round ${round}: returned session`)
        }
      }
    }
  )

  test(
    'rotate accepts one of several different concurrent attempts at the same generation',
    async (store, other) => {
      const session = makeSession()
      await store.create(session)
      const attempts = Array.from({ length: CONCURRENCY }, (_, i) => attemptAt(session, NOW + i))
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
    'rotate accepts one of two concurrent attempts for each of many sessions',
    async (store, other) => {
      let sessions = Array.from({ length: 3 * CONCURRENCY }, () => makeSession())
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
            `round ${round}: returned session`
          )
        }
      }
    }
  )

  test(
    'rotate keeps a concurrent revocation and changes nothing after it',
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

  test('find returns null for unknown ids, such as one that differs in case or by a space', async store => {
    await store.create(makeSession({ id: 'sAbc' }))

    for (const id of ['unknown', 'sabc', 'SABC', 'sAbc ', ' sAbc', '']) {
      assert.equal(await store.find(id), null, `"${id}"`)
    }
  })

  test(
    'list returns the live sessions of a user, newest first, at most `limit`',
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

  test('list compares user ids byte by byte', async store => {
    const similarIds = ['ann', 'Ann', 'ANN', 'ann ', ' ann', 'änn', 'a\u0308nn', 'ann%', 'an_']

    for (const userId of similarIds) {
      await store.create(makeSession({ userId }))
    }

    for (const userId of similarIds) {
      const found = await store.list(userId, { now: NOW, limit: 10 })
      assert.deepEqual(found.map(session => session.userId), [userId])
    }

    assert.equal(await store.revoke({ userId: 'ann' }, { at: NOW, reason: 'revoked' }), 1)
    assert.equal((await store.list('Ann', { now: NOW, limit: 10 })).length, 1)
  })

  test('revoke keeps the first time and reason, and counts a session once', async store => {
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
    'revoke changes only the given session, or those of the user except `keep`',
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

  test('revoke counts a session once in concurrent calls', async (store, other) => {
    const session = makeSession()
    await store.create(session)
    const counts = await Promise.all(
      Array.from(
        { length: CONCURRENCY },
        (_, i) =>
          (i % 2 ? store : other).revoke({ sessionId: session.id }, {
            at: NOW + i,
            reason: 'reuse'
          })
      )
    )
    assert.equal(counts.reduce((sum, count) => sum + count, 0), 1)
  })

  test('touch moves both values forward only and changes nothing else', async store => {
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

  test('touch accepts an empty batch, a repeated id and unknown ids', async store => {
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

  test('touch and a concurrent rotate lose no change', async (store, other) => {
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

  test('revocations returns pages after the cursor, sorted by time and id', async store => {
    const sessions = Array.from({ length: 9 }, () => makeSession())

    for (const session of sessions) {
      await store.create(session)
    }

    const ids = sessions.map(session => session.id)

    // Later IDs come first, and each of three times has three entries.
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
        'a page is neither empty nor over the limit'
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
    'revocations returns every session that was revoked with its user, except `keep`',
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
    'sweep deletes sessions that expired before `endedBefore`, revoked or not, and no others',
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

  test('sweep keeps a rotated session until its new expiry', async store => {
    const session = makeSession()
    await store.create(session)
    const { session: rotated } = await store.rotate(attemptAt(session, NOW + 6 * DAY))
    assert.equal(await store.sweep({ endedBefore: session.expiresAt + 1, limit: 10 }), 0)
    assert.equal(await store.sweep({ endedBefore: session.expiresAt + DAY, limit: 10 }), 0)
    assert.deepEqual(await store.find(session.id), rotated)
    assert.equal(await store.sweep({ endedBefore: NOW + 13 * DAY + 1, limit: 10 }), 1)
    assert.equal(await store.find(session.id), null)
  })

  test('sweep deletes at most `limit` sessions, and fewer only if no more have expired', async store => {
    // Half of them are rotated and outlive their first expiry. A sweep has to skip them.
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

  test(
    'sweep deletes and counts each session once in two concurrent calls',
    async (store, other) => {
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
    }
  )

  test('sweep deletes revocation times of users within the limit', async store => {
    for (const userId of ['ann', 'bob', 'cyd']) {
      await store.revoke({ userId }, { at: NOW - 1, reason: 'logout-all' })
    }

    await store.revoke({ userId: 'dan' }, { at: NOW, reason: 'logout-all' })
    await store.create(makeSession({ userId: 'eve', expiresAt: NOW - 1 }))
    assert.equal(await store.sweep({ endedBefore: NOW, limit: 2 }), 2)
    assert.equal(await store.sweep({ endedBefore: NOW, limit: 10 }), 2)
    await store.create(makeSession({ userId: 'ann', authenticatedAt: NOW - 1 }))
    await assertRefused(
      'revoked-since',
      store.create(makeSession({ userId: 'dan', authenticatedAt: NOW }))
    )
  })
}

async function assertRefused (
  reason: SessionRefusedError['reason'],
  work: Promise<void>
): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof SessionRefusedError, 'error is a SessionRefusedError')
    assert.equal(error.reason, reason)
    return true
  })
}
