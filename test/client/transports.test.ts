import t from 'tap'
import { createWorld, credentials } from './world.js'

const modes = ['cookie', 'memory', 'keychain'] as const

for (const mode of modes) {
  t.test(`a client with storage "${mode}" stays signed in at a server with defaults`, async t => {
    const world = await createWorld(t, { options: { refreshToken: {} } })
    const client = await world.openSignedIn({ storage: mode })
    world.skip(20 * 60_000)
    t.equal((await world.until(client.fetch('/protected'))).status, 200)
    t.equal(client.state.status, 'signed-in')
  })
}

t.test('a login is refused if the client would drop its refresh token', async t => {
  const world = await createWorld(t, { options: { refreshToken: { transport: 'body' } } })
  const client = world.open()
  await t.rejects(world.until(client.login(credentials())), {
    name: 'AuthError',
    code: 'transport',
    message: /"storage: 'cookie'".*"refreshToken\.transport" of the server to "both"/
  })
  await world.run(1000)
  t.match(client.state, { status: 'signed-out', user: null })
  t.strictSame(await world.server.app.tokenAuth.listSessions('u-ann'), [], 'no session is left')
  t.equal(world.device.flags.size, 0, 'a reload does not look for a cookie')
  const keychain = world.open({ storage: 'keychain' })
  await world.signIn(keychain)
  t.equal(keychain.state.status, 'signed-in', 'the fix works')
})

for (const storage of ['memory', 'keychain'] as const) {
  for (const tokens of ['all tokens', 'the refresh token']) {
    t.test(`${storage}: a login is refused if cookies carry ${tokens}`, async t => {
      const world = await createWorld(t, {
        options: {
          refreshToken: { transport: 'cookie' },
          cookie: { accessToken: tokens === 'all tokens' }
        }
      })
      const client = world.open({ storage })
      await t.rejects(world.until(client.login(credentials())), {
        name: 'AuthError',
        code: 'transport',
        message: /"storage: 'cookie'".*"refreshToken\.transport" of the server to "both"/
      })
      await world.run(1000)
      t.match(client.state, { status: 'signed-out', user: null })
      t.equal(world.device.flags.size, 0, 'nothing is stored')

      if (tokens === 'the refresh token') {
        const { tokenAuth } = world.server.app
        t.strictSame(await tokenAuth.listSessions('u-ann'), [], 'no session is left')
      }

      const fixed = world.open({ storage: 'cookie' })
      await world.signIn(fixed)
      t.equal(fixed.state.status, 'signed-in', 'the fix works')
    })
  }
}

t.test('a server without refresh tokens needs no storage', async t => {
  const world = await createWorld(t, { options: { refreshToken: false } })

  for (const storage of ['cookie', 'memory'] as const) {
    const client = world.open({ storage })
    await world.signIn(client)
    t.equal(client.state.status, 'signed-in', storage)
  }
})

t.test('a login at another prefix than that of the server names the options', async t => {
  const world = await createWorld(t, { options: { prefix: '/api/auth' } })
  const wrong = { code: 'refused', status: 404, message: /"prefix" and "paths" must be those of/ }
  await t.rejects(world.until(world.open().login(credentials())), wrong)
  const client = world.open({ prefix: '/api/auth' })
  await world.signIn(client)
  t.equal(client.state.status, 'signed-in', 'the fix works')
})
