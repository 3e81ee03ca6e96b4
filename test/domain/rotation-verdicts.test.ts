import t from 'tap'
import { applyRotation, judgeRotation } from '../../src/domain/rotation.js'
import type { RotationVerdict } from '../../src/domain/rotation.js'
import type { Session } from '../../src/domain/session.js'
import { DAY } from '../helpers/clock.js'
import {
  atTolerance,
  confirmed,
  createSession,
  ended,
  GRACE,
  justRotated,
  LIFETIME,
  NOW,
  pastTolerance,
  planAttempt,
  revoked,
  rotate
} from './fixtures.js'

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

const table: Record<string, readonly Row[]> = {
  'a missing session or another secret is unknown': [
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
      when: 'the secret differs and the session has expired',
      session: ended,
      presented: 2,
      attempt: { secretHash: 'other' },
      is: 'unknown'
    }
  ],
  'a revoked session is revoked for every token': [
    { when: 'the token is current', session: revoked, presented: 2, is: 'revoked' },
    { when: 'the token is the previous one', session: revoked, presented: 1, is: 'revoked' },
    {
      when: 'the token is old, so that reuse is reported once',
      session: revoked,
      presented: 0,
      is: 'revoked'
    },
    { when: 'the token is ahead', session: revoked, presented: 3, is: 'revoked' },
    { when: 'the token is far ahead', session: revoked, presented: 9, is: 'revoked' },
    {
      when: 'the session has expired as well',
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
  'a session is expired from its idle or absolute end': [
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
      when: 'the token is old: an expired session needs no revocation',
      session: ended,
      presented: 0,
      is: 'expired'
    },
    { when: 'the token is ahead', session: ended, presented: 3, is: 'expired' }
  ],
  'the current token rotates once per grace period': [
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
  'the previous token returns its successor while that is safe': [
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
  'an older token is reused at any time': [
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
  'a token ahead of the row shows lost writes': [
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
        rotate(session === null ? null : createSession(session), planAttempt(presented, attempt))
          .kind,
        is,
        when
      )
    }
  })
}

t.test('a verdict contains the session unless it is unknown', async t => {
  for (const session of [createSession(revoked), createSession(ended), createSession(confirmed)]) {
    t.match(rotate(session, planAttempt(1)), { session })
  }

  t.match(rotate(createSession(), planAttempt(3)), { session: createSession() })
  t.match(rotate(createSession(), planAttempt(4)), { session: createSession() })
  t.strictSame(rotate(createSession(), planAttempt(2, { secretHash: 'other' })), {
    kind: 'unknown'
  })
})

t.test('a rotation returns the values that it wrote', async t => {
  t.match(rotate(createSession(), planAttempt(2)), {
    kind: 'rotated',
    generation: 3,
    issuedAt: NOW,
    expiresAt: NOW + LIFETIME,
    session: { generation: 3 }
  })
})

t.test('kept, replayed and recovered return the values of the row', async t => {
  const session = createSession({ ...justRotated, endsAt: NOW + DAY, expiresAt: NOW + DAY })
  const values = { generation: 2, issuedAt: session.rotatedAt, expiresAt: NOW + DAY, session }
  t.strictSame(rotate(session, planAttempt(2)), { kind: 'kept', ...values })
  t.strictSame(rotate(session, planAttempt(1)), { kind: 'replayed', ...values })
  t.strictSame(rotate(session, planAttempt(1, { now: NOW + 1 })), { kind: 'recovered', ...values })
})

t.test('a rotation returns its own generation if the row has moved on', async t => {
  const attempt = planAttempt(2)

  for (
    const session of [
      createSession({
        generation: 4,
        rotatedAt: NOW + 1,
        expiresAt: NOW + 1 + LIFETIME,
        confirmedGeneration: 4
      }),
      createSession({ generation: 9, rotatedAt: NOW + DAY, expiresAt: NOW + DAY + LIFETIME })
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

  const ending = createSession({ generation: 4, expiresAt: NOW + DAY, endsAt: NOW + DAY })
  t.match(judgeRotation(attempt, { swapped: true, session: ending }), {
    kind: 'rotated',
    expiresAt: NOW + DAY
  }, 'the successor expires with the session')
})

t.test('a rotation of a row that was revoked meanwhile returns no token', async t => {
  const session = applyRotation(createSession(), planAttempt(2))
  t.equal(
    judgeRotation(planAttempt(2), { swapped: true, session: { ...session, ...revoked } }).kind,
    'revoked'
  )
  t.equal(
    judgeRotation(planAttempt(2), { swapped: true, session: null }).kind,
    'unknown',
    'a deleted row returns no token either'
  )
})
