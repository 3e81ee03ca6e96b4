import t from 'tap'
import { Events } from '../../src/events.js'
import type { TokenAuthEvents } from '../../src/events.js'
import { RevocationReporter } from '../../src/revocations/reporter.js'
import { RevokedSessions } from '../../src/revocations/revoked.js'
import type { Revocation } from '../../src/stores/token-store.js'
import { MINUTE } from '../helpers/clock.js'
import { createFeed, REALM } from './fixtures.js'

const NOW = Date.UTC(2026, 0, 1)
const KEEP = 16 * MINUTE
const base = { realm: REALM, at: NOW, reason: 'logout' } as const
const session: Revocation = { ...base, sessionId: 's1', userId: 'ann' }
const user: Revocation = { ...base, userId: 'ann', before: NOW }
const keeping: Revocation = { ...user, keep: 's2' }
const realm: Revocation = { ...base, before: NOW }

function createReporter (): {
  readonly reporter: RevocationReporter
  readonly ended: Array<TokenAuthEvents['session-ended']>
} {
  const ended: Array<TokenAuthEvents['session-ended']> = []
  const log = (_facts: object, message: string): unknown => t.fail(message)
  const logger = { error: log, warn: log, info: log }
  const events = new Events({ 'session-ended': event => ended.push(event) }, logger, REALM)
  const revoked = new RevokedSessions(KEEP)
  return { reporter: new RevocationReporter({ revoked, events, retention: KEEP }), ended }
}

t.test('an entry of another instance is reported once', async t => {
  const { reporter, ended } = createReporter()

  for (const entry of [session, user, keeping, realm, session, user, keeping, realm]) {
    reporter.addEntry(entry, NOW, true)
  }

  const event = { realm: REALM, at: NOW, reason: 'logout', actor: 'client', local: false }
  t.strictSame(ended, [
    { ...event, sessionId: 's1', userId: 'ann' },
    { ...event, sessionId: null, userId: 'ann' },
    { ...event, sessionId: null, userId: 'ann', keep: 's2' },
    { ...event, sessionId: null, userId: null }
  ])
})

t.test('a revocation of this instance is reported before its entry is read', async t => {
  for (const revocation of [session, user, keeping, realm]) {
    const { reporter, ended } = createReporter()
    reporter.begin(revocation)
    t.strictSame(ended, [])
    reporter.complete(revocation, NOW)
    t.match(ended, [{ local: true }])
    reporter.addEntry(revocation, NOW, true)
    t.equal(ended.length, 1)
  }
})

t.test('an entry that is read before the store answers is local', async t => {
  const { reporter, ended } = createReporter()
  reporter.begin(session)
  reporter.addEntry(session, NOW, true)
  reporter.complete(session, NOW)
  t.match(ended, [{ local: true }])
})

t.test('a later not-before of the own revocation is not reported again', async t => {
  const { reporter, ended } = createReporter()
  reporter.begin(user)
  reporter.complete(user, NOW)
  reporter.addEntry({ ...user, before: NOW + 5 }, NOW, true)
  t.equal(ended.length, 1)
})

t.test('a revocation whose call failed is reported when its entry is read', async t => {
  const { reporter, ended } = createReporter()
  reporter.begin(session)
  reporter.begin({ ...session, at: NOW + 1 })
  reporter.cancel({ ...session, at: NOW + 1 })
  reporter.addEntry(session, NOW, false)
  t.match(ended, [{ local: true, at: NOW }], 'also if entries of others are no news')
})

t.test('a session whose row is revoked is reported when its entry is read', async t => {
  const { reporter, ended } = createReporter()
  reporter.addRevokedRow({ sessionId: 's1', userId: 'ann' }, NOW, NOW)
  reporter.addRevokedRow({ sessionId: 's1', userId: 'ann' }, NOW, NOW)
  t.strictSame(ended, [])
  reporter.addEntry(session, NOW, true)
  reporter.addRevokedRow({ sessionId: 's1', userId: 'ann' }, NOW, NOW)
  reporter.addEntry(session, NOW, true)
  t.match(ended, [{ local: false, sessionId: 's1' }])
})

t.test('a row that is found before the store answers is reported with the result', async t => {
  const { reporter, ended } = createReporter()
  reporter.begin(session)
  reporter.addRevokedRow({ sessionId: 's1', userId: 'ann' }, NOW, NOW)
  t.strictSame(ended, [])
  reporter.complete(session, NOW)
  reporter.addEntry(session, NOW, true)
  t.match(ended, [{ local: true, sessionId: 's1' }])
  t.equal(ended.length, 1)
})

t.test('the actor is the given one, or follows from the reason', async t => {
  const { reporter, ended } = createReporter()
  reporter.begin({ ...session, reason: 'revoked' }, 'client')
  reporter.addEntry({ ...session, reason: 'revoked' }, NOW, true)
  reporter.begin({ ...user, reason: 'revoked' }, 'client')
  reporter.complete({ ...user, reason: 'revoked' }, NOW)
  reporter.addEntry({ ...keeping, reason: 'revoked' }, NOW, true)
  reporter.addEntry({ ...session, sessionId: 's3', reason: 'reuse' }, NOW, true)
  t.strictSame(ended.map(({ actor }) => actor), ['client', 'client', 'app', 'plugin'])
})

t.test('an old entry that a store shows again is not reported', async t => {
  const { reporter, ended } = createReporter()
  reporter.addEntry(session, NOW, true)
  reporter.addEntry({ ...session, sessionId: 's2' }, NOW + KEEP + 1, true)
  reporter.addEntry(session, NOW + KEEP + 1, true)
  t.equal(ended.length, 1)
})

t.test('a feed reports entries after the first complete read', async t => {
  const { feed, entries, clock, ended } = createFeed({ pollInterval: MINUTE })
  t.teardown(() => feed.stop())
  entries.add(clock(), 'before')
  await feed.start()
  t.strictSame(ended, [])
  entries.add(clock(), 'after')
  await feed.poll()
  await feed.poll()
  t.match(ended, [{ sessionId: 'after', userId: 'ann', local: false }])
})

t.test('a feed of a single instance reports no entries', async t => {
  const { feed, entries, clock, ended } = createFeed({ pollInterval: null })
  await feed.start()
  entries.add(clock(), 'after')
  await feed.poll()
  t.strictSame(ended, [])
})
