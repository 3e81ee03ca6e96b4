// The token by which the server knows a device again (README, Guessing), where no cookie holds it.

import t from 'tap'
import { createDevice, createKeychain, credentials } from './world.js'
import type { Device } from './world.js'

const options = {
  throttle: { account: { freeAttempts: 2 } },
  refreshToken: { transport: 'both' }
} as const

function presented (device: Device): unknown[] {
  return device.sent.filter(({ url }) => url.endsWith('/login'))
    .map(({ body }) => (JSON.parse(body as string) as { device_token?: string }).device_token)
}

t.test('kept over logouts and restarts, and sent with the next login', async t => {
  const device = await createDevice(t, { options })
  const known = createKeychain()
  const phone = { storage: createKeychain(), device: known }
  const client = device.tab(phone)
  await device.signIn(client)
  await device.run()
  const first = known.value
  t.type(first, 'string')
  await device.get(client.logout())
  t.equal(known.value, first)
  client.dispose()
  await device.signIn(device.tab(phone))
  t.strictSame(presented(device), [undefined, first])
  t.notOk(
    device.sent.some(({ url, body }) => !url.endsWith('/login') && body?.includes(first as string))
  )
})

t.test('strangers who guess the password do not keep it out', async t => {
  const device = await createDevice(t, { options })
  const client = device.tab({ storage: 'memory', device: createKeychain() })
  const stranger = device.tab({ storage: 'memory', device: createKeychain('nonsense') })
  await device.signIn(client)
  await device.get(client.logout())

  for (let i = 0; i < 3; i++) {
    await t.rejects(device.get(stranger.login({ username: 'ann', password: 'wrong' })))
  }

  await t.rejects(device.get(stranger.login(credentials())), {
    code: 'AUTH_TOO_MANY_ATTEMPTS',
    status: 429
  })
  await device.signIn(client)
  t.equal(client.state.status, 'signed-in')
})

t.test('a storage that fails or hangs harms nothing', async t => {
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
    const device = await createDevice(t, { options })
    const client = device.tab({ storage: 'memory', device: broken })
    await device.signIn(client)
    t.equal(client.state.status, 'signed-in')
    t.strictSame(presented(device), [undefined])
  }
})

t.test('without one, nothing is sent; with cookies there is no need for one', async t => {
  const device = await createDevice(t, { options })

  for (const storage of ['memory', 'cookie'] as const) {
    const client = device.tab({ storage })

    for (let i = 0; i < 2; i++) {
      await device.signIn(client)
    }
  }

  t.strictSame(presented(device), Array(4).fill(undefined))
  t.ok([...device.jar.keys()].some(name => name.includes('device')))
})
