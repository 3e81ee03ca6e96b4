import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { AuthError, createAuthClient } from '../../src/client/index.js'
import type { AuthState } from '../../src/client/index.js'
import { MINUTE } from '../helpers/clock.js'
import { createDevice, createKeychain, credentials, ORIGIN, reply } from './world.js'
import type { Fault } from './world.js'

const offline: Fault = () => Promise.reject(new TypeError('Failed to fetch'))

t.test('start-up', async t => {
  t.test('nobody was ever signed in', async t => {
    const device = await createDevice(t)
    const client = device.tab()
    t.strictSame(client.state, { status: 'starting', user: null })
    t.strictSame(await device.get(client.ready), { status: 'signed-out', user: null })
    t.equal(device.count('/auth/refresh'), 1)
  })

  t.test('a cookie from before', async t => {
    const device = await createDevice(t)
    const before = device.tab()
    await device.signIn(before)
    before.dispose()
    const client = device.tab()
    t.match(await device.get(client.ready), { status: 'signed-in', user: { username: 'ann' } })
    t.equal(device.sent.at(-1)?.headers['x-token-transport'], 'cookie')
  })

  t.test('the server cannot be asked, and somebody was signed in', async t => {
    const device = await createDevice(t)
    const before = device.tab()
    await device.signIn(before)
    before.dispose()
    device.faults.push(offline)
    const client = device.tab()
    const early = client.fetch('/protected').then(
      ({ status }) => status,
      (error: AuthError) => error.code
    )
    t.strictSame(await device.get(client.ready), { status: 'signed-in', user: null })
    await device.run(2000)
    device.faults.length = 0
    t.equal(await device.get(early), 200)
    t.match(client.state, { status: 'signed-in', user: { username: 'ann' } })
  })

  t.test('the server cannot be asked, and nobody was signed in, as it seems', async t => {
    const device = await createDevice(t)
    const before = device.tab()
    await device.signIn(before)
    before.dispose()
    device.flags.clear()
    device.faults.push(({ url }) => url.endsWith('/refresh') ? reply(503) : undefined)
    const client = device.tab()
    t.equal((await device.get(client.ready)).status, 'signed-out')
    const start = device.now()
    t.equal((await device.get(client.fetch('/protected'))).status, 401)
    t.ok(device.now() - start < 1000, 'it does not wait')
    device.faults.length = 0
    device.pass(10_000)
    t.equal((await device.get(client.fetch('/protected'))).status, 200)
    t.equal(client.state.status, 'signed-in')
  })

  t.test('an empty keychain: no request at all', async t => {
    const device = await createDevice(t)
    const client = device.tab({ storage: createKeychain() })
    t.strictSame(await device.get(client.ready), { status: 'signed-out', user: null })
    t.equal(device.sent.length, 0)
  })

  t.test('a keychain, and no network', async t => {
    const device = await createDevice(t)
    const storage = createKeychain((await device.server.login()).refresh_token)
    device.faults.push(offline)
    const client = device.tab({ storage })
    t.strictSame(await device.get(client.ready), { status: 'signed-in', user: null })
    device.faults.length = 0
    t.equal((await device.get(client.fetch('/protected'))).status, 200)
  })

  t.test('a keychain that is locked', async t => {
    const device = await createDevice(t)
    const storage = createKeychain()
    storage.get = () => Promise.reject(new Error('locked'))
    const client = device.tab({ storage })
    t.equal((await device.get(client.ready)).status, 'signed-in')
  })

  t.test('a keychain with a token that is none', async t => {
    const device = await createDevice(t)
    const storage = createKeychain('nonsense')
    const client = device.tab({ storage })
    t.equal((await device.get(client.ready)).status, 'signed-out')
    t.equal(storage.value, null)
  })

  t.test('everything broken', async t => {
    const device = await createDevice(t)
    const client = device.tab({
      fetch: () => {
        throw new Error('no network at all')
      }
    })
    t.equal((await device.get(client.ready)).status, 'signed-out')
  })
})

t.test('a base URL is needed, and an absolute one', t => {
  for (const baseUrl of [undefined, '', '/api', 'app.test', 'file:///x', 'capacitor://localhost']) {
    t.throws(() => createAuthClient(baseUrl === undefined ? {} : { baseUrl }), TypeError)
  }

  t.end()
})

t.test('base URLs, prefixes and paths', async t => {
  const device = await createDevice(t)
  const urls: string[] = []
  device.faults.push(({ url }) => {
    urls.push(url)
    return reply(401, { code: 'AUTH_REFRESH_MISSING' })
  })

  for (
    const options of [
      { baseUrl: `${ORIGIN}/` },
      { baseUrl: `${ORIGIN}/api/` },
      { prefix: '' },
      { prefix: '/v1', paths: { refresh: '/token' } }
    ]
  ) {
    await device.get(device.tab(options).ready)
  }

  t.strictSame(
    urls,
    ['/auth/refresh', '/api/auth/refresh', '/refresh', '/v1/token'].map(path => ORIGIN + path)
  )
})

t.test('subscribers hear of changes, and of nothing else', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  const heard: AuthState[] = []
  client.subscribe(() => {
    throw new Error('a listener that fails')
  })
  const { error } = console

  console.error = () => {}

  t.teardown(() => {
    console.error = error
  })
  const end = client.subscribe(state => heard.push(state))
  await device.get(client.ready)
  await device.signIn(client)
  device.pass(20 * MINUTE)
  await device.get(client.fetch('/protected'))
  const { state } = client
  await device.get(client.logout())
  t.strictSame(heard.map(({ status }) => status), ['signed-out', 'signed-in', 'signed-out'])
  t.equal(heard[1], state, 'the same object, as long as it is true')
  end()
  await device.signIn(client)
  t.equal(heard.length, 3)
})

t.test('functions may be taken off the client', async t => {
  const device = await createDevice(t)
  const { login, fetch, getAccessToken, logout } = device.tab()
  await device.get(login(credentials()))
  t.equal((await device.get(fetch('/protected'))).status, 200)
  t.type(await getAccessToken(), 'string')
  await device.get(logout())
})

t.test('disposed of', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  await device.signIn(client)
  device.pass(20 * MINUTE)
  const waiting = t.rejects(client.fetch('/protected'), { code: 'disposed' })
  client.dispose()
  client.dispose()
  await device.run()
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
    await t.rejects(device.get(call() as Promise<unknown>), { name: 'AuthError', code: 'disposed' })
  }

  const count = device.sent.length
  await device.run(600_000)
  t.equal(device.sent.length, count)
  const again = device.tab()
  t.equal((await device.get(again.ready)).status, 'signed-in')
})

t.test('an answer that comes after the end brings nothing back', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  await device.signIn(client)
  const before = await client.getAccessToken()
  device.faults.push(() =>
    reply(200, {}, { 'x-new-token': `a.${btoa(JSON.stringify({ exp: 2000, iat: 1000 }))}.c` })
  )
  const answer = client.fetch('/protected')
  await device.run(5)
  client.dispose()
  await device.get(answer)
  await t.rejects(client.getAccessToken(), { code: 'disposed' })
  device.faults.length = 0
  t.equal(device.tab({ isAlone: true }).state.status, 'starting')
  t.type(before, 'string')
})

t.test('a tab that starts while another one signs out', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  await device.signIn(client)
  const late = device.tab()
  await device.run(20)
  await device.get(client.logout())
  t.equal((await device.get(late.ready)).status, 'signed-out')
  await device.run(5000)
  t.equal(late.state.status, 'signed-out')
  t.equal(device.jar.size, 0)
})

t.test('an answer of which the life is nothing is no reason for a loop', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  await device.signIn(client)
  device.pass(20 * MINUTE)
  device.faults.push(({ url }) =>
    url.endsWith('/refresh')
      ? reply(200, { access_token: 'a.b.c', expires_in: 0, user: {} })
      : undefined
  )
  t.equal((await device.get(client.fetch('/protected'))).status, 401)
  t.ok(device.count('/auth/refresh') <= 4, `${device.count('/auth/refresh')} refreshes`)
})

t.test('made, disposed of and made again at once', async t => {
  const device = await createDevice(t)
  const before = device.tab()
  await device.signIn(before)
  before.dispose()
  const first = device.tab()
  first.dispose()
  const second = device.tab()
  t.equal((await device.get(second.ready)).status, 'signed-in')
  await device.get(first.ready)
  t.equal((await device.get(second.fetch('/protected'))).status, 200)
})

t.test('a login that is given up', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  await device.get(client.ready)
  const abort = new AbortController()
  const check = t.rejects(client.login(credentials(), { signal: abort.signal }), {
    name: 'AbortError'
  })
  await device.run(5)
  abort.abort()
  await check
  await device.run()
  t.equal(client.state.status, 'signed-out')
  await t.rejects(device.get(client.login({ username: 'ann', password: 'x' })), {
    code: 'AUTH_CREDENTIALS_REJECTED',
    status: 401
  })
})

t.test('errors hold no token', async t => {
  const device = await createDevice(t)
  const storage = createKeychain('secret-token')
  device.faults.push(sent => Promise.reject(new Error(`failed: ${sent.body}`)))
  const client = device.tab({ storage })
  await device.get(client.ready)
  const error = await device.get(client.getAccessToken()).catch((error: unknown) => error)
  t.ok(error instanceof AuthError)
  t.notMatch(JSON.stringify(error, Object.getOwnPropertyNames(error)), /secret-token/)
})

t.test('over a real network, with the platform as it is', async t => {
  const device = await createDevice(t)
  await device.server.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = device.server.app.server.address() as AddressInfo
  const client = createAuthClient({ baseUrl: `http://127.0.0.1:${port}`, storage: 'memory' })
  t.teardown(() => {
    client.dispose()
  })
  t.equal((await client.ready).status, 'signed-out')
  await client.login(credentials())
  t.equal((await client.fetch('/protected')).status, 200)
  await device.server.app.tokenAuth.revokeUser('u-ann')
  t.equal((await client.fetch('/protected')).status, 401)
  t.equal(client.state.status, 'signed-out')
})

t.test('a refresh that is redirected goes no further', async t => {
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
    storage: createKeychain('token')
  })
  t.equal((await client.ready).status, 'signed-in')
  client.dispose()
  t.strictSame(seen, ['/auth/refresh'])
})
