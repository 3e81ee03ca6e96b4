import t from 'tap'
import {
  applyRotation,
  canRotate,
  judgeRotation,
  planHealing,
  planRotation
} from '../../src/domain/rotation.js'
import type { Session } from '../../src/domain/session.js'
import { DAY, SECOND } from '../helpers/clock.js'
import {
  confirmed,
  createSession,
  GRACE,
  LIFETIME,
  NOW,
  planAttempt,
  present,
  presentToken,
  revoked,
  rotate,
  TAB
} from './fixtures.js'

t.test('planRotation turns grace period and lifetime into moments', async t => {
  const { generation, ...token } = presentToken(2)
  t.strictSame(
    planRotation(presentToken(generation), { now: NOW, lifetime: LIFETIME, grace: GRACE, by: TAB }),
    {
      ...token,
      from: 2,
      to: 3,
      heals: false,
      now: NOW,
      expiresAt: NOW + LIFETIME,
      graceBefore: NOW - GRACE,
      graceAfter: NOW + GRACE,
      by: TAB
    }
  )
})

t.test('canRotate requires equal id, realm, secret and generation', async t => {
  t.equal(canRotate(createSession(), planAttempt(2)), true)
  t.equal(canRotate(createSession(), planAttempt(2, { sessionId: 's2' })), false)
  t.equal(canRotate(createSession(), planAttempt(2, { realm: 'other' })), false)
  t.equal(canRotate(createSession(), planAttempt(2, { secretHash: 'Hash' })), false)
  t.equal(canRotate(createSession(), planAttempt(1)), false)
  t.equal(canRotate(createSession(), planAttempt(3)), false)
})

t.test('canRotate requires a live session', async t => {
  t.equal(canRotate(createSession({ expiresAt: NOW + 1 }), planAttempt(2)), true)
  t.equal(canRotate(createSession({ expiresAt: NOW }), planAttempt(2)), false)
  t.equal(canRotate(createSession(revoked), planAttempt(2)), false)
  t.equal(canRotate(createSession({ generation: 0, ...revoked }), planAttempt(0)), false)
  t.equal(canRotate(createSession({ generation: 0, expiresAt: NOW }), planAttempt(0)), false)
  t.equal(
    canRotate(createSession({ revokedAt: 0 }), planAttempt(2)),
    false,
    'a revocation at time 0 counts'
  )
})

t.test('canRotate requires generation 0 or a passed grace period', async t => {
  const cases: ReadonlyArray<readonly [session: Partial<Session>, canRotate: boolean]> = [
    [{ graceFrom: NOW - GRACE }, true],
    [{ graceFrom: NOW - GRACE + 1 }, false],
    [{ graceFrom: NOW + GRACE }, false],
    [{ graceFrom: NOW + GRACE + 1 }, true],
    [{ graceFrom: NOW - GRACE + 1, rotatedAt: NOW - GRACE }, false],
    [{ graceFrom: NOW - GRACE, rotatedAt: NOW }, true],
    [{ generation: 0, graceFrom: NOW - GRACE + 1 }, true],
    [{ generation: 1, graceFrom: NOW - GRACE + 1 }, false]
  ]

  for (const [session, expected] of cases) {
    const row = createSession(session)
    t.equal(canRotate(row, planAttempt(row.generation)), expected, JSON.stringify(session))
  }
})

t.test('applyRotation changes six members and no other', async t => {
  const before = Object.freeze(createSession())
  t.strictSame(applyRotation(before, planAttempt(2)), {
    ...before,
    generation: 3,
    rotatedAt: NOW,
    rotatedBy: TAB,
    graceFrom: NOW,
    lastUsedAt: NOW,
    expiresAt: NOW + LIFETIME
  })
})

t.test('applyRotation never writes an idle end after the absolute end', async t => {
  for (
    const [endsAt, expiresAt] of [
      [NOW + LIFETIME + 1, NOW + LIFETIME],
      [NOW + LIFETIME, NOW + LIFETIME],
      [NOW + LIFETIME - 1, NOW + LIFETIME - 1],
      [NOW + 1, NOW + 1]
    ] as const
  ) {
    t.match(applyRotation(createSession({ endsAt }), planAttempt(2)), { expiresAt, endsAt })
  }
})

t.test('applyRotation never moves the last use back', async t => {
  t.equal(
    applyRotation(createSession({ lastUsedAt: NOW + SECOND }), planAttempt(2)).lastUsedAt,
    NOW + SECOND
  )
  t.equal(applyRotation(createSession({ lastUsedAt: NOW - 1 }), planAttempt(2)).lastUsedAt, NOW)
})

t.test('applyRotation never moves the start of the grace period back', async t => {
  for (const [before, after] of [[NOW - 1, NOW], [NOW, NOW], [NOW + DAY, NOW + DAY]] as const) {
    const session = createSession({ graceFrom: before })
    t.equal(applyRotation(session, planAttempt(2)).graceFrom, after)
  }
})

t.test('healing moves a row up to the presented token, by any number', async t => {
  const rows: Array<Partial<Session>> = [
    {},
    { graceFrom: NOW },
    { graceFrom: NOW + GRACE },
    { generation: 0, confirmedGeneration: 0, graceFrom: NOW },
    { expiresAt: NOW - DAY }
  ]

  for (const lost of rows.map(row => createSession(row))) {
    for (const behind of [1, 2, 100]) {
      const presentation = present(lost.generation + behind)
      t.equal(rotate(lost, presentation).kind, 'ahead')
      const healing = planHealing(presentation, lost, NOW + DAY)
      t.strictSame(healing, {
        ...presentation.attempt,
        from: lost.generation,
        to: lost.generation + behind,
        heals: true,
        expiresAt: NOW + DAY
      })
      t.equal(canRotate(lost, healing), true, 'regardless of the grace period and the idle end')
      const healed = applyRotation(lost, healing)
      t.match(healed, {
        generation: lost.generation + behind,
        confirmedGeneration: lost.generation + behind,
        expiresAt: NOW + DAY,
        graceFrom: Math.max(lost.graceFrom, NOW)
      })

      for (const swapped of [true, false]) {
        const verdict = judgeRotation({ ...presentation, attempt: healing }, {
          swapped,
          session: healed
        })
        t.match(verdict, {
          kind: 'kept',
          generation: lost.generation + behind,
          issuedAt: NOW,
          expiresAt: NOW + DAY
        })
      }
    }
  }
})

t.test('healing never moves the idle end past the absolute end', async t => {
  const lost = createSession({ endsAt: NOW + DAY })
  const healing = planHealing(present(9), lost, NOW + 2 * DAY)
  t.equal(applyRotation(lost, healing).expiresAt, NOW + DAY)
})

t.test('a rotation in the future, by a wrong clock, excuses no old token', async t => {
  for (
    const [ahead, kind] of [[0, 'late'], [GRACE, 'late'], [GRACE + 1, 'reused'], [
      DAY,
      'reused'
    ]] as const
  ) {
    const session = createSession({ ...confirmed, rotatedAt: NOW + ahead, graceFrom: NOW + ahead })
    t.equal(rotate(session, present(0)).kind, kind, `${ahead} ms`)
  }
})

t.test('a token from before the healing is judged like any older one', async t => {
  const healed = applyRotation(createSession(), planHealing(present(9), createSession(), NOW + DAY))
  t.equal(rotate(healed, present(8)).kind, 'replayed')
  t.equal(rotate(healed, present(8, { now: NOW + GRACE })).kind, 'reused', 'it is confirmed')
  t.equal(rotate(healed, present(7)).kind, 'late', 'it arrived before the healing')
  t.equal(rotate(healed, present(7, { now: NOW + 1 })).kind, 'reused')
})

t.test('an old token that arrived before the last rotation is late, not reused', async t => {
  const session = createSession({ ...confirmed, rotatedAt: NOW - GRACE })

  for (
    const [generation, arrivedAt, kind] of [
      [1, NOW - GRACE + 1, 'reused'],
      [0, NOW - GRACE + 1, 'reused'],
      [0, NOW - GRACE, 'late'],
      [0, NOW - 2 * GRACE, 'late']
    ] as const
  ) {
    // The grace period has begun long ago, so that the previous token is no replay.
    const started = { ...session, graceFrom: NOW - 5 * GRACE }
    t.equal(rotate(started, present(generation, { arrivedAt })).kind, kind)
  }
})

t.test('healing moves no session that is revoked, unknown or healed', async t => {
  const healing = planHealing(present(3), createSession(), NOW + DAY)

  for (
    const session of [
      createSession(revoked),
      createSession({ secretHash: 'other' }),
      createSession({ realm: 'other' }),
      applyRotation(createSession(), healing)
    ]
  ) {
    t.equal(canRotate(session, healing), false)
  }
})
