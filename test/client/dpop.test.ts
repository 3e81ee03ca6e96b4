import t from 'tap'
import type { Test } from 'tap'
import { createDpopFetch } from '../../src/client/dpop.js'
import type { KeyPair, KeyPairStore } from '../../src/client/dpop.js'
import { createAuthClient } from '../../src/client/index.js'
import type { AuthClient, TokenStorage } from '../../src/client/index.js'
import type { TokenAuthOptions } from '../../src/index.js'
import { createTestApp, PASSWORD } from '../helpers/app.js'
import type { TestApp } from '../helpers/app.js'
import { createClock, MINUTE } from '../helpers/clock.js'
import { createMemoryStorage } from './world.js'

interface Server extends TestApp {
  readonly baseUrl: string
  /** Method, URL, `with proof` and status of each request. */
  readonly requests: string[]
}

async function startServer (t: Test, options: Partial<TokenAuthOptions> = {}): Promise<Server> {
  const requests: string[] = []
  const test = await createTestApp({
    // The server's clock differs from the client's, because proofs rely on the nonce for time.
    clock: createClock(),
    options: { dpop: true, ...options },
    before (app) {
      app.addHook('onResponse', async ({ method, url, headers }, reply) => {
        const proof = headers.dpop === undefined ? '' : ' with proof'
        requests.push(`${method} ${url}${proof} ${reply.statusCode}`)
      })
      app.post('/echo', async request => request.body)
    }
  })
  t.teardown(() => test.app.close())
  return { ...test, requests, baseUrl: await test.app.listen({ host: '127.0.0.1', port: 0 }) }
}

function createKeyStore (): KeyPairStore & { pair: KeyPair | null } {
  const store = {
    pair: null as KeyPair | null,
    get: async () => store.pair,
    async add (pair: KeyPair) {
      store.pair ??= pair
      return store.pair
    }
  }
  return store
}

async function openClient (
  t: Test,
  { baseUrl }: Server,
  storage: TokenStorage,
  keys: KeyPairStore
): Promise<AuthClient> {
  const client = createAuthClient({ baseUrl, storage, fetch: createDpopFetch({ baseUrl, keys }) })
  t.teardown(() => {
    client.dispose()
  })
  await client.ready
  return client
}

t.test('each request of a client has a proof', async t => {
  const server = await startServer(t)
  const [storage, keys] = [createMemoryStorage(), createKeyStore()]
  const client = await openClient(t, server, storage, keys)
  await client.login({ username: 'ann', password: PASSWORD })
  t.strictSame(
    server.requests,
    ['POST /auth/login with proof 401', 'POST /auth/login with proof 200'],
    'the first response provides the nonce'
  )
  t.equal((await client.fetch('/protected')).status, 200)
  t.equal(server.requests.at(-1), 'GET /protected with proof 200')
  const echoed = await client.fetch('/echo', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"a":1}'
  })
  t.strictSame(await echoed.json(), { a: 1 })

  const restarted = await openClient(t, server, storage, keys)
  t.equal(restarted.state.status, 'signed-in', 'with the saved key')
  t.equal((await restarted.fetch('/protected')).status, 200)
  server.clock.advance(5 * MINUTE)
  server.requests.length = 0
  const echo = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"b":2}' }
  t.match(await (await restarted.fetch('/protected')).json(), { userId: 'u-ann' })
  t.strictSame(
    server.requests,
    ['GET /protected with proof 401', 'GET /protected with proof 200'],
    'an expired nonce is replaced'
  )
  t.strictSame(await (await restarted.fetch('/echo', echo)).json(), { b: 2 })
  await restarted.logout()
  t.equal(server.requests.at(-1), 'POST /auth/logout with proof 204')
  t.equal(restarted.state.status, 'signed-out')
})

t.test('copied tokens are rejected without revoking the session', async t => {
  const server = await startServer(t)
  const [storage, keys] = [createMemoryStorage(), createKeyStore()]
  const client = await openClient(t, server, storage, keys)
  await client.login({ username: 'ann', password: PASSWORD })
  const [refreshToken, accessToken] = [storage.value as string, await client.getAccessToken()]
  const withoutProof = await fetch(`${server.baseUrl}/protected`, {
    headers: { authorization: `Bearer ${accessToken}` }
  })
  t.equal(withoutProof.status, 401)
  t.match((await server.refresh(refreshToken)).json(), { code: 'AUTH_DPOP_INVALID' })
  const attackerStorage = createMemoryStorage(refreshToken)
  const attacker = await openClient(t, server, attackerStorage, createKeyStore())
  t.equal(attacker.state.status, 'signed-out')
  t.equal(server.requests.at(-1), 'POST /auth/refresh with proof 401')
  server.clock.advance(20 * MINUTE)
  t.equal((await client.fetch('/protected')).status, 200)
  t.notOk(server.events.some(({ name }) => name === 'reuse' || name === 'session-ended'))
})

t.test('the private key is not extractable', async t => {
  const keys = createKeyStore()
  const server = await startServer(t)
  const client = await openClient(t, server, createMemoryStorage(), keys)
  await client.login({ username: 'ann', password: PASSWORD })
  await t.rejects(crypto.subtle.exportKey('jwk', (keys.pair as KeyPair).privateKey))
})

t.test('another origin receives neither token nor proof', async t => {
  const [server, other] = [await startServer(t), await startServer(t)]
  const [storage, keys] = [createMemoryStorage(), createKeyStore()]
  const client = await openClient(t, server, storage, keys)
  await client.login({ username: 'ann', password: PASSWORD })
  t.equal((await client.fetch(`${other.baseUrl}/protected`)).status, 401)
  t.strictSame(other.requests, ['GET /protected 401'])
})

t.test('a key store that fails does not sign the user out', async t => {
  const server = await startServer(t)
  const [storage, keys] = [createMemoryStorage(), createKeyStore()]
  const client = await openClient(t, server, storage, keys)
  await client.login({ username: 'ann', password: PASSWORD })

  const failing = {
    ...keys,
    get: async () => {
      throw new Error('locked')
    }
  }
  const next = await openClient(t, server, storage, failing)
  t.equal(next.state.status, 'signed-in')
  t.not(storage.value, null)
})
