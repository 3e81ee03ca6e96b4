import t from 'tap'
import {
  applyRotation,
  canRotate,
  CLOCK_TOLERANCE,
  judgeRotation,
  planHealing,
  planRotation
} from '../../src/domain/rotation.js'
import type { Session } from '../../src/domain/session.js'
import { SECOND } from '../helpers/clock.js'
import {
  atTolerance,
  createSession,
  ended,
  GRACE,
  LIFETIME,
  NOW,
  planAttempt,
  revoked,
  rotate,
  TAB
} from './fixtures.js'

t.test('planRotation turns grace period and lifetime into moments', async t => {
  const presented = {
    sessionId: 's1',
    secretHash: 'hash',
    generation: 2,
    userId: 'not the store\'s business'
  }
  t.strictSame(planRotation(presented, { now: NOW, lifetime: LIFETIME, grace: GRACE, by: TAB }), {
    sessionId: 's1',
    secretHash: 'hash',
    generation: 2,
    now: NOW,
    expiresAt: NOW + LIFETIME,
    rotatedBefore: NOW - GRACE,
    rotatedAfter: NOW + 60 * SECOND,
    by: TAB
  })
})

t.test('canRotate requires equal id, secret and generation', async t => {
  t.equal(canRotate(createSession(), planAttempt(2)), true)
  t.equal(canRotate(createSession(), planAttempt(2, { sessionId: 's2' })), false)
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
  t.equal(canRotate(createSession({ rotatedAt: NOW - GRACE }), planAttempt(2)), true)
  t.equal(canRotate(createSession({ rotatedAt: NOW - GRACE + 1 }), planAttempt(2)), false)
  t.equal(canRotate(createSession({ rotatedAt: NOW + CLOCK_TOLERANCE }), planAttempt(2)), false)
  t.equal(canRotate(createSession({ rotatedAt: NOW + CLOCK_TOLERANCE + 1 }), planAttempt(2)), true)
  t.equal(
    canRotate(createSession({ generation: 0, rotatedAt: NOW - GRACE + 1 }), planAttempt(0)),
    true
  )
  t.equal(
    canRotate(createSession({ generation: 1, rotatedAt: NOW - GRACE + 1 }), planAttempt(1)),
    false
  )
})

t.test('applyRotation changes five members and no other', async t => {
  const before = Object.freeze(createSession())
  t.strictSame(applyRotation(before, planAttempt(2)), {
    ...before,
    generation: 3,
    rotatedAt: NOW,
    rotatedBy: TAB,
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

t.test('healing moves a row up to the presented token', async t => {
  const moments: Array<Partial<Session>> = [{}, { rotatedAt: NOW }, atTolerance, {
    generation: 0,
    rotatedAt: NOW
  }]

  for (const lost of moments.map(moment => createSession(moment))) {
    const attempt = planAttempt(lost.generation + 1)
    t.equal(rotate(lost, attempt).kind, 'ahead')
    t.strictSame(planHealing(attempt), {
      ...attempt,
      generation: lost.generation,
      rotatedBefore: Number.MAX_SAFE_INTEGER
    })
    t.equal(canRotate(lost, planHealing(attempt)), true, 'regardless of the grace period')
    const healed = applyRotation(lost, planHealing(attempt))
    t.match(judgeRotation(attempt, { swapped: false, session: healed }), {
      kind: 'kept',
      generation: attempt.generation,
      issuedAt: NOW,
      expiresAt: NOW + LIFETIME
    })
  }
})

t.test('healing moves no session that is revoked, expired, unknown or healed', async t => {
  const healing = planHealing(planAttempt(3))

  for (
    const session of [
      createSession(revoked),
      createSession(ended),
      createSession({ secretHash: 'other' }),
      applyRotation(createSession(), healing)
    ]
  ) {
    t.equal(canRotate(session, healing), false)
  }
})
