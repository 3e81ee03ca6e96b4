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

t.test('an entry stays for at least one retention and at most two', async t => {
  for (const addedAt of [0, 1, KEEP / 2, KEEP - 1]) {
    const revoked = new RevokedSessions(KEEP)
    revoked.add(ofSession('first'), NOW)
    revoked.add(ofSession('s1'), NOW + addedAt)

    for (let time = addedAt; time < addedAt + KEEP; time += MINUTE) {
      revoked.add(ofSession(`other-${time}`), NOW + time)
      t.equal(revoked.has('s1', 'ann'), true, `${time} ms later`)
    }

    revoked.add(ofSession('next'), NOW + addedAt + KEEP)
    revoked.add(ofSession('last'), NOW + addedAt + 2 * KEEP)
    t.strictSame(known(revoked, ['s1', 'next', 'last']), ['next', 'last'])
  }
})

t.test('an entry is dropped after two retentions without another one', async t => {
  const revoked = new RevokedSessions(KEEP)
  revoked.add(ofSession('s1'), NOW)
  revoked.dropExpired(NOW + 2 * KEEP)
  t.strictSame(known(revoked, ['s1']), [])
})

t.test('the retention counts from the moment of reading, whatever the entry says', async t => {
  const revoked = new RevokedSessions(KEEP)
  revoked.add(ofSession('ahead', NOW + DAY), NOW)
  revoked.add(ofSession('behind', NOW - DAY), NOW)
  revoked.add(ofSession('next', NOW), NOW + KEEP)
  t.strictSame(known(revoked, ['ahead', 'behind', 'next']), ['ahead', 'behind', 'next'])
  revoked.add(ofSession('last', NOW), NOW + 2 * KEEP)
  t.strictSame(known(revoked, ['ahead', 'behind', 'next', 'last']), ['next', 'last'])
})

t.test('an entry is new only the first time, and keeps its time', async t => {
  const revoked = new RevokedSessions(KEEP)
  const entries = [ofSession('s1'), ofUser('ann', NOW), ofUser('ann', NOW, 's2'), ofRealm(NOW)]
  t.strictSame(entries.map(entry => revoked.add(entry, NOW)), [true, true, true, true])
  t.strictSame(entries.map(entry => revoked.add(entry, NOW + 1)), Array(4).fill(false))
  t.strictSame(entries.map(entry => revoked.add(entry, NOW + KEEP)), Array(4).fill(false))
  revoked.dropExpired(NOW + 2 * KEEP)
  t.strictSame([revoked.has('s1', 'bob'), revoked.has('s2', 'bob')], [true, true], 'by the realm')
  t.strictSame(entries.map(entry => revoked.add(entry, NOW + 2 * KEEP)), Array(4).fill(true))
})

t.test('a clock that steps back drops nothing early', async t => {
  const revoked = new RevokedSessions(KEEP)
  revoked.add(ofSession('s1'), NOW)
  revoked.add(ofSession('s2'), NOW - DAY)
  revoked.dropExpired(NOW - DAY + 3 * KEEP)
  t.strictSame(known(revoked, ['s1', 's2']), ['s1', 's2'])
})

t.test('a not-before of a user ends the sessions that began at or before it', async t => {
  const revoked = new RevokedSessions(KEEP)
  const [before, at, after] = [NOW - 1, NOW, NOW + 1].map(time => createSessionId(time)) as [
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

t.test('a not-before that is shown again with a later moment ends more sessions', async t => {
  for (const readAgainAt of [NOW + 1, NOW + KEEP]) {
    const revoked = new RevokedSessions(KEEP)
    const later = createSessionId(NOW + 5)
    revoked.add(ofUser('ann', NOW), NOW)
    t.equal(revoked.has(later, 'ann'), false)
    t.equal(revoked.add({ ...ofUser('ann', NOW), before: NOW + 5 }, readAgainAt), false)
    t.equal(revoked.has(later, 'ann'), true)
    revoked.add(ofUser('ann', NOW), readAgainAt)
    t.equal(revoked.has(later, 'ann'), true, 'an earlier moment changes nothing')
  }
})

t.test('a not-before of a user is dropped after two retentions', async t => {
  const revoked = new RevokedSessions(KEEP)
  const id = createSessionId(NOW)
  revoked.add(ofUser('ann', NOW), NOW)
  revoked.add(ofUser('bob', NOW), NOW + KEEP)
  t.strictSame([revoked.has(id, 'ann'), revoked.has(id, 'bob')], [true, true])
  revoked.dropExpired(NOW + 2 * KEEP)
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
