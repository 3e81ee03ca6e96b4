import t from 'tap'
import { RevokedSessions } from '../../src/revocations/revoked.js'
import { MINUTE } from '../helpers/clock.js'

const NOW = Date.UTC(2026, 0, 1)
const KEEP = 16 * MINUTE

const known = (revoked: RevokedSessions, ids: readonly string[]): string[] =>
  ids.filter(id => revoked.has(id))

t.test('a session is revoked from the moment it is added', async t => {
  const revoked = new RevokedSessions(KEEP)
  t.equal(revoked.has('s1'), false)
  revoked.add({ sessionId: 's1', at: NOW }, NOW)
  t.equal(revoked.has('s1'), true)
  t.equal(revoked.has('s2'), false)
})

t.test('an entry is deleted after its retention when the next one is added', async t => {
  for (
    const { after, stays } of [
      { after: KEEP - 1, stays: true },
      { after: KEEP, stays: false },
      { after: KEEP + 1, stays: false }
    ]
  ) {
    const revoked = new RevokedSessions(KEEP)
    revoked.add({ sessionId: 'old', at: NOW }, NOW)
    revoked.add({ sessionId: 'new', at: NOW + after }, NOW + after)
    t.equal(revoked.has('old'), stays, `${after} ms later`)
    t.equal(revoked.has('new'), true)
  }
})

t.test('an addition deletes all entries past their retention and no other', async t => {
  const revoked = new RevokedSessions(KEEP)

  for (const [index, sessionId] of ['a', 'b', 'c', 'd'].entries()) {
    revoked.add({ sessionId, at: NOW + index }, NOW + index)
  }

  revoked.add({ sessionId: 'e', at: NOW + KEEP + 2 }, NOW + KEEP + 2)
  t.strictSame(known(revoked, ['a', 'b', 'c', 'd', 'e']), ['d', 'e'])
})

t.test('an entry out of order is never deleted too early', async t => {
  const revoked = new RevokedSessions(KEEP)
  revoked.add({ sessionId: 'ahead', at: NOW + MINUTE }, NOW)
  revoked.add({ sessionId: 'in time', at: NOW }, NOW)
  revoked.add({ sessionId: 'next', at: NOW + KEEP }, NOW + KEEP)
  t.strictSame(known(revoked, ['ahead', 'in time', 'next']), ['ahead', 'in time', 'next'])
  revoked.add({ sessionId: 'last', at: NOW + KEEP + MINUTE }, NOW + KEEP + MINUTE)
  t.strictSame(known(revoked, ['ahead', 'in time', 'next', 'last']), ['next', 'last'])
})

t.test('an entry past its retention is not kept', async t => {
  const revoked = new RevokedSessions(KEEP)
  revoked.add({ sessionId: 'ancient', at: NOW - KEEP }, NOW)
  t.equal(revoked.has('ancient'), false)
})

t.test('an entry that is added again keeps its time', async t => {
  const revoked = new RevokedSessions(KEEP)
  revoked.add({ sessionId: 'twice', at: NOW }, NOW)
  revoked.add({ sessionId: 'other', at: NOW + 1 }, NOW + 1)
  revoked.add({ sessionId: 'twice', at: NOW }, NOW + MINUTE)
  revoked.add({ sessionId: 'next', at: NOW + KEEP - 1 }, NOW + KEEP - 1)
  t.strictSame(known(revoked, ['twice', 'other']), ['twice', 'other'])
  revoked.add({ sessionId: 'last', at: NOW + KEEP }, NOW + KEEP)
  t.strictSame(known(revoked, ['twice', 'other']), ['other'])
})
