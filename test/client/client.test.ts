import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { AuthError, createAuthClient } from '../../src/client/index.js'
import type { AuthState } from '../../src/client/index.js'
import { MINUTE } from '../helpers/clock.js'
import { createMemoryStorage, createWorld, credentials, ORIGIN, reply } from './world.js'

t.test('startup', async t => {
  t.test('a first visitor is signed out', async t => {
    const world = await createWorld(t)
    const client = world.open()
    t.strictSame(client.state, { status: 'starting', user: null })
    t.strictSame(await world.until(client.ready), { status: 'signed-out', user: null })
    t.equal(world.count('/auth/refresh'), 1)
  })

  t.test('a saved cookie signs the user in', async t => {
    const world = await createWorld(t)
    const before = world.open()
    await world.signIn(before)
    before.dispose()
    const client = world.open()
    t.match(await world.until(client.ready), { status: 'signed-in', user: { username: 'ann' } })
    t.equal(world.sent.at(-1)?.headers['x-token-transport'], 'cookie')
  })

  t.test('a signed-in user stays signed in while the server is unreachable', async t => {
    const world = await createWorld(t)
    const before = world.open()
    await world.signIn(before)
    before.dispose()
    world.faults.goOffline()
    const client = world.open()
    const early = client.fetch('/protected').then(
      ({ status }) => status,
      (error: AuthError) => error.code
    )
    t.strictSame(await world.until(client.ready), { status: 'signed-in', user: null })
    await world.run(2000)
    world.faults.goOnline()
    t.equal(await world.until(early), 200)
    t.match(client.state, { status: 'signed-in', user: { username: 'ann' } })
  })

  t.test('a user without flags is signed out until the server is reachable', async t => {
    const world = await createWorld(t)
    const before = world.open()
    await world.signIn(before)
    before.dispose()
    world.device.flags.clear()
    world.faults.next(() => reply(503), '/refresh', Infinity)
    const client = world.open()
    t.equal((await world.until(client.ready)).status, 'signed-out')
    const start = world.now()
    t.equal((await world.until(client.fetch('/protected'))).status, 401)
    t.ok(world.now() - start < 1000, 'without waiting')
    world.faults.heal()
    world.skip(10_000)
    t.equal((await world.until(client.fetch('/protected'))).status, 200)
    t.equal(client.state.status, 'signed-in')
  })

  t.test('an empty keychain causes no request', async t => {
    const world = await createWorld(t)
    const client = world.open({ storage: 'keychain' })
    t.strictSame(await world.until(client.ready), { status: 'signed-out', user: null })
    t.equal(world.sent.length, 0)
  })

  t.test('a token in the keychain keeps the user signed in without a network', async t => {
    const world = await createWorld(t)
    world.device.stored = (await world.server.login()).refresh_token ?? null
    world.faults.goOffline()
    const client = world.open({ storage: 'keychain' })
    t.strictSame(await world.until(client.ready), { status: 'signed-in', user: null })
    world.faults.goOnline()
    t.equal((await world.until(client.fetch('/protected'))).status, 200)
  })

  t.test('a locked keychain keeps the user signed in', async t => {
    const world = await createWorld(t)
    world.device.storageFault = () => Promise.reject(new Error('locked'))
    const client = world.open({ storage: 'keychain' })
    t.equal((await world.until(client.ready)).status, 'signed-in')
  })

  t.test('an invalid token in the keychain signs the user out', async t => {
    const world = await createWorld(t)
    world.device.stored = 'nonsense'
    const client = world.open({ storage: 'keychain' })
    t.equal((await world.until(client.ready)).status, 'signed-out')
    t.equal(world.device.stored, null)
  })

  t.test('a fetch that throws leaves the user signed out', async t => {
    const world = await createWorld(t)
    const client = world.open({
      fetch: () => {
        throw new Error('no network at all')
      }
    })
    t.equal((await world.until(client.ready)).status, 'signed-out')
  })
})

t.test('createAuthClient requires an absolute http(s) base URL', t => {
  for (const baseUrl of [undefined, '', '/api', 'app.test', 'file:///x', 'capacitor://localhost']) {
    t.throws(
      () => createAuthClient(baseUrl === undefined ? {} : { baseUrl }),
      new TypeError('"baseUrl" must be an absolute http(s) URL')
    )
  }

  t.end()
})

t.test('baseUrl, prefix and paths decide the URL of a route', async t => {
  const world = await createWorld(t)
  world.faults.next(() => reply(401, { code: 'AUTH_REFRESH_MISSING' }), '', Infinity)

  for (
    const options of [
      { baseUrl: `${ORIGIN}/` },
      { baseUrl: `${ORIGIN}/api/` },
      { prefix: '' },
      { prefix: '/v1', paths: { refresh: '/token' } }
    ]
  ) {
    await world.until(world.open(options).ready)
  }

  t.strictSame(
    world.sent.map(({ url }) => url),
    ['/auth/refresh', '/api/auth/refresh', '/refresh', '/v1/token'].map(path => ORIGIN + path)
  )
})

t.test('listeners receive each change of the state once', async t => {
  const world = await createWorld(t)
  const client = world.open()
  const states: AuthState[] = []
  client.subscribe(() => {
    throw new Error('listener failed')
  })
  const { error } = console

  console.error = () => {}

  t.teardown(() => {
    console.error = error
  })
  const unsubscribe = client.subscribe(state => states.push(state))
  await world.until(client.ready)
  await world.signIn(client)
  world.skip(20 * MINUTE)
  await world.until(client.fetch('/protected'))
  const { state } = client
  await world.until(client.logout())
  t.strictSame(states.map(({ status }) => status), ['signed-out', 'signed-in', 'signed-out'])
  t.equal(states[1], state, 'the object stays the same until the state changes')
  unsubscribe()
  await world.signIn(client)
  t.equal(states.length, 3)
})

t.test('functions of a client work without this', async t => {
  const world = await createWorld(t)
  const { login, fetch, getAccessToken, logout } = world.open()
  await world.until(login(credentials()))
  t.equal((await world.until(fetch('/protected'))).status, 200)
  t.type(await getAccessToken(), 'string')
  await world.until(logout())
})

t.test('a disposed client rejects all calls and sends no request', async t => {
  const world = await createWorld(t)
  const client = world.open()
  await world.signIn(client)
  world.skip(20 * MINUTE)
  const waiting = t.rejects(client.fetch('/protected'), { code: 'disposed' })
  client.dispose()
  client.dispose()
  await world.run()
  await waiting

  for (
    const call of [
      () => client.fetch('/protected'),
      () => client.getAccessToken(),
      () => client.login(credentials()),
      () => client.logout(),
      () => client.sessions(),
      () => client.logoutEverywhere()
    ]
  ) {
    await t.rejects(world.until(call() as Promise<unknown>), {
      name: 'AuthError',
      code: 'disposed'
    })
  }

  const count = world.sent.length
  await world.run(600_000)
  t.equal(world.sent.length, count)
  const again = world.open()
  t.equal((await world.until(again.ready)).status, 'signed-in')
})

t.test('dispose discards the token of a response in flight', async t => {
  const world = await createWorld(t)
  const client = world.open()
  await world.signIn(client)
  const before = await client.getAccessToken()
  world.faults.next(() =>
    reply(200, {}, { 'x-new-token': `a.${btoa(JSON.stringify({ exp: 2000, iat: 1000 }))}.c` })
  )
  const response = client.fetch('/protected')
  await world.run(5)
  client.dispose()
  await world.until(response)
  await t.rejects(client.getAccessToken(), { code: 'disposed' })
  t.equal(world.open({ tab: { channels: 'none' } }).state.status, 'starting')
  t.type(before, 'string')
})

t.test('a tab that starts during a logout is signed out', async t => {
  const world = await createWorld(t)
  const client = world.open()
  await world.signIn(client)
  const late = world.open()
  await world.run(20)
  await world.until(client.logout())
  t.equal((await world.until(late.ready)).status, 'signed-out')
  await world.run(5000)
  t.equal(late.state.status, 'signed-out')
  t.equal(world.device.cookies.entries().size, 0)
})

t.test('tokens without a lifetime cause no endless refreshes', async t => {
  const world = await createWorld(t)
  const client = world.open()
  await world.signIn(client)
  world.skip(20 * MINUTE)
  const tokens = { access_token: 'a.b.c', expires_in: 0, user: {} }
  world.faults.next(() => reply(200, tokens), '/refresh', Infinity)
  t.equal((await world.until(client.fetch('/protected'))).status, 401)
  t.ok(world.count('/auth/refresh') <= 4, `${world.count('/auth/refresh')} refreshes`)
})

t.test('a client that replaces a disposed one is signed in', async t => {
  const world = await createWorld(t)
  const before = world.open()
  await world.signIn(before)
  before.dispose()
  const first = world.open()
  first.dispose()
  const second = world.open()
  t.equal((await world.until(second.ready)).status, 'signed-in')
  await world.until(first.ready)
  t.equal((await world.until(second.fetch('/protected'))).status, 200)
})

t.test('login rejects if its signal is aborted', async t => {
  const world = await createWorld(t)
  const client = world.open()
  await world.until(client.ready)
  const abort = new AbortController()
  const check = t.rejects(client.login(credentials(), { signal: abort.signal }), {
    name: 'AbortError'
  })
  await world.run(5)
  abort.abort()
  await check
  await world.run()
  t.equal(client.state.status, 'signed-out')
  await t.rejects(world.until(client.login({ username: 'ann', password: 'x' })), {
    code: 'AUTH_CREDENTIALS_REJECTED',
    status: 401
  })
})

t.test('errors contain no token', async t => {
  const world = await createWorld(t)
  world.device.stored = 'secret-token'
  const bodies: string[] = []
  world.faults.next(
    async request => {
      bodies.push(await request.text())
      throw new Error(`failed: ${bodies.at(-1)}`)
    },
    '',
    Infinity
  )
  const client = world.open({ storage: 'keychain' })
  await world.until(client.ready)
  const error = await world.until(client.getAccessToken()).catch((error: unknown) => error)
  t.match(bodies[0], /secret-token/)
  t.ok(error instanceof AuthError)
  const { cause, ...own } = Object.getOwnPropertyDescriptors(error)
  t.notMatch(JSON.stringify(own), /secret-token/)
  t.match(cause?.value, { message: /^failed: / }, 'the error of fetch, unchanged')
  t.notMatch(JSON.stringify(error), /secret-token/)
})

t.test('a client works over a real port with the default platform', async t => {
  const world = await createWorld(t)
  await world.server.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = world.server.app.server.address() as AddressInfo
  const client = createAuthClient({ baseUrl: `http://127.0.0.1:${port}`, storage: 'memory' })
  t.teardown(() => {
    client.dispose()
  })
  t.equal((await client.ready).status, 'signed-out')
  await client.login(credentials())
  t.equal((await client.fetch('/protected')).status, 200)
  await world.server.app.tokenAuth.revokeUser('u-ann')
  t.equal((await client.fetch('/protected')).status, 401)
  t.equal(client.state.status, 'signed-out')
})

t.test('a refresh does not follow redirects', async t => {
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(request.url as string)
    response.writeHead(307, { location: '/stolen' }).end()
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => {
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const client = createAuthClient({
    baseUrl: `http://127.0.0.1:${port}`,
    storage: createMemoryStorage('token')
  })
  t.equal((await client.ready).status, 'signed-in')
  client.dispose()
  t.strictSame(seen, ['/auth/refresh'])
})
