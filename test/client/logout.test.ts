import t from 'tap'
import { MINUTE } from '../helpers/clock.js'
import { createDevice, createKeychain, credentials, reply } from './world.js'
import type { Device, Fault } from './world.js'

const offline: Fault = () => Promise.reject(new TypeError('Failed to fetch'))

function revocations (device: Device): unknown[] {
  return device.server.events.filter(event => event.name === 'revoke')
}

for (const mode of ['cookie', 'keychain'] as const) {
  t.test(`${mode}: a logout while a refresh is in flight leaves no token anywhere`, async t => {
    for (
      const order of [
        'the refresh arrives first',
        'the logout arrives first',
        'the answer comes last'
      ]
    ) {
      const device = await createDevice(t)
      const storage = createKeychain()
      const options = mode === 'cookie' ? {} : { storage, name: 'shared' }
      const [client, other] = [device.tab(options), device.tab(options)]
      await device.get(Promise.all([client.ready, other.ready]))
      await device.signIn(client)
      await device.run()
      device.pass(20 * MINUTE)

      let release = (): void => {}

      const released = new Promise<void>(resolve => {
        release = resolve
      })
      device.faults.push(({ url }, proceed) => {
        if (!url.endsWith('/refresh')) {
          return undefined
        }

        if (order === 'the refresh arrives first') {
          return undefined
        }

        if (order === 'the logout arrives first') {
          return released.then(proceed)
        }

        return proceed().then(async answer => {
          await released
          return answer
        })
      })
      const waiting = client.fetch('/protected').then(({ status }) => status, error => error.code)
      await device.run(order === 'the refresh arrives first' ? 20 : 100)
      await device.get(client.logout())
      release()
      await device.run(20_000)
      t.equal(await waiting, 'signed-out', order)
      t.strictSame(client.state, { status: 'signed-out', user: null, reason: 'logout' }, order)
      t.equal(other.state.status, 'signed-out', order)
      t.equal(await client.getAccessToken(), null, order)
      t.equal(await other.getAccessToken(), null, order)
      t.equal(storage.value, null, order)
      t.equal(device.flags.size, 0, order)
      t.equal(revocations(device).length, 1, order)
      const restarted = device.tab(options)
      t.equal((await device.get(restarted.ready)).status, 'signed-out', order)
    }
  })

  t.test(`${mode}: a logout offline is told again, also after a restart`, async t => {
    const device = await createDevice(t)
    const storage = createKeychain()
    const options = mode === 'cookie' ? {} : { storage }
    const client = device.tab(options)
    await device.signIn(client)
    device.faults.push(offline)
    await device.get(client.logout())
    t.equal(client.state.status, 'signed-out')
    t.equal(await client.getAccessToken(), null)
    await device.run(100_000)
    const tries = device.count('/auth/logout')
    t.notOk(
      device.sent.some(({ url, headers }) =>
        url.endsWith('/logout') && headers.authorization !== undefined
      ),
      'the access token is not kept for it: the other one proves as much'
    )
    t.ok(tries >= 4 && tries <= 12, `${tries} tries`)
    client.dispose()
    await device.run(100_000)
    t.equal(device.count('/auth/logout'), tries)

    const restarted = device.tab(options)
    t.equal((await device.get(restarted.ready)).status, 'signed-out')
    await device.run(5000)
    t.equal(device.count('/auth/refresh'), 0, 'whoever is signed out asks for no token')
    t.equal(revocations(device).length, 0)
    device.faults.length = 0
    await device.run(60_000)
    t.equal(revocations(device).length, 1)
    t.equal(storage.value, null)
    t.equal(device.flags.size, 0)
    t.equal(device.jar.size, 0)
    const count = device.sent.length
    await device.run(600_000)
    t.equal(device.sent.length, count)
  })

  t.test(`${mode}: many logouts offline are one that is told again`, async t => {
    const device = await createDevice(t)
    const client = device.tab(mode === 'cookie' ? {} : { storage: createKeychain() })
    await device.signIn(client)
    device.faults.push(offline)

    for (let i = 0; i < 20; i++) {
      await device.get(client.logout())
    }

    const before = device.count('/auth/logout')
    await device.run(100_000)
    const tries = device.count('/auth/logout') - before
    t.ok(tries >= 4 && tries <= 12, `${tries} tries`)
    device.faults.length = 0
    await device.run(60_000)
    t.equal(revocations(device).length, 1)
  })

  for (const isAlone of [false, true]) {
    const name = isAlone ? 'found out about it' : 'heard of it'
    t.test(`${mode}: a logout offline in a tab that is closed is told by another one that ${name}`, async t => {
      const device = await createDevice(t)
      const storage = createKeychain()
      const options = { isAlone, ...(mode === 'keychain' && { storage, name: 'shared' }) }
      const client = device.tab(options)
      await device.signIn(client)
      const other = device.tab(options)
      await device.get(other.ready)
      await device.run()
      device.faults.push(offline)
      await device.get(client.logout())
      client.dispose()

      if (isAlone) {
        device.pass(20 * MINUTE)
        await t.rejects(device.get(other.fetch('/protected')))
      }

      await device.run(MINUTE)
      t.strictSame(other.state, { status: 'signed-out', user: null, reason: 'logout' })
      t.equal(revocations(device).length, 0)
      device.faults.length = 0
      await device.run(MINUTE)
      t.equal(revocations(device).length, 1)
      t.equal(storage.value, null)
      t.equal(device.flags.size, 0)
      t.equal(device.jar.size, 0)
    })
  }

  t.test(`${mode}: whoever signs in while a logout everywhere is under way stays signed in`, async t => {
    const device = await createDevice(t)
    const client = device.tab(mode === 'cookie' ? {} : { storage: createKeychain() })
    await device.signIn(client)

    let release = (): void => {}

    const released = new Promise<void>(resolve => {
      release = resolve
    })
    device.faults.push(({ url }, proceed) =>
      url.endsWith('/logout/all')
        ? proceed().then(async answer => {
          await released
          return answer
        })
        : undefined
    )
    const everywhere = client.logoutEverywhere()
    await device.run(100)
    await device.signIn(client, 'bob')
    release()
    await device.get(everywhere)
    t.match(client.state, { status: 'signed-in', user: { username: 'bob' } })
    device.pass(20 * MINUTE)
    t.match(await (await device.get(client.fetch('/protected'))).json(), { userId: 'u-bob' })
    t.strictSame(await device.server.app.tokenAuth.listSessions('u-ann'), [])
  })

  t.test(`${mode}: a login after a logout that nobody heard`, async t => {
    const device = await createDevice(t)
    const storage = createKeychain()
    const client = device.tab(mode === 'cookie' ? {} : { storage })
    await device.signIn(client)
    device.faults.push(({ url }) => url.endsWith('/logout') ? reply(503) : undefined)
    await device.get(client.logout())
    await device.signIn(client, 'bob')
    device.faults.length = 0
    await device.run(120_000)
    t.match(client.state, { status: 'signed-in', user: { username: 'bob' } })
    t.equal((await device.get(client.fetch('/protected'))).status, 200)
    t.equal(revocations(device).length, 1, 'the first session is over')
    device.pass(20 * MINUTE)
    t.equal((await device.get(client.fetch('/protected'))).status, 200)
  })

  t.test(`${mode}: a login that fails leaves the logout to be told`, async t => {
    const device = await createDevice(t)
    const storage = createKeychain()
    const client = device.tab(mode === 'cookie' ? {} : { storage })
    await device.signIn(client)
    device.faults.push(({ url }) => url.endsWith('/logout') ? reply(503) : undefined)
    await device.get(client.logout())
    await t.rejects(device.get(client.login({ username: 'ann', password: 'wrong' })), {
      code: 'AUTH_CREDENTIALS_REJECTED',
      status: 401
    })
    device.faults.length = 0
    await device.run(120_000)
    t.equal(revocations(device).length, 1)
    t.equal(client.state.status, 'signed-out')
  })

  t.test(`${mode}: a logout while a login is in flight wins`, async t => {
    const device = await createDevice(t)
    const storage = createKeychain()
    const client = device.tab(mode === 'cookie' ? {} : { storage })
    await device.get(client.ready)
    const login = t.rejects(client.login(credentials()), { code: 'signed-out' })
    await device.run(5)
    await device.get(client.logout())
    await device.run(10_000)
    await login
    t.equal(client.state.status, 'signed-out')
    t.equal(revocations(device).length, 1)
    t.equal(storage.value, null)
    t.equal(device.jar.size, 0)
  })
}

t.test('a login over another session ends that one, in a keychain too', async t => {
  const device = await createDevice(t)
  const client = device.tab({ storage: createKeychain() })
  await device.signIn(client)
  await device.signIn(client, 'bob')
  await device.run()
  t.equal(revocations(device).length, 1)
  t.match(client.state.user, { username: 'bob' })
})

t.test('a logout that the server refuses is not repeated for ever', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  await device.signIn(client)
  device.faults.push(({ url }) =>
    url.endsWith('/logout') ? reply(403, { code: 'AUTH_ORIGIN_REJECTED' }) : undefined
  )
  await device.get(client.logout())
  await device.run(100_000)
  t.equal(device.count('/auth/logout'), 1)
  t.equal(device.flags.size, 0)
})

t.test('what a proxy refuses has not been heard', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  await device.signIn(client)
  device.faults.push(({ url }) => url.endsWith('/logout') ? reply(403, '<html>') : undefined)
  await device.get(client.logout())
  client.dispose()
  device.faults.length = 0
  const restarted = device.tab()
  t.equal((await device.get(restarted.ready)).status, 'signed-out')
  await device.run()
  t.equal(revocations(device).length, 1)
  t.equal(device.jar.size, 0)
})

t.test('what cannot be stored is ended all the same', async t => {
  const device = await createDevice(t)
  const storage = createKeychain()
  const client = device.tab({ storage })
  await device.signIn(client)

  storage.onSet = () => {
    throw new Error('locked')
  }

  await device.get(client.logout())
  t.equal(revocations(device).length, 1)
  t.equal(client.state.status, 'signed-out')
})

t.test('the caller of a logout may give up; the logout does not', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  await device.signIn(client)
  const abort = new AbortController()
  const check = t.rejects(client.logout({ signal: abort.signal }), { name: 'AbortError' })
  abort.abort()
  await check
  t.equal(client.state.status, 'signed-out')
  await device.run()
  t.equal(device.jar.size, 0)
})

t.test('logout everywhere', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  const elsewhere = (await device.server.login()).refresh_token as string
  await device.signIn(client)
  device.faults.push(offline)
  await t.rejects(device.get(client.logoutEverywhere()))
  t.equal(client.state.status, 'signed-in', 'it did not work')
  device.faults.length = 0
  await device.get(client.logoutEverywhere())
  t.strictSame(client.state, { status: 'signed-out', user: null, reason: 'logout' })
  t.equal((await device.server.refresh(elsewhere)).statusCode, 401)
  t.equal(device.jar.size, 0)
  t.equal(device.flags.size, 0)
})

t.test('where the device stores nothing', async t => {
  const device = await createDevice(t)
  const client = device.tab({
    platform: {
      locks: null,
      openChannel: () => {
        throw new Error('no')
      },
      flags: { getItem: fail, setItem: fail, removeItem: fail }
    }
  })

  function fail (): never {
    throw new Error('SecurityError')
  }

  await device.get(client.login(credentials()))
  t.equal(client.state.status, 'signed-in')
  await device.get(client.logout())
  t.equal(client.state.status, 'signed-out')
  t.equal(device.jar.size, 0)
})

t.test('a logout that somebody else answers, such as a captive portal, is told again', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  await device.signIn(client)
  device.faults.push(({ url }) =>
    url.endsWith('/logout') && device.count('/auth/logout') < 3
      ? Promise.resolve(new Response('<html>'))
      : undefined
  )
  await device.get(client.logout())
  t.equal(
    (await device.server.app.tokenAuth.listSessions('u-ann')).length,
    1,
    'nobody has told the server'
  )
  await device.run(MINUTE)
  t.equal(device.count('/auth/logout'), 3)
  t.equal((await device.server.app.tokenAuth.listSessions('u-ann')).length, 0)
})
