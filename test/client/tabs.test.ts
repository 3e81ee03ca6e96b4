import t from 'tap'
import type { AuthClient, ChannelLike, LocksLike } from '../../src/client/index.js'
import { MINUTE } from '../helpers/clock.js'
import { createDevice, createKeychain, credentials, reply, stuckLocks } from './world.js'
import type { Device } from './world.js'

async function wake (device: Device, tabs: AuthClient[]): Promise<void> {
  const [first] = tabs as [AuthClient]
  await device.get(Promise.all(tabs.map(tab => tab.ready)))
  await device.signIn(first)
  await device.run(1000)
  device.pass(20 * MINUTE)
  device.sent.length = device.server.events.length = 0
}

const manners: ReadonlyArray<
  readonly [name: string, locks: LocksLike | null | undefined, isAlone: boolean]
> = [
  ['with locks', undefined, false],
  ['without locks', null, false],
  ['without locks and channels', null, true],
  ['with a lock that is held for ever', stuckLocks, false],
  ['with locks that throw', {
    request () {
      throw new Error('broken')
    }
  }, false]
]

for (const [name, locks, isAlone] of manners) {
  t.test(`five tabs wake at once ${name}`, async t => {
    const device = await createDevice(t)
    const tabs = Array.from(
      { length: 5 },
      () => device.tab({ ...(locks !== undefined && { locks }), isAlone })
    )
    await wake(device, tabs)

    if (isAlone) {
      for (const tab of tabs.slice(1)) {
        t.equal(tab.state.status, 'signed-out', 'it has not heard')
      }
    }

    const woken = isAlone
      ? Array.from({ length: 5 }, () => device.tab({ locks: null, isAlone }))
      : tabs
    const answers = await device.get(
      Promise.all(woken.flatMap(tab => Array.from({ length: 10 }, () => tab.fetch('/protected'))))
    )
    t.strictSame(new Set(answers.map(({ status }) => status)), new Set([200]))
    t.equal(answers.length, 50)

    for (const tab of woken) {
      t.equal(tab.state.status, 'signed-in')
    }

    const rotations = device.server.events.filter(event =>
      event.name === 'refresh' && event.rotated
    )
    t.equal(rotations.length, 1)
    t.ok(device.count('/auth/refresh') <= 5, `${device.count('/auth/refresh')} refreshes`)

    if (name === 'with locks') {
      t.equal(device.count('/auth/refresh'), 1, 'the others heard')
    }

    t.notOk(device.server.events.some(event => event.name === 'reuse'))
  })
}

t.test('a stuck lock is waited for once, and then for a moment only', async t => {
  const device = await createDevice(t)
  const tab = device.tab({ locks: stuckLocks })
  await device.signIn(tab)
  const asked = device.now()
  device.pass(16 * MINUTE)
  const start = device.now()
  await device.get(tab.fetch('/protected'))
  t.ok(device.now() - start <= 5100)
  device.pass(MINUTE / 2)
  const again = device.now()
  await device.get(tab.logout())
  t.ok(device.now() - again <= 100, `${device.now() - again} ms`)
  t.ok(asked >= 0)
})

t.test('five tabs on one storage, with a name and without', async t => {
  for (const name of [undefined, 'shared']) {
    const device = await createDevice(t)
    const storage = createKeychain()
    const options = { storage, ...(name !== undefined && { name }) }
    const first = device.tab(options)
    await device.signIn(first)
    device.pass(20 * MINUTE)
    const tabs = Array.from({ length: 5 }, () => device.tab(options))
    const answers = await device.get(
      Promise.all(tabs.flatMap(tab => Array.from({ length: 10 }, () => tab.fetch('/protected'))))
    )
    t.strictSame(new Set(answers.map(({ status }) => status)), new Set([200]))
    t.equal(
      device.server.events.filter(event => event.name === 'refresh' && event.rotated).length,
      1
    )

    if (name !== undefined) {
      t.equal(device.count('/auth/refresh'), 1)
    }

    for (const tab of tabs) {
      t.equal(tab.state.status, 'signed-in')
    }
  }
})

t.test('two users in two tabs: both tabs follow who came last', async t => {
  const device = await createDevice(t)
  const [one, two] = [device.tab(), device.tab()]
  await device.signIn(one)
  await device.run()
  t.match(two.state, { status: 'signed-in', user: { username: 'ann' } })
  const heard: unknown[] = []
  two.subscribe(state => heard.push((state.user as { username: string } | null)?.username))
  await device.signIn(one, 'bob')
  await device.run()
  t.strictSame(heard, ['bob'])
  const answer = await device.get(two.fetch('/protected'))
  t.match(await answer.json(), { userId: 'u-bob' })
  t.equal(
    device.server.events.filter(event => event.name === 'revoke').length,
    1,
    'the session before was replaced'
  )
})

t.test('what was begun as one user is not repeated as another', async t => {
  const device = await createDevice(t)
  const [one, two] = [device.tab(), device.tab()]
  await device.signIn(one)
  await device.run()

  let release = (): void => {}

  device.faults.push(({ url }, proceed) =>
    url.endsWith('/protected')
      ? new Promise<void>(resolve => {
        release = resolve
      }).then(proceed)
      : undefined
  )
  const pending = two.fetch('/protected', { method: 'GET' })
  await device.run()
  device.faults.length = 0
  await device.signIn(one, 'bob')
  await device.run()
  release()
  t.equal((await device.get(pending)).status, 401)
  t.equal(device.count('/protected'), 1)
})

t.test('another tab has signed in as another user, and nobody was told', async t => {
  const device = await createDevice(t)
  const [one, two] = [device.tab({ isAlone: true }), device.tab({ isAlone: true })]
  await device.signIn(one)
  await device.signIn(two, 'bob')
  t.match(one.state, { user: { username: 'ann' } })
  const answer = await device.get(one.fetch('/protected'))
  t.equal(answer.status, 401, 'it is another session, for which this was not meant')
  t.match(one.state, { status: 'signed-in', user: { username: 'bob' } })
  t.match(await (await device.get(one.fetch('/protected'))).json(), { userId: 'u-bob' })
})

t.test('a logout reaches all tabs, and is told once', async t => {
  const device = await createDevice(t)
  const tabs = Array.from({ length: 3 }, () => device.tab())
  await device.signIn(tabs[0] as AuthClient)
  await device.run()
  await device.get((tabs[1] as AuthClient).logout())
  await device.run()

  for (const tab of tabs) {
    t.strictSame(tab.state, { status: 'signed-out', user: null, reason: 'logout' })
  }

  t.equal(device.jar.size, 0)
  t.equal(device.flags.size, 0)
  t.equal(device.count('/auth/logout'), 1)
})

t.test('a logout in a tab where nobody is signed in reaches the others', async t => {
  for (
    const [status, fault] of [
      ['starting', () => new Promise<never>(() => {})],
      ['signed-out', () => reply(401, { code: 'AUTH_REFRESH_MISSING' })]
    ] as const
  ) {
    const device = await createDevice(t)
    const other = device.tab()
    await device.signIn(other)
    device.faults.push(({ url }) => url.endsWith('/refresh') ? fault() : undefined)
    const client = device.tab()
    await device.run(100)
    t.strictSame([client.state.status, other.state.status], [status, 'signed-in'])
    await device.get(client.logout())
    await device.run(100)
    t.strictSame(other.state, { status: 'signed-out', user: null, reason: 'logout' }, status)
    t.equal(device.server.events.filter(event => event.name === 'revoke').length, 1, status)
  }
})

t.test('a session that was revoked signs all tabs out', async t => {
  const device = await createDevice(t)
  const [one, two] = [device.tab(), device.tab()]
  await device.signIn(one)
  await device.run()
  await device.server.store.revoke({ userId: 'u-ann' }, {
    at: device.server.clock(),
    reason: 'admin' as 'logout'
  })
  device.pass(16 * MINUTE)
  await t.rejects(device.get(one.fetch('/protected')), { code: 'signed-out' })
  await device.run()
  t.match(one.state, { status: 'signed-out', reason: 'AUTH_REFRESH_REVOKED' })
  t.match(two.state, { status: 'signed-out', reason: 'AUTH_REFRESH_REVOKED' })
})

t.test('messages of another version, or of somebody else, harm nothing', async t => {
  const device = await createDevice(t)
  const channel: ChannelLike = {
    onmessage: null,
    postMessage () {
      throw new Error('DataCloneError')
    },
    close () {}
  }

  const hear = (data: unknown): void => {
    channel.onmessage?.({ data })
  }

  const client = device.tab({ platform: { openChannel: () => channel } })
  await device.signIn(client)
  const token = await client.getAccessToken()

  for (
    const data of [
      null,
      undefined,
      1,
      'text',
      [],
      {},
      { isLogin: true },
      { token, isLogin: true },
      { token: 1, remainingMs: NaN, life: 1, isLogin: true },
      { remainingMs: 'x', isLogin: false },
      { kind: 'login', access: token }
    ]
  ) {
    t.doesNotThrow(() => {
      hear(data)
    })
  }

  t.equal(await client.getAccessToken(), token)
  t.match(client.state, { status: 'signed-in', user: { username: 'ann' } })
  // As good as it gets: a token that nobody knows the life of is refreshed before it is used.
  hear({ token: 'a.b.c', remainingMs: 1, isLogin: true })
  t.equal((await device.get(client.fetch('/protected'))).status, 200)
})

t.test('two clients with two prefixes do not disturb each other', async t => {
  const device = await createDevice(t)
  const [one, other] = [device.tab(), device.tab({ prefix: '/admin' })]
  await device.signIn(one)
  await device.get(other.ready)
  await device.run()
  t.equal(one.state.status, 'signed-in')
  t.equal(other.state.status, 'signed-out')
  t.equal(device.count('/admin/refresh'), 1)
  t.ok(credentials())
})
