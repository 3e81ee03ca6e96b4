import assert from 'node:assert/strict'
import { applyRotation } from '../../domain/rotation.js'
import type { RotationAttempt } from '../../domain/rotation.js'
import type { Session } from '../../domain/session.js'
import { DAY, SECOND } from '../../lib/time.js'
import type { TokenStore } from '../token-store.js'
import {
  attemptAt,
  CONCURRENT_CALLS,
  GRACE,
  makeSession,
  NOW,
  REALM,
  ROUNDS,
  saveSession
} from './harness.js'
import type { ConformanceTest } from './harness.js'

const STEP = 60 * SECOND

/** Sessions that rotate at `NOW`, or at the given time, to the millisecond. */
const rotatingCases: Record<string, { readonly session: Partial<Session>, readonly now?: number }> =
  {
    'it ends in 1 ms': { session: {}, now: NOW + 7 * DAY - 1 },
    'the grace period ends now': { session: { generation: 1 }, now: NOW + GRACE },
    'it has never rotated': { session: {} },
    'the grace period starts after graceAfter': {
      session: { generation: 1, graceFrom: NOW + GRACE + 1 }
    }
  }

/** Attempts that do not fit at `NOW + DAY`, or at the given time. */
const refusedCases: Record<
  string,
  {
    readonly session?: Partial<Session>
    readonly attempt?: Partial<RotationAttempt>
    readonly now?: (session: Session) => number
  }
> = {
  'another secret': { attempt: { secretHash: 'another' } },
  'the previous generation': { session: { generation: 1 }, attempt: { from: 0, to: 1 } },
  'the next generation': { session: { generation: 1 }, attempt: { from: 2, to: 3 } },
  'a revoked session': { session: { revokedAt: NOW, revokedFor: 'reuse' } },
  'a revoked session that an attempt would heal': {
    session: { revokedAt: NOW, revokedFor: 'reuse' },
    attempt: { heals: true, to: 7 }
  },
  'a session that ends now': { now: session => session.expiresAt },
  'a session in its grace period': { session: { generation: 1 }, now: () => NOW + GRACE - 1 },
  'a grace period that starts at graceAfter': {
    session: { generation: 1, graceFrom: NOW + GRACE },
    now: () => NOW
  }
}

/** Registers the tests of `rotate`. */
export function testRotation (test: ConformanceTest<TokenStore>): void {
  test('rotate: a fitting attempt writes and returns applyRotation', async store => {
    const session = await saveSession(store)
    let expected = session

    for (const now of [NOW + 1, NOW + DAY, NOW + 2 * DAY]) {
      const attempt = attemptAt(expected, now)
      expected = applyRotation(expected, attempt)
      assert.deepEqual(await store.rotate(attempt), { swapped: true, session: expected })
      assert.deepEqual(await store.find(REALM, session.id), expected)
    }
  })

  test('rotate: the idle end never exceeds the absolute end', async store => {
    const session = await saveSession(store, { endsAt: NOW + 8 * DAY })
    const { session: rotated } = await store.rotate(attemptAt(session, NOW + 2 * DAY))
    assert.equal(rotated?.expiresAt, session.endsAt)
    assert.equal(rotated?.endsAt, session.endsAt)
  })

  test('rotate: lastUsedAt and graceFrom never go back', async store => {
    const later = { lastUsedAt: NOW + 5 * DAY, graceFrom: NOW + 6 * DAY }
    const session = await saveSession(store, later)
    const { session: rotated } = await store.rotate(attemptAt(session, NOW + 2 * DAY))
    assert.equal(rotated?.lastUsedAt, later.lastUsedAt)
    assert.equal(rotated?.graceFrom, later.graceFrom)
    assert.equal(rotated?.rotatedAt, NOW + 2 * DAY)
  })

  for (const [name, { session: given, now = NOW }] of Object.entries(rotatingCases)) {
    test(`rotate: rotates a session: ${name}`, async store => {
      const session = await saveSession(store, given)
      const attempt = attemptAt(session, now)
      const expected = { swapped: true, session: applyRotation(session, attempt) }
      assert.deepEqual(await store.rotate(attempt), expected)
    })
  }

  for (const [name, { session: given, attempt, now }] of Object.entries(refusedCases)) {
    test(`rotate: leaves ${name} as it is, and returns it`, async store => {
      const session = await saveSession(store, given)
      const refused = attemptAt(session, now?.(session) ?? NOW + DAY, attempt)
      assert.deepEqual(await store.rotate(refused), { swapped: false, session })
      assert.deepEqual(await store.find(REALM, session.id), session)
    })
  }

  test('rotate: an attempt that heals skips grace period and idle end', async store => {
    const states: Array<Partial<Session>> = [
      { generation: 3 },
      { generation: 0 },
      { generation: 3, expiresAt: NOW - DAY, graceFrom: NOW + 1 },
      { generation: 3, confirmedGeneration: 3, endsAt: NOW + 2 * DAY }
    ]

    for (const given of states) {
      const session = await saveSession(store, given)
      const attempt = attemptAt(session, NOW, { heals: true, to: 53 })
      const expected = applyRotation(session, attempt)
      assert.deepEqual([expected.generation, expected.confirmedGeneration], [53, 53])
      assert.deepEqual(await store.rotate(attempt), { swapped: true, session: expected })
      assert.deepEqual(await store.find(REALM, session.id), expected)
    }
  })

  test('rotate: an unknown ID, or the ID of another realm, returns no session', async store => {
    const session = await saveSession(store)

    for (const unknown of [makeSession(), { ...session, realm: 'other' }]) {
      const outcome = await store.rotate(attemptAt(unknown, NOW))
      assert.deepEqual(outcome, { swapped: false, session: null })
    }

    assert.deepEqual(await store.find(REALM, session.id), session)
  })

  test(
    'rotate: one of several concurrent equal attempts rotates, and all return the new row',
    async (
      store,
      other
    ) => {
      let session = await saveSession(store)

      for (let round = 1; round <= ROUNDS; round++) {
        const attempt = attemptAt(session, NOW + round * STEP)
        const outcomes = await Promise.all(
          Array.from(
            { length: CONCURRENT_CALLS },
            (_, i) => (i % 2 ? store : other).rotate(attempt)
          )
        )
        session = applyRotation(session, attempt)
        const winners = outcomes.filter(outcome => outcome.swapped).length
        assert.equal(winners, 1, `round ${round}: attempts that rotate`)

        for (const outcome of outcomes) {
          assert.deepEqual(outcome.session, session, `round ${round}: the returned row`)
        }
      }
    }
  )

  test('rotate: one of several concurrent different attempts rotates', async (store, other) => {
    const session = await saveSession(store)
    const attempts = Array.from({ length: CONCURRENT_CALLS }, (_, i) => attemptAt(session, NOW + i))
    const outcomes = await Promise.all(
      attempts.map((attempt, i) => (i % 2 ? store : other).rotate(attempt))
    )
    const winners = attempts.filter((_, i) => outcomes[i]?.swapped)
    assert.equal(winners.length, 1)
    const expected = applyRotation(session, winners[0] as RotationAttempt)

    for (const outcome of outcomes) {
      assert.deepEqual(outcome.session, expected)
    }
  })

  test('rotate: many sessions at once from two stores: each rotates once', async (store, other) => {
    let sessions = Array.from({ length: 3 * CONCURRENT_CALLS }, () => makeSession())
    await Promise.all(sessions.map(session => store.create(session)))

    for (let round = 1; round <= ROUNDS / 5; round++) {
      const attempts = sessions.map(session => attemptAt(session, NOW + round * STEP))
      const [ones, others] = await Promise.all([
        Promise.all(attempts.map(attempt => store.rotate(attempt))),
        Promise.all(attempts.toReversed().map(attempt => other.rotate(attempt)))
      ])
      others.reverse()
      sessions = sessions.map((session, i) =>
        applyRotation(session, attempts[i] as RotationAttempt)
      )

      for (const [i, session] of sessions.entries()) {
        const winners = Number(ones[i]?.swapped) + Number(others[i]?.swapped)
        assert.equal(winners, 1, `round ${round}: attempts that rotate`)
        const returned = [ones[i]?.session, others[i]?.session]
        assert.deepEqual(returned, [session, session], `round ${round}: the returned rows`)
      }
    }
  })

  test('rotate and revoke: a concurrent revocation stays, and nothing rotates after it', async (
    store,
    other
  ) => {
    for (let round = 0; round < ROUNDS; round++) {
      const session = await saveSession(store)
      const [outcome] = await Promise.all([
        store.rotate(attemptAt(session, NOW + 1)),
        other.revoke({ realm: REALM, sessionId: session.id }, { at: NOW + 1, reason: 'logout' })
      ])
      const after = await store.find(REALM, session.id)
      assert.equal(after?.revokedAt, NOW + 1)
      assert.equal(after?.generation, outcome.swapped ? 1 : 0)
      const late = await store.rotate(attemptAt(after as Session, NOW + DAY))
      assert.deepEqual(late, { swapped: false, session: after })
    }
  })
}
