import t from 'tap'
import type { AuthError } from '../../src/client/index.js'
import { MINUTE } from '../helpers/clock.js'
import { createMemoryStorage, createWorld, credentials, ORIGIN, reply } from './world.js'

/** A 401 response without a reason, as another API of the origin sends it. */
const unclear = (): Promise<Response> => reply(401, { message: 'no key' })

t.test('401 responses without a reason cause one refresh for each token', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  world.faults.next(unclear, '/other', Infinity)

  for (let i = 0; i < 20; i++) {
    t.equal((await world.until(client.fetch('/other', { method: 'POST' }))).status, 401)
  }

  t.equal(world.count('/other'), 21)
  t.equal(world.count('/auth/refresh'), 1)
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
  await world.server.app.tokenAuth.revokeUser('u-ann')
  t.equal((await world.until(client.fetch('/protected'))).status, 401)
  t.equal(client.state.status, 'signed-out', 'a response with a reason is still noticed')
})

t.test('concurrent 401 responses without a reason share one refresh', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  world.faults.next(unclear, '/other', Infinity)
  await world.until(Promise.all(Array.from({ length: 10 }, () => client.fetch('/other'))))
  t.equal(world.count('/auth/refresh'), 1)
})

t.test('a 401 response without a reason is returned if the refresh fails', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  world.faults.next(unclear, '/other', Infinity)
  world.faults.next(() => reply(503), '/refresh', Infinity)
  const start = world.now()

  for (let i = 0; i < 3; i++) {
    t.equal((await world.until(client.fetch('/other'))).status, 401)
  }

  t.ok(world.now() - start < 1000, 'no call waits for a retry')
  t.equal((await world.until(client.fetch('/protected'))).status, 200, 'the token stays in use')
})

t.test('a 401 response with a code that is not about the token is returned', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()

  for (const code of ['AUTH_REAUTHENTICATION_REQUIRED', 'AUTH_CREDENTIALS_REJECTED']) {
    world.faults.next(() => reply(401, {}, { 'x-auth-error': code }), '/protected')
    t.equal((await world.until(client.fetch('/protected'))).status, 401)
  }

  t.equal(world.count('/auth/refresh'), 0)
})

t.test('a renewed token of another session is not adopted', async t => {
  const world = await createWorld(t)
  const ann = await world.server.login('ann')
  const client = await world.openSignedIn({ storage: createMemoryStorage() })
  await world.signIn(client, 'bob')
  const token = await client.getAccessToken()
  world.skip(2000)
  const refreshed = await world.server.refresh(ann.refresh_token ?? '')
  const renewed = refreshed.json<{ access_token: string }>().access_token
  world.faults.next(() => reply(200, {}, { 'x-new-token': renewed }), '/protected')
  await world.until(client.fetch('/protected'))
  t.equal(await client.getAccessToken(), token)
  t.match(await (await world.until(client.fetch('/protected'))).json(), { userId: 'u-bob' })
})

t.test('a renewed token that is older than the current one is not adopted', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  const old = await client.getAccessToken() ?? ''
  world.skip(10_000)
  await world.until(client.refresh())
  const token = await client.getAccessToken()
  world.faults.next(() => reply(200, {}, { 'x-new-token': old }), '/protected')
  await world.until(client.fetch('/protected'))
  t.equal(await client.getAccessToken(), token)
})

const broken: Readonly<Record<string, () => unknown>> = {
  throws: () => {
    throw new TypeError('x')
  },
  'returns undefined': () => undefined,
  'resolves to undefined': async () => undefined,
  'resolves to half a response': async () => ({ ok: false, status: 500 })
}

for (const [name, fetch] of Object.entries(broken)) {
  t.test(`a fetch that ${name} is a failure of the network`, async t => {
    const world = await createWorld(t)
    let calls = 0
    const client = world.open({
      storage: createMemoryStorage('token'),
      fetch: (() => {
        calls++
        return fetch()
      }) as typeof globalThis.fetch
    })
    await world.until(client.ready)
    t.equal(client.state.status, 'signed-in')
    calls = 0
    await t.rejects(world.until(client.fetch('/protected')), { name: 'AuthError', code: 'network' })
    t.ok(calls <= 5, `${calls} requests`)
    const error = await world.until(client.login(credentials())).catch((error: AuthError) => error)
    t.match(error, { name: 'AuthError', code: 'network', cause: Error })

    calls = 0
    await world.until(client.logout())
    await world.run(20_000)
    t.ok(calls <= 8, `${calls} requests after a logout`)
  })
}

t.test('an odd response to a call of the app is returned unchanged', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  const odd = { status: 401 }
  world.faults.next(() => odd as unknown as Promise<Response>, '/protected')

  for (const fetch of [async () => undefined, async () => ({ status: 401, url: '' })]) {
    const other = world.open({
      storage: createMemoryStorage(),
      fetch: fetch as unknown as typeof globalThis.fetch
    })
    await world.until(other.ready)
    t.strictSame(await world.until(other.fetch('/protected')), await fetch())
  }

  t.equal(client.state.status, 'signed-in')
})

t.test('headers that cannot be read are ignored', async t => {
  const headers = {
    get () {
      throw new Error('x')
    }
  }
  const body = { access_token: 'a', expires_in: 900, user: {} }
  const odd = { ok: true, status: 200, headers, json: async () => body }
  const world = await createWorld(t)
  const client = world.open({
    storage: createMemoryStorage('token'),
    fetch: (async () => odd) as unknown as typeof globalThis.fetch
  })
  t.equal((await world.until(client.ready)).status, 'signed-in')
  t.equal(await world.until(client.fetch('/protected')), odd)
})

t.test('a token that any clock calls expired is refreshed after a sleep', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  const token = await client.getAccessToken()
  world.device.suspend(60 * MINUTE)
  await world.run(60 * MINUTE)
  const next = await world.until(client.getAccessToken())
  t.not(next, token)
  const body = { method: 'POST', body: new Blob(['x']).stream(), duplex: 'half' } as RequestInit
  world.device.suspend(60 * MINUTE)
  await world.run(60 * MINUTE)
  t.not((await world.until(client.fetch(`${ORIGIN}/missing`, body))).status, 401)
  t.equal(world.count('/auth/refresh'), 2)
})

t.test('a session without a refresh token ends with its access token', async t => {
  for (const storage of ['cookie', 'memory'] as const) {
    const world = await createWorld(t, { options: { refreshToken: false } })
    const client = await world.openSignedIn({ storage })
    world.device.shiftDate(60 * MINUTE)
    world.skip(14.9 * MINUTE)
    t.equal((await world.until(client.fetch('/protected'))).status, 200, storage)
    t.equal(client.state.status, 'signed-in', 'a wrong wall clock ends nothing')
    await t.resolves(world.until(client.refresh()))
    t.equal(client.state.status, 'signed-in', 'refresh keeps the session')
    world.skip(MINUTE)
    t.equal(
      (await world.until(client.fetch('/protected').catch(() => ({ status: 401 })))).status,
      401
    )
    t.match(client.state, { status: 'signed-out', reason: 'AUTH_REFRESH_MISSING' }, storage)
    t.equal(world.count('/auth/refresh'), 0)
    const reloaded = world.open({ storage })
    await world.until(reloaded.ready)
    t.equal(reloaded.state.status, 'signed-out')
  }
})
