import t from 'tap'
import type { Test } from 'tap'
import type { FollowedSession, RevocationSubscriber, TokenResponse } from '../../src/index.js'
import type { TokenStore } from '../../src/stores/token-store.js'
import { PASSWORD } from '../helpers/app.js'
import { createBreakableStore } from '../helpers/broken-store.js'
import { createClock, MINUTE } from '../helpers/clock.js'
import { databases } from '../helpers/databases/index.js'
import type { TestDatabase } from '../helpers/databases/index.js'
import { DpopClient } from '../helpers/dpop.js'
import { getSessionId, until } from '../http/instances/instances-setup.js'
import { getReason } from './fixtures.js'
import { startLiveApp } from './live-app.js'
import type { LiveApp } from './live-app.js'

interface Instance extends LiveApp {
  /** Makes the instance poll. Its own interval is longer than these tests. */
  poll(): void
}

async function signIn (client: DpopClient): Promise<TokenResponse> {
  const body = { username: 'ann', password: PASSWORD }
  return (await client.send('POST', '/auth/login', { body })).json()
}

async function startInstance (
  t: Test,
  store: TokenStore,
  clock: ReturnType<typeof createClock>,
  failAfter?: string
): Promise<Instance> {
  let poll: () => void = () => {}

  const subscribe: RevocationSubscriber = given => {
    poll = given

    return () => {}
  }

  const app = await startLiveApp(t, {
    store,
    clock,
    options: {
      dpop: true,
      publicUrl: 'http://localhost',
      revocations: { pollInterval: '60s', subscribe, ...(failAfter && { failAfter }) }
    }
  })
  return { ...app, poll: () => poll() }
}

for (const [name, { open, skip }] of Object.entries(databases)) {
  t.test(`${name}: a session that ends at one instance aborts at the other`, {
    skip: skip ?? false
  }, async t => {
    const { store, again } = await open(t)
    const clock = createClock()
    const one = await startInstance(t, store, clock)
    const other = await startInstance(t, again(), clock)
    const [first, second, third] = [await one.login(), await one.login(), await one.login()]
    const bob = await one.login('bob')
    const signals: AbortSignal[] = []

    for (const tokens of [first, second, third, bob]) {
      signals.push((await other.follow(tokens)).signal)
    }

    const reasons = (): Array<string | null> => signals.map(getReason)

    await one.post('/auth/logout', { refresh_token: first.refresh_token })
    t.strictSame(reasons(), [null, null, null, null], 'before the poll')
    other.poll()
    await until(() => signals[0]?.aborted === true)
    t.strictSame(reasons(), ['AUTH_SESSION_REVOKED', null, null, null])

    await one.app.tokenAuth.revokeUser('u-ann', { keep: getSessionId(third) })
    other.poll()
    await until(() => signals[1]?.aborted === true)
    t.strictSame(reasons().slice(2), [null, null])

    await one.app.tokenAuth.revokeAll()
    other.poll()
    await until(() => signals.every(signal => signal.aborted))
    t.ok(reasons().every(reason => reason === 'AUTH_SESSION_REVOKED'))
  })
}

t.test('a store that is down aborts nothing and renews nothing', async t => {
  const { store, again } = await (databases.memory as TestDatabase).open(t)
  const clock = createClock()
  const breakable = createBreakableStore(again())
  const one = await startInstance(t, store, clock)
  const other = await startInstance(t, breakable.store, clock, '2m')
  const [tokens, ended] = [await one.login(), await one.login()]
  const { signal, renew } = await other.follow(tokens)
  const { signal: late } = await other.follow(ended)
  const { access_token: next } = (await one.refresh(tokens.refresh_token)).json()

  breakable.break('throws')
  await one.post('/auth/logout', { refresh_token: ended.refresh_token })
  other.poll()
  clock.advance(3 * MINUTE)
  await t.rejects(renew(next), { code: 'AUTH_STORE_UNAVAILABLE', statusCode: 503 })
  t.strictSame([signal, late].map(getReason), [null, null])

  breakable.break(null)
  other.poll()
  await until(() => late.aborted)
  t.strictSame([signal, late].map(getReason), [null, 'AUTH_SESSION_REVOKED'])
  await renew(next)

  breakable.break('throws')
  clock.advance(15 * MINUTE)
  await until(() => signal.aborted)
  t.equal(getReason(signal), 'AUTH_ACCESS_EXPIRED')
})

t.test('a DPoP-bound token is renewed without a proof, by the same key only', async t => {
  const { store } = await (databases.memory as TestDatabase).open(t)
  const clock = createClock()
  const { app, followed, events } = await startInstance(t, store, clock)
  const [holder, other] = [new DpopClient(app), new DpopClient(app)]
  const first = await signIn(holder)
  await holder.send('GET', '/follow', { token: first.access_token })
  const body = { refresh_token: first.refresh_token }
  const second = (await holder.send('POST', '/auth/refresh', { body })).json<TokenResponse>()
  const { renew } = followed[0] as FollowedSession

  await t.rejects(renew((await signIn(other)).access_token), { code: 'AUTH_ACCESS_INVALID' })
  t.match(await renew(second.access_token), { userId: 'u-ann' })

  // The renewal has confirmed the generation, so the previous refresh token is outdated.
  clock.advance(MINUTE)
  t.equal((await holder.send('POST', '/auth/refresh', { body })).statusCode, 401)
  t.equal(events.at(-1)?.name, 'reuse')
})
