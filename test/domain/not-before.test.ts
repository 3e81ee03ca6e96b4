import t from 'tap'
import { applyNotBefores, isRevokedBy } from '../../src/domain/not-before.js'
import type { NotBefore } from '../../src/domain/not-before.js'
import { createSession, NOW, revoked } from './fixtures.js'

const session = createSession({ authenticatedAt: NOW })

function createNotBefore (over: Partial<NotBefore> = {}): NotBefore {
  return {
    realm: 'test',
    userId: 'u-ann',
    before: NOW,
    keep: null,
    at: NOW + 5,
    reason: 'logout-all',
    ...over
  }
}

t.test('a not-before ends the sessions of its user from its moment or earlier', async t => {
  const cases: ReadonlyArray<readonly [notBefore: Partial<NotBefore>, ends: boolean]> = [
    [{}, true],
    [{ before: NOW + 1 }, true],
    [{ before: NOW - 1 }, false],
    [{ userId: null }, true],
    [{ userId: null, before: NOW - 1 }, false],
    [{ userId: 'u-bob' }, false],
    [{ userId: '' }, false],
    [{ realm: 'other' }, false],
    [{ realm: 'other', userId: null }, false],
    [{ keep: session.id }, false],
    [{ keep: 's2' }, true]
  ]

  for (const [notBefore, expected] of cases) {
    t.equal(isRevokedBy(session, createNotBefore(notBefore)), expected, JSON.stringify(notBefore))
  }
})

t.test('the earliest not-before that ends a session revokes it', async t => {
  const notBefores = [
    createNotBefore({ at: NOW + 3, reason: 'password-changed' }),
    createNotBefore({ at: NOW + 2, reason: 'revoked', userId: null }),
    createNotBefore({ at: NOW + 1, reason: 'reuse', keep: session.id }),
    createNotBefore({ at: NOW, reason: 'logout', before: NOW - 1 })
  ]

  for (const order of [notBefores, notBefores.toReversed()]) {
    t.strictSame(applyNotBefores(session, order), {
      ...session,
      revokedAt: NOW + 2,
      revokedFor: 'revoked'
    })
  }

  t.equal(applyNotBefores(session, notBefores.slice(2)), session)
  t.equal(applyNotBefores(session, []), session)
})

t.test('a marked row stays as it is', async t => {
  const marked = createSession(revoked)
  t.equal(applyNotBefores(marked, [createNotBefore({ at: 0 })]), marked)
})
