import t from 'tap'
import {
  applyRotation,
  canRotate,
  CLOCK_TOLERANCE,
  judgeRotation,
  planHealing,
  planRotation
} from '../../src/domain/rotation.js'
import type { RotationAttempt, RotationVerdict } from '../../src/domain/rotation.js'
import type { Session } from '../../src/domain/session.js'
import { DAY, SECOND } from '../helpers/clock.js'

const NOW = Date.UTC(2026, 0, 1)
const GRACE = 10 * SECOND
const LIFETIME = 7 * DAY
const ANN = { address: '192.0.2.1', userAgent: 'Ann/1.0' }
const TAB = { address: '192.0.2.2', userAgent: 'Tab/2.0' }

/** A session that was rotated twice, last long enough ago to rotate again, and whose current token was not used yet. */
function aSession (over: Partial<Session> = {}): Session {
  return {
    id: 's1',
    userId: 'u-ann',
    secretHash: 'hash',
    generation: 2,
    confirmedGeneration: 1,
    createdAt: NOW - DAY,
    authenticatedAt: NOW - DAY,
    rotatedAt: NOW - GRACE,
    rotatedBy: ANN,
    lastUsedAt: NOW - GRACE,
    expiresAt: NOW + LIFETIME - GRACE,
    endsAt: NOW + 29 * DAY,
    revokedAt: null,
    revokedFor: null,
    device: { label: 'Ann\'s phone', ...ANN },
    ...over
  }
}

function present (
  generation: number,
  { grace = GRACE, secretHash = 'hash', sessionId = 's1', now = NOW } = {}
): RotationAttempt {
  return planRotation({ sessionId, secretHash, generation }, {
    now,
    lifetime: LIFETIME,
    grace,
    by: TAB
  })
}

/** What a store does and the service judges, in one step. */
function rotate (session: Session | null, attempt: RotationAttempt): RotationVerdict {
  if (session === null || !canRotate(session, attempt)) {
    return judgeRotation(attempt, { swapped: false, session })
  }

  return judgeRotation(attempt, { swapped: true, session: applyRotation(session, attempt) })
}

interface Row {
  readonly when: string
  readonly session?: Partial<Session> | null
  readonly presented: number
  readonly attempt?: {
    readonly grace?: number
    readonly secretHash?: string
    readonly sessionId?: string
  }
  readonly is: RotationVerdict['kind']
}

const ended = { expiresAt: NOW }
const revoked = { revokedAt: NOW - DAY, revokedFor: 'logout' } as const
const justRotated = { rotatedAt: NOW - GRACE + 1 }
const confirmed = { confirmedGeneration: 2 }
const atTolerance = { rotatedAt: NOW + CLOCK_TOLERANCE }
const pastTolerance = { rotatedAt: NOW + CLOCK_TOLERANCE + 1 }

const table: Record<string, readonly Row[]> = {
  'unknown: there is no such session, or another secret': [
    { when: 'there is no row', session: null, presented: 2, is: 'unknown' },
    { when: 'the secret differs', presented: 2, attempt: { secretHash: 'other' }, is: 'unknown' },
    {
      when: 'the secret differs, of the previous token',
      presented: 1,
      attempt: { secretHash: 'other' },
      is: 'unknown'
    },
    {
      when: 'the secret differs, of an old token',
      presented: 0,
      attempt: { secretHash: 'other' },
      is: 'unknown'
    },
    {
      when: 'the secret differs and the session is revoked',
      session: revoked,
      presented: 2,
      attempt: { secretHash: 'other' },
      is: 'unknown'
    },
    {
      when: 'the secret differs and the session has ended',
      session: ended,
      presented: 2,
      attempt: { secretHash: 'other' },
      is: 'unknown'
    }
  ],
  'revoked: whatever is presented': [
    { when: 'the token is current', session: revoked, presented: 2, is: 'revoked' },
    { when: 'the token is the previous one', session: revoked, presented: 1, is: 'revoked' },
    {
      when: 'the token is old, so that reuse is told of once',
      session: revoked,
      presented: 0,
      is: 'revoked'
    },
    { when: 'the token is ahead', session: revoked, presented: 3, is: 'revoked' },
    { when: 'the token is far ahead', session: revoked, presented: 9, is: 'revoked' },
    {
      when: 'the session has ended as well',
      session: { ...revoked, ...ended },
      presented: 2,
      is: 'revoked'
    },
    {
      when: 'the revocation lies in the future',
      session: { ...revoked, revokedAt: NOW + 1 },
      presented: 2,
      is: 'revoked'
    }
  ],
  'expired: the idle or the absolute end has passed': [
    { when: 'the end is this very moment', session: ended, presented: 2, is: 'expired' },
    { when: 'the end was 1 ms ago', session: { expiresAt: NOW - 1 }, presented: 2, is: 'expired' },
    { when: 'the end is in 1 ms', session: { expiresAt: NOW + 1 }, presented: 2, is: 'rotated' },
    {
      when: 'the absolute end is this very moment',
      session: { expiresAt: NOW, endsAt: NOW },
      presented: 2,
      is: 'expired'
    },
    {
      when: 'the token is the previous one, within the grace',
      session: { ...ended, ...justRotated },
      presented: 1,
      is: 'expired'
    },
    {
      when: 'the token is old: an ended session needs no revocation',
      session: ended,
      presented: 0,
      is: 'expired'
    },
    { when: 'the token is ahead', session: ended, presented: 3, is: 'expired' }
  ],
  'the current token rotates, once in a grace': [
    { when: 'the grace ends at this very moment', presented: 2, is: 'rotated' },
    {
      when: 'the grace ended 1 ms ago',
      session: { rotatedAt: NOW - GRACE - 1 },
      presented: 2,
      is: 'rotated'
    },
    { when: 'the grace ends in 1 ms', session: justRotated, presented: 2, is: 'kept' },
    {
      when: 'it was rotated in this very moment',
      session: { rotatedAt: NOW },
      presented: 2,
      is: 'kept'
    },
    {
      when: 'it is the first one',
      session: { generation: 0, rotatedAt: NOW },
      presented: 0,
      is: 'rotated'
    },
    {
      when: 'the grace is 0 and it was rotated in this very moment',
      session: { rotatedAt: NOW },
      presented: 2,
      attempt: { grace: 0 },
      is: 'rotated'
    },
    {
      when: 'the grace is 0 and it was rotated 1 ms in the future',
      session: { rotatedAt: NOW + 1 },
      presented: 2,
      attempt: { grace: 0 },
      is: 'kept'
    },
    { when: 'it was rotated 60 s in the future', session: atTolerance, presented: 2, is: 'kept' },
    {
      when: 'it was rotated 60.001 s in the future',
      session: pastTolerance,
      presented: 2,
      is: 'rotated'
    }
  ],
  'the previous token is answered with its successor as long as that is safe': [
    { when: 'the grace ends in 1 ms', session: justRotated, presented: 1, is: 'replayed' },
    {
      when: 'the grace ends in 1 ms, and the successor is confirmed',
      session: { ...justRotated, ...confirmed },
      presented: 1,
      is: 'replayed'
    },
    { when: 'the grace ends at this very moment', presented: 1, is: 'recovered' },
    {
      when: 'the grace ended 1 ms ago',
      session: { rotatedAt: NOW - GRACE - 1 },
      presented: 1,
      is: 'recovered'
    },
    {
      when: 'the grace ended long ago',
      session: { rotatedAt: NOW - DAY },
      presented: 1,
      is: 'recovered'
    },
    {
      when: 'the grace ends at this very moment, and the successor is confirmed',
      session: confirmed,
      presented: 1,
      is: 'reused'
    },
    {
      when: 'the grace ended long ago, and the successor is confirmed',
      session: { ...confirmed, rotatedAt: NOW - DAY },
      presented: 1,
      is: 'reused'
    },
    {
      when: 'the grace is 0',
      session: { rotatedAt: NOW },
      presented: 1,
      attempt: { grace: 0 },
      is: 'recovered'
    },
    {
      when: 'the grace is 0, and the successor is confirmed',
      session: { ...confirmed, rotatedAt: NOW },
      presented: 1,
      attempt: { grace: 0 },
      is: 'reused'
    },
    {
      when: 'it was rotated 60 s in the future',
      session: atTolerance,
      presented: 1,
      is: 'replayed'
    },
    {
      when: 'it was rotated 60 s in the future, and the successor is confirmed',
      session: { ...atTolerance, ...confirmed },
      presented: 1,
      is: 'replayed'
    },
    {
      when: 'it was rotated 60.001 s in the future',
      session: pastTolerance,
      presented: 1,
      is: 'recovered'
    },
    {
      when: 'it was rotated 60.001 s in the future, and the successor is confirmed',
      session: { ...pastTolerance, ...confirmed },
      presented: 1,
      is: 'reused'
    }
  ],
  'reused: an older token, at any time': [
    { when: 'it is two behind', presented: 0, is: 'reused' },
    {
      when: 'it is two behind and the session was just rotated',
      session: { rotatedAt: NOW },
      presented: 0,
      is: 'reused'
    },
    {
      when: 'nothing of the session was ever confirmed',
      session: { ...justRotated, confirmedGeneration: 0 },
      presented: 0,
      is: 'reused'
    },
    { when: 'it is ancient', session: { generation: 1000 }, presented: 3, is: 'reused' }
  ],
  'ahead: the store has lost writes': [
    { when: 'the token is one ahead', presented: 3, is: 'ahead' },
    {
      when: 'the token is one ahead and the session was just rotated',
      session: { rotatedAt: NOW },
      presented: 3,
      is: 'ahead'
    },
    {
      when: 'the token is one ahead of a new session',
      session: { generation: 0 },
      presented: 1,
      is: 'ahead'
    },
    { when: 'the token is two ahead', presented: 4, is: 'far-ahead' },
    { when: 'the token is a hundred ahead', presented: 102, is: 'far-ahead' }
  ]
}

for (const [rule, rows] of Object.entries(table)) {
  t.test(rule, async t => {
    for (const { when, session = {}, presented, attempt, is } of rows) {
      t.equal(
        rotate(session === null ? null : aSession(session), present(presented, attempt)).kind,
        is,
        when
      )
    }
  })
}

t.test('a verdict shows the session that it was judged by, and an unknown one shows none', async t => {
  for (const session of [aSession(revoked), aSession(ended), aSession(confirmed)]) {
    t.match(rotate(session, present(1)), { session })
  }

  t.match(rotate(aSession(), present(3)), { session: aSession() })
  t.match(rotate(aSession(), present(4)), { session: aSession() })
  t.strictSame(rotate(aSession(), present(2, { secretHash: 'other' })), { kind: 'unknown' })
})

t.test('a rotation is answered with what it wrote', async t => {
  t.match(rotate(aSession(), present(2)), {
    kind: 'rotated',
    generation: 3,
    issuedAt: NOW,
    expiresAt: NOW + LIFETIME,
    session: { generation: 3 }
  })
})

t.test('what is not a rotation is answered with what the row says, however often', async t => {
  const session = aSession({ ...justRotated, endsAt: NOW + DAY, expiresAt: NOW + DAY })
  const edition = { generation: 2, issuedAt: session.rotatedAt, expiresAt: NOW + DAY, session }
  t.strictSame(rotate(session, present(2)), { kind: 'kept', ...edition })
  t.strictSame(rotate(session, present(1)), { kind: 'replayed', ...edition })
  t.strictSame(rotate(session, present(1, { now: NOW + 1 })), { kind: 'recovered', ...edition })
})

t.test('a swap is answered with its own edition even where the row that it is shown is further on', async t => {
  const attempt = present(2)

  for (
    const session of [
      aSession({
        generation: 4,
        rotatedAt: NOW + 1,
        expiresAt: NOW + 1 + LIFETIME,
        confirmedGeneration: 4
      }),
      aSession({ generation: 9, rotatedAt: NOW + DAY, expiresAt: NOW + DAY + LIFETIME })
    ]
  ) {
    t.strictSame(judgeRotation(attempt, { swapped: true, session }), {
      kind: 'rotated',
      session,
      generation: 3,
      issuedAt: NOW,
      expiresAt: NOW + LIFETIME
    })
  }

  const ending = aSession({ generation: 4, expiresAt: NOW + DAY, endsAt: NOW + DAY })
  t.match(judgeRotation(attempt, { swapped: true, session: ending }), {
    kind: 'rotated',
    expiresAt: NOW + DAY
  }, 'the edition ends with the session')
})

t.test('a swap whose row was revoked a moment later hands out nothing', async t => {
  const session = applyRotation(aSession(), present(2))
  t.equal(
    judgeRotation(present(2), { swapped: true, session: { ...session, ...revoked } }).kind,
    'revoked'
  )
  t.equal(
    judgeRotation(present(2), { swapped: true, session: null }).kind,
    'unknown',
    'nor does one whose row is gone'
  )
})

t.test('a plan turns grace and lifetime into moments', async t => {
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

t.test('a session fits only where id, secret and generation are equal', async t => {
  t.equal(canRotate(aSession(), present(2)), true)
  t.equal(canRotate(aSession(), present(2, { sessionId: 's2' })), false)
  t.equal(canRotate(aSession(), present(2, { secretHash: 'Hash' })), false)
  t.equal(canRotate(aSession(), present(1)), false)
  t.equal(canRotate(aSession(), present(3)), false)
})

t.test('a session fits only while it lives', async t => {
  t.equal(canRotate(aSession({ expiresAt: NOW + 1 }), present(2)), true)
  t.equal(canRotate(aSession({ expiresAt: NOW }), present(2)), false)
  t.equal(canRotate(aSession(revoked), present(2)), false)
  t.equal(canRotate(aSession({ generation: 0, ...revoked }), present(0)), false)
  t.equal(canRotate(aSession({ generation: 0, expiresAt: NOW }), present(0)), false)
  t.equal(
    canRotate(aSession({ revokedAt: 0 }), present(2)),
    false,
    'revoked at the beginning of time is revoked'
  )
})

t.test('a session fits only outside the grace, or at generation 0', async t => {
  t.equal(canRotate(aSession({ rotatedAt: NOW - GRACE }), present(2)), true)
  t.equal(canRotate(aSession({ rotatedAt: NOW - GRACE + 1 }), present(2)), false)
  t.equal(canRotate(aSession({ rotatedAt: NOW + CLOCK_TOLERANCE }), present(2)), false)
  t.equal(canRotate(aSession({ rotatedAt: NOW + CLOCK_TOLERANCE + 1 }), present(2)), true)
  t.equal(canRotate(aSession({ generation: 0, rotatedAt: NOW - GRACE + 1 }), present(0)), true)
  t.equal(canRotate(aSession({ generation: 1, rotatedAt: NOW - GRACE + 1 }), present(1)), false)
})

t.test('a swap moves what it says and nothing else', async t => {
  const before = Object.freeze(aSession())
  t.strictSame(applyRotation(before, present(2)), {
    ...before,
    generation: 3,
    rotatedAt: NOW,
    rotatedBy: TAB,
    lastUsedAt: NOW,
    expiresAt: NOW + LIFETIME
  })
})

t.test('a swap never writes an end behind the absolute one', async t => {
  for (
    const [endsAt, expiresAt] of [
      [NOW + LIFETIME + 1, NOW + LIFETIME],
      [NOW + LIFETIME, NOW + LIFETIME],
      [NOW + LIFETIME - 1, NOW + LIFETIME - 1],
      [NOW + 1, NOW + 1]
    ] as const
  ) {
    t.match(applyRotation(aSession({ endsAt }), present(2)), { expiresAt, endsAt })
  }
})

t.test('a swap never sets back the last use', async t => {
  t.equal(
    applyRotation(aSession({ lastUsedAt: NOW + SECOND }), present(2)).lastUsedAt,
    NOW + SECOND
  )
  t.equal(applyRotation(aSession({ lastUsedAt: NOW - 1 }), present(2)).lastUsedAt, NOW)
})

t.test('healing moves a row that fell back up to the token that was presented', async t => {
  const moments: Array<Partial<Session>> = [{}, { rotatedAt: NOW }, atTolerance, {
    generation: 0,
    rotatedAt: NOW
  }]

  for (const lost of moments.map(moment => aSession(moment))) {
    const attempt = present(lost.generation + 1)
    t.equal(rotate(lost, attempt).kind, 'ahead')
    t.strictSame(planHealing(attempt), {
      ...attempt,
      generation: lost.generation,
      rotatedBefore: Number.MAX_SAFE_INTEGER
    })
    t.equal(canRotate(lost, planHealing(attempt)), true, 'however short ago it was rotated')
    const healed = applyRotation(lost, planHealing(attempt))
    t.match(judgeRotation(attempt, { swapped: false, session: healed }), {
      kind: 'kept',
      generation: attempt.generation,
      issuedAt: NOW,
      expiresAt: NOW + LIFETIME
    })
  }
})

t.test('healing moves no session that is over, has another secret or was healed already', async t => {
  const healing = planHealing(present(3))

  for (
    const session of [
      aSession(revoked),
      aSession(ended),
      aSession({ secretHash: 'other' }),
      applyRotation(aSession(), healing)
    ]
  ) {
    t.equal(canRotate(session, healing), false)
  }
})
