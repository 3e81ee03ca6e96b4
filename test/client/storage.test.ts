import t from 'tap'
import { MINUTE } from '../helpers/clock.js'
import { createWorld, credentials, reply } from './world.js'

t.test('a client does not use tokens before they are stored', async t => {
  const world = await createWorld(t)
  const { device } = world
  const client = world.open({ storage: 'keychain' })
  await world.signIn(client)
  const [stored, accessToken] = [device.stored, await client.getAccessToken()]
  world.skip(20 * MINUTE)

  device.storageFault = async (operation, proceed) => {
    if (operation === 'get') {
      return proceed()
    }

    device.storageFault = null
    throw new Error('locked')
  }

  t.equal((await world.until(client.fetch('/protected'))).status, 200)
  const refreshes = world.sent.filter(({ url }) => url.endsWith('/auth/refresh'))
  t.equal(refreshes.length, 2)

  for (const { body } of refreshes) {
    t.match(JSON.parse(body as string), { refresh_token: stored })
  }

  t.not(device.stored, stored)
  t.not(await client.getAccessToken(), accessToken)
})

t.test('login revokes the new session if the keychain fails', async t => {
  const world = await createWorld(t)

  world.device.storageFault = async (operation, proceed) => {
    if (operation === 'set') {
      throw new Error('full')
    }

    return proceed()
  }

  const client = world.open({ storage: 'keychain' })
  await t.rejects(world.until(client.login(credentials())), { code: 'storage' })
  await world.run()
  t.equal(client.state.status, 'signed-out')
  t.ok(world.server.events.some(event => event.name === 'session-ended'))
})

type Write = (proceed: () => Promise<string | null>, later: Promise<void>) => Promise<string | null>

const badWrites: ReadonlyArray<readonly [name: string, write: Write]> = [
  ['fails after writing', async proceed => {
    await proceed()
    throw new Error('asleep')
  }],
  ['writes too late', async (proceed, later) => {
    await later
    return proceed()
  }]
]

for (const [name, write] of badWrites) {
  t.test(`login keeps the earlier session if the keychain ${name}`, async t => {
    const world = await createWorld(t)
    const { device } = world
    const client = world.open({ storage: 'keychain' })
    await world.signIn(client)
    const { stored } = device

    let wake = (): void => {}

    const later = new Promise<void>(resolve => {
      wake = resolve
    })

    device.storageFault = (operation, proceed) => {
      if (operation === 'get') {
        return proceed()
      }

      device.storageFault = null
      return write(proceed, later)
    }

    await t.rejects(world.until(client.login(credentials('bob'))), { code: 'storage' })
    await world.run(MINUTE)
    wake()
    await world.run(MINUTE)
    t.equal(device.stored, stored)
    t.match(client.state, { status: 'signed-in', user: { username: 'ann' } })
    t.strictSame(
      await world.server.app.tokenAuth.listSessions('u-bob'),
      [],
      'the new session is revoked'
    )
    world.skip(20 * MINUTE)
    t.match(await (await world.until(client.fetch('/protected'))).json(), { userId: 'u-ann' })
  })
}

t.test('a later tab uses the cookie of a login whose tab was closed', async t => {
  const world = await createWorld(t)
  const client = world.open()
  world.faults.next((_request, proceed) =>
    proceed().then(response => {
      world.receiveHeaders(response)
      return new Promise(() => {})
    }), '/login')
  const lost = t.rejects(client.login(credentials()), { code: 'disposed' })
  await world.run(1000)
  t.equal(world.device.cookies.entries().size, 1)
  client.dispose()
  await lost
  world.faults.goOffline()
  t.strictSame(await world.until(world.open().ready), { status: 'signed-in', user: null })
})

t.test('a failed login leaves no flags', async t => {
  const world = await createWorld(t)
  const client = world.open()
  await world.until(client.ready)
  await t.rejects(world.until(client.login({ username: 'ann', password: 'wrong' })), {
    code: 'AUTH_CREDENTIALS_REJECTED'
  })
  await world.run()
  t.strictSame(world.device.flags, new Map())
  world.faults.goOffline()
  t.equal((await world.until(world.open().ready)).status, 'signed-out')
})

t.test('a keychain that hangs does not sign the user out', async t => {
  const world = await createWorld(t)
  const client = world.open({ storage: 'keychain' })
  await world.signIn(client)
  world.skip(20 * MINUTE)
  world.device.storageFault = () => new Promise(() => {})
  await t.rejects(world.until(client.fetch('/protected')), { code: /network|storage/ })
  t.equal(client.state.status, 'signed-in')
})

t.test('a client uses a token that another process has stored', async t => {
  const world = await createWorld(t)
  const client = world.open({ storage: 'keychain' })
  await world.signIn(client)
  world.skip(20 * MINUTE)
  const next = (await world.server.login()).refresh_token as string
  // The other process stores its token while the refresh of this client is in flight.
  world.faults.next(() => {
    world.device.stored = next
    return reply(401, { code: 'AUTH_REFRESH_REUSED' })
  }, '/refresh')
  await t.rejects(
    world.until(client.fetch('/protected')),
    { code: 'signed-out' },
    'the session is another one'
  )
  t.equal(client.state.status, 'signed-in')
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
})
