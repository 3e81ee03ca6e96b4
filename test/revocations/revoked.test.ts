import t from 'tap'
import { createSessionId } from '../../src/domain/session.js'
import { RevokedSessions } from '../../src/revocations/revoked.js'
import type {
  RealmRevocation,
  SessionRevocation,
  UserRevocation
} from '../../src/stores/token-store.js'
import { DAY, MINUTE } from '../helpers/clock.js'

const NOW = Date.UTC(2026, 0, 1)
const KEEP = 16 * MINUTE

const ofSession = (sessionId: string, at = NOW): SessionRevocation => ({
  realm: 'test',
  at,
  reason: 'logout',
  sessionId,
  userId: 'ann'
})

const ofUser = (userId: string, before: number, keep?: string): UserRevocation => ({
  realm: 'test',
  at: before,
  reason: 'logout-all',
  userId,
  before,
  ...(keep && { keep })
})

const ofRealm = (before: number): RealmRevocation => ({
  realm: 'test',
  at: before,
  reason: 'revoked',
  before
})

const known = (revoked: RevokedSessions, ids: readonly string[], userId = 'ann'): string[] =>
  ids.filter(id => revoked.has(id, userId))

t.test('a session is revoked from the moment it is added', async t => {
  const revoked = new RevokedSessions(KEEP)
  t.equal(revoked.has('s1', 'ann'), false)
  revoked.add(ofSession('s1'), NOW)
  t.equal(revoked.has('s1', 'ann'), true)
  t.equal(revoked.has('s2', 'ann'), false)
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
    revoked.add(ofSession('old'), NOW)
    revoked.add(ofSession('new', NOW + after), NOW + after)
    t.equal(revoked.has('old', 'ann'), stays, `${after} ms later`)
    t.equal(revoked.has('new', 'ann'), true)
  }
})

t.test('an addition deletes all entries past their retention and no other', async t => {
  const revoked = new RevokedSessions(KEEP)

  for (const [index, sessionId] of ['a', 'b', 'c', 'd'].entries()) {
    revoked.add(ofSession(sessionId, NOW + index), NOW + index)
  }

  revoked.add(ofSession('e', NOW + KEEP + 2), NOW + KEEP + 2)
  t.strictSame(known(revoked, ['a', 'b', 'c', 'd', 'e']), ['d', 'e'])
})

t.test('the retention counts from the moment of reading, whatever the entry says', async t => {
  const revoked = new RevokedSessions(KEEP)
  revoked.add(ofSession('ahead', NOW + DAY), NOW)
  revoked.add(ofSession('behind', NOW - DAY), NOW)
  revoked.add(ofSession('next', NOW), NOW + KEEP - 1)
  t.strictSame(known(revoked, ['ahead', 'behind', 'next']), ['ahead', 'behind', 'next'])
  revoked.add(ofSession('last', NOW), NOW + KEEP)
  t.strictSame(known(revoked, ['ahead', 'behind', 'next', 'last']), ['next', 'last'])
})

t.test('an entry that is added again keeps its time', async t => {
  const revoked = new RevokedSessions(KEEP)
  revoked.add(ofSession('twice'), NOW)
  revoked.add(ofSession('other'), NOW + 1)
  revoked.add(ofSession('twice'), NOW + MINUTE)
  revoked.add(ofSession('next'), NOW + KEEP - 1)
  t.strictSame(known(revoked, ['twice', 'other']), ['twice', 'other'])
  revoked.add(ofSession('last'), NOW + KEEP)
  t.strictSame(known(revoked, ['twice', 'other']), ['other'])
})

t.test('a not-before of a user ends the sessions that began at or before it', async t => {
  const revoked = new RevokedSessions(KEEP)
  const [before, at, after] = [NOW - 1, NOW, NOW + 1].map(createSessionId) as [
    string,
    string,
    string
  ]
  revoked.add(ofUser('ann', NOW), NOW)
  t.strictSame(known(revoked, [before, at, after]), [before, at])
  t.strictSame(known(revoked, [before, at, after], 'bob'), [], 'of no other user')
})

t.test('a not-before of a user keeps one session', async t => {
  const revoked = new RevokedSessions(KEEP)
  const [kept, other] = [createSessionId(NOW - 1), createSessionId(NOW - 1)]
  revoked.add(ofUser('ann', NOW, kept), NOW)
  t.strictSame(known(revoked, [kept, other]), [other])
})

t.test('a session is revoked if any not-before of its user ends it', async t => {
  const revoked = new RevokedSessions(KEEP)
  const [first, second, third] = [createSessionId(NOW), createSessionId(NOW), createSessionId(NOW)]
  revoked.add(ofUser('ann', NOW, first), NOW)
  revoked.add(ofUser('ann', NOW, second), NOW)
  t.strictSame(known(revoked, [first, second, third]), [first, second, third])

  const later = createSessionId(NOW + 5)
  revoked.add(ofUser('ann', NOW + 5, later), NOW + 5)
  revoked.add(ofUser('ann', NOW + 1), NOW + 6)
  t.strictSame(known(revoked, [first, later, createSessionId(NOW + 5)]).length, 2)
  t.equal(revoked.has(later, 'ann'), false, 'an earlier not-before ends no later session')
})

t.test('a not-before that is shown again neither ends nor revives a session', async t => {
  const revoked = new RevokedSessions(KEEP)
  const [kept, other] = [createSessionId(NOW), createSessionId(NOW)]

  for (let times = 0; times < 3; times++) {
    revoked.add(ofUser('ann', NOW, kept), NOW + times)
    t.strictSame(known(revoked, [kept, other]), [other])
  }
})

t.test('a not-before of a user is deleted after its retention', async t => {
  const revoked = new RevokedSessions(KEEP)
  const id = createSessionId(NOW)
  revoked.add(ofUser('ann', NOW), NOW)
  revoked.add(ofUser('bob', NOW), NOW + 1)
  revoked.add(ofSession('s1'), NOW + KEEP - 1)
  t.strictSame([revoked.has(id, 'ann'), revoked.has(id, 'bob')], [true, true])
  revoked.add(ofSession('s2'), NOW + KEEP)
  t.strictSame([revoked.has(id, 'ann'), revoked.has(id, 'bob')], [false, true])
})

t.test('a not-before of a realm ends the sessions of all users, and stays', async t => {
  const revoked = new RevokedSessions(KEEP)
  const [old, young] = [createSessionId(NOW), createSessionId(NOW + 1)]
  revoked.add(ofRealm(NOW), NOW)
  t.strictSame(known(revoked, [old, young]), [old])
  t.strictSame(known(revoked, [old, young], 'bob'), [old])

  revoked.add(ofRealm(NOW - DAY), NOW + 1)
  revoked.add(ofSession('s1'), NOW + 100 * DAY)
  t.strictSame(known(revoked, [old, young]), [old], 'an older one changes nothing')
  revoked.add(ofRealm(NOW + 1), NOW + 100 * DAY)
  t.strictSame(known(revoked, [old, young]), [old, young])
})

t.test('a session ID without a time counts as old', async t => {
  const revoked = new RevokedSessions(KEEP)
  const ids = ['s1', 'imported', `s${'!'.repeat(31)}`]
  revoked.add(ofUser('bob', NOW), NOW)
  t.strictSame(known(revoked, ids), [])
  revoked.add(ofUser('ann', NOW - DAY, 'imported'), NOW)
  t.strictSame(known(revoked, ids), [ids[0], ids[2]])
  revoked.add(ofRealm(NOW - DAY), NOW)
  t.strictSame(known(revoked, ids), ids)
})
