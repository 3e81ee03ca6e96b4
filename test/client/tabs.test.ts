import t from 'tap'
import type { AuthClient, ChannelLike } from '../../src/client/index.js'
import type { TabOptions } from '../../src/testing/index.js'
import { MINUTE } from '../helpers/clock.js'
import { createWorld, reply } from './world.js'
import type { World } from './world.js'

/** Signs in with the first tab and lets the access token expire. */
async function expireTokens (world: World, tabs: AuthClient[]): Promise<void> {
  const [first] = tabs as [AuthClient]
  await world.until(Promise.all(tabs.map(tab => tab.ready)))
  await world.signIn(first)
  await world.run(1000)
  world.skip(20 * MINUTE)
  world.sent.length = world.server.events.length = 0
}

const browsers: ReadonlyArray<readonly [name: string, tab: TabOptions]> = [
  ['with locks', {}],
  ['without locks', { locks: 'none' }],
  ['without locks and channels', { locks: 'none', channels: 'none' }],
  ['with a lock that is never released', { locks: 'stuck' }],
  ['with locks that throw', { locks: 'broken' }]
]

for (const [name, tab] of browsers) {
  t.test(`five tabs share one rotation ${name}`, async t => {
    const world = await createWorld(t)
    const hasChannels = tab.channels !== 'none'
    const tabs = Array.from({ length: 5 }, () => world.open({ tab }))
    await expireTokens(world, tabs)

    if (!hasChannels) {
      for (const tab of tabs.slice(1)) {
        t.equal(tab.state.status, 'signed-out', 'it did not receive the login')
      }
    }

    const woken = hasChannels ? tabs : Array.from({ length: 5 }, () => world.open({ tab }))
    const responses = await world.until(
      Promise.all(woken.flatMap(tab => Array.from({ length: 10 }, () => tab.fetch('/protected'))))
    )
    t.strictSame(new Set(responses.map(({ status }) => status)), new Set([200]))
    t.equal(responses.length, 50)

    for (const tab of woken) {
      t.equal(tab.state.status, 'signed-in')
    }

    const rotations = world.server.events.filter(event => event.name === 'refresh' && event.rotated)
    t.equal(rotations.length, 1)
    t.ok(world.count('/auth/refresh') <= 5, `${world.count('/auth/refresh')} refreshes`)

    if (name === 'with locks') {
      t.equal(world.count('/auth/refresh'), 1, 'the others received the token')
    }

    t.notOk(world.server.events.some(event => event.name === 'reuse'))
  })
}

t.test('a client waits for a stuck lock only once', async t => {
  const world = await createWorld(t)
  const tab = world.open({ tab: { locks: 'stuck' } })
  await world.signIn(tab)
  world.skip(16 * MINUTE)
  const start = world.now()
  await world.until(tab.fetch('/protected'))
  t.ok(world.now() - start <= 5100)
  world.skip(MINUTE / 2)
  const logoutAt = world.now()
  await world.until(tab.logout())
  t.ok(world.now() - logoutAt <= 100, `${world.now() - logoutAt} ms`)
})

/** Refreshes of five tabs that wake together with an expired token. */
async function countRefreshes (world: World, tabs: AuthClient[]): Promise<number> {
  world.skip(20 * MINUTE)
  const before = world.count('/auth/refresh')
  const responses = await world.until(Promise.all(tabs.map(tab => tab.fetch('/protected'))))
  t.ok(responses.every(({ status }) => status === 200))
  // A slow request must not arrive after the next sleep.
  await world.run(5000)
  return world.count('/auth/refresh') - before
}

t.test('five tabs refresh at most twice before, during and after a slow response', async t => {
  const world = await createWorld(t)
  const tabs = Array.from({ length: 5 }, () => world.open())
  await expireTokens(world, tabs)
  t.equal(await countRefreshes(world, tabs), 1)
  world.faults.next((_request, proceed) => world.faults.clock.sleep(7000).then(proceed), '/refresh')
  t.ok(await countRefreshes(world, tabs) <= 2, 'during the slow response')

  for (let i = 0; i < 3; i++) {
    t.ok(await countRefreshes(world, tabs) <= 2, 'shortly after it')
  }

  await world.run(MINUTE)
  t.equal(await countRefreshes(world, tabs), 1, 'after a minute')
})

t.test('tabs use a lock again after it failed', async t => {
  const world = await createWorld(t)
  let isBroken = false
  const tabs = Array.from({ length: 5 }, () => {
    const { locks } = world.device.open().platform

    return world.open({
      platform: {
        locks: {
          request: (...request) =>
            isBroken
              ? Promise.reject(new DOMException('internal error', 'UnknownError'))
              : locks?.request(...request) ?? Promise.reject(new Error('no locks'))
        }
      }
    })
  })
  await expireTokens(world, tabs)
  t.equal(await countRefreshes(world, tabs), 1)

  isBroken = true
  const failed = countRefreshes(world, tabs)
  await world.run(10)
  isBroken = false
  t.equal(await failed, 1, 'a second request for the lock succeeds')
  isBroken = true
  await countRefreshes(world, tabs)
  isBroken = false
  await world.run(MINUTE)
  t.equal(await countRefreshes(world, tabs), 1, 'after a minute')
})

for (const name of [undefined, 'shared']) {
  const title = name === undefined ? 'without a name' : 'with a name'
  t.test(`five tabs with one keychain share one rotation ${title}`, async t => {
    const world = await createWorld(t)
    const options = { storage: 'keychain', ...(name !== undefined && { name }) } as const
    const first = world.open(options)
    await world.signIn(first)
    world.skip(20 * MINUTE)
    const tabs = Array.from({ length: 5 }, () => world.open(options))
    const responses = await world.until(
      Promise.all(tabs.flatMap(tab => Array.from({ length: 10 }, () => tab.fetch('/protected'))))
    )
    t.strictSame(new Set(responses.map(({ status }) => status)), new Set([200]))
    t.equal(
      world.server.events.filter(event => event.name === 'refresh' && event.rotated).length,
      1
    )

    if (name !== undefined) {
      t.equal(world.count('/auth/refresh'), 1)
    }

    for (const tab of tabs) {
      t.equal(tab.state.status, 'signed-in')
    }
  })
}

t.test('a login of another user reaches the other tab', async t => {
  const world = await createWorld(t)
  const [one, two] = [world.open(), world.open()]
  await world.signIn(one)
  await world.run()
  t.match(two.state, { status: 'signed-in', user: { username: 'ann' } })
  const usernames: unknown[] = []
  two.subscribe(({ user }) => usernames.push((user as { username: string } | null)?.username))
  await world.signIn(one, 'bob')
  await world.run()
  t.strictSame(usernames, ['bob'])
  const response = await world.until(two.fetch('/protected'))
  t.match(await response.json(), { userId: 'u-bob' })
  t.equal(
    world.server.events.filter(event => event.name === 'session-ended').length,
    1,
    'the earlier session was replaced'
  )
})

t.test('fetch does not repeat a request with the token of another user', async t => {
  const world = await createWorld(t)
  const [one, two] = [world.open(), world.open()]
  await world.signIn(one)
  await world.run()

  let release = (): void => {}

  const released = new Promise<void>(resolve => {
    release = resolve
  })
  world.faults.next((_request, proceed) => released.then(proceed), '/protected')
  const pending = two.fetch('/protected', { method: 'GET' })
  await world.run()
  await world.signIn(one, 'bob')
  await world.run()
  release()
  t.equal((await world.until(pending)).status, 401)
  t.equal(world.count('/protected'), 1)
})

t.test('a tab without channels notices a login of another user at its next call', async t => {
  const world = await createWorld(t)
  const tab: TabOptions = { channels: 'none' }
  const [one, two] = [world.open({ tab }), world.open({ tab })]
  await world.signIn(one)
  await world.signIn(two, 'bob')
  t.match(one.state, { user: { username: 'ann' } })
  const response = await world.until(one.fetch('/protected'))
  t.equal(response.status, 401, 'the request was not meant for the session of bob')
  t.match(one.state, { status: 'signed-in', user: { username: 'bob' } })
  t.match(await (await world.until(one.fetch('/protected'))).json(), { userId: 'u-bob' })
})

t.test('a logout reaches all tabs with one request', async t => {
  const world = await createWorld(t)
  const tabs = Array.from({ length: 3 }, () => world.open())
  await world.signIn(tabs[0] as AuthClient)
  await world.run()
  await world.until((tabs[1] as AuthClient).logout())
  await world.run()

  for (const tab of tabs) {
    t.strictSame(tab.state, { status: 'signed-out', user: null, reason: 'logout' })
  }

  t.equal(world.device.cookies.entries().size, 0)
  t.equal(world.device.flags.size, 0)
  t.equal(world.count('/auth/logout'), 1)
})

for (
  const [status, fault] of [
    ['starting', () => new Promise<never>(() => {})],
    ['signed-out', () => reply(401, { code: 'AUTH_REFRESH_MISSING' })]
  ] as const
) {
  t.test(`a logout in a ${status} tab reaches the other tabs`, async t => {
    const world = await createWorld(t)
    const other = world.open()
    await world.signIn(other)
    world.faults.next(fault, '/refresh', Infinity)
    const client = world.open()
    await world.run(100)
    t.strictSame([client.state.status, other.state.status], [status, 'signed-in'])
    await world.until(client.logout())
    await world.run(100)
    t.strictSame(other.state, { status: 'signed-out', user: null, reason: 'logout' })
    t.equal(world.server.events.filter(event => event.name === 'session-ended').length, 1)
  })
}

t.test('a revoked session signs out all tabs', async t => {
  const world = await createWorld(t)
  const [one, two] = [world.open(), world.open()]
  await world.signIn(one)
  await world.run()
  await world.server.store.revoke({ realm: 'auth', userId: 'u-ann' }, {
    at: world.server.clock(),
    reason: 'admin' as 'logout'
  })
  world.skip(16 * MINUTE)
  await t.rejects(world.until(one.fetch('/protected')), { code: 'signed-out' })
  await world.run()
  t.match(one.state, { status: 'signed-out', reason: 'AUTH_REFRESH_REVOKED' })
  t.match(two.state, { status: 'signed-out', reason: 'AUTH_REFRESH_REVOKED' })
})

t.test('a client ignores malformed messages of other scripts', async t => {
  const world = await createWorld(t)
  const channel: ChannelLike = {
    onmessage: null,
    postMessage () {
      throw new Error('DataCloneError')
    },
    close () {}
  }

  const receive = (data: unknown): void => {
    channel.onmessage?.({ data })
  }

  const client = world.open({ platform: { openChannel: () => channel } })
  await world.signIn(client)
  const token = await client.getAccessToken()

  for (
    const data of [
      null,
      undefined,
      1,
      'string',
      [],
      {},
      { isLogin: true },
      { token, isLogin: true },
      { token: 1, remainingMs: NaN, lifetime: 1, isLogin: true },
      { remainingMs: 'x', isLogin: false },
      { kind: 'login', access: token }
    ]
  ) {
    t.doesNotThrow(() => {
      receive(data)
    })
  }

  t.equal(await client.getAccessToken(), token)
  t.match(client.state, { status: 'signed-in', user: { username: 'ann' } })
  // The client cannot know when this token expires, so it refreshes before the next call.
  receive({ token: 'a.b.c', remainingMs: 1, isLogin: true })
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
})

t.test('two clients with different prefixes share nothing', async t => {
  const world = await createWorld(t)
  const [one, other] = [world.open(), world.open({ prefix: '/admin' })]
  await world.signIn(one)
  await world.until(other.ready)
  await world.run()
  t.equal(one.state.status, 'signed-in')
  t.equal(other.state.status, 'signed-out')
  t.equal(world.count('/admin/refresh'), 1)
})

t.test('a token of another tab ends the failures of this tab', async t => {
  const world = await createWorld(t)
  const [first, second] = [world.open(), world.open()]
  await world.until(Promise.all([first.ready, second.ready]))
  await world.signIn(first)
  await world.run(1000)
  const startedAt = world.now()
  const headers = { 'x-auth-error': 'AUTH_ACCESS_INVALID' }

  for (let round = 0; round < 6; round++) {
    world.faults.next(() => reply(401, '', headers), '/protected')
    world.faults.next(() => reply(503, '', { 'retry-after': '1' }), '/refresh')
    const call = second.fetch('/protected')
    await world.run(100)
    await world.until(first.refresh())
    t.equal((await world.until(call)).status, 200, `round ${round}`)
  }

  t.ok(world.now() - startedAt < 8000, `6 rounds took ${world.now() - startedAt} ms`)
})
