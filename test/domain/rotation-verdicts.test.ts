import t from 'tap'
import { applyRotation, judgeRotation } from '../../src/domain/rotation.js'
import type { RotationVerdict } from '../../src/domain/rotation.js'
import type { Session } from '../../src/domain/session.js'
import { DAY, SECOND } from '../helpers/clock.js'
import {
  confirmed,
  createSession,
  ended,
  GRACE,
  graceAhead,
  graceTooFarAhead,
  justRotated,
  LIFETIME,
  NOW,
  planAttempt,
  present,
  revoked,
  rotate
} from './fixtures.js'
import type { Circumstances } from './fixtures.js'

interface Row {
  readonly when: string
  readonly session?: Partial<Session> | null
  readonly presented: number
  readonly attempt?: Circumstances
  readonly is: RotationVerdict['kind']
}

const table: Record<string, readonly Row[]> = {
  'a missing session or another secret is unknown': [
    { when: 'there is no row', session: null, presented: 2, is: 'unknown' },
    { when: 'the secret differs', presented: 2, attempt: { secretHash: 'other' }, is: 'unknown' },
    { when: 'the realm differs', presented: 2, attempt: { realm: 'other' }, is: 'unknown' },
    {
      when: 'the secret differs, of a token ahead',
      presented: 9,
      attempt: { secretHash: 'other' },
      is: 'unknown'
    },
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
    {
      when: 'the token is far behind',
      session: { ...ended, generation: 9 },
      presented: 2,
      is: 'expired'
    }
  ],
  'the current token rotates once per grace period': [
    { when: 'the grace ends at this very moment', presented: 2, is: 'rotated' },
    {
      when: 'the grace ended 1 ms ago',
      session: { graceFrom: NOW - GRACE - 1 },
      presented: 2,
      is: 'rotated'
    },
    { when: 'the grace ends in 1 ms', session: justRotated, presented: 2, is: 'kept' },
    {
      when: 'it was rotated in this very moment',
      session: { graceFrom: NOW },
      presented: 2,
      is: 'kept'
    },
    {
      when: 'it is the first one',
      session: { generation: 0, graceFrom: NOW },
      presented: 0,
      is: 'rotated'
    },
    {
      when: 'the grace is 0 and it was rotated in this very moment',
      session: { graceFrom: NOW },
      presented: 2,
      attempt: { grace: 0 },
      is: 'rotated'
    },
    {
      when: 'the grace is 0 and starts 1 ms in the future',
      session: { graceFrom: NOW + 1 },
      presented: 2,
      attempt: { grace: 0 },
      is: 'rotated'
    },
    {
      when: 'the grace starts one grace period in the future',
      session: graceAhead,
      presented: 2,
      is: 'kept'
    },
    {
      when: 'the grace starts more than one grace period in the future',
      session: graceTooFarAhead,
      presented: 2,
      is: 'rotated'
    },
    {
      when: 'the last rotation is long ago and the grace was moved forward',
      session: { rotatedAt: NOW - DAY, graceFrom: NOW - SECOND },
      presented: 2,
      is: 'kept'
    },
    {
      when: 'it arrived within the grace and is sent after it',
      presented: 2,
      attempt: { arrivedAt: NOW - GRACE },
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
      session: { graceFrom: NOW - GRACE - 1 },
      presented: 1,
      is: 'recovered'
    },
    {
      when: 'the grace ended long ago',
      session: { graceFrom: NOW - DAY },
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
      session: { ...confirmed, graceFrom: NOW - DAY },
      presented: 1,
      is: 'reused'
    },
    {
      when: 'the grace is 0',
      session: { graceFrom: NOW },
      presented: 1,
      attempt: { grace: 0 },
      is: 'recovered'
    },
    {
      when: 'the grace is 0, and the successor is confirmed',
      session: { ...confirmed, graceFrom: NOW },
      presented: 1,
      attempt: { grace: 0 },
      is: 'reused'
    },
    {
      when: 'the grace starts in the future',
      session: graceAhead,
      presented: 1,
      is: 'replayed'
    },
    {
      when: 'the grace starts far in the future, and the successor is confirmed',
      session: { graceFrom: NOW + DAY, ...confirmed },
      presented: 1,
      is: 'replayed'
    },
    {
      when: 'it arrived within the grace, and the successor is confirmed meanwhile',
      session: confirmed,
      presented: 1,
      attempt: { arrivedAt: NOW - 1 },
      is: 'replayed'
    },
    {
      when: 'it arrived when the grace ended',
      session: confirmed,
      presented: 1,
      attempt: { arrivedAt: NOW, now: NOW + SECOND },
      is: 'reused'
    },
    {
      when: 'it arrived before the rotation, and is sent long after it',
      session: { graceFrom: NOW - GRACE, ...confirmed },
      presented: 1,
      attempt: { arrivedAt: NOW - GRACE - SECOND },
      is: 'replayed'
    },
    {
      when: 'a recovery has moved the grace forward',
      session: { rotatedAt: NOW - DAY, graceFrom: NOW - 1, ...confirmed },
      presented: 1,
      is: 'replayed'
    }
  ],
  'an older token is reused at any time': [
    { when: 'it is two behind', presented: 0, is: 'reused' },
    {
      when: 'it is two behind and the session was just rotated',
      session: { graceFrom: NOW },
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
      session: { graceFrom: NOW },
      presented: 3,
      is: 'ahead'
    },
    {
      when: 'the token is one ahead of a new session',
      session: { generation: 0 },
      presented: 1,
      is: 'ahead'
    },
    { when: 'the token is a hundred ahead', presented: 102, is: 'ahead' },
    {
      when: 'the row has expired, because its rotations were lost',
      session: ended,
      presented: 3,
      is: 'ahead'
    },
    {
      when: 'the request was sent before the newest grace period',
      session: graceAhead,
      presented: 9,
      is: 'ahead'
    }
  ]
}

for (const [rule, rows] of Object.entries(table)) {
  t.test(rule, async t => {
    for (const { when, session = {}, presented, attempt, is } of rows) {
      t.equal(
        rotate(session === null ? null : createSession(session), present(presented, attempt))
          .kind,
        is,
        when
      )
    }
  })
}

t.test('a verdict contains the session unless it is unknown', async t => {
  for (const session of [createSession(revoked), createSession(ended), createSession(confirmed)]) {
    t.match(rotate(session, present(1)), { session })
  }

  t.match(rotate(createSession(), present(3)), { session: createSession() })
  t.match(rotate(createSession(), present(4)), { session: createSession() })
  t.strictSame(rotate(createSession(), present(2, { secretHash: 'other' })), {
    kind: 'unknown'
  })
})

t.test('a rotation returns the values that it wrote', async t => {
  t.match(rotate(createSession(), present(2)), {
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
  t.strictSame(rotate(session, present(2)), { kind: 'kept', ...values })
  t.strictSame(rotate(session, present(1)), { kind: 'replayed', ...values })
  t.strictSame(rotate(session, present(1, { now: NOW + 1 })), { kind: 'recovered', ...values })
})

t.test('a rotation returns its own generation if the row has moved on', async t => {
  const presentation = present(2)

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
    t.strictSame(judgeRotation(presentation, { swapped: true, session }), {
      kind: 'rotated',
      session,
      generation: 3,
      issuedAt: NOW,
      expiresAt: NOW + LIFETIME
    })
  }

  const ending = createSession({ generation: 4, expiresAt: NOW + DAY, endsAt: NOW + DAY })
  t.match(judgeRotation(presentation, { swapped: true, session: ending }), {
    kind: 'rotated',
    expiresAt: NOW + DAY
  }, 'the successor expires with the session')
})

t.test('a rotation of a row that was revoked meanwhile returns no token', async t => {
  const session = applyRotation(createSession(), planAttempt(2))
  t.equal(
    judgeRotation(present(2), { swapped: true, session: { ...session, ...revoked } }).kind,
    'revoked'
  )
  t.equal(
    judgeRotation(present(2), { swapped: true, session: null }).kind,
    'unknown',
    'a deleted row returns no token either'
  )
})
