import { mock } from 'node:test'
import t from 'tap'
import { TokenAuthError } from '../../src/errors.js'
import type { FollowableToken, FollowedSession } from '../../src/live/follower.js'
import { MINUTE, SECOND } from '../helpers/clock.js'
import { createFollowers, createToken, getReason, LIFETIME, NOW } from './fixtures.js'
import type { TestFollowers, TokenFields } from './fixtures.js'

const current = createToken({ generation: 5, thumbprint: 'key', clientId: 'app' })
const { sessionId } = current.auth
const END = NOW + LIFETIME

/** Creates a token of the followed session that expires a minute later, with other fields. */
function createNext (fields: TokenFields = {}): FollowableToken {
  return createToken({
    sessionId,
    clientId: 'app',
    generation: 5,
    thumbprint: 'key',
    expiresAt: END + MINUTE,
    ...fields
  })
}

function followCurrent (
  verify?: (token: FollowableToken) => FollowableToken | Promise<FollowableToken>
): TestFollowers & FollowedSession {
  const test = createFollowers(verify)
  const { signal, renew, end } = test.followers.follow(current)
  return { ...test, signal, renew, end }
}

t.beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout'] })
})
t.afterEach(() => {
  mock.timers.reset()
})

t.test('a newer token moves the end', async t => {
  const { tokens, clock, renew, signal } = followCurrent()
  const next = createNext({ generation: 6 })
  tokens.set('next', next)
  t.equal(await renew('next'), next.auth)

  clock.set(END + MINUTE - 1)
  mock.timers.tick(SECOND)
  t.equal(getReason(signal), null)

  clock.advance(1)
  mock.timers.tick(SECOND)
  t.equal(getReason(signal), 'AUTH_ACCESS_EXPIRED')
})

t.test('a session is followed through 100 renewals', async t => {
  const { tokens, clock, renew, signal, followers } = followCurrent()

  for (let i = 1; i <= 100; i++) {
    tokens.set('next', createNext({ generation: 5 + i, expiresAt: END + i * MINUTE }))
    await renew('next')
    clock.set(END + i * MINUTE - 1)
    mock.timers.tick(SECOND)
  }

  t.equal(getReason(signal), null)
  t.equal(followers.size, 1)
  clock.advance(1)
  mock.timers.tick(SECOND)
  t.equal(getReason(signal), 'AUTH_ACCESS_EXPIRED')
})

t.test('a token with the same end is accepted', async t => {
  const { tokens, clock, renew, signal } = followCurrent()
  tokens.set('same', createNext({ expiresAt: END }))
  await renew('same')
  clock.set(END)
  mock.timers.tick(SECOND)
  t.equal(getReason(signal), 'AUTH_ACCESS_EXPIRED')
})

const rejected: ReadonlyArray<readonly [string, TokenFields, string]> = [
  ['another session', { sessionId: 'other' }, 'AUTH_ACCESS_INVALID'],
  ['another user', { userId: 'bob' }, 'AUTH_ACCESS_INVALID'],
  ['another client', { clientId: null }, 'AUTH_ACCESS_INVALID'],
  ['another key', { thumbprint: 'other' }, 'AUTH_ACCESS_INVALID'],
  ['no key', { thumbprint: null }, 'AUTH_ACCESS_INVALID'],
  ['an older generation', { generation: 4 }, 'AUTH_ACCESS_EXPIRED'],
  ['an earlier end', { expiresAt: END - SECOND }, 'AUTH_ACCESS_EXPIRED']
]

for (const [title, fields, code] of rejected) {
  t.test(`a token with ${title} is rejected`, async t => {
    const { tokens, clock, renew, signal, proved } = followCurrent()
    tokens.set('next', createNext(fields))
    await t.rejects(renew('next'), { name: 'TokenAuthError', code })
    t.strictSame(proved, [])

    clock.set(END - 1)
    mock.timers.tick(SECOND)
    t.equal(getReason(signal), null)
    clock.set(END)
    mock.timers.tick(SECOND)
    t.equal(getReason(signal), 'AUTH_ACCESS_EXPIRED')
  })
}

t.test('the generation of an accepted token counts for the next one', async t => {
  const { tokens, renew } = followCurrent()
  tokens.set('next', createNext({ generation: 7 }))
  tokens.set('older', createNext({ generation: 6, expiresAt: END + 2 * MINUTE }))
  await renew('next')
  await t.rejects(renew('older'), { code: 'AUTH_ACCESS_EXPIRED' })
})

t.test('a token that the verifier rejects changes nothing', async t => {
  const { renew, signal } = followCurrent(async () => {
    throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
  })
  await t.rejects(renew('forged'), { code: 'AUTH_ACCESS_INVALID' })
  t.equal(getReason(signal), null)
})

t.test('a verifier that cannot reach its store changes nothing', async t => {
  const { tokens, renew, signal } = followCurrent(async () => {
    throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
  })
  tokens.set('next', createNext())
  await t.rejects(renew('next'), { code: 'AUTH_STORE_UNAVAILABLE', statusCode: 503 })
  t.equal(getReason(signal), null)
})

t.test('a message that is no string is rejected unread', async t => {
  const { renew, verified } = followCurrent()

  for (const message of [undefined, null, 1, {}, ['next'], Buffer.from('next')]) {
    await t.rejects(renew(message as string), { code: 'AUTH_ACCESS_INVALID' })
  }

  t.strictSame(verified, [])
})

t.test('the verifier learns that a bound token was accepted', async t => {
  const { tokens, renew, proved } = followCurrent()
  const next = createNext()
  tokens.set('next', next)
  await renew('next')
  t.strictSame(proved, [next])
})

t.test('the verifier confirms a bearer token itself', async t => {
  const { followers, tokens, proved } = createFollowers()
  const { renew } = followers.follow(createToken({ sessionId }))
  tokens.set('next', createToken({ sessionId, expiresAt: END + MINUTE }))
  await renew('next')
  t.strictSame(proved, [])
})

t.test('renew rejects after the signal has aborted', async t => {
  const { revoked, tokens, renew, signal, followers } = followCurrent()
  tokens.set('next', createNext())
  revoked.add({ at: NOW, sessionId, userId: 'ann' }, NOW)
  await t.rejects(renew('next'), signal.reason as Error)
  t.equal(followers.size, 0)
})

t.test('renew rejects after end', async t => {
  const { tokens, renew, end, followers } = followCurrent()
  tokens.set('next', createNext())
  end()
  await t.rejects(renew('next'), /renew cannot be used after end/)
  t.equal(followers.size, 0)
})

t.test('a session that ends while a token is verified stays ended', async t => {
  let finish = (): void => {}

  const wait = (token: FollowableToken): Promise<FollowableToken> =>
    new Promise(resolve => {
      finish = () => {
        resolve(token)
      }
    })

  for (const how of ['abort', 'end'] as const) {
    const { revoked, tokens, renew, signal, end, followers } = followCurrent(wait)
    tokens.set('next', createNext())
    const renewing = renew('next')
    await null

    if (how === 'abort') {
      revoked.add({ at: NOW, sessionId, userId: 'ann' }, NOW)
    } else {
      end()
    }

    finish()
    await t.rejects(
      renewing,
      how === 'abort' ? { code: 'AUTH_SESSION_REVOKED' } : /renew cannot be used after end/
    )
    t.equal(signal.aborted, how === 'abort')
    t.equal(followers.size, 0)
  }
})

t.test('a token that is verified late does not replace a newer one', async t => {
  const waiting: Array<() => void> = []
  const { tokens, renew, clock, signal } = followCurrent(token =>
    new Promise(resolve => {
      waiting.push(() => {
        resolve(token)
      })
    })
  )
  tokens.set('first', createNext())
  tokens.set('second', createNext({ generation: 6, expiresAt: END + 2 * MINUTE }))
  const [first, second] = [renew('first'), renew('second')]
  await null
  waiting[1]?.()
  await second
  waiting[0]?.()
  await first.catch(() => {})

  clock.set(END + 2 * MINUTE - 1)
  mock.timers.tick(SECOND)
  t.equal(getReason(signal), null)
})
