// The client with a key of its own, over a real port: its tokens are worth nothing without the key, and it need not know of it.

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

interface Served extends TestApp {
  readonly baseUrl: string
  /** What came, and how it was answered. */
  readonly seen: string[]
}

async function serve (t: Test, options: Partial<TokenAuthOptions> = {}): Promise<Served> {
  const seen: string[] = []
  const test = await createTestApp({
    // A year behind: the nonce tells the time.
    clock: createClock(),
    options: { dpop: true, ...options },
    before (app) {
      app.addHook('onResponse', async ({ method, url, headers }, reply) => {
        seen.push(
          `${method} ${url}${headers.dpop === undefined ? '' : ' proven'} ${reply.statusCode}`
        )
      })
      app.post('/echo', async request => request.body)
    }
  })
  t.teardown(() => test.app.close())
  return { ...test, seen, baseUrl: await test.app.listen({ host: '127.0.0.1', port: 0 }) }
}

function keepToken (): TokenStorage & { value: string | null } {
  const kept = {
    value: null as string | null,
    get: async () => kept.value,
    set: async (value: string) => {
      kept.value = value
    },
    remove: async () => {
      kept.value = null
    }
  }
  return kept
}

function keepKeys (): KeyPairStore & { pair: KeyPair | null } {
  const kept = {
    pair: null as KeyPair | null,
    get: async () => kept.pair,
    async add (pair: KeyPair) {
      kept.pair ??= pair
      return kept.pair
    }
  }
  return kept
}

async function open (
  t: Test,
  { baseUrl }: Served,
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

t.test('login, requests, refresh, another start and logout, each with a proof', async t => {
  const server = await serve(t)
  const [storage, keys] = [keepToken(), keepKeys()]
  const client = await open(t, server, storage, keys)
  await client.login({ username: 'ann', password: PASSWORD })
  t.strictSame(
    server.seen,
    ['POST /auth/login proven 401', 'POST /auth/login proven 200'],
    'the first time it is told the nonce'
  )
  t.equal((await client.fetch('/protected')).status, 200)
  t.equal(server.seen.at(-1), 'GET /protected proven 200')
  const echoed = await client.fetch('/echo', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"a":1}'
  })
  t.strictSame(await echoed.json(), { a: 1 })

  const again = await open(t, server, storage, keys)
  t.equal(again.state.status, 'signed-in', 'with the key that was kept')
  t.equal((await again.fetch('/protected')).status, 200)
  server.clock.advance(5 * MINUTE)
  server.seen.length = 0
  const echo = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"b":2}' }
  t.match(await (await again.fetch('/protected')).json(), { userId: 'u-ann' })
  t.strictSame(
    server.seen,
    ['GET /protected proven 401', 'GET /protected proven 200'],
    'a nonce that is old is asked for again'
  )
  t.strictSame(await (await again.fetch('/echo', echo)).json(), { b: 2 })
  await again.logout()
  t.equal(server.seen.at(-1), 'POST /auth/logout proven 204')
  t.equal(again.state.status, 'signed-out')
})

t.test('what is copied is worth nothing elsewhere, and ends nothing', async t => {
  const server = await serve(t)
  const [storage, keys] = [keepToken(), keepKeys()]
  const client = await open(t, server, storage, keys)
  await client.login({ username: 'ann', password: PASSWORD })
  const [refreshToken, accessToken] = [storage.value as string, await client.getAccessToken()]
  const bare = await fetch(`${server.baseUrl}/protected`, {
    headers: { authorization: `Bearer ${accessToken}` }
  })
  t.equal(bare.status, 401)
  t.match((await server.refresh(refreshToken)).json(), { code: 'AUTH_DPOP_INVALID' })
  const thief = await open(t, server, { ...keepToken(), get: async () => refreshToken }, keepKeys())
  t.equal(thief.state.status, 'signed-out')
  t.equal(server.seen.at(-1), 'POST /auth/refresh proven 401')
  server.clock.advance(20 * MINUTE)
  t.equal((await client.fetch('/protected')).status, 200)
  t.notOk(server.events.some(({ name }) => name === 'reuse' || name === 'revoke'))
})

t.test('the key cannot be read', async t => {
  const keys = keepKeys()
  const server = await serve(t)
  const client = await open(t, server, keepToken(), keys)
  await client.login({ username: 'ann', password: PASSWORD })
  await t.rejects(crypto.subtle.exportKey('jwk', (keys.pair as KeyPair).privateKey))
})

t.test('other origins get neither token nor proof; a store of keys that fails signs nobody out', async t => {
  const [server, other] = [await serve(t), await serve(t)]
  const [storage, keys] = [keepToken(), keepKeys()]
  const client = await open(t, server, storage, keys)
  await client.login({ username: 'ann', password: PASSWORD })
  t.equal((await client.fetch(`${other.baseUrl}/protected`)).status, 401)
  t.strictSame(other.seen, ['GET /protected 401'])

  const failing = {
    ...keys,
    get: async () => {
      throw new Error('locked')
    }
  }
  const next = await open(t, server, storage, failing)
  t.equal(next.state.status, 'signed-in')
  t.not(storage.value, null)
})
