import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { mock } from 'node:test'
import { inspect } from 'node:util'
import t from 'tap'
import { TokenAuthError } from '../../src/errors.js'
import { DAY, HOUR, SECOND } from '../helpers/clock.js'
import { createFollowers, createToken, getReason, LIFETIME, NOW } from './fixtures.js'

t.test('a revocation of a session aborts only its own signals', async t => {
  const { followers, revoked } = createFollowers()
  const [ended, other, stranger] = [createToken(), createToken(), createToken({ userId: 'bob' })]
  const signals = [ended, other, stranger, ended].map(token => followers.follow(token).signal)
  const { sessionId, userId } = ended.auth
  revoked.add({ at: NOW, sessionId, userId }, NOW)

  t.strictSame(
    signals.map(getReason),
    ['AUTH_SESSION_REVOKED', null, null, 'AUTH_SESSION_REVOKED']
  )
  t.equal(followers.size, 2)
  t.type(signals[0]?.reason, TokenAuthError)
})

t.test('a revocation without a user finds its session', async t => {
  const { followers, revoked } = createFollowers()
  const tokens = [createToken(), createToken({ userId: 'bob' })]
  const signals = tokens.map(token => followers.follow(token).signal)
  revoked.add({ at: NOW, sessionId: tokens[1]?.auth.sessionId as string }, NOW)
  t.strictSame(signals.map(getReason), [null, 'AUTH_SESSION_REVOKED'])
})

t.test('a revocation of a user keeps the session that it names', async t => {
  const { followers, revoked } = createFollowers()
  const tokens = [createToken(), createToken(), createToken({ userId: 'bob' })]
  const signals = tokens.map(token => followers.follow(token).signal)
  const keep = tokens[1]?.auth.sessionId as string
  revoked.add({ at: NOW, userId: 'ann', before: NOW, keep }, NOW)
  t.strictSame(signals.map(getReason), ['AUTH_SESSION_REVOKED', null, null])

  revoked.add({ at: NOW + 1, userId: 'ann', before: NOW }, NOW + 1)
  t.strictSame(signals.map(getReason), ['AUTH_SESSION_REVOKED', 'AUTH_SESSION_REVOKED', null])
})

t.test('a revocation that is shown again with a later limit aborts more signals', async t => {
  const { followers, revoked } = createFollowers()
  const { signal } = followers.follow(createToken())
  revoked.add({ at: NOW, userId: 'ann', before: NOW - 1 }, NOW)
  t.equal(getReason(signal), null)

  revoked.add({ at: NOW, userId: 'ann', before: NOW }, NOW)
  t.equal(getReason(signal), 'AUTH_SESSION_REVOKED')
})

t.test('a revocation of the realm aborts the signals of all users', async t => {
  const { followers, revoked } = createFollowers()
  const signals = ['ann', 'bob', 'cyd'].map(userId =>
    followers.follow(createToken({ userId })).signal
  )
  revoked.add({ at: NOW, before: NOW }, NOW)
  t.ok(signals.every(signal => getReason(signal) === 'AUTH_SESSION_REVOKED'))
  t.equal(followers.size, 0)
})

t.test('a session that was revoked before is not followed', async t => {
  const { followers, revoked } = createFollowers()
  const token = createToken()
  revoked.add({ at: NOW, sessionId: token.auth.sessionId }, NOW)
  const followed = followers.follow(token)
  t.equal(getReason(followed.signal), 'AUTH_SESSION_REVOKED')
  t.equal(followers.size, 0)
  await t.rejects(followed.renew('any'), { code: 'AUTH_SESSION_REVOKED' })
})

t.test('a token that has expired is not followed', async t => {
  const { followers, clock } = createFollowers()
  clock.advance(LIFETIME)
  t.equal(getReason(followers.follow(createToken()).signal), 'AUTH_ACCESS_EXPIRED')
  t.equal(followers.size, 0)
})

t.test('a listener that throws does not keep other signals from aborting', async t => {
  const { followers, revoked } = createFollowers()
  const signals = Array.from({ length: 3 }, () => followers.follow(createToken()).signal)
  const errors: unknown[] = []
  const listeners = process.rawListeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', error => errors.push(error))

  for (const signal of signals) {
    signal.addEventListener('abort', () => {
      throw new Error('listener')
    })
  }

  revoked.add({ at: NOW, userId: 'ann', before: NOW }, NOW)
  t.ok(signals.every(signal => signal.aborted))
  await new Promise(resolve => setImmediate(resolve))
  process.removeAllListeners('uncaughtException')

  for (const listener of listeners) {
    process.on('uncaughtException', listener as () => void)
  }

  t.equal(errors.length, 3)
})

t.test('listeners run outside of the async context of the revocation', async t => {
  const { followers, revoked } = createFollowers()
  const storage = new AsyncLocalStorage<string>()
  const contexts: unknown[] = []

  storage.run('request of ann', () => {
    followers.follow(createToken()).signal.addEventListener('abort', () => {
      contexts.push(storage.getStore())
    })
  })
  storage.run('request of bob', () => {
    revoked.add({ at: NOW, before: NOW }, NOW)
  })
  t.strictSame(contexts, [undefined])
})

t.test('many signals abort in several turns of the event loop', async t => {
  const { followers, revoked } = createFollowers()
  const signals = Array.from({ length: 1000 }, () => followers.follow(createToken()).signal)
  const last = followers.follow(createToken())
  const count = (): number => signals.filter(signal => signal.aborted).length
  revoked.add({ at: NOW, before: NOW }, NOW)
  t.equal(count() + Number(last.signal.aborted), 200)

  // A connection may close before its turn.
  const rest = signals.filter(signal => !signal.aborted)
  await once(rest.at(-1) as AbortSignal, 'abort')
})

t.test('a log of a followed session shows nothing of it', async t => {
  const { followers } = createFollowers()
  const followed = followers.follow(createToken())
  followers.follow(createToken({ userId: 'ann' }))
  t.equal(JSON.stringify(followed), '{"aborted":false}')
  t.equal(inspect(followed), '{ aborted: false }')
})

t.test('the end of a token', async t => {
  t.beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout'] })
  })
  t.afterEach(() => {
    mock.timers.reset()
  })

  t.test('aborts the signals of that second', async t => {
    const { followers, clock } = createFollowers()
    const first = followers.follow(createToken())
    const second = followers.follow(createToken({ expiresAt: NOW + LIFETIME + SECOND }))
    clock.advance(LIFETIME - 1)
    mock.timers.tick(SECOND)
    t.strictSame([first, second].map(({ signal }) => getReason(signal)), [null, null])

    clock.advance(1)
    mock.timers.tick(1)
    t.strictSame(
      [first, second].map(({ signal }) => getReason(signal)),
      ['AUTH_ACCESS_EXPIRED', null]
    )

    clock.advance(SECOND)
    mock.timers.tick(SECOND)
    t.equal(getReason(second.signal), 'AUTH_ACCESS_EXPIRED')
  })

  t.test('is found within a second after the clock jumps ahead', async t => {
    const { followers, clock } = createFollowers()
    const followed = followers.follow(createToken())
    clock.advance(DAY)
    mock.timers.tick(SECOND)
    t.equal(getReason(followed.signal), 'AUTH_ACCESS_EXPIRED')
  })

  t.test('is found after the clock jumps back', async t => {
    const { followers, clock } = createFollowers()
    const early = followers.follow(createToken())
    clock.advance(HOUR)
    mock.timers.tick(SECOND)
    t.equal(getReason(early.signal), 'AUTH_ACCESS_EXPIRED')

    clock.set(NOW)
    const followed = followers.follow(createToken())
    mock.timers.tick(SECOND)
    t.equal(getReason(followed.signal), null)

    clock.set(NOW + LIFETIME)
    mock.timers.tick(SECOND)
    t.equal(getReason(followed.signal), 'AUTH_ACCESS_EXPIRED')
  })

  t.test('aborts nothing after end', async t => {
    const { followers, clock } = createFollowers()
    const followed = followers.follow(createToken())
    followed.end()
    followed.end()
    t.equal(followers.size, 0)
    clock.advance(LIFETIME)
    mock.timers.tick(SECOND)
    t.equal(getReason(followed.signal), null)
  })

  t.test('aborts nothing after close', async t => {
    const { followers, clock, revoked } = createFollowers()
    const followed = followers.follow(createToken())
    followers.close()
    t.equal(followers.size, 0)
    clock.advance(LIFETIME)
    mock.timers.tick(SECOND)
    revoked.add({ at: NOW, before: NOW }, NOW)
    t.equal(getReason(followed.signal), null)
  })
})
