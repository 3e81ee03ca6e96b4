import t from 'tap'
import type { Test } from 'tap'
import { MINUTE } from '../helpers/clock.js'
import { createWorld, credentials, reply } from './world.js'
import type { ClientOptions, World } from './world.js'

function getRevocations (world: World): unknown[] {
  return world.server.events.filter(event => event.name === 'session-ended')
}

/** Asserts that no part of a session is left on the device. */
function assertEmpty (t: Test, { device }: World): void {
  t.equal(device.stored, null)
  t.equal(device.flags.size, 0)
  t.equal(device.cookies.entries().size, 0)
}

const orders = [
  'the refresh arrives first',
  'the logout arrives first',
  'the response of the refresh arrives last'
] as const

for (const mode of ['cookie', 'keychain'] as const) {
  const storage: ClientOptions = { storage: mode }
  const shared: ClientOptions = { ...storage, ...(mode === 'keychain' && { name: 'shared' }) }

  t.test(`${mode}: a logout during a refresh leaves no token`, async t => {
    for (const order of orders) {
      const world = await createWorld(t)
      const [client, other] = [world.open(shared), world.open(shared)]
      await world.until(Promise.all([client.ready, other.ready]))
      await world.signIn(client)
      await world.run()
      world.skip(20 * MINUTE)

      let release = (): void => {}

      const released = new Promise<void>(resolve => {
        release = resolve
      })
      world.faults.next(
        (_request, proceed) => {
          if (order === 'the refresh arrives first') {
            return undefined
          }

          if (order === 'the logout arrives first') {
            return released.then(proceed)
          }

          return proceed().then(async response => {
            await released
            return response
          })
        },
        '/refresh',
        Infinity
      )
      const waiting = client.fetch('/protected').then(({ status }) => status, error => error.code)
      await world.run(order === 'the refresh arrives first' ? 20 : 100)
      await world.until(client.logout())
      release()
      await world.run(20_000)
      t.equal(await waiting, 'signed-out', order)
      t.strictSame(client.state, { status: 'signed-out', user: null, reason: 'logout' }, order)
      t.equal(other.state.status, 'signed-out', order)
      t.equal(await client.getAccessToken(), null, order)
      t.equal(await other.getAccessToken(), null, order)
      t.equal(world.device.stored, null, order)
      t.equal(world.device.flags.size, 0, order)
      t.equal(getRevocations(world).length, 1, order)
      const restarted = world.open(shared)
      t.equal((await world.until(restarted.ready)).status, 'signed-out', order)
    }
  })

  t.test(`${mode}: an offline logout is repeated, also after a restart`, async t => {
    const world = await createWorld(t)
    const client = world.open(storage)
    await world.signIn(client)
    world.faults.goOffline()
    await world.until(client.logout())
    t.equal(client.state.status, 'signed-out')
    t.equal(await client.getAccessToken(), null)
    await world.run(100_000)
    const tries = world.count('/auth/logout')
    t.notOk(
      world.sent.some(({ url, headers }) =>
        url.endsWith('/logout') && headers.authorization !== undefined
      ),
      'the refresh token identifies the session, so no access token is sent'
    )
    t.ok(tries >= 4 && tries <= 12, `${tries} tries`)
    client.dispose()
    await world.run(100_000)
    t.equal(world.count('/auth/logout'), tries)

    const restarted = world.open(storage)
    t.equal((await world.until(restarted.ready)).status, 'signed-out')
    await world.run(5000)
    t.equal(world.count('/auth/refresh'), 0, 'a signed-out client requests no token')
    t.equal(getRevocations(world).length, 0)
    world.faults.goOnline()
    await world.run(60_000)
    t.equal(getRevocations(world).length, 1)
    assertEmpty(t, world)
    const count = world.sent.length
    await world.run(600_000)
    t.equal(world.sent.length, count)
  })

  t.test(`${mode}: many offline logouts share one retry`, async t => {
    const world = await createWorld(t)
    const client = world.open(storage)
    await world.signIn(client)
    world.faults.goOffline()

    for (let i = 0; i < 20; i++) {
      await world.until(client.logout())
    }

    const before = world.count('/auth/logout')
    await world.run(100_000)
    const tries = world.count('/auth/logout') - before
    t.ok(tries >= 4 && tries <= 12, `${tries} tries`)
    world.faults.goOnline()
    await world.run(60_000)
    t.equal(getRevocations(world).length, 1)
  })

  for (const channels of ['work', 'none'] as const) {
    const title = channels === 'work' ? 'with channels' : 'without channels'
    t.test(`${mode}: another tab ${title} completes the logout of a closed tab`, async t => {
      const world = await createWorld(t)
      const options: ClientOptions = { ...shared, tab: { channels } }
      const client = world.open(options)
      await world.signIn(client)
      const other = world.open(options)
      await world.until(other.ready)
      await world.run()
      world.faults.goOffline()
      await world.until(client.logout())
      client.dispose()

      if (channels === 'none') {
        world.skip(20 * MINUTE)
        await t.rejects(world.until(other.fetch('/protected')))
      }

      await world.run(MINUTE)
      t.strictSame(other.state, { status: 'signed-out', user: null, reason: 'logout' })
      t.equal(getRevocations(world).length, 0)
      world.faults.goOnline()
      await world.run(MINUTE)
      t.equal(getRevocations(world).length, 1)
      assertEmpty(t, world)
    })
  }

  t.test(`${mode}: a login during logoutEverywhere stays signed in`, async t => {
    const world = await createWorld(t)
    const client = world.open(storage)
    await world.signIn(client)

    let release = (): void => {}

    const released = new Promise<void>(resolve => {
      release = resolve
    })
    world.faults.next((_request, proceed) =>
      proceed().then(async response => {
        world.receiveHeaders(response)
        await released
        return response
      }), '/logout/all')
    const everywhere = client.logoutEverywhere()
    await world.run(100)
    await world.signIn(client, 'bob')
    release()
    await world.until(everywhere)
    t.match(client.state, { status: 'signed-in', user: { username: 'bob' } })
    world.skip(20 * MINUTE)
    t.match(await (await world.until(client.fetch('/protected'))).json(), { userId: 'u-bob' })
    t.strictSame(await world.server.app.tokenAuth.listSessions('u-ann'), [])
  })

  t.test(`${mode}: a login after a failed logout revokes the earlier session`, async t => {
    const world = await createWorld(t)
    const client = world.open(storage)
    await world.signIn(client)
    world.faults.next(() => reply(503), '/logout', Infinity)
    await world.until(client.logout())
    await world.signIn(client, 'bob')
    world.faults.heal()
    await world.run(120_000)
    t.match(client.state, { status: 'signed-in', user: { username: 'bob' } })
    t.equal((await world.until(client.fetch('/protected'))).status, 200)
    t.equal(getRevocations(world).length, 1, 'the first session is revoked')
    world.skip(20 * MINUTE)
    t.equal((await world.until(client.fetch('/protected'))).status, 200)
  })

  t.test(`${mode}: a failed login does not cancel a pending logout`, async t => {
    const world = await createWorld(t)
    const client = world.open(storage)
    await world.signIn(client)
    world.faults.next(() => reply(503), '/logout', Infinity)
    await world.until(client.logout())
    await t.rejects(world.until(client.login({ username: 'ann', password: 'wrong' })), {
      code: 'AUTH_CREDENTIALS_REJECTED',
      status: 401
    })
    world.faults.heal()
    await world.run(120_000)
    t.equal(getRevocations(world).length, 1)
    t.equal(client.state.status, 'signed-out')
  })

  t.test(`${mode}: a logout wins over a login in flight`, async t => {
    const world = await createWorld(t)
    const client = world.open(storage)
    await world.until(client.ready)
    const login = t.rejects(client.login(credentials()), { code: 'signed-out' })
    await world.run(5)
    await world.until(client.logout())
    await world.run(10_000)
    await login
    t.equal(client.state.status, 'signed-out')
    t.equal(getRevocations(world).length, 1)
    t.equal(world.device.stored, null)
    t.equal(world.device.cookies.entries().size, 0)
  })
}

t.test('a login revokes the earlier session in a keychain', async t => {
  const world = await createWorld(t)
  const client = world.open({ storage: 'keychain' })
  await world.signIn(client)
  await world.signIn(client, 'bob')
  await world.run()
  t.equal(getRevocations(world).length, 1)
  t.match(client.state.user, { username: 'bob' })
})

t.test('a logout that the server rejects is not repeated', async t => {
  const world = await createWorld(t)
  const client = world.open()
  await world.signIn(client)
  world.faults.next(() => reply(403, { code: 'AUTH_ORIGIN_REJECTED' }), '/logout', Infinity)
  await world.until(client.logout())
  await world.run(100_000)
  t.equal(world.count('/auth/logout'), 1)
  t.equal(world.device.flags.size, 0)
})

t.test('a logout that a proxy rejects is repeated after a restart', async t => {
  const world = await createWorld(t)
  const client = world.open()
  await world.signIn(client)
  world.faults.next(() => reply(403, '<html>'), '/logout', Infinity)
  await world.until(client.logout())
  client.dispose()
  world.faults.heal()
  const restarted = world.open()
  t.equal((await world.until(restarted.ready)).status, 'signed-out')
  await world.run()
  t.equal(getRevocations(world).length, 1)
  t.equal(world.device.cookies.entries().size, 0)
})

t.test('logout revokes the session when the client cannot store its state', async t => {
  const world = await createWorld(t)
  const client = world.open({ storage: 'keychain' })
  await world.signIn(client)

  world.device.storageFault = async (operation, proceed) => {
    if (operation === 'set') {
      throw new Error('locked')
    }

    return proceed()
  }

  await world.until(client.logout())
  t.equal(getRevocations(world).length, 1)
  t.equal(client.state.status, 'signed-out')
})

t.test('a logout that the storage saves too late leaves no token', async t => {
  const world = await createWorld(t)
  const client = world.open({ storage: 'keychain' })
  await world.signIn(client)

  world.device.storageFault = async (operation, proceed) => {
    if (operation === 'set') {
      world.device.storageFault = null
      await world.faults.clock.sleep(12_000)
    }

    return proceed()
  }

  await world.until(client.logout())
  await world.run(30_000)
  t.equal(getRevocations(world).length, 1)
  assertEmpty(t, world)
})

t.test('a logout continues after its signal is aborted', async t => {
  const world = await createWorld(t)
  const client = world.open()
  await world.signIn(client)
  const abort = new AbortController()
  const check = t.rejects(client.logout({ signal: abort.signal }), { name: 'AbortError' })
  abort.abort()
  await check
  t.equal(client.state.status, 'signed-out')
  await world.run()
  t.equal(world.device.cookies.entries().size, 0)
})

t.test('logoutEverywhere revokes all sessions of the user', async t => {
  const world = await createWorld(t)
  const client = world.open()
  const elsewhere = (await world.server.login()).refresh_token as string
  await world.signIn(client)
  world.faults.goOffline()
  await t.rejects(world.until(client.logoutEverywhere()))
  t.equal(client.state.status, 'signed-in', 'the request failed')
  world.faults.goOnline()
  await world.until(client.logoutEverywhere())
  t.strictSame(client.state, { status: 'signed-out', user: null, reason: 'logout' })
  t.equal((await world.server.refresh(elsewhere)).statusCode, 401)
  t.equal(world.device.cookies.entries().size, 0)
  t.equal(world.device.flags.size, 0)
})

t.test('a client works in a browser that denies access to all APIs', async t => {
  const world = await createWorld(t)
  const client = world.open({ tab: { locks: 'none', channels: 'broken', flags: 'broken' } })
  await world.until(client.login(credentials()))
  t.equal(client.state.status, 'signed-in')
  await world.until(client.logout())
  t.equal(client.state.status, 'signed-out')
  t.equal(world.device.cookies.entries().size, 0)
})

t.test('a logout that a captive portal receives is repeated', async t => {
  const world = await createWorld(t)
  const client = world.open()
  await world.signIn(client)
  world.faults.next('portal', '/logout', 2)
  await world.until(client.logout())
  t.equal(
    (await world.server.app.tokenAuth.listSessions('u-ann')).length,
    1,
    'the server has not received the logout'
  )
  await world.run(MINUTE)
  t.equal(world.count('/auth/logout'), 3)
  t.equal((await world.server.app.tokenAuth.listSessions('u-ann')).length, 0)
})
