import t from 'tap'
import { createMemoryStorage, createWorld, credentials } from './world.js'
import type { World } from './world.js'

const options = {
  throttle: { account: { freeAttempts: 2 } },
  refreshToken: { transport: 'both' }
} as const

/** Device tokens of the logins so far. */
function getDeviceTokens (world: World): unknown[] {
  return world.sent.filter(({ url }) => url.endsWith('/login'))
    .map(({ body }) => (JSON.parse(body as string) as { device_token?: string }).device_token)
}

t.test('a device token survives logouts and is sent with the next login', async t => {
  const world = await createWorld(t, { options })
  const deviceStorage = createMemoryStorage()
  const phone = { storage: 'keychain', device: deviceStorage } as const
  const client = world.open(phone)
  await world.signIn(client)
  await world.run()
  const first = deviceStorage.value
  t.type(first, 'string')
  await world.until(client.logout())
  t.equal(deviceStorage.value, first)
  client.dispose()
  await world.signIn(world.open(phone))
  t.strictSame(getDeviceTokens(world), [undefined, first])
  t.notOk(
    world.sent.some(({ url, body }) => !url.endsWith('/login') && body?.includes(first as string))
  )
})

t.test('failed logins of an attacker do not lock a known device out', async t => {
  const world = await createWorld(t, { options })
  const client = world.open({ storage: 'memory', device: createMemoryStorage() })
  const attacker = world.open({ storage: 'memory', device: createMemoryStorage('nonsense') })
  await world.signIn(client)
  await world.until(client.logout())

  for (let i = 0; i < 3; i++) {
    await t.rejects(world.until(attacker.login({ username: 'ann', password: 'wrong' })))
  }

  await t.rejects(world.until(attacker.login(credentials())), {
    code: 'AUTH_TOO_MANY_ATTEMPTS',
    status: 429
  })
  await world.signIn(client)
  t.equal(client.state.status, 'signed-in')
})

t.test('a device storage that fails or hangs does not affect the login', async t => {
  const fail = (): never => {
    throw new Error('locked')
  }

  for (
    const broken of [
      { get: fail, set: fail, remove: fail },
      { get: async () => null, set: () => Promise.reject(new Error('full')), remove: fail },
      {
        get: () => new Promise<never>(() => {}),
        set: () => new Promise<never>(() => {}),
        remove: fail
      }
    ]
  ) {
    const world = await createWorld(t, { options })
    const client = world.open({ storage: 'memory', device: broken })
    await world.signIn(client)
    t.equal(client.state.status, 'signed-in')
    t.strictSame(getDeviceTokens(world), [undefined])
  }
})

t.test('a client without a device storage sends no device token', async t => {
  const world = await createWorld(t, { options })

  for (const storage of ['memory', 'cookie'] as const) {
    const client = world.open({ storage })

    for (let i = 0; i < 2; i++) {
      await world.signIn(client)
    }
  }

  t.strictSame(getDeviceTokens(world), Array(4).fill(undefined))
  const cookieNames = [...world.device.cookies.entries().keys()]
  t.ok(cookieNames.some(name => name.includes('device')))
})
